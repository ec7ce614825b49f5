"""Experiments on one's own data, one folder a question: its settings, its measurement and its page."""
