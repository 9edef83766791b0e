"""Classifiers trained on what cellprep wrote, measured on shifted images, and looked into."""

from .backbones import build
from .files import Card, load, load_card
from .train import Fitted, Training, fit

__all__ = [
    "Card",
    "Fitted",
    "Training",
    "build",
    "fit",
    "load",
    "load_card",
]
