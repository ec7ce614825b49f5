"""The processes that measure: see ``bench/sides/__main__.py``."""
