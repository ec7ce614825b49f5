from .encoding import (
    assign_words as assign_words,
)
from .encoding import (
    chi2_map as chi2_map,
)
from .encoding import (
    fisher_vector as fisher_vector,
)
from .encoding import (
    spatial_pyramid as spatial_pyramid,
)
from .pixels import tiny_images as tiny_images
from .settings import SiftSettings as SiftSettings
from .sift import (
    dense_sift as dense_sift,
)
from .sift import (
    root_sift as root_sift,
)
from .vocabulary import (
    fit_mixture as fit_mixture,
)
from .vocabulary import (
    fit_vocabulary as fit_vocabulary,
)

__all__: list[str]
