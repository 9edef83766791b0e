"""A person's decisions on single images, applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from ..dataset.decisions import Decision, checked, decisions_on, load_decisions
from ..errors import CellprepError
from ..plan.plan import Plan
from .step import Step


@dataclass(frozen=True)
class Decide(Step):
    """Keep, drop or relabel the images that a person decided on, such as in a report.

    A decision is about one image, as it was: if its pixels have another digest, it is refused. It
    holds for all copies of the image, and for all steps that follow: `Dedupe` removes no image that
    somebody decided to keep, and `find_duplicates` and `find_lookalikes` do not list a group once
    all its images have been decided on.

    Parameters
    ----------
    decisions : path, or list of dict
        A CSV file with the columns id, decision ("keep", "drop" or "relabel"), label (the new
        class, of "relabel" only), reason, digest and name, of which id, decision and digest are
        needed. It is read at once; a recipe saved afterwards contains the decisions as tables.

    Examples
    --------
    >>> blank = "0" * 32  # a digest; reports save those of the images
    >>> step = Decide([{"id": "a.png", "decision": "drop", "digest": blank}])
    >>> step.decisions[0]["decision"]
    'drop'
    """

    decisions: tuple[Mapping[str, str], ...] | str | Path = field(
        metadata={"example": "decisions.csv"}
    )

    def __post_init__(self) -> None:
        given = self.decisions
        try:
            if isinstance(given, str | Path):
                object.__setattr__(self, "decisions", load_decisions(given))
            elif isinstance(given, list | tuple):
                object.__setattr__(self, "decisions", checked(given))
        except CellprepError as error:
            raise CellprepError(f"`decisions`: {error}") from None
        super().__post_init__()

    @property
    def _made(self) -> tuple[Decision, ...]:
        return cast(tuple[Decision, ...], self.decisions)

    def short(self) -> str:
        return f"Decide({len(self._made):,} decisions)"

    def extend(self, plan: Plan) -> Plan:
        decisions = self._made
        which = decisions_on(plan, decisions)
        texts = {
            name: np.array([*(one.get(name, "") for one in decisions), ""])[which]
            for name in ("decision", "label", "reason", "name")
        }
        decision, label = texts["decision"], texts.pop("label")
        names = np.array(plan.class_names)
        labels = plan.rows.labels.copy()
        for number, name in enumerate(plan.class_names):
            labels[(decision == "relabel") & (label == name)] = number
        known = {**texts, "label_before": names[plan.rows.labels]}
        plan = plan.decide(which >= 0, labels, known)
        dropped = decision == "drop"
        others = {"kept": decision == "keep", "relabelled": decision == "relabel"}
        return plan.keep(
            np.flatnonzero(~dropped),
            {"dropped by decision": np.flatnonzero(dropped)},
            also=", ".join(
                f"{rows.sum():,} {words}" for words, rows in others.items() if rows.any()
            ),
        )
