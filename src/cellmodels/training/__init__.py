"""Training a model: its settings, phases and epochs, checkpoints, and a forecast."""

from .checkpoint import CHECKPOINT
from .fit import Fitted, fit
from .forecast import Forecast, forecast
from .settings import Training

__all__ = ["CHECKPOINT", "Fitted", "Forecast", "Training", "fit", "forecast"]
