"""From a messy labelled image set to a training set that makes a classifier generalise."""

from ._version import __version__ as __version__
from .dataset.dataset import Dataset
from .dataset.profile import profile
from .dataset.read import read
from .duplicates.index import DuplicateIndex
from .duplicates.lookalikes import find_lookalikes
from .duplicates.search import find_duplicates, find_leaks
from .errors import BadImagesError, CellprepError
from .plan.profile import Profile
from .report import report
from .steps import (
    Adapt,
    Balance,
    Corrupt,
    Crop,
    Decide,
    Dedupe,
    Jitter,
    KMeansMask,
    MatchColors,
    RandAugment,
    StainJitter,
    Step,
    class_weights,
)
from .steps.crops import crops
from .steps.functions import balance, corrupt, decide, dedupe, rand_augment
from .steps.image_functions import (
    adapt,
    crop,
    jitter,
    kmeans_mask,
    match_colors,
    stain_jitter,
)
from .steps.recipe import Recipe
from .steps.segment import segment
from .steps.split import split
from .writing.replay import replay
from .writing.verify import verify
from .writing.write import Written, write

__all__ = [
    "Adapt",
    "BadImagesError",
    "Balance",
    "CellprepError",
    "Corrupt",
    "Crop",
    "Dataset",
    "Decide",
    "Dedupe",
    "DuplicateIndex",
    "Jitter",
    "KMeansMask",
    "MatchColors",
    "Profile",
    "RandAugment",
    "Recipe",
    "StainJitter",
    "Step",
    "Written",
    "adapt",
    "balance",
    "class_weights",
    "corrupt",
    "crop",
    "crops",
    "decide",
    "dedupe",
    "find_duplicates",
    "find_leaks",
    "find_lookalikes",
    "jitter",
    "kmeans_mask",
    "match_colors",
    "profile",
    "rand_augment",
    "read",
    "replay",
    "report",
    "segment",
    "split",
    "stain_jitter",
    "verify",
    "write",
]


def __dir__() -> list[str]:
    """The public names, which are what a notebook offers; modules are internal."""
    return [*__all__, "__version__"]
