"""A shifted test set, or corrupted copies for training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, one_of
from ..operations import Slots
from ..operations.engines import copy_rows
from ..operations.operation import PARAMETERS
from ..operations.suites import SUITES, TABLE
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from ..plan.plan import Plan
from .copies import with_copies
from .settings import Range
from .step import Step

_SLOTS = 4
_UNTOUCHED = 0.05


@dataclass(frozen=True)
class Corrupt(Step):
    """Every image corrupted at random, as if from another laboratory.

    For tests, each image becomes one corrupted version of itself; ids, labels and the number of
    rows stay the same. For training, `copies` adds corrupted versions instead: test the model on
    another suite. ``"microscopy"`` applies one of the eleven corruptions of MedMNIST-C for blood
    cells [1]_ at one of five severities. ``"heavy"`` mimics a competition's hidden test: one image
    in twenty is unchanged, the others get two to four different strong changes in random order, out
    of twenty-one.

    The record has up to four operations per image (`op_1` to `op_4`), their parameters (`a_1`,
    `b_1`, `c_1`, ...), the seed of what varies within the image, such as noise or the positions of
    bubbles, and in `details` what AugMix sampled. docs/corruptions.md explains the parameters and
    shows pictures.

    Parameters
    ----------
    suite : "microscopy" or "heavy"
    severity : int, optional
        1 to 5, for "microscopy" only. Default: sampled uniformly per image. With the same seed, an
        image has the same corruption, angle and positions at every severity.
    corruption : str, optional
        The only corruption (or change of "heavy") to apply. Default: sampled uniformly per image.
    copies : int, optional
        Corrupted copies per image, for training. Default: each image is replaced, for tests.
    keep_originals : bool
        With `copies`: whether to keep the original images, each before its copies.

    References
    ----------
    .. [1] F. Di Salvo, S. Doerrich, C. Ledig. MedMNIST-C: comprehensive benchmark and improved
       classifier robustness by simulating realistic image corruptions. 2024. arXiv:2406.17536.

    Examples
    --------
    >>> Corrupt(severity=3, corruption="defocus_blur")
    Corrupt(suite='microscopy', severity=3, corruption='defocus_blur', copies=None,
    keep_originals=True)
    >>> Corrupt("heavy", corruption="cutuot")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: `corruption` got 'cutuot'; did you mean 'cutout'? Allowed: ...
    """

    suite: Literal["microscopy", "heavy"] = "microscopy"
    severity: Annotated[int, Range(1, 5)] | None = None
    corruption: str | None = None
    # sets of version 0.1 record neither of these
    copies: Annotated[int, Range(1, 10_000)] | None = field(
        default=None, metadata={"omit_default": True}
    )
    keep_originals: bool = field(default=True, metadata={"omit_default": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.severity is not None and self.suite == "heavy":
            raise CellprepError(
                f"`severity` is for suite 'microscopy', got {self.severity!r} with 'heavy', "
                "which samples every strength from its range; omit it"
            )
        if self.corruption is not None:
            one_of("corruption", self.corruption, SUITES[self.suite].names)
        if not self.keep_originals and self.copies is None:
            raise CellprepError(
                "`keep_originals` got False without `copies`, which replaces each image anyway; "
                "omit it, or set copies= to the number of corrupted versions of each image"
            )

    def extend(self, plan: Plan) -> Plan:
        if self.copies is None:
            return super().extend(plan)
        return with_copies(
            plan, self, self.copies, self.keep_originals, f"copies {self._corrupted}"
        )

    def summary(self) -> str:
        return f"every image {self._corrupted}"

    @property
    def _corrupted(self) -> str:
        what = self.corruption or f"the {self.suite} suite"
        severity = f" at severity {self.severity}" if self.severity else ""
        return f"corrupted by {what}{severity}"

    def sample(self, draw: Draw) -> Parameters:
        sampled: Parameters = {}
        if self.suite == "heavy":
            rows = self._heavy(draw)
        else:
            rows, sampled = self._microscopy(draw)
        sampled |= self._parameters(draw, rows)
        sampled["seed"] = draw.bits("seed")
        if any(TABLE[name].details for name in self._operations()):
            sampled["details"] = _slots(sampled).details  # type: ignore[assignment]
        return sampled

    def _operations(self) -> list[str]:
        """The operations that may be sampled."""
        suite = SUITES[self.suite]
        rows = slice(-1) if self.corruption is None else suite.rows_of(self.corruption)
        return list(suite.operations[rows].tolist())

    def _microscopy(self, draw: Draw) -> tuple[NDArray[np.int64], Parameters]:
        """Rows (1, n) of the suite's table, and columns to record."""
        suite, n = SUITES["microscopy"], len(draw.rows)
        if self.corruption is None:
            choice = draw.integers("corruption", len(suite.names))
        else:
            choice = np.full(n, suite.names.index(self.corruption))
        severity = draw.integers("severity", 5) + 1
        if self.severity is not None:
            severity[:] = self.severity
        recorded = {"corruption": np.array(suite.names)[choice], "severity": severity}
        return (suite.first[choice] + severity - 1)[None], recorded

    def _heavy(self, draw: Draw) -> NDArray[np.int64]:
        """Rows (slots, n) of the suite's table."""
        suite, n = SUITES["heavy"], len(draw.rows)
        if self.corruption is not None:
            rows = suite.rows_of(self.corruption)
            return rows[_choose(draw, np.full((1, n), len(rows)))]
        order = draw.bits([f"order_{k}" for k in range(len(suite.first))]).argsort(axis=0)
        changes = order[:_SLOTS]
        used = draw.integers("count", _SLOTS - 1) + 2
        used[draw.uniform("untouched", 0, 1) < _UNTOUCHED] = 0
        rows = suite.first[changes] + _choose(draw, suite.count[changes])
        rows[np.arange(_SLOTS)[:, None] >= used] = suite.nothing
        return rows

    def _parameters(self, draw: Draw, rows: NDArray[np.int64]) -> Parameters:
        """One column per operation and parameter, from rows (slots, n) of the suite's table."""
        suite, slots = SUITES[self.suite], range(1, len(rows) + 1)
        operations = suite.operations[rows]
        columns: Parameters = {f"op_{slot}": operations[slot - 1] for slot in slots}
        for k, stem in enumerate(PARAMETERS):
            low, high = suite.low[rows, k], suite.high[rows, k]
            values = draw.uniform([f"{stem}_{slot}" for slot in slots], low, high)
            if stem == "a":
                whole = suite.whole[rows]
                values[whole] = np.minimum(np.floor(values), high - 1)[whole]
            columns |= {f"{stem}_{slot}": values[slot - 1] for slot in slots}
        return columns

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        copy_rows(images, at, out, to)
        _slots(parameters).run(TABLE, out, to)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks:
        return _slots(parameters).move_masks(TABLE, masks, rows)


def _choose(draw: Draw, stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers (slots, n), uniform in 0 to stop - 1."""
    unit = draw.uniform([f"way_{slot + 1}" for slot in range(len(stop))], 0, 1)
    return np.minimum((unit * stop).astype(np.int64), stop - 1)


def _slots(recorded: Parameters) -> Slots:
    """The recorded operations; version 0.1 recorded no details, which are resampled from seeds."""
    slots = Slots.from_columns(recorded, PARAMETERS)
    return slots if slots.details is not None else slots.with_details(TABLE)
