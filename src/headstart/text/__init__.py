"""Short texts: words, word vectors, TextCNN; the questions of images, asked of sentences."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
