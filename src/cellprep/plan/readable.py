"""A plan without the images that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..errors import BadImagesError
from ..system import executors
from ..system.executors import Span
from .digests import digest
from .plan import Plan
from .source import Source, images_of

_BLOCKS, _LEAST_ROWS = 64, 32

Measures = Mapping[str, Callable[[Images], NDArray[Any]]]
"""What to measure in images, by the name of the column: one row per image."""


def only_readable(plan: Plan, also: Measures | None = None) -> Plan:
    """The plan of a source without its unreadable images, which are listed in `bad`.

    Every image is decoded once. Its digest is kept, and what else is to be measured.
    """
    measures: Measures = {"digest": digest, **(also or {})}
    if plan.source.trusted:
        return plan
    good: list[Positions] = []
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in measures}
    causes: dict[str, str] = {}
    read, size = _Read(plan.source, measures), math.prod(plan.shape)
    # Decoding is slow, so blocks of few images let all workers finish at the same time.
    spans = plan.spans(most=max(len(plan) // _BLOCKS, _LEAST_ROWS))
    for at, values, bad in executors.run(read, spans, "reading", image_bytes=size):
        good.append(at)
        for name, column in values.items():
            columns[name].append(column)
        causes |= bad
    at = np.concatenate(good)
    if not len(at):
        raise BadImagesError(causes, "No image is left")
    unreadable = np.setdiff1d(np.arange(len(plan)), at)
    if len(unreadable):
        plan = plan.keep(at, {"unreadable": unreadable})
    for name, found in columns.items():
        plan = plan.with_column(name, np.concatenate(found))
    counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names))
    return replace(plan, bad=causes, source_counts=counts)


@dataclass(frozen=True)
class _Read:
    """What is measured in the images that can be read, and the causes why the others cannot."""

    source: Source
    measures: Measures

    @property
    def required_paths(self) -> tuple[Path, ...]:
        """Paths that a worker must see: in a missing folder all images would be bad."""
        return () if self.source.path is None else (self.source.path,)

    def __call__(
        self, span: Span
    ) -> tuple[Positions, Mapping[str, NDArray[Any]], Mapping[str, str]]:
        at = np.arange(*span)
        causes: Mapping[str, str] = {}
        try:
            images = images_of(self.source, at)
        except BadImagesError as error:
            causes = error.causes
            at = np.setdiff1d(at, error.places)
            if not len(at):
                return at, {}, causes
            images = images_of(self.source, at)
        return at, {name: measure(images) for name, measure in self.measures.items()}, causes
