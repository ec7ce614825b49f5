"""Data augmentation: fixed policies, mixing, AugMix, and policies learnt by gradient."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
