"""Heads: linear SVMs on stored features, their probabilities and the uncertainty of both.

Arrays go in and come out; nothing here knows of images or backbones. Names are loaded on first use,
because torch and scikit-learn are slow to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
