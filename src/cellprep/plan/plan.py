"""The plan: which rows there are, and how the pixels of each are computed, without computing any.

A `Plan` has four verbs. `measure` reads pixels once and adds a column; `keep` and `repeat` select
or repeat rows and never see a pixel; `map` adds a pixel step; `evaluate` computes a batch.
Everything depends on the row alone, so batches may have any order and size, and be computed
anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError
from ..system import executors
from ..system.executors import Span
from .digests import digest
from .nodes import MASKS, Joined, Mapped, Node, Origin, Parameters, PixelStep, Record, Taken
from .rows import Rows
from .source import Shape, Source

Result = TypeVar("Result")

_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class Change:
    """What one step did to the rows.

    Attributes
    ----------
    step : str
    rows_in, rows_out : int
    why : str
        In words, with counts.
    removed : dict of str to Rows
        The rows that went, by reason.
    """

    step: str
    rows_in: int
    rows_out: int
    why: str
    removed: Mapping[str, Rows] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows and the way to their pixels; every verb returns another plan.

    `source_counts` counts the readable images of each class that the source gave, `saved` is the
    form in which the steps so far are written down, `stages` are those of them that change pixels.
    """

    source: Source
    pixels: Node
    rows: Rows
    class_names: tuple[str, ...]
    source_counts: NDArray[np.int64]
    seed: int = 0
    step: str = "read"
    saved: tuple[Mapping[str, Any], ...] = ()
    multiplied_by: str | None = None
    changes: tuple[Change, ...] = ()
    stages: tuple[tuple[str, PixelStep], ...] = ()
    bad: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source) -> Plan:
        """All rows of a source, as they are."""
        past = source.history
        return cls(
            source,
            Origin(source),
            source.rows,
            source.class_names,
            np.bincount(source.rows.labels, minlength=len(source.class_names)),
            saved=past.steps,
            multiplied_by=past.multiplied_by,
        )

    @classmethod
    def joined(cls, first: Plan, second: Plan) -> Plan:
        """The rows of two plans, to be compared; classes go by their names."""
        names = tuple(dict.fromkeys((*first.class_names, *second.class_names)))
        renumber = np.array([names.index(name) for name in second.class_names], np.int64)
        rows = Rows.concatenate(first.rows, second.rows, renumber[second.rows.labels])
        pixels = Joined(first.pixels, second.pixels, len(first))
        return cls(first.source, pixels, rows, names, np.bincount(rows.labels))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_unprocessed(self) -> bool:
        """Whether pixels are the source's own, and neither read from files of theirs nor made."""
        return isinstance(self.pixels, Origin) and self.source.trusted

    @property
    def shape(self) -> Shape:
        """(height, width, 3) of every image that comes out."""
        return self.pixels.shape

    @property
    def touched(self) -> Masks:
        """(n,) whether the last step changed the pixels of a row."""
        if not isinstance(self.pixels, Mapped):
            return np.zeros(len(self), bool)
        touched = self.pixels.touched
        return np.ones(len(self), bool) if touched is None else touched

    # -- the verbs ---------------------------------------------------------------------------

    def begin(self, step: str, saved: Mapping[str, Any], seed: int) -> Plan:
        """Name the step that the next verbs belong to: the second Jitter is "jitter-2"."""
        before = sum(past["step"] == saved["step"] for past in self.saved)
        name = f"{step}-{before + 1}" if before else step
        return replace(self, step=name, seed=seed, saved=(*self.saved, {**saved, "seed": seed}))

    def measure(self, name: str, function: Callable[[Images], NDArray[Any]]) -> Plan:
        """Add a column of what `function` finds in the pixels; they are read once."""
        if name in self.rows.columns:
            return self
        values = [found for _, found in self.each(function, name)]
        if not values:
            values.append(function(np.empty((0, *self.shape), np.uint8)))
        return self._with_columns({**self.rows.columns, name: np.concatenate(values)})

    def with_column(self, name: str, values: NDArray[Any]) -> Plan:
        """With a column of the pixels that was measured elsewhere."""
        return self._with_columns({**self.rows.columns, name: values})

    def keep(self, at: Positions, why: Mapping[str, Positions] | None = None) -> Plan:
        """The rows at these places, none twice; `why` names the reasons for those that go."""
        reasons = {reason: places for reason, places in (why or {}).items() if len(places)}
        said = ", ".join(f"{len(places):,} {reason}" for reason, places in reasons.items())
        removed = {reason: self.rows.take(places) for reason, places in reasons.items()}
        kept = replace(self, pixels=Taken(self.pixels, at), rows=self.rows.take(at))
        return kept.note(len(self), said or "nothing to remove", removed)

    def repeat(
        self, counts: NDArray[np.int64], radix: int, why: str, *, first: int = 0
    ) -> tuple[Plan, Masks]:
        """Each row `counts` times, and which of the rows are added copies (see `Rows.repeat`)."""
        rows, at = self.rows.repeat(counts, radix, first)
        added = rows.copies != self.rows.copies[at] * radix
        gone = np.flatnonzero(counts == 0)
        removed = {"above the target": self.rows.take(gone)} if len(gone) else {}
        plan = replace(
            self,
            pixels=Taken(self.pixels, at),
            rows=rows,
            multiplied_by=self.multiplied_by or self.step,
        )
        return plan.note(len(self), why, removed), added

    def map(
        self,
        step: PixelStep,
        *,
        only: Masks | None = None,
        part: str = "",
        known: Parameters | None = None,
    ) -> Plan:
        """Send the pixels through a step; `only` names the rows that it touches.

        `known` are the parameters of all rows, where they were measured before.
        """
        step.out_shape(self.shape)
        name = f"{self.step}.{part}" if part else self.step
        node = Mapped(self.pixels, step, name, self.seed, self.rows.keys, only, known)
        plan = replace(self, pixels=node, stages=(*self.stages, (name, step)))
        return plan._with_columns({})  # the pixels are others now

    def evaluate(self, at: Positions, out: Images | None = None) -> tuple[Images, Record]:
        """Node of the rows at these places, and the parameters that made them.

        Images that are a source's own come read-only and uncopied; others may lie in `out`, memory
        of their shape that is free to use.
        """
        images, record = self.pixels.evaluate(at, out)
        record.pop(MASKS, None)
        return images, record

    def evaluate_masked(
        self, at: Positions, out: Images | None = None
    ) -> tuple[Images, Record, Masks]:
        """The same, and the masks: those that came with the images, or what a step found last."""
        if not self.pixels.masked:
            raise CellprepError(
                "there are no masks: read drawn ones, as in read(..., masks=), or add a KMeansMask"
            )
        images, record = self.pixels.evaluate(at, out, masks=True)
        return images, record, record.pop(MASKS).values

    def images(self) -> Images:
        """All images, in one array."""
        images = np.empty((len(self), *self.shape), np.uint8)
        shared = images if executors.share_memory() else None
        for (start, stop), made in self.each(_as_they_are, out=shared):
            if shared is None:
                images[start:stop] = made
        return images

    def each(
        self,
        function: Callable[[Images], Result],
        stage: str = "",
        out: Images | None = None,
    ) -> Iterator[tuple[Span, Result]]:
        """`function` of the images of every span, in order; at the end all bad images are named.

        With `out` the images stand there too.
        """
        causes: dict[str, str] = {}
        spans = self.spans()
        calling, size = _Calling(self.pixels, function, out), math.prod(self.shape)
        calls = executors.run(calling, spans, stage, image_bytes=size)
        for span, (result, bad) in zip(spans, calls, strict=True):
            causes |= bad
            if not bad:
                yield span, cast(Result, result)
        if causes:
            raise BadImagesError(causes, "Mend them, or leave them out with .readable()")

    # -- around them -------------------------------------------------------------------------

    def note(self, rows_in: int, why: str, removed: Mapping[str, Rows] | None = None) -> Plan:
        """Note what the step did to the rows."""
        change = Change(self.step, rows_in, len(self), why, removed or {})
        return replace(self, changes=(*self.changes, change))

    def spans(self, n: int | None = None) -> list[Span]:
        """All rows, or the first n, in runs that stay in cache: at most 256 rows."""
        size = min(max(_BLOCK_BYTES // self.pixels.largest, 1), 256)
        return executors.cut(len(self) if n is None else n, size)

    def origin(self, at: Positions) -> Positions:
        """The places in the source that the rows at these places came from."""
        return self.pixels.origin(at)

    def readable(self) -> Plan:
        """This plan over the images that can be read; the others are named in `bad`."""
        assert isinstance(self.pixels, Origin)
        if self.source.trusted:
            return self
        good, digests = [], []
        causes: dict[str, str] = {}
        looking, size = _Looking(self.source), math.prod(self.shape)
        for at, values, bad in executors.run(looking, self.spans(), "reading", image_bytes=size):
            good.append(at)
            digests.append(values)
            causes |= bad
        at = np.concatenate(good)
        if not len(at):
            raise BadImagesError(causes, "No image is left")
        plan = self
        gone = np.setdiff1d(np.arange(len(self)), at)
        if len(gone):
            plan = plan.keep(at, {"unreadable": gone})
        plan = plan._with_columns({"digest": np.concatenate(digests)})
        counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names))
        return replace(plan, bad=causes, source_counts=counts)

    def refuse_if_multiplied(self, what: str) -> None:
        """Promise 7: no leaks."""
        by = self.multiplied_by
        if by is None and self.rows.copies.any():
            by = "an earlier step"
        if by:
            raise CellprepError(
                f"{what} after {by} would put copies of one image into two parts; "
                "split first, then balance and augment the training part"
            )

    def _with_columns(self, columns: Mapping[str, NDArray[Any]]) -> Plan:
        return replace(self, rows=replace(self.rows, columns=columns))


@dataclass(frozen=True)
class _Calling(Generic[Result]):
    """A function of the images of a span; or what is wrong with them."""

    pixels: Node
    function: Callable[[Images], Result]
    out: Images | None

    def __call__(self, span: Span) -> tuple[Result | None, Mapping[str, str]]:
        out = None if self.out is None else self.out[slice(*span)]
        try:
            images, _ = self.pixels.evaluate(np.arange(*span), out)
        except BadImagesError as error:
            return None, error.causes
        if out is not None and images is not out:
            out[:] = images
        return self.function(images), {}


def _as_they_are(images: Images) -> Images:
    return images


@dataclass(frozen=True)
class _Looking:
    """Digests of the images that can be read, and why the others cannot."""

    source: Source

    @property
    def reaches(self) -> tuple[Path, ...]:
        """What a worker must see: a folder that is not there would be one of bad images."""
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
