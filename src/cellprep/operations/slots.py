"""The operations that images go through, slot by slot: as records keep them, and run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Keys, Masks, Positions
from ..plan.nodes import Parameters
from .operation import NONE, PARAMETERS, Arguments, Operation


@dataclass(frozen=True)
class Slots:
    """Operations of m images and their parameters.

    Attributes
    ----------
    operations : (m, slots) str
        `NONE` leaves an image as it is.
    values : (m, slots, 3) float32
        The parameters a, b and c.
    seeds : (m, slots) uint64, optional
        The source of random numbers within an image.
    details : (m,) str, optional
        Of the one operation of an image, if any, that has `details`.
    """

    operations: NDArray[np.str_]
    values: NDArray[np.float32]
    seeds: Keys | None = None
    details: NDArray[np.str_] | None = None

    @classmethod
    def from_columns(cls, columns: Parameters, stems: Sequence[str]) -> Slots:
        """The slots recorded as `op_1` and, by these stems, `value_1`, `threshold_1` and so on.

        A recorded `seed` gives the seeds of all slots.
        """
        count = sum(name.startswith("op_") for name in columns)
        slots = range(1, count + 1)
        operations = np.stack([columns[f"op_{slot}"] for slot in slots], axis=1)
        values = np.zeros((*operations.shape, len(PARAMETERS)), np.float32)
        for parameter, stem in enumerate(stems):
            for slot in slots:
                values[:, slot - 1, parameter] = columns[f"{stem}_{slot}"]
        seeds = None
        if "seed" in columns:
            from ..kernels.corrupt.noise import numbers

            seeds = numbers(columns["seed"], count)
        return cls(operations, values, seeds, columns.get("details"))

    def with_details(self, table: Mapping[str, Operation]) -> Slots:
        """These slots with the details that their operations sample from their seeds."""
        assert self.seeds is not None
        details = np.full(len(self.operations), "", object)
        for name in self._names():
            sample = table[name].details
            if sample is not None:
                at, slot = np.nonzero(self.operations == name)
                details[at] = sample(self.seeds[at, slot], self.values[at, slot, 0])
        return replace(self, details=details.astype(np.str_))

    def run(
        self,
        table: Mapping[str, Operation],
        images: Images,
        rows: Positions,
        chain: Callable[..., None] | None = None,
        chained: Sequence[str] = (),
    ) -> None:
        """Change images (n, height, width, 3) at these rows (m,), in place.

        Calls `chain`, like `kernels.planar.chain.run`, for operations that are `chained`.
        """
        for name, at, slot in self._calls(table, chained):
            here = rows[at]
            if chain and name in chained:
                operations, values = self.operations[at, slot], self.values[at, slot]
                chain(images, here, images, here, operations[:, None], values[:, None])
            else:
                table[name](images, here, self._arguments(at, slot))

    def move_masks(self, table: Mapping[str, Operation], masks: Masks, rows: Positions) -> Masks:
        """Masks (n, height, width) moved as `run` moves their images, to the nearest pixel."""
        masks = masks.copy()
        for name, at, slot in self._calls(table):
            if table[name].moves:
                table[name](masks, rows[at], self._arguments(at, slot))
        return masks

    def _names(self) -> list[str]:
        """The operations that occur."""
        return [name for name in np.unique(self.operations).tolist() if name != NONE]

    def _calls(
        self, table: Mapping[str, Operation], chained: Sequence[str] = ()
    ) -> Iterator[tuple[str, Positions, Positions]]:
        """Each call: an operation, the images whose next operation it is, and their slots.

        A call costs as much as several images, so images wait for others: what most of them wait
        for is called next. Operations with `details` come last, as they call many others. Those
        that are `chained` are called together, by the name of the first.
        """
        called = {name: chained[0] if name in chained else name for name in self._names()}
        todo = [enumerate(names) for names in self.operations.tolist()]
        lowest = {name: -len(todo) if table[name].details else 0 for name in called.values()}
        waiting: dict[str, list[tuple[int, int]]] = {name: [] for name in lowest}
        rank: dict[str, int] = {}
        ready: Iterable[int] = range(len(todo))
        while True:
            for image in ready:
                for slot, name in todo[image]:
                    if name != NONE:
                        call = called[name]
                        waiting[call].append((image, slot))
                        rank[call] = rank.get(call, lowest[call]) + 1
                        break
            if not rank:
                return
            name = max(rank, key=rank.__getitem__)
            del rank[name]
            at, slots = np.array(waiting[name]).T
            waiting[name] = []
            yield name, at, slots
            ready = at.tolist()

    def _arguments(self, at: Positions, slot: Positions) -> Arguments:
        a, b, c = np.ascontiguousarray(self.values[at, slot].T)
        seeds = np.zeros(len(at), np.uint64) if self.seeds is None else self.seeds[at, slot]
        details = np.zeros(len(at), "U1") if self.details is None else self.details[at]
        return Arguments(a, b, c, seeds, details)
