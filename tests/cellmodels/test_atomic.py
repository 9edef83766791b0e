"""Files that appear under their name only once they are complete."""

from __future__ import annotations

import pytest

from cellmodels.atomic import atomic_write
from cellmodels.cli.common import LOCAL
from cellmodels.comparison.table import Table
from cellmodels.models.files import load_card
from cellprep import CellprepError


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("complete")
        assert not path.exists()
    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted_write(path)
    assert path.read_text() == "complete"
    assert list(path.parent.iterdir()) == [path]


def interrupted_write(path):
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "table.toml").write_text("surprise = 1")
    with pytest.raises(CellprepError, match="no setting 'surprise'"):  # so it was read
        Table.from_toml("~/table.toml")
    assert LOCAL.convert("~/out", None, None) == tmp_path / "out"
    (tmp_path / "damaged.keras").write_bytes(b"")
    with pytest.raises(CellprepError, match="is not a model that cellmodels saved"):
        load_card("~/damaged.keras")
