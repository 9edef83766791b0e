"""The classifiers: building them, their saved files, and what the device supports."""

from .backbones import BACKBONES
from .build import backbone_layers, build
from .files import Card, load, load_card, save, versions

__all__ = [
    "BACKBONES",
    "Card",
    "backbone_layers",
    "build",
    "load",
    "load_card",
    "save",
    "versions",
]
