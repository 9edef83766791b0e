"""The fingerprint is saved as `made_of`, read back unchanged, and names the first difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cellprep.plan.fingerprint import Fingerprint

OLD = Path(__file__).parents[1] / "golden" / "v0.1"
SAVED = [json.loads(file.read_text())["made_of"] for file in sorted(OLD.glob("*/dataset.json"))]
HERE = Fingerprint(
    *("shards", 5, [{"step": "Jitter", "seed": 1, "zoom": 0.1}], "ab", ["a", "b"]),
    *({"cellprep": "1", "numpy": "2"}, False, "array"),
)


@pytest.mark.parametrize("saved", SAVED)
def test_a_fingerprint_of_version_0_1_is_read_and_saved_unchanged(saved) -> None:
    assert Fingerprint.from_dict(saved).to_dict() == saved
    assert Fingerprint.from_dict(json.loads(json.dumps(saved))) == Fingerprint.from_dict(saved)


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"format": "npz"}, "format npz there, shards here"),
        ({"rows_per_shard": 4}, "rows_per_shard 4 there, 5 here"),
        ({"rows": "cd"}, "has other rows"),
        ({"source": "array 2"}, "made from other images"),
        ({"masks": True}, "masks True there, None here"),
        ({"versions": {"cellprep": "1", "numpy": "3"}}, "numpy 3 there, 2 here"),
        ({"versions": {"cellprep": "1", "numpy": "2", "zarr": "3"}}, "zarr 3 there, None here"),
        ({"versions": 7}, "versions 7 there, {'cellprep': '1', 'numpy': '2'} here"),
        ({"steps": [{"step": "Jitter", "seed": 1}]}, "step 1, Jitter: zoom None there, 0.1 here"),
        ({"steps": []}, "steps none there, Jitter here"),
        ({"steps": [3]}, "steps ? there, Jitter here"),
        ({"unknown": {"later": 1}}, "later 1 there, None here"),
    ],
    ids=str,
)
def test_the_first_difference_is_named(changed, difference) -> None:
    there = replace(HERE, **changed)
    assert there != HERE
    assert Fingerprint.from_dict(there.to_dict()) == there
    assert there.difference(HERE) == difference
