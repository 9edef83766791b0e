"""Train classifiers on cellprep's data sets, evaluate them on shifted images, map saliency."""

from .comparison.compare import compare
from .evaluation.evaluate import evaluate
from .evaluation.metrics import Scores, score
from .evaluation.predict import predict
from .evaluation.probabilities import Prediction
from .evaluation.report import Report
from .evaluation.saliency import overlay, saliency, share_inside
from .evaluation.shift import shift
from .models.build import build
from .models.files import Card, load, load_card
from .training.fit import Fitted, fit
from .training.settings import Training

__all__ = [
    "Card",
    "Fitted",
    "Prediction",
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
