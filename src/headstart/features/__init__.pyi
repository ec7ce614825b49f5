from .any_network import extract_features as extract_features
from .cluster import extract_on_cluster as extract_on_cluster
from .extraction import (
    Extraction as Extraction,
)
from .extraction import (
    extract as extract,
)
from .extraction import (
    feature_key as feature_key,
)
from .extraction import (
    stream_converted as stream_converted,
)
from .extraction import (
    stream_features as stream_features,
)
from .raycluster import Cluster as Cluster
from .store import (
    FeatureKey as FeatureKey,
)
from .store import (
    FeatureStore as FeatureStore,
)
from .store import (
    cache_folder as cache_folder,
)
from .transformer import Features as Features

__all__: list[str]
