"""Several sources, one after the other, as one: all splits of an input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError
from .rows import Rows
from .source import (
    NO_HISTORY,
    BaseSource,
    History,
    Shape,
    Size,
    Source,
    Unread,
    check_unchanged,
    images_of,
)


@dataclass(frozen=True, eq=False)
class JoinedSource(BaseSource):
    """The images of all splits of an input; each row knows its split."""

    path: Path
    parts: Mapping[str, Source]

    @property
    def history(self) -> History:
        """Of several sets, only what all of them state about themselves."""
        first, *others = (source.history.about for source in self.parts.values())
        shared = {n: text for n, text in first.items() if all(o.get(n) == text for o in others)}
        return replace(NO_HISTORY, about=shared)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all splits."""
        return tuple(dict.fromkeys(n for source in self.parts.values() for n in source.class_names))

    @cached_property
    def rows(self) -> Rows:
        """Ids that are not unique get the name of their split in front."""
        each = [source.rows for source in self.parts.values()]
        parts = np.repeat([*self.parts], [len(rows) for rows in each])
        ids = [rows.ids for rows in each]
        if len(np.unique(_joined(ids))) < sum(len(np.unique(array)) for array in ids):
            named = zip(parts.tolist(), (name for array in ids for name in array), strict=True)
            ids = [np.array([f"{part}/{name}" for part, name in named])]
        labels = []
        for source in self.parts.values():
            number = np.array([self.class_names.index(name) for name in source.class_names])
            labels.append(number[source.rows.labels])
        grouped = all(rows.groups is not None for rows in each)
        decided = [np.zeros(len(r), bool) if r.decided is None else r.decided for r in each]
        return Rows.of(
            _joined(ids),
            np.concatenate(labels),
            np.concatenate([rows.copies for rows in each]),
            _joined([rows.groups for rows in each]) if grouped else None,
            parts,
            None if all(rows.decided is None for rows in each) else np.concatenate(decided),
        )

    @cached_property
    def shape(self) -> Shape:
        shapes = {name: source.shape for name, source in self.parts.items()}
        if len({*shapes.values()}) > 1:
            sizes = ", ".join(f"{name} {h}x{w}" for name, (h, w, _) in shapes.items())
            raise CellprepError(
                f"the splits of {str(self.path)!r} have images of different sizes ({sizes}); pass "
                "size= (--size), or read one with part= (--part)"
            )
        return next(iter(shapes.values()))

    @property
    def trusted(self) -> bool:
        return all(source.trusted for source in self.parts.values())

    @property
    def has_masks(self) -> bool:
        return all(source.has_masks for source in self.parts.values())

    def identity(self) -> str:
        return " + ".join(f"{name} {source.identity()}" for name, source in self.parts.items())

    def row_name(self, row: int) -> str:
        number = int(self._starts.searchsorted(row, side="right")) - 1
        return self._sources[number].row_name(row - int(self._starts[number]))

    def image_sizes(self) -> list[Size | None]:
        return [size for source in self.parts.values() for size in source.image_sizes()]

    def resizes(self) -> bool:
        return all(source.resizes() for source in self.parts.values())

    def holds_files(self) -> bool:
        return all(source.holds_files() for source in self.parts.values())

    def middle(self, side: int) -> JoinedSource | None:
        found = {name: source.middle(side) for name, source in self.parts.items()}
        parts = {name: source for name, source in found.items() if source is not None}
        return replace(self, parts=parts) if len(parts) == len(found) else None

    def corners(self, at: Positions) -> dict[str, NDArray[np.int32]]:
        out: dict[str, NDArray[np.int32]] = {}
        for source, start, here in self._divided(at):
            for name, values in source.corners(at[here] - start).items():
                out.setdefault(name, np.zeros(len(at), np.int32))[here] = values
        return out

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        causes: dict[str, str] = {}
        places: list[int] = []
        for source, start, here in self._divided(at):
            try:
                out[here] = images_of(source, at[here] - start)
            except BadImagesError as error:
                causes |= error.causes
                places += [start + place for place in error.places]
        if causes:
            raise BadImagesError(causes, places=places)
        return out

    def masks(self, at: Positions) -> Masks:
        out = np.empty((len(at), *self.shape[:2]), bool)
        for source, start, here in self._divided(at):
            out[here] = source.masks(at[here] - start)
            check_unchanged(source)
        return out

    @cached_property
    def _sources(self) -> list[Source]:
        return [*self.parts.values()]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(source.rows) for source in self._sources)])[:-1]

    def _divided(self, at: Positions) -> Iterator[tuple[Source, int, Masks]]:
        """Each source, its first row, and which of the positions are in it."""
        number = self._starts.searchsorted(at, side="right") - 1
        for found in np.unique(number).tolist():
            yield self._sources[found], int(self._starts[found]), number == found


def joined(path: Path, parts: Mapping[str, Source], unread: Unread = ()) -> JoinedSource:
    """The splits of an input as one source; refused if one was augmented."""
    for name, source in parts.items():
        if source.history.stages or source.history.multiplied_by:
            raise CellprepError(
                f"split {name!r} of {str(path)!r} was processed before it was written, so splits "
                "cannot be read together; read one with part= (--part)"
            )
    left = dict(unread)
    for source in parts.values():
        left |= dict(source.unread)
    return JoinedSource(path, parts, unread=tuple(left.items()))


def _joined(arrays: list[Any]) -> NDArray[Any]:
    """One array; of text, if one of these is."""
    kinds = {array.dtype.kind for array in arrays}
    return np.concatenate([a.astype(str) for a in arrays] if len(kinds) > 1 else arrays)
