"""The page in the browser: everything to look at instead of to type (extra ``web``).

Only `headstart.web.server` and what it imports need Gradio; nothing imports it at start-up.
"""
