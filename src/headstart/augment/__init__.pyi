from .augmix import jensen_shannon as jensen_shannon
from .batch import (
    Augmented as Augmented,
)
from .batch import (
    augment_batch as augment_batch,
)
from .policy import (
    DEFAULTS as DEFAULTS,
)
from .policy import (
    Policy as Policy,
)
from .policy import (
    parse_policy as parse_policy,
)
from .preview import preview_grid as preview_grid
from .searching import (
    SearchResult as SearchResult,
)
from .searching import (
    SearchSettings as SearchSettings,
)
from .searching import (
    search as search,
)
from .subpolicies import (
    OPERATIONS as OPERATIONS,
)
from .subpolicies import (
    Choice as Choice,
)
from .views import jittered_views as jittered_views

__all__: list[str]
