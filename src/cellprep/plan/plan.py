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
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Labels, Masks, Positions
from ..errors import BadImagesError, CellprepError
from ..system import executors
from ..system.executors import Span
from .choice import Picked, kept
from .epochs import fixed_rows, in_epoch, sharing
from .nodes import (
    MASKS,
    Column,
    Joined,
    Mapped,
    Node,
    Noted,
    Origin,
    Parameters,
    PixelStep,
    Record,
    Taken,
)
from .rows import Rows
from .source import Shape, Source
from .table import Changed, Chosen, Stored, Table, repeated

Result = TypeVar("Result")

_BLOCK_BYTES, _BLOCK_ROWS = 16 << 20, 512


@dataclass(frozen=True, eq=False)
class Change:
    """What one step did to the rows.

    Attributes
    ----------
    step : str
    rows_in, rows_out : int
    why : str
        In words, with counts.
    removed : dict of str to Table
        The removed rows by reason.
    """

    step: str
    rows_in: int
    rows_out: int
    why: str
    removed: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows, and how their pixels are computed; every verb returns another plan.

    Attributes
    ----------
    source : Source
    pixels : Node
        The last node of the chain that computes the pixels.
    table : Table
        The rows.
    class_names : tuple of str
    source_counts : (classes,) int64
        Readable images per class in the source.
    seed : int
        Of the current step.
    step : str
        The current step's name in records.
    saved : tuple of dict
        The saved forms of the steps so far.
    multiplied_by : str or None
        The first step that repeated rows.
    changes : tuple of Change
    stages : tuple of (str, PixelStep)
        The steps that change pixels, by their names in records.
    bad : dict of str to str
        File and cause of every unreadable image.
    epoch : int
        Of the random numbers that change pixels.
    """

    source: Source
    pixels: Node
    table: Table
    class_names: tuple[str, ...]
    source_counts: NDArray[np.int64]
    seed: int = 0
    step: str = "read"
    saved: tuple[Mapping[str, Any], ...] = ()
    multiplied_by: str | None = None
    changes: tuple[Change, ...] = ()
    stages: tuple[tuple[str, PixelStep], ...] = ()
    bad: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0

    @classmethod
    def of(cls, source: Source) -> Plan:
        """All rows of a source, unchanged."""
        history, table = source.history, source.table
        return cls(
            source,
            Origin(source),
            table,
            source.class_names,
            table.counts(len(source.class_names)),
            saved=history.steps,
            multiplied_by=history.multiplied_by,
        )

    @classmethod
    def joined(cls, first: Plan, second: Plan) -> Plan:
        """The rows of two plans, for a comparison; classes are matched by name."""
        names = tuple(dict.fromkeys((*first.class_names, *second.class_names)))
        renumber = np.array([names.index(name) for name in second.class_names], np.int64)
        rows = Rows.concatenate(first.rows, second.rows, renumber[second.rows.labels])
        pixels = Joined(first.pixels, second.pixels, len(first))
        return cls(first.source, pixels, Stored(rows), names, np.bincount(rows.labels))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def rows(self) -> Rows:
        """All rows in memory; of many millions, `table` computes those that are needed."""
        return self.table.rows

    @property
    def is_unprocessed(self) -> bool:
        """Whether pixels are the source's own arrays: neither decoded from files nor computed."""
        return isinstance(self.pixels, Origin) and self.source.trusted

    @property
    def shape(self) -> Shape:
        """(height, width, 3) of every image."""
        return self.pixels.shape

    @property
    def touched(self) -> Masks:
        """(n,) whether the last step changed the pixels of a row."""
        if not isinstance(self.pixels, Mapped):
            return np.zeros(len(self), bool)
        return self.pixels.touched(np.arange(len(self)))

    @cached_property
    def varies(self) -> bool:
        """Whether any image differs from epoch to epoch."""
        return not fixed_rows(self.pixels).all()

    @cached_property
    def _all_epochs(self) -> Node:
        return sharing(self.pixels)

    # -- the verbs ---------------------------------------------------------------------------

    def begin(self, step: str, saved: Mapping[str, Any], seed: int) -> Plan:
        """Name the step that the next verbs belong to: the second Jitter is "jitter-2"."""
        before = sum(earlier["step"] == saved["step"] for earlier in self.saved)
        name = f"{step}-{before + 1}" if before else step
        return replace(self, step=name, seed=seed, saved=(*self.saved, {**saved, "seed": seed}))

    def measure(self, name: str, function: Callable[[Images], NDArray[Any]]) -> Plan:
        """Add a column of what `function` computes from the pixels, which are read once."""
        if name in self.rows.columns:
            return self
        values = [found for _, found in self.each(function, name)]
        if not values:
            values.append(function(np.empty((0, *self.shape), np.uint8)))
        return self._with_columns({**self.rows.columns, name: np.concatenate(values)})

    def with_column(self, name: str, values: NDArray[Any]) -> Plan:
        """Add a column that was measured elsewhere."""
        return self._with_columns({**self.rows.columns, name: values})

    def keep(
        self, at: Positions | Masks, why: Mapping[str, Positions] | None = None, *, also: str = ""
    ) -> Plan:
        """The rows at these positions, all different, or those that are marked.

        `why` has the others by reason; `also` is noted after the counts of those.
        """
        reasons = {reason: gone for reason, gone in (why or {}).items() if len(gone)}
        words = [f"{len(gone):,} {reason}" for reason, gone in reasons.items()]
        counts = ", ".join([*words, also] if also else words)
        removed = {reason: Chosen(self.table, Picked(gone)) for reason, gone in reasons.items()}
        choice = kept(at, len(self))
        plan = replace(self, pixels=Taken(self.pixels, choice), table=Chosen(self.table, choice))
        return plan.note(len(self), counts or "nothing to remove", removed)

    def repeat(self, counts: NDArray[Any] | int, radix: int, why: str, *, first: int = 0) -> Plan:
        """Each row `counts` times; the copies are numbered as in `Repeated`."""
        table = repeated(self.table, counts, radix, first)
        gone = np.flatnonzero(np.asarray(counts) == 0)
        removed = {"above the target": Chosen(self.table, Picked(gone))} if len(gone) else {}
        plan = replace(
            self,
            pixels=Taken(self.pixels, table.choice),
            table=table,
            multiplied_by=self.multiplied_by or self.step,
        )
        return plan.note(len(self), why, removed)

    def map(
        self,
        step: PixelStep,
        *,
        only_added: bool = False,
        part: str = "",
        known: Parameters | None = None,
        table: Parameters | None = None,
    ) -> Plan:
        """Send the pixels through a step: all, or those of the copies that `repeat` just added.

        `known` are the parameters of all rows, if they were measured before; `table` is what the
        step samples from with `sample_from`, one row per image that was measured, sorted by id.
        """
        step.out_shape(self.shape)
        name = f"{self.step}.{part}" if part else self.step
        node = Mapped(
            *(self.pixels, step, name, self.seed, self.table),
            only_added=only_added,
            known=known,
            table=table,
        )
        plan = replace(self, pixels=node, stages=(*self.stages, (name, step)))
        return plan._with_columns({})  # they described other pixels

    def at_epoch(self, epoch: int) -> Plan:
        """The same rows, with the pixels of another epoch: a few new nodes, whatever the rows.

        What steps find in images that do not vary is found once for all epochs. No step may be
        added to the result, since it would have the numbers of epoch 0.
        """
        before = len(self.source.history.steps)
        recorded = {"epoch": epoch} if epoch else {}
        saved = (
            {**{name: value for name, value in step.items() if name != "epoch"}, **recorded}
            for step in self.saved[before:]
        )
        plan = replace(
            self,
            pixels=in_epoch(self._all_epochs, epoch),
            saved=(*self.saved[:before], *saved),
            epoch=epoch,
        )
        return plan._with_columns({}) if self.varies else plan  # they described other pixels

    def evaluate(self, at: Positions, out: Images | None = None) -> tuple[Images, Record]:
        """Pixels of the rows at these positions, and the parameters that made them.

        A source's own images come read-only and uncopied; others may be computed into `out`, if
        memory of their shape is given.
        """
        images, record = self.pixels.evaluate(at, out)
        record.pop(MASKS, None)
        return images, record

    def image_at(self, row: int) -> Images:
        """Pixels of one row, (height, width, 3); a source's own image comes read-only."""
        if self.is_unprocessed:
            return self.source.image_at(row)
        return cast(Images, self.evaluate(np.array([row]))[0][0])

    def evaluate_masked(
        self, at: Positions, out: Images | None = None
    ) -> tuple[Images, Record, Masks]:
        """The same with masks: those that came with the images, or that the last step found."""
        if not self.pixels.masked:
            raise CellprepError(
                "there are no masks: read some, as in read(..., masks=), or add a KMeansMask"
            )
        images, record = self.pixels.evaluate(at, out, masks=True)
        return images, record, record.pop(MASKS).values

    def images(self) -> Images:
        """All images in one array."""
        images = np.empty((len(self), *self.shape), np.uint8)
        shared = images if executors.share_memory() else None
        for (start, stop), made in self.each(_unchanged, out=shared):
            if shared is None:
                images[start:stop] = made
        return images

    def each(
        self,
        function: Callable[[Images], Result],
        stage: str = "",
        out: Images | None = None,
    ) -> Iterator[tuple[Span, Result]]:
        """`function` of the images of every span, in order; bad images are reported at the end.

        With `out`, the images are written there too.
        """
        causes: dict[str, str] = {}
        spans = self.spans()
        call, size = _Call(self.pixels, function, out), math.prod(self.shape)
        calls = executors.run(call, spans, stage, image_bytes=size)
        for span, (result, bad) in zip(spans, calls, strict=True):
            causes |= bad
            if not bad:
                yield span, cast(Result, result)
        if causes:
            raise BadImagesError(causes, "Fix them, or omit them with .readable()")

    # -- helpers of the verbs ----------------------------------------------------------------

    def decide(self, decided: Masks, labels: Labels, known: Parameters) -> Plan:
        """Mark the rows that a person has decided on, with the labels of all rows after that.

        `known` has parameters of all rows, recorded for the decided ones. No pixel changes.
        """
        before = self.rows.decided
        decided_now = decided if before is None else before | decided
        columns = {f"{self.step}.{name}": Column(each, decided) for name, each in known.items()}
        plan = self.with_values(labels=labels, decided=decided_now)
        return replace(plan, pixels=Noted(self.pixels, columns))

    def with_values(self, **values: Any) -> Plan:
        """The same pixels, with other values in some columns of the rows (see `Changed`)."""
        return replace(self, table=Changed(self.table, values))

    def note(self, rows_in: int, why: str, removed: Mapping[str, Table] | None = None) -> Plan:
        """Note what the step did to the rows."""
        change = Change(self.step, rows_in, len(self), why, removed or {})
        return replace(self, changes=(*self.changes, change))

    def spans(self, n: int | None = None, most: int = _BLOCK_ROWS) -> list[Span]:
        """All rows, or the first n, in blocks: enough rows for each of many operations."""
        size = min(max(_BLOCK_BYTES // self.pixels.largest, 1), most, _BLOCK_ROWS)
        return executors.cut(len(self) if n is None else n, size)

    def origin(self, at: Positions) -> Positions:
        """The positions in the source that these rows come from."""
        return self.pixels.origin(at)

    def _with_columns(self, columns: Mapping[str, NDArray[Any]]) -> Plan:
        if not (columns or self.table.take(slice(0)).columns):
            return self
        return self.with_values(columns=columns)


@dataclass(frozen=True)
class _Call(Generic[Result]):
    """A function of the images of a span, or the causes why they cannot be read."""

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


def _unchanged(images: Images) -> Images:
    return images
