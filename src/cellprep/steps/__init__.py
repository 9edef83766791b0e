"""The steps of a recipe: one frozen dataclass per file."""

import importlib
import pkgutil

from .adapt import Adapt
from .balance import Balance
from .class_weights import class_weights
from .corrupt import Corrupt
from .crop import Crop
from .decide import Decide
from .dedupe import Dedupe
from .jitter import Jitter
from .kmeans_mask import KMeansMask
from .match_colors import MatchColors
from .rand_augment import RandAugment
from .settings import OneOf, Range
from .stain_jitter import StainJitter
from .step import STEPS, Step

__all__ = [
    "STEPS",
    "Adapt",
    "Balance",
    "Corrupt",
    "Crop",
    "Decide",
    "Dedupe",
    "Jitter",
    "KMeansMask",
    "MatchColors",
    "OneOf",
    "RandAugment",
    "Range",
    "StainJitter",
    "Step",
    "class_weights",
]

# Every file of this folder may define a step, which registers itself.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
