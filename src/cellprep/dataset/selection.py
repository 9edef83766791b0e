"""Choosing and relabelling rows of a data set, such as those that a report names."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images, Masks, check_class_names, one_form
from ..errors import CellprepError, nearest
from ..plan.plan import Plan
from ..plan.rows import Rows
from .views import positions

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd

Selected = SupportsIndex | slice | ArrayLike


@dataclass(frozen=True)
class Row:
    """One image and what is known of it; a notebook shows the picture.

    Attributes
    ----------
    id : int or str
    copy : int
        0 for the source image itself.
    label : int
    class_name : str
    group : int, str or None
    image : (height, width, 3) uint8
    """

    id: Any
    copy: int
    label: int
    class_name: str
    group: Any
    image: Images

    def __repr__(self) -> str:
        height, width, _ = self.image.shape
        group = "" if self.group is None else f", group {self.group!r}"
        copy = f", copy {self.copy}" if self.copy else ""
        return f"Row({self.id!r}{copy}, '{self.class_name}'{group}, {height}x{width})"

    def _repr_png_(self) -> bytes:
        from PIL import Image

        encoded = io.BytesIO()
        Image.fromarray(self.image).save(encoded, "PNG")
        return encoded.getvalue()


class Selection(ABC):
    """The methods of a `Dataset` that choose or relabel its rows."""

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    @abstractmethod
    def then(self, move: Callable[[Plan], Plan]) -> Self: ...

    def __len__(self) -> int:
        return len(self.plan)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, at: slice | ArrayLike) -> Self: ...
    def __getitem__(self, at: Selected) -> Any:
        """One row with its picture, or the data set of several.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), list("abab"))
        >>> cells[1], len(cells[:3])
        (Row(1, 'b', 8x8), 3)
        """
        index = positions(at, len(self))
        if index.ndim:
            return self.take(index)
        rows, row = self.plan.rows, int(index)
        return Row(
            rows.ids[row].item(),
            int(rows.copies[row]),
            int(rows.labels[row]),
            self.plan.class_names[rows.labels[row]],
            None if rows.groups is None else rows.groups[row].item(),
            self.plan.evaluate(index[None])[0][0],
        )

    def take(self, rows: slice | ArrayLike) -> Self:
        """The data set of some rows, in this order.

        Parameters
        ----------
        rows : slice, (k,) int or (n,) bool
            Each row at most once.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), list("abab"))
        >>> cells.take([3, 0]).ids.tolist(), cells.take(cells.labels == 0).ids.tolist()
        ([3, 0], [0, 2])
        """
        return self.then(
            _Take(rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows)))
        )

    def without(self, ids: Any) -> Self:
        """The data set without the images of these ids, and without their copies.

        Parameters
        ----------
        ids : one id, several, or a DataFrame with a column `id`
            Such as a part of the table of `find_duplicates`.

        Raises
        ------
        CellprepError
            For an id that the data set does not have.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), list("abab"))
        >>> cells.without([0, 3]).ids.tolist()
        [1, 2]
        """
        return self.then(_Without(_texts(ids)))

    def where(
        self, condition: Callable[[pd.DataFrame], ArrayLike] | None = None, **equal: Any
    ) -> Self:
        """The data set of the rows for which something is true.

        Parameters
        ----------
        condition : callable, optional
            Gets `table()` and returns a bool for each row.
        **equal
            Columns of `table()` and the value, or a list of the values, that they must have.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), list("abcb"))
        >>> cells.where(class_name=["a", "b"]).ids.tolist()
        [0, 1, 3]
        >>> cells.where(lambda table: table["id"] > 1).ids.tolist()
        [2, 3]
        """
        return self.then(_Where(condition, equal))

    def relabel(self, labels: Any = None, *, classes: Mapping[str, str] | None = None) -> Self:
        """The same images with other labels.

        Parameters
        ----------
        labels : mapping of ids to class names, or DataFrame with `id` and `class_name`, optional
            The new class of single images, and of their copies.
        classes : mapping of class names, optional
            New names of whole classes; classes that get the same name become one.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), list("abcb"))
        >>> cells.relabel({0: "b"}).counts()
        {'a': 0, 'b': 3, 'c': 1}
        >>> cells.relabel(classes={"a": "blast", "c": "blast"}).counts()
        {'blast': 2, 'b': 2}
        """
        if hasattr(labels, "columns"):
            missing = [name for name in ("id", "class_name") if name not in labels]
            if missing:
                raise CellprepError(
                    f"`labels` has no column {missing[0]!r}; it needs id and class_name, got "
                    f"{', '.join(map(str, labels.columns))}"
                )
            labels = dict(zip(labels["id"], labels["class_name"], strict=True))
        of_ids = {one_form(str(id)): one_form(str(name)) for id, name in (labels or {}).items()}
        return self.then(Relabel(of_ids, dict(classes or {})))


def _texts(ids: Any) -> frozenset[str]:
    """Ids as text, which is how ids of a table or page are compared with those of a data set."""
    if hasattr(ids, "columns"):
        if "id" not in ids:
            raise CellprepError(
                f"`ids` has no column 'id', only {', '.join(map(str, ids.columns))}"
            )
        ids = ids["id"]
    several = isinstance(ids, Iterable) and not isinstance(ids, str | bytes)
    return frozenset(one_form(str(id)) for id in (ids if several else [ids]))


def _matches(rows: Rows, ids: Iterable[str]) -> Masks:
    """(n,) whether the id of a row is one of these."""
    wanted = {*ids}
    return np.array([one_form(str(id)) in wanted for id in rows.ids.tolist()], bool)


def check_known(plan: Plan, ids: Iterable[str]) -> None:
    """Refuse ids that no image of the source has; an unreadable or removed one is no mistake."""
    known = {one_form(str(id)) for id in plan.source.rows.ids.tolist()}
    unknown = sorted({*ids} - known)
    if unknown:
        raise CellprepError(
            f"no image has the id {unknown[0]!r}"
            + f" ({len(unknown):,} ids are unknown)" * (len(unknown) > 1)
            + f"; {nearest(unknown[0], sorted(known)[:5000]).partition('Allowed')[0]}"
            f"ids look like {next(iter(plan.source.rows.ids.tolist()))!r}"
        )


@dataclass(frozen=True, eq=False)
class _Take:
    at: slice | NDArray[Any]

    def __call__(self, plan: Plan) -> Plan:
        at = positions(self.at, len(plan))
        if len(np.unique(at)) < len(at):
            raise CellprepError("`rows` names a row twice; Balance and RandAugment add copies")
        return replace(plan, step="take").keep(
            at, {"not selected": np.setdiff1d(np.arange(len(plan)), at)}
        )

    def __str__(self) -> str:
        return "take(...)"


@dataclass(frozen=True, eq=False)
class _Without:
    ids: frozenset[str]

    def __call__(self, plan: Plan) -> Plan:
        check_known(plan, self.ids)
        gone = _matches(plan.rows, self.ids)
        return replace(plan, step="without").keep(
            np.flatnonzero(~gone), {"left out by id": np.flatnonzero(gone)}
        )

    def __str__(self) -> str:
        return f"without({len(self.ids):,} ids)"


@dataclass(frozen=True, eq=False)
class _Where:
    condition: Callable[[pd.DataFrame], ArrayLike] | None
    equal: Mapping[str, Any]

    def __call__(self, plan: Plan) -> Plan:
        from .tables import table_of

        table = table_of(plan)
        chosen = np.ones(len(plan), bool)
        for name, value in self.equal.items():
            if name not in table:
                raise CellprepError(
                    f"there is no column {name!r}; {nearest(name, map(str, table.columns))}"
                )
            several = isinstance(value, Iterable) and not isinstance(value, str)
            chosen &= table[name].isin(list(value) if several else [value]).to_numpy()
        if self.condition is not None:
            found = np.asarray(self.condition(table))
            if found.shape != chosen.shape or found.dtype != bool:
                raise CellprepError(
                    f"`condition` must return one bool for each of {len(plan):,} rows, got shape "
                    f"{found.shape}, dtype {found.dtype}"
                )
            chosen &= found
        return replace(plan, step="where").keep(
            np.flatnonzero(chosen), {"not selected": np.flatnonzero(~chosen)}
        )

    def __str__(self) -> str:
        names = ", ".join(f"{name}={value!r}" for name, value in self.equal.items())
        return f"where({names or '...'})"


@dataclass(frozen=True, eq=False)
class Relabel:
    of_ids: Mapping[str, str]
    classes: Mapping[str, str]

    def class_names(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the classes after the change."""
        for name in self.classes:
            if one_form(name) not in before:
                raise CellprepError(f"there is no class {name!r}; {nearest(name, before)}")
        new = {one_form(name): one_form(str(other)) for name, other in self.classes.items()}
        names = check_class_names([*dict.fromkeys(new.get(name, name) for name in before)])
        for name in self.of_ids.values():
            if name not in names:
                raise CellprepError(f"there is no class {name!r}; {nearest(name, names)}")
        return names

    def __call__(self, plan: Plan) -> Plan:
        names = self.class_names(plan.class_names)
        check_known(plan, self.of_ids)
        new = {one_form(name): one_form(str(other)) for name, other in self.classes.items()}
        number = np.array([names.index(new.get(name, name)) for name in plan.class_names], np.int64)
        labels = number[plan.rows.labels]
        if self.of_ids:
            ids = plan.rows.ids.tolist()
            for row, id in enumerate(ids):
                if (name := self.of_ids.get(one_form(str(id)))) is not None:
                    labels[row] = names.index(name)
        changed = int((labels != number[plan.rows.labels]).sum())
        counts = np.bincount(number, weights=plan.source_counts, minlength=len(names))
        made = replace(
            plan,
            step="relabel",
            class_names=names,
            source_counts=counts.astype(np.int64),
        )
        return made.with_values(labels=labels).note(len(plan), f"{changed:,} relabelled by id", {})

    def __str__(self) -> str:
        return f"relabel({len(self.of_ids) + len(self.classes):,})"


SELECTIONS = (_Take, _Without, _Where, Relabel)
"""Changes that need no pixel."""
