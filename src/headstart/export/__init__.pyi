from .bundle import open_classifier as open_classifier
from .card import card_text as card_text
from .checking import Check as Check
from .exporting import (
    Exported as Exported,
)
from .exporting import (
    export as export,
)
from .hub import (
    Pushed as Pushed,
)
from .hub import (
    push as push,
)
from .hub import (
    stage as stage,
)
from .network import (
    Classifier as Classifier,
)
from .network import (
    FromPictures as FromPictures,
)

__all__: list[str]
