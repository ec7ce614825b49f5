"""Methods from before ConvNets: dense SIFT in bags of words, and tiny images, with the same test."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
