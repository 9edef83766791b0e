"""Train classifiers on cellprep's data sets, evaluate them on shifted images, map saliency."""

import os

# TensorFlow uses oneDNN by itself only on processors with AVX-512; on others it trains three times
# as fast with it. The variable has an effect only before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from .comparison.compare import compare
from .evaluation.evaluate import evaluate
from .evaluation.metrics import Scores, score
from .evaluation.predict import predict
from .evaluation.probabilities import Prediction
from .evaluation.report import Report
from .evaluation.saliency import overlay, saliency, share_inside
from .evaluation.shift import shift
from .models.build import build
from .models.export import to_onnx
from .models.files import Card, load, load_card
from .models.model_card import model_card
from .review.embed import embed
from .review.label_issues import find_label_issues
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
    "embed",
    "evaluate",
    "find_label_issues",
    "fit",
    "load",
    "load_card",
    "model_card",
    "overlay",
    "predict",
    "saliency",
    "score",
    "share_inside",
    "shift",
    "to_onnx",
]


def __dir__() -> list[str]:
    """The public names, which are what a notebook offers; modules are internal."""
    return [*__all__]
