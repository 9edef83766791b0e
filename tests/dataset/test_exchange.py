"""What all conversions to and from other libraries have in common."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cellprep.errors import CellprepError

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto" / "other-tools.md"


@pytest.mark.parametrize("name", ["to_tf", "to_torch", "to_hf"])
def test_an_empty_data_set_is_refused(nothing, name):
    needs = {"to_tf": "tensorflow", "to_torch": "torch", "to_hf": "datasets"}
    pytest.importorskip(needs[name])
    with pytest.raises(CellprepError, match=r"no images are left; \.removed"):
        getattr(nothing, name)()


@pytest.mark.parametrize(
    ("settings", "message"), [({"batch": 0}, "`batch`"), ({"seed": -1}, "`seed`")]
)
def test_settings_of_to_tf_are_checked(grouped, settings, message):
    pytest.importorskip("tensorflow")
    with pytest.raises(CellprepError, match=message):
        grouped.to_tf(**settings)


@pytest.mark.parametrize(
    ("method", "library", "package"),
    [
        ("to_tf", "tensorflow", "cellprep[models]"),
        ("from_tf", "tensorflow", "cellprep[models]"),
        ("to_torch", "torch", "torch"),
        ("from_torch", "torch", "torch"),
        ("to_hf", "datasets", "cellprep[hf]"),
        ("from_hf", "datasets", "cellprep[hf]"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(grouped, monkeypatch, method, library, package):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "cellprep.dataset.exchange.pytorch", raising=False)
    message = f"this needs {library}: pip install '{package}'"
    with pytest.raises(CellprepError, match=re.escape(message)):
        getattr(grouped, method)(*([[]] if method.startswith("from") else []))


def test_the_howto_on_other_tools_runs(tmp_path, monkeypatch):
    for library in ("tensorflow", "keras", "torch", "datasets", "sklearn", "imblearn"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", HOWTO.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 6
