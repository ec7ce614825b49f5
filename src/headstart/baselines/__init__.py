"""What came before the networks: dense SIFT in bags of words, and tiny pixels, judged alike.

The names are loaded on first use: OpenCV and scikit-learn take a while.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
