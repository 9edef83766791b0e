"""How the pixels of rows come about: a chain of nodes from the source to the last step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, take
from .choice import Choice
from .draws import Draw
from .found import Found
from .source import Shape, Source, check_unchanged, images_of
from .table import Repeated, Table

Parameters = dict[str, NDArray[Any]]
"""By name, one value for each row that a step changes."""


class Column(NamedTuple):
    """A parameter in the record of all rows."""

    values: NDArray[Any]
    present: Masks
    """Which rows have one: a step may leave a row unchanged."""


Record = dict[str, Column]
"""What made each row: its parameters by `step.parameter`."""

MASKS = "masks"
"""The name of the masks in a record; parameters of steps have a dot in theirs."""


class PixelStep(Protocol):
    """What a plan needs of a step that changes pixels; `steps.step.Step` documents it."""

    finds_parameters: ClassVar[bool]
    finds_masks: ClassVar[bool]

    def out_shape(self, shape: Shape) -> Shape: ...
    def sample(self, draw: Draw) -> Parameters: ...
    def sample_from(self, draw: Draw, table: Parameters) -> Parameters: ...
    def find(self, images: Images, masks: Masks | None) -> Parameters: ...
    def masks(self, images: Images) -> Masks: ...
    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None: ...
    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks: ...
    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Origin:
    """Pixels as the source has them."""

    source: Source

    @property
    def shape(self) -> Shape:
        return self.source.shape

    @property
    def largest(self) -> int:
        """Bytes of the largest intermediate image: a crop begins with all of it."""
        return math.prod(self.shape)

    @property
    def has_masks(self) -> bool:
        """Whether masks came with the images, so that steps use these."""
        return self.source.has_masks

    @property
    def masked(self) -> bool:
        """Whether there are masks at all."""
        return self.source.has_masks

    def evaluate(
        self, at: Positions, out: Images | None = None, masks: bool = False
    ) -> tuple[Images, Record]:
        """Pixels of the rows at these positions, and the parameters that made them.

        A source's own images come read-only and uncopied; others may be computed into `out`. With
        `masks` the record contains them under `MASKS`.
        """
        images, every = images_of(self.source, at), np.ones(len(at), bool)
        corners = self.source.corners(at).items()
        record = {f"read.{name}": Column(values, every) for name, values in corners}
        if self.has_masks:
            record[MASKS] = Column(self.source.masks(at), every)
            check_unchanged(self.source)
        return images, record

    def distinct(self, at: Positions, masks: bool = False) -> tuple[Images, Positions, Record]:
        """As in `Taken`; all rows are distinct here."""
        images, record = self.evaluate(at, None, masks)
        return images, np.arange(len(at)), record

    def origin(self, at: Positions) -> Positions:
        """The positions in the source that these rows come from."""
        return at


@dataclass(frozen=True, eq=False)
class _Unchanged:
    """Images as they are in the node before."""

    before: Node

    @property
    def shape(self) -> Shape:
        return self.before.shape

    @property
    def largest(self) -> int:
        return self.before.largest

    @property
    def has_masks(self) -> bool:
        return self.before.has_masks

    @property
    def masked(self) -> bool:
        return self.before.masked


@dataclass(frozen=True, eq=False)
class Taken(_Unchanged):
    """Pixels of other rows: fewer, repeated, or both."""

    choice: Choice

    def evaluate(
        self, at: Positions, out: Images | None = None, masks: bool = False
    ) -> tuple[Images, Record]:
        rows = self.choice.rows(at)
        if (rows[1:] > rows[:-1]).all():
            return self.before.evaluate(rows, out, masks)
        images, index, record = self.distinct(at, masks)
        # "clip": no index is out of bounds, and NumPy writes straight into `out`
        return np.take(images, index, axis=0, out=out, mode="clip"), record

    def distinct(self, at: Positions, masks: bool = False) -> tuple[Images, Positions, Record]:
        """Each image that these rows are copies of, computed once, and the image of each row."""
        rows, index = np.unique(self.choice.rows(at), return_inverse=True)
        images, record = self.before.evaluate(rows, None, masks)
        return (
            images,
            index,
            {name: Column(*(part[index] for part in each)) for name, each in record.items()},
        )

    def origin(self, at: Positions) -> Positions:
        return self.before.origin(self.choice.rows(at))


@dataclass(frozen=True, eq=False)
class Mapped:
    """Pixels after a step, which changes all rows or some.

    Attributes
    ----------
    rows : Table
        The rows, whose keys the random numbers depend on.
    only_added : bool
        Whether the step changes only the copies that `rows`, a `Repeated`, added.
    known : Parameters, optional
        The parameters of all rows, where they were measured before.
    epoch : int
    found : Found, optional
        What the step finds in the images of all epochs, if these share it.
    table : Parameters, optional
        What was measured on other images, for a step that samples from it; rows sorted by id.
    """

    before: Node
    step: PixelStep
    name: str
    seed: int
    rows: Table
    only_added: bool = False
    known: Parameters | None = None
    epoch: int = 0
    found: Found | None = None
    table: Parameters | None = None

    @property
    def shape(self) -> Shape:
        return self.step.out_shape(self.before.shape)

    @property
    def largest(self) -> int:
        return max(self.before.largest, math.prod(self.shape))

    @property
    def has_masks(self) -> bool:
        return self.before.has_masks

    @property
    def masked(self) -> bool:
        return self.before.masked or self.step.finds_masks

    def evaluate(
        self, at: Positions, out: Images | None = None, masks: bool = False
    ) -> tuple[Images, Record]:
        same_shape = self.shape == self.before.shape
        if isinstance(self.before, Origin | Taken) and not (masks or self.has_masks):
            # copies of one image are computed from it, without being copied first
            images, index, record = self.before.distinct(at)
        else:
            images, record = self.before.evaluate(at, out if same_shape else None, masks)
            index = np.arange(len(at))
        touched = self.touched(at)
        rows = np.flatnonzero(touched)
        given = record[MASKS].values if MASKS in record else None
        parameters = self._parameters(at[rows], images, index[rows], rows, given)
        find = None
        if self.found is not None and self.step.finds_masks and not self.has_masks:
            find = partial(self.found.masks, at[rows], find=self.step.masks)
        made, carried = transform(
            self.step, images, index, rows, parameters, given, self.has_masks, masks, out, find
        )
        if carried is not None:
            record[MASKS] = Column(carried, np.ones(len(at), bool))
        return made, record | self._recorded(parameters, rows, touched)

    def touched(self, at: Positions) -> Masks:
        """(k,) whether the step changes the rows at these positions."""
        if not self.only_added:
            return np.ones(len(at), bool)
        assert isinstance(self.rows, Repeated)
        return self.rows.added(at)

    def _parameters(
        self,
        at: Positions,
        images: Images,
        index: Positions,
        rows: Positions,
        masks: Masks | None,
    ) -> Parameters:
        """Those of the changed rows: measured before, or sampled and found now."""
        if self.known is not None:
            return {name: values[at] for name, values in self.known.items()}
        parameters = self.sampled(at)
        if self.step.finds_parameters:
            given = masks[rows] if masks is not None and self.has_masks else None

            def find(some: Positions) -> Parameters:
                return self.step.find(
                    take(images, index[some]), None if given is None else given[some]
                )

            every = np.arange(len(at))
            parameters |= find(every) if self.found is None else self.found.of(at, find)
        return parameters

    def sampled(self, at: Positions) -> Parameters:
        """The random parameters of these rows."""
        draw = Draw(self.seed, self.name, self.rows.keys(at), self.epoch)
        if self.table is None:
            return self.step.sample(draw)
        return self.step.sample_from(draw, self.table)

    def _recorded(self, parameters: Parameters, rows: Positions, touched: Masks) -> Record:
        record = {}
        for parameter, values in parameters.items():
            spread = np.zeros(len(touched), values.dtype)
            spread[rows] = values
            record[f"{self.name}.{parameter}"] = Column(spread, touched)
        return record

    def origin(self, at: Positions) -> Positions:
        return self.before.origin(at)


def transform(
    step: PixelStep,
    images: Images,
    index: Positions,
    rows: Positions,
    parameters: Mapping[str, Any],
    masks: Masks | None,
    masks_given: bool,
    masks_wanted: bool,
    out: Images | None = None,
    find: Callable[[Images], Masks] | None = None,
) -> tuple[Images, Masks | None]:
    """Images and masks after a step that changes some of n rows.

    Parameters
    ----------
    step : PixelStep
    images : (k, height, width, 3) uint8
    index : (n,) int
        The image of each row.
    rows : (m,) int
        The rows that the step changes.
    parameters : mapping
        Of these rows.
    masks : (n, height, width) bool, optional
        Those of the rows so far.
    masks_given : bool
        Whether these came with the images: a step that finds masks then uses them.
    masks_wanted : bool
        Whether to return masks even if none were given.
    out : (n, height, width, 3) uint8, optional
        Memory for the result.
    find : callable, optional
        Finds the masks of all images that the step changes. Default: that of the step.
    """
    own_masks: dict[str, Any] = {}
    if step.finds_masks:
        given = masks[rows] if masks_given and masks is not None else None
        own_masks["masks"] = completed(given, take(images, index[rows]), find or step.masks)
        if masks_given or masks_wanted:
            if masks is None:
                masks = np.zeros((len(index), *images.shape[1:3]), bool)
            masks[rows] = own_masks["masks"]
    one_each = len(images) == len(index) and bool((index[1:] > index[:-1]).all())
    shape = step.out_shape(images.shape[1:])
    if one_each and images.flags.writeable and shape == images.shape[1:]:
        made = images
    else:
        made = np.empty((len(index), *shape), np.uint8) if out is None else out
        still = np.ones(len(index), bool)
        still[rows] = False
        if still.any():
            made[still] = take(images, index[still])
    step.apply_to(images, index[rows], made, rows, **parameters, **own_masks)
    return made, None if masks is None else step.move_masks(masks, rows, **parameters)


def completed(given: Masks | None, images: Images, find: Callable[[Images], Masks]) -> Masks:
    """The given masks, with what `find` finds where one is empty, which means unknown."""
    if given is None:
        return find(images) if len(images) else np.zeros(images.shape[:3], bool)
    missing = ~given.any(axis=(1, 2))
    if not missing.any():
        return given
    masks = given.copy()
    masks[missing] = find(images[missing])
    return masks


@dataclass(frozen=True, eq=False)
class Noted(_Unchanged):
    """Pixels as before, and what a step that changes none of them adds to the record.

    Attributes
    ----------
    columns : dict of str to Column
        By `step.parameter`, for all rows.
    """

    columns: Record

    def evaluate(
        self, at: Positions, out: Images | None = None, masks: bool = False
    ) -> tuple[Images, Record]:
        images, record = self.before.evaluate(at, out, masks)
        noted = {
            name: Column(column.values[at], column.present[at])
            for name, column in self.columns.items()
        }
        return images, record | noted

    def origin(self, at: Positions) -> Positions:
        return self.before.origin(at)


@dataclass(frozen=True, eq=False)
class Joined:
    """Pixels of two plans of one shape, one after the other."""

    first: Node
    second: Node
    n_first: int

    @property
    def shape(self) -> Shape:
        return self.first.shape

    @property
    def largest(self) -> int:
        return max(self.first.largest, self.second.largest)

    @property
    def has_masks(self) -> bool:
        return False

    @property
    def masked(self) -> bool:
        return False

    def evaluate(
        self, at: Positions, out: Images | None = None, masks: bool = False
    ) -> tuple[Images, Record]:
        images = np.empty((len(at), *self.shape), np.uint8)
        early = at < self.n_first
        if early.any():
            images[early] = self.first.evaluate(at[early])[0]
        if not early.all():
            images[~early] = self.second.evaluate(at[~early] - self.n_first)[0]
        return images, {}

    def origin(self, at: Positions) -> Positions:
        raise NotImplementedError("rows of two sources are only compared")


Node = Origin | Taken | Mapped | Noted | Joined
