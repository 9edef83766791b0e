"""What a data set reports as pandas tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ..plan.plan import Plan
from ..plan.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["id", "copy", "label", "class_name"]


class Tables(ABC):
    """The methods of a `Dataset` that return a table."""

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    def table(self) -> pd.DataFrame:
        """One row per image: id, copy, label, class_name; group and part if there are any."""
        return table_of(self.plan)

    def changes(self) -> pd.DataFrame:
        """What each step did: `step`, `rows_in`, `rows_out`, `why`."""
        import pandas as pd

        return pd.DataFrame(
            [(c.step, c.rows_in, c.rows_out, c.why) for c in self.plan.changes],
            columns=["step", "rows_in", "rows_out", "why"],
        )

    def removed(self) -> pd.DataFrame:
        """One row per image that a step removed: step, reason, id, copy, label, class_name."""
        import pandas as pd

        tables = []
        for change in self.plan.changes:
            for reason, removed in change.removed.items():
                table = _table(removed.rows, self.plan.class_names)
                table.insert(0, "step", change.step)
                table.insert(1, "reason", reason)
                tables.append(table)
        if not tables:
            return pd.DataFrame(columns=["step", "reason", *_COLUMNS])
        return pd.concat(tables, ignore_index=True)


def table_of(plan: Plan) -> pd.DataFrame:
    """See `Dataset.table`."""
    rows = plan.rows
    table = _table(rows, plan.class_names)
    if rows.groups is not None:
        table["group"] = rows.groups
    if rows.parts is not None:
        table["part"] = rows.parts
    return table


def _table(rows: Rows, class_names: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    names = np.array(class_names, dtype=object)
    columns = (rows.ids, rows.copies, rows.labels, names[rows.labels])
    return pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
