"""Data sets of other libraries, one file each: ours as theirs, and theirs as a source of ours.

Only the methods of `Dataset` import these files, when they are called.
"""

from __future__ import annotations

from ...errors import CellprepError
from ...plan.plan import Plan


def check_not_empty(plan: Plan) -> None:
    """Refuse what no model can be trained on."""
    if not len(plan):
        raise CellprepError(
            "no image is left to hand on; look at .removed() for what each step removed"
        )
