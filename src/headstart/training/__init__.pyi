from .bn_policies import POLICIES as POLICIES
from .history import Epoch as Epoch
from .loop import DivergedError as DivergedError
from .rate_finding import find_rate as find_rate
from .regimes import FrozenError as FrozenError
from .settings import (
    REGIMES as REGIMES,
)
from .settings import (
    TrainSettings as TrainSettings,
)
from .trained import (
    Trained as Trained,
)
from .trained import (
    load_trained as load_trained,
)
from .training import train as train

__all__: list[str]
