from .accuracy import (
    Interval as Interval,
)
from .accuracy import (
    PairedDifference as PairedDifference,
)
from .accuracy import (
    accuracy_interval as accuracy_interval,
)
from .accuracy import (
    balanced_accuracy_interval as balanced_accuracy_interval,
)
from .accuracy import (
    balanced_recall as balanced_recall,
)
from .accuracy import (
    is_significant as is_significant,
)
from .accuracy import (
    mcnemar as mcnemar,
)
from .accuracy import (
    paired_difference as paired_difference,
)
from .accuracy import (
    paired_gain as paired_gain,
)
from .accuracy import (
    paired_test as paired_test,
)
from .accuracy import (
    repeated_accuracy as repeated_accuracy,
)
from .accuracy import (
    repeated_difference as repeated_difference,
)
from .accuracy import (
    repeated_share as repeated_share,
)
from .accuracy import (
    significance as significance,
)
from .accuracy import (
    unseen_difference as unseen_difference,
)
from .calibration import (
    Pool as Pool,
)
from .calibration import (
    Temperature as Temperature,
)
from .calibration import (
    fit_pool as fit_pool,
)
from .calibration import (
    fit_temperature as fit_temperature,
)
from .classification import (
    ClassificationMetrics as ClassificationMetrics,
)
from .classification import (
    classification_metrics as classification_metrics,
)
from .criterion import (
    Criterion as Criterion,
)
from .criterion import (
    least_cost as least_cost,
)
from .folds import stratified_folds as stratified_folds
from .loo import (
    LeaveOneOut as LeaveOneOut,
)
from .loo import (
    leave_one_out as leave_one_out,
)
from .output_layer import (
    OutputLayer as OutputLayer,
)
from .output_layer import (
    fit_output_layer as fit_output_layer,
)
from .output_layer import (
    fit_rows as fit_rows,
)
from .output_layer import (
    one_row_a_class as one_row_a_class,
)
from .path import (
    PathResult as PathResult,
)
from .path import (
    cross_validate as cross_validate,
)
from .svm import (
    LinearSVM as LinearSVM,
)
from .svm import (
    LinearSVMPath as LinearSVMPath,
)
from .thresholds import (
    Thresholds as Thresholds,
)
from .thresholds import (
    apply_thresholds as apply_thresholds,
)
from .thresholds import (
    choose_thresholds as choose_thresholds,
)

__all__: list[str]
