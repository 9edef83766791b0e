"""Measuring a model on clean and shifted test sets, and saliency maps of its decisions."""

from .evaluate import evaluate
from .metrics import Scores, score
from .predict import predict
from .report import Report
from .saliency import overlay, saliency, share_inside
from .shift import SUITES, shift

__all__ = [
    "SUITES",
    "Report",
    "Scores",
    "evaluate",
    "overlay",
    "predict",
    "saliency",
    "score",
    "share_inside",
    "shift",
]
