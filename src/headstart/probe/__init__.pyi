from .folds import (
    judgeable as judgeable,
)
from .folds import (
    training_folds as training_folds,
)
from .judging import (
    Goal as Goal,
)
from .judging import (
    Scores as Scores,
)
from .judging import (
    fit_best as fit_best,
)
from .judging import (
    judge as judge,
)
from .rules import (
    Choice as Choice,
)
from .rules import (
    cheapest_tie as cheapest_tie,
)
from .rules import (
    first_tie as first_tie,
)
from .rules import (
    most_accurate as most_accurate,
)
from .rules import (
    quickest_tie as quickest_tie,
)
from .rules import (
    usual_unless_beaten as usual_unless_beaten,
)

__all__: list[str]
