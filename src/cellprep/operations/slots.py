"""The operations that images go through, slot by slot: as records keep them, and run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        for name in set(self.operations.ravel().tolist()) - {NONE}:
            sample = table[name].details
            if sample is not None:
                at, slot = np.nonzero(self.operations == name)
                details[at] = sample(self.seeds[at, slot], self.values[at, slot, 0])
        return replace(self, details=details.astype(np.str_))

    def run(self, table: Mapping[str, Operation], images: Images, rows: Positions) -> None:
        """Change images (n, height, width, 3) at these rows (m,), in place."""
        for name, at, slot in self._calls():
            table[name](images, rows[at], self._arguments(at, slot))

    def move_masks(self, table: Mapping[str, Operation], masks: Masks, rows: Positions) -> Masks:
        """Masks (n, height, width) moved as `run` moves their images, to the nearest pixel."""
        masks = masks.copy()
        for name, at, slot in self._calls():
            if table[name].moves:
                table[name](masks, rows[at], self._arguments(at, slot))
        return masks

    def _calls(self) -> Iterator[tuple[str, Positions, Positions]]:
        """Each call: an operation, the images that it is next for, and their slots.

        Images wait for each other, so that there are few calls: the operation that is next for most
        images is called.
        """
        names, numbers = np.unique(self.operations, return_inverse=True)
        m, slots = self.operations.shape
        todo = np.full((m, slots + 1), len(names))  # the last one is no operation
        todo[:, :slots] = numbers.reshape(m, slots)
        slot, image = np.zeros(m, np.int64), np.arange(m)
        while True:
            following = todo[image, slot]
            images_of = np.bincount(following, minlength=len(names) + 1)[:-1]
            if not images_of.any():
                return
            most = images_of.argmax()
            at = np.flatnonzero(following == most)
            if names[most] != NONE:
                yield str(names[most]), at, slot[at]
            slot[at] += 1

    def _arguments(self, at: Positions, slot: Positions) -> Arguments:
        a, b, c = np.ascontiguousarray(self.values[at, slot].T)
        seeds = np.zeros(len(at), np.uint64) if self.seeds is None else self.seeds[at, slot]
        details = np.zeros(len(at), "U1") if self.details is None else self.details[at]
        return Arguments(a, b, c, seeds, details)
