"""A plan without the images that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..errors import BadImagesError
from ..system import executors
from ..system.executors import Span
from .digests import digest
from .plan import Plan
from .source import Source


def only_readable(plan: Plan) -> Plan:
    """The plan of a source without its unreadable images, which are listed in `bad`.

    Every image is decoded once, and its digest kept.
    """
    if plan.source.trusted:
        return plan
    good, digests = [], []
    causes: dict[str, str] = {}
    read, size = _Read(plan.source), math.prod(plan.shape)
    for at, values, bad in executors.run(read, plan.spans(), "reading", image_bytes=size):
        good.append(at)
        digests.append(values)
        causes |= bad
    at = np.concatenate(good)
    if not len(at):
        raise BadImagesError(causes, "No image is left")
    unreadable = np.setdiff1d(np.arange(len(plan)), at)
    if len(unreadable):
        plan = plan.keep(at, {"unreadable": unreadable})
    plan = plan.with_column("digest", np.concatenate(digests))
    counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names))
    return replace(plan, bad=causes, source_counts=counts)


@dataclass(frozen=True)
class _Read:
    """Digests of the images that can be read, and the causes why the others cannot."""

    source: Source

    @property
    def required_paths(self) -> tuple[Path, ...]:
        """Paths that a worker must see: in a missing folder all images would be bad."""
        return () if self.source.path is None else (self.source.path,)

    def __call__(self, span: Span) -> tuple[Positions, NDArray[np.uint64], Mapping[str, str]]:
        at = np.arange(*span)
        causes: Mapping[str, str] = {}
        try:
            images = self.source.images(at)
        except BadImagesError as error:
            causes = error.causes
            at = np.setdiff1d(at, error.places)
            images = self.source.images(at) if len(at) else np.empty((0, 1, 1, 3), np.uint8)
        return at, digest(images), causes
