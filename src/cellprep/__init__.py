"""From a messy labelled image set to a training set that makes a classifier generalise."""

from .dataset import Dataset
from .duplicate_index import DuplicateIndex
from .duplicates import find_duplicates, find_leaks
from .errors import BadImagesError, CellprepError
from .formats import read
from .functions import (
    balance,
    corrupt,
    crop,
    crops,
    dedupe,
    jitter,
    kmeans_mask,
    rand_augment,
    segment,
)
from .recipe import Recipe
from .replay import replay
from .report import report
from .split import split
from .steps import (
    Balance,
    Corrupt,
    Crop,
    Dedupe,
    Jitter,
    KMeansMask,
    RandAugment,
    Step,
    class_weights,
)
from .verify import verify
from .write import Written, write

__version__ = "0.1.0"

__all__ = [
    "BadImagesError",
    "Balance",
    "CellprepError",
    "Corrupt",
    "Crop",
    "Dataset",
    "Dedupe",
    "DuplicateIndex",
    "Jitter",
    "KMeansMask",
    "RandAugment",
    "Recipe",
    "Step",
    "Written",
    "balance",
    "class_weights",
    "corrupt",
    "crop",
    "crops",
    "dedupe",
    "find_duplicates",
    "find_leaks",
    "jitter",
    "kmeans_mask",
    "rand_augment",
    "read",
    "replay",
    "report",
    "segment",
    "split",
    "verify",
    "write",
]
