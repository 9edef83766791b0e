"""Data sets as models take them: opened, checked against a model and against each other."""

from .checks import PREPARATION, check_classes, check_disjoint, check_fits, check_preparation
from .inputs import Data, as_dataset, readable, recipe_of

__all__ = [
    "PREPARATION",
    "Data",
    "as_dataset",
    "check_classes",
    "check_disjoint",
    "check_fits",
    "check_preparation",
    "readable",
    "recipe_of",
]
