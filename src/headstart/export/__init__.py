"""Export of a run: one file for other runtimes, a model card, and a repository on a model hub."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
