"""Train classifiers on cellprep's data sets, evaluate them on shifted images, map saliency."""

from .comparison import compare
from .evaluation import (
    Report,
    Scores,
    evaluate,
    overlay,
    predict,
    saliency,
    score,
    share_inside,
    shift,
)
from .models import Card, build, load, load_card
from .training import Fitted, Training, fit

__all__ = [
    "Card",
    "Fitted",
    "Report",
    "Scores",
    "Training",
    "build",
    "compare",
    "evaluate",
    "fit",
    "load",
    "load_card",
    "overlay",
    "predict",
    "saliency",
    "score",
    "share_inside",
    "shift",
]
