"""Classifiers trained on what cellprep wrote, measured on shifted images, and looked into."""

from .backbones import build
from .compare import compare
from .evaluate import Report, evaluate, predict, shift
from .files import Card, load, load_card
from .metrics import Scores, score
from .saliency import overlay, saliency, share_inside
from .train import Fitted, Training, fit

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
