from .ngrams import (
    Ngram as Ngram,
)
from .ngrams import (
    telling_ngrams as telling_ngrams,
)
from .predicting import (
    extract_taps as extract_taps,
)
from .predicting import (
    predict_proba as predict_proba,
)
from .saving import (
    load_textcnn as load_textcnn,
)
from .saving import (
    save_textcnn as save_textcnn,
)
from .settings import (
    VARIANTS as VARIANTS,
)
from .settings import (
    TextTraining as TextTraining,
)
from .textcnn import TextCNN as TextCNN
from .tokens import tokenize as tokenize
from .training import (
    TrainedText as TrainedText,
)
from .training import (
    train_textcnn as train_textcnn,
)
from .words import (
    Vocabulary as Vocabulary,
)

__all__: list[str]
