"""What `fit` refuses before training starts: leaks, data that do not fit, invalid settings."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError
from cellprep.synthetic import CLASS_NAMES, draw_cells

from ..helpers import fit, splits, synthetic_cells, tiny

keras = pytest.importorskip("keras")


def test_leaks_are_refused_by_pixels_and_by_ids():
    data = splits()
    images, labels = data["val"].to_arrays()
    with pytest.raises(CellprepError, match="of val also occur in train"):
        fit(data={"train": synthetic_cells(), "val": data["val"]})
    copies = cp.Recipe([cp.Jitter()], 1)(data["val"])
    with pytest.raises(CellprepError, match="source images of test have copies in val"):
        cm.fit(tiny(), data["train"], data["val"], test=copies, epochs=1)
    with pytest.raises(CellprepError, match="of data also occur in train"):
        cm.evaluate(tiny(), data["val"], train=synthetic_cells(), progress=False)
    short = {"epochs": 1, "transfer_epochs": 0}
    assert fit(
        data={"train": synthetic_cells(), "val": data["val"]}, allow_leaks=True, **short
    ).history
    # Equal row numbers in two different arrays do not mean the same image.
    other = cp.Dataset.from_arrays(255 - images, labels, CLASS_NAMES[:3])
    assert fit(data={"train": data["train"], "val": other}, **short).history


def test_splits_that_were_not_prepared_like_the_training_images_are_refused(tmp_path):
    mask, data = cp.Recipe([cp.KMeansMask()]), splits()
    for name in ("train", "val"):
        cp.write(mask(data[name]), tmp_path / f"masked_{name}", progress=False)
        cp.write(data[name], tmp_path / name, progress=False)
    short = {"epochs": 1, "transfer_epochs": 0}
    with pytest.raises(CellprepError, match="with KMeansMask, but those of val with none of these"):
        fit(data={"train": tmp_path / "masked_train", "val": tmp_path / "val"}, **short)
    with pytest.raises(CellprepError, match="neither Crop nor KMeansMask, but those of val with"):
        fit(data={"train": tmp_path / "train", "val": tmp_path / "masked_val"}, **short)
    same = {"train": tmp_path / "masked_train", "val": tmp_path / "masked_val"}
    assert fit(data=same, **short).history


def data_with(**changes):
    images, labels = synthetic_cells().to_arrays()
    names = CLASS_NAMES[:3]
    train = cp.Dataset.from_arrays(images, labels, names)
    return {"train": train, **changes}


def few(keep, names=CLASS_NAMES[:3], side=16):
    images, labels = draw_cells([3, 3, 3, *[0] * 5], side=side, seed=8)
    return cp.Dataset.from_arrays(images[keep(labels)], labels[keep(labels)], names)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (
            lambda: data_with(val=few(lambda k: k < 2)),
            {},
            f"class '{CLASS_NAMES[2]}' has no image in val",
        ),
        (
            lambda: data_with(val=few(lambda k: k < 3, ("a", "b", "c"))),
            {},
            "val has the classes a, b, c",
        ),
        (
            lambda: data_with(val=few(lambda k: k < 3, side=20)),
            {},
            "20x20, but the model takes 16x16",
        ),
        (
            lambda: data_with(val=few(lambda k: k < 3, list("abcd"))),
            {},
            "val has 4 classes, but the model has 3",
        ),
        (lambda: {"train": "nowhere"}, {}, "there is no file or folder 'nowhere'"),
        (lambda: {"train": 3}, {}, "`train` must be a path"),
        (
            lambda: {"train": (np.zeros((2, 16, 16, 3), "u1"), [0, 2])},
            {},
            "name the classes with class_names=",
        ),
        (
            lambda: {"train": (np.zeros((2, 16, 16, 3)), [0, 1])},
            {},
            "train: `images` must be uint8",
        ),
        (data_with, {"epoch": 3}, "did you mean 'epochs'"),
        (data_with, {"epochs": 0, "transfer_epochs": 0}, "one must be 1 or more"),
        (data_with, {"optimizer": "adam"}, "did you mean 'adamw'"),
        (data_with, {"patience": 3}, "pass `val` too"),
        (data_with, {"batch_size": 0}, "`batch_size` must be"),
        (data_with, {"seed": -1}, "`seed` must be"),
    ],
)
def test_invalid_data_and_settings_of_fit_are_refused_in_one_line(
    monkeypatch, data, settings, message
):
    monkeypatch.setattr("cellmodels.training.fit.train_epochs", None)  # nothing is trained
    with pytest.raises(CellprepError, match=message) as error:
        fit(data=data(), **settings)
    assert "\n" not in str(error.value)
