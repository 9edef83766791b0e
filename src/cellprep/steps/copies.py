"""Changed copies of every image: what RandAugment and Corrupt do to the rows."""

from __future__ import annotations

from ..plan.plan import Plan
from .step import Step


def with_copies(plan: Plan, step: Step, copies: int, keep_originals: bool, what: str) -> Plan:
    """The plan with copies of each image that the step changes, after the original if it is kept.

    Copies are numbered from 1 even without originals, so that they are the same copies.
    """
    first = 0 if keep_originals else 1
    why = f"{copies} {what} {'beside' if keep_originals else 'instead of'} each image"
    repeated = plan.repeat(copies + 1 - first, copies + 1, why, first=first)
    return repeated.map(step, only_added=True)
