"""The probe: the one way to judge rows of features by cross-validation, and the selection rules.

``fit``, ``finetune --compare``, the experiments and the text path call it. Rows of features and
labels go in; a typed judgement comes out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
