"""How models predict, and the probabilities that several models and views give together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset
from cellprep.errors import in_range, known_settings, one_of

from ..models.outputs import batch_outputs
from ..models.temperature import soften
from .adapt_norm import adapted_norm
from .adapted import adapted
from .neighbors import MOST, share, with_features
from .views import VIEWS, views

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """How `predict` and `evaluate` predict.

    Parameters
    ----------
    tta : "none", "flips" or "dihedral"
        Test-time augmentation: probabilities are means over 4 flips of each image, or over all 8
        flips and quarter turns, which needs square images.
    adapt : bool
        Zoom each test set so that its median cell is as large as that of the training images, by
        `cellprep.Adapt` with the profile in the card of each model. Meant for sets of another
        laboratory; at least 20 images are needed.
    adapt_color : "none", "channels" or "background"
        Change the colours of each test set to those of the training images, as `color` of
        `cellprep.Adapt` does. Not for models that were trained on masked images.
    adapt_norm : float
        In [0, 1]. Above 0, batch normalisation uses statistics that are blended with those of the
        images, at this weight [1]_. Meant for sets of another laboratory: 0.1 is careful, 0.3 to
        0.5 better if their mix of classes resembles that of the training images. Statistics come
        from a sample of at most 256 images, and at least 32 are needed. Each test set and each
        model is adapted separately; the models are left unchanged.
    neighbors : float
        In [0, 0.95]. Above 0, each image's probabilities are mixed with those of the images of the
        same set that are most like it to the model, at this weight [2]_. Meant for sets of another
        laboratory, together with `adapt_norm`; 0.8 is a good weight there. A class of very few
        images may be lost to the class that it resembles, and any class if too many predictions
        are wrong to begin with. At least 32 images are needed.
    temperature : bool
        Divide scores by the temperature that `fit` saved in the card of a model, if there is one.
        Predictions stay the same; probabilities become as high as predictions are reliable, as far
        as the images resemble those of the validation set.
    batch_size : int

    References
    ----------
    .. [1] S. Schneider et al. Improving robustness against common corruptions by covariate shift
       adaptation. NeurIPS 2020.
    .. [2] D. Zhou et al. Learning with local and global consistency. NeurIPS 2004.

    Examples
    --------
    >>> Prediction(tta="flips").temperature
    True
    """

    tta: str = "none"
    adapt: bool = False
    adapt_color: str = "none"
    adapt_norm: float = 0.0
    neighbors: float = 0.0
    temperature: bool = True
    batch_size: int = 64

    def __post_init__(self) -> None:
        one_of("tta", self.tta, VIEWS)
        one_of("adapt_color", self.adapt_color, ("none", "channels", "background"))
        in_range("adapt_norm", self.adapt_norm, 0, 1)
        in_range("neighbors", self.neighbors, 0, MOST)
        in_range("batch_size", self.batch_size, 1, 2**20, whole=True)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Prediction:
        """The settings of a dict; an unknown name is refused, with the nearest known one."""
        known_settings("prediction", settings, [setting.name for setting in fields(cls)])
        return cls(**settings)

    def temperatures(self, models: Sequence[Any]) -> list[float | None]:
        """The temperature of each model; None where none is applied."""
        cards = [getattr(model, "card", None) for model in models]
        return [card.temperature if card and self.temperature else None for card in cards]


def probabilities(
    models: Sequence[Any],
    dataset: Dataset,
    how: Prediction,
    name: str,
    columns: Sequence[int] | None = None,
    progress: bool = False,
) -> tuple[Probabilities, Probabilities | None]:
    """(n, classes) probabilities in row order, and those without temperatures if there are any.

    Both are means over models and views, then shared among neighbors if `how` says so. With
    `columns` all other classes are excluded, and the rest sums to 1. Every image is read once; if
    they are adapted, once for each model.
    """
    from tqdm import tqdm

    temperatures = how.temperatures(models)
    sets = [adapted(model, dataset, how.adapt, how.adapt_color) for model in models]
    size = min(how.batch_size, len(dataset))
    softened: list[Probabilities] = []
    raw: list[Probabilities] = []
    features: list[list[Any]] = [[] for _ in models]
    n_classes = models[0].output_shape[-1]
    networks = [with_features(model) if how.neighbors else model for model in models]
    with ExitStack() as stack:
        if how.adapt_norm:
            for model, each in zip(models, sets, strict=True):
                stack.enter_context(adapted_norm(model, each, how.adapt_norm, name))
        hidden = None if progress else True  # None: no bar if the output is not a terminal
        starts = range(0, len(dataset), size)
        for start in tqdm(starts, desc=name, disable=hidden, unit="batch"):
            read = {id(each): each.images[start : start + size] for each in sets}
            given = [
                np.stack([batch_outputs(network, view, size) for view in views(images, how.tta)])
                for network, images in zip(networks, (read[id(each)] for each in sets), strict=True)
            ]
            for found, outputs in zip(features, given, strict=True):
                found.append(outputs[..., :-n_classes].mean(axis=0))
            given = [outputs[..., -n_classes:] for outputs in given]
            allowed = [p if columns is None else soften(p[..., columns]) for p in given]
            raw.append(np.mean(allowed, axis=(0, 1), dtype=np.float64))
            pairs = zip(allowed, temperatures, strict=True)
            chosen = [p if t is None else soften(p, t) for p, t in pairs]
            softened.append(np.mean(chosen, axis=(0, 1), dtype=np.float64))
    results = [np.concatenate(each) for each in (softened, raw)]
    if how.neighbors:
        together = [np.concatenate(each) for each in features]
        results = [share(each, together, how.neighbors) for each in results]
    return results[0], results[1] if any(temperatures) else None
