from .architectures import known_names as known_names
from .backbone import (
    Backbone as Backbone,
)
from .backbone import (
    Preprocessing as Preprocessing,
)
from .backbone import (
    Tap as Tap,
)
from .complexity import (
    Complexity as Complexity,
)
from .complexity import (
    measure_complexity as measure_complexity,
)
from .imagenet import (
    ClassProbability as ClassProbability,
)
from .imagenet import (
    imagenet_classes as imagenet_classes,
)
from .imagenet import (
    pred as pred,
)
from .imagenet import (
    predict_imagenet as predict_imagenet,
)
from .loading import (
    load as load,
)
from .preprocessing import (
    normalise as normalise,
)
from .preprocessing import (
    to_uint8 as to_uint8,
)
from .preprocessing import (
    transform as transform,
)
from .shortlist import (
    Entry as Entry,
)
from .shortlist import (
    catalogue as catalogue,
)
from .shortlist import (
    list_backbones as list_backbones,
)
from .sizes import (
    at_size as at_size,
)
from .tapped import (
    TappedModule as TappedModule,
)
from .tapped import (
    pool as pool,
)
from .tapped import (
    tapped_forward as tapped_forward,
)

__all__: list[str]
