"""What a written set was made from, apart from the images of its source."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import PIL
import xxhash

from .._version import __version__
from .draws import id_keys
from .plan import Plan


def made_of(plan: Plan, kind: str, rows_per_shard: int) -> dict[str, Any]:
    """Everything that the bytes depend on, but what the source holds.

    Another value of it is another data set.
    """
    rows = xxhash.xxh3_128()
    columns = [plan.rows.id_keys, plan.rows.copies, plan.rows.labels]
    if plan.rows.groups is not None:
        columns.append(id_keys(plan.rows.groups))
    for column in columns:
        rows.update(np.ascontiguousarray(column).data)
    parts = {
        "format": kind,
        "rows_per_shard": rows_per_shard,
        "steps": [dict(saved) for saved in plan.saved],
        "rows": rows.hexdigest(),
        "class_names": list(plan.class_names),
        "versions": {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__},
    }
    return dict(json.loads(json.dumps(parts)))  # as it will be read again
