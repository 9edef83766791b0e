"""Conversion to and from the data sets of other libraries, one file per library.

`exchange.py` has the methods; they import the file of a library when they are called.
"""

from __future__ import annotations

from ...errors import CellprepError
from ...plan.plan import Plan


def check_not_empty(plan: Plan) -> None:
    """Refuse a data set without images."""
    if not len(plan):
        raise CellprepError("no images are left; .removed() lists what each step removed")
