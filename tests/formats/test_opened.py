"""A data set that is overwritten after it was opened is refused, never mixed with the other."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS
from cellprep.synthetic import CLASS_NAMES, draw_cells

CHANGED = r"contains another data set now|is gone, or is being overwritten"


def some(seed: int, side: int = 16) -> cp.Dataset:
    images, labels = draw_cells([2] * 8, side=side, seed=seed)
    return cp.Dataset.from_arrays(images, labels, CLASS_NAMES)


def save(dataset: cp.Dataset, path: Path, format: str) -> None:
    cp.write(
        dataset, path, format=format, rows_per_shard=4, workers=1, overwrite=True, progress=False
    )


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_set_that_is_overwritten_after_it_was_opened_is_refused(format, tmp_path):
    path = tmp_path / ("set.npz" if FORMATS[format].is_file else "set")
    save(some(1), path, format)
    unread, partly_read = cp.read(path), cp.read(path)
    expected = partly_read.images[0:3]
    np.testing.assert_array_equal(partly_read.images[:3], expected)
    later = pickle.dumps(unread.source)
    save(some(1), path, format)  # the same set is no other one
    np.testing.assert_array_equal(unread.images[:3], expected)
    unread = cp.read(path)
    save(some(2), path, format)
    for opened in (unread, partly_read):
        for read in (
            lambda opened=opened: opened.images[0],
            lambda opened=opened: opened.to_arrays(),
            lambda opened=opened: opened.readable().images[:],
            lambda opened=opened: cp.write(opened, tmp_path / "copy", on_error="skip"),
        ):
            with pytest.raises(CellprepError, match=CHANGED) as caught:
                read()
            assert "\n" not in str(caught.value)
    with pytest.raises(CellprepError, match=CHANGED):  # in a process that opens the files itself
        cp.Dataset(pickle.loads(later)).images[:]
    assert len(cp.read(path).images[:]) == 16


@pytest.mark.parametrize("format", ["shards", "zarr"])
def test_images_read_without_another_check_are_of_the_opened_set(format, tmp_path, monkeypatch):
    """A loop over images checks every millisecond; a shard that it opens is always checked."""
    save(some(1), tmp_path / "set", format)
    opened = cp.read(tmp_path / "set")
    known = opened.images[0]
    monkeypatch.setattr("cellprep.formats.opened._LATELY", 3600)
    save(some(2), tmp_path / "set", format)
    np.testing.assert_array_equal(opened.images[0], known)
    assert not np.array_equal(cp.read(tmp_path / "set").images[0], known)
    with pytest.raises(CellprepError, match=CHANGED):
        opened.images[15]


@pytest.mark.parametrize("format", ["shards", "folder", "npz"])
def test_what_is_read_during_an_overwrite_is_of_one_set(format, tmp_path):
    path, made = tmp_path / ("set.npz" if format == "npz" else "set"), [some(1), some(2)]
    pixels = [dataset.images[:].tobytes() for dataset in made]
    save(made[0], path, format)
    done, outcomes = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                outcomes.append(pixels.index(cp.read(path).images[:].tobytes()))
            except CellprepError as error:
                outcomes.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 7):
        save(made[number % 2], path, format)
    done.set()
    reader.join()
    refused = {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert {0, 1} & set(outcomes), refused
    assert not [message for message in refused if "\n" in message]


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_relative_path_stays_that_of_the_folder_it_was_read_in(format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("set.npz" if FORMATS[format].is_file else "set")
    save(some(1), path, format)
    expected = cp.read(path).images[:]
    opened = cp.read(path)
    assert f"from {path})" in repr(opened)
    (tmp_path / "elsewhere").mkdir()
    save(some(2), tmp_path / "elsewhere" / path, format)
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(opened.images[:], expected)
    assert f"from {tmp_path / path})" in repr(opened)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(opened.source)).images(np.arange(16)), expected
    )
