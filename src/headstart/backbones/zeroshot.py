"""A head without a training image: the text tower's vectors of the classes' prompts.

A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
section 3.1: the vectors of a class's prompts are averaged, and an image is given to the class whose
vector has the largest cosine with its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.texttowers import load_text_tower

if TYPE_CHECKING:
    from headstart.backbones.backbone import Backbone
    from headstart.data.prompts import Prompts


def text_head(backbone: Backbone, prompts: Prompts) -> NDArray[np.float64]:
    """The head of the network's last tap, each of whose rows is brought to unit length.

    Raises BackboneError or WeightsError where there is no text tower, or it cannot be loaded.

    Parameters
    ----------
    backbone : Backbone
        Of a repository with a text tower.
    prompts : mapping of class to prompts
        Each class has one or more.

    Returns
    -------
    float64 array (K, d)
        In the order of `prompts`, with the network's own scale: the softmax of scores are its
        probabilities. Less the mean over classes, which no probability depends on, so that two
        classes have the rows ``-w`` and ``w``, as of a linear SVM.
    """
    tower = load_text_tower(backbone)
    every = list(dict.fromkeys(text for texts in prompts.values() for text in texts))
    vectors = dict(zip(every, tower.vectors(every), strict=True))
    means = np.array([np.mean([vectors[t] for t in texts], axis=0) for texts in prompts.values()])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(tower.scale * (means - means.mean(axis=0)))
