"""Unusable npz files: exit code 2, one line that says what to do, nothing written."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import suppress

import numpy as np
import pytest

import cellprep as cp

from .helpers import (
    IMAGES,
    LABELS,
    class_folders,
    every_command,
    noise,
    refused,
    save_npz,
)

ARRAYS = {
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no images"),
    "no pixels": ({"images": IMAGES[:, :0]}, "images without pixels"),
    "float 0-1": ({"images": IMAGES / 255}, "np.rint(images * 255).astype(np.uint8)"),
    "float 0-255": ({"images": IMAGES.astype("f4")}, "np.rint(images).astype(np.uint8)"),
    "float over 255": ({"images": IMAGES * 9.0}, "np.rint(images * (255 / 2295)).astype(np.uint8)"),
    "nan": ({"images": np.where(IMAGES > 250, np.nan, IMAGES)}, "NaN or infinite"),
    "infinite": ({"images": np.full(IMAGES.shape, np.inf)}, "NaN or infinite"),
    "uint16": ({"images": IMAGES.astype("u2") * 257}, "(images >> 8).astype(np.uint8)"),
    "12 bits": ({"images": IMAGES.astype("u2") * 16 + 15}, "(images >> 4).astype(np.uint8)"),
    "int64": ({"images": IMAGES.astype("i8")}, "np.rint(images).astype(np.uint8)"),
    "int8": ({"images": IMAGES.view("i1")}, "np.rint((images + 128) * (255 / 255))"),
    "bool": ({"images": IMAGES > 127}, "np.rint(images * 255).astype(np.uint8)"),
    "text": ({"images": IMAGES.astype("U3")}, "these are not numbers"),
    "1 channel": ({"images": IMAGES[..., :1]}, "for grey images repeat the channel"),
    "2 channels": ({"images": IMAGES[..., :2]}, "must be (n, height, width, 3) uint8 RGB"),
    "4 channels": ({"images": noise(channels=4)}, "drop the alpha channel"),
    "5 channels": ({"images": noise(channels=5)}, "must be (n, height, width, 3) uint8 RGB"),
    "grey": ({"images": IMAGES[..., 0]}, "for grey images repeat the channel"),
    "one image": ({"images": IMAGES[0], "labels": [0]}, "for one image pass images[None]"),
    "channels first": ({"images": np.moveaxis(IMAGES, -1, 1)}, "np.moveaxis(images, 1, -1)"),
    "flat": ({"images": IMAGES.reshape(8, -1)}, "must be (n, height, width, 3)"),
    "fewer labels": ({"labels": LABELS[:7]}, "one label for each of the 8 images"),
    "more labels": ({"labels": np.arange(9) % 2}, "one label for each of the 8 images"),
    "one label": ({"labels": np.array(1)}, "one label for each of the 8 images"),
    "fractions": ({"labels": LABELS + 0.5}, "fractional values"),
    "nan label": ({"labels": np.where(LABELS == 1, np.nan, 0)}, "NaN"),
    "vast float": ({"labels": LABELS * 1e300}, "smaller than 2**63"),
    "vast number": ({"labels": LABELS.astype("u8") + (2**64 - 2)}, "smaller than 2**63"),
    "negative": ({"labels": LABELS - 1}, "must not be negative, the smallest is -1"),
    "3-D": ({"labels": LABELS[:, None, None]}, "must be (n,), (n, 1) or one-hot"),
    "probabilities": ({"labels": np.full((8, 2), 0.5)}, "for probabilities pass the argmax"),
    "several": ({"labels": np.ones((8, 2), int)}, "of several labels per image choose one"),
    "text table": ({"labels": np.full((8, 2), "a")}, "must be (n,), (n, 1) or one-hot"),
    "complex": ({"labels": LABELS * 1j}, "must be whole numbers or text"),
    "dates": ({"labels": LABELS.astype("M8[D]")}, "must be whole numbers or text"),
    "bytes that are not text": ({"labels": np.full(8, b"\xff")}, "UTF-8"),
    "gap": ({"labels": LABELS * 2}, "no image has label 1"),
    "one-hot gap": ({"labels": np.eye(3, dtype=int)[LABELS * 2]}, "no image has label 1"),
    "few names": ({"class_names": ["a"]}, "labels` go up to 1, but there are 1"),
    "names that are not text": ({"class_names": [b"\xff", b"b"]}, "UTF-8"),
    "equal names": ({"class_names": ["a", "a"]}, "`class_names` must be unique"),
    "other names": ({"labels": list("abababab"), "class_names": ["a", "c"]}, "contain ['b']"),
    "twice an id": ({"ids": [0, 1, 2, 3, 4, 5, 6, 6]}, "occurs twice"),
    "twice a text id": ({"ids": list("abcdefgg")}, "occurs twice"),
    "few ids": ({"ids": np.arange(7)}, "for each of the 8 images"),
    "float ids": ({"ids": np.arange(8.0)}, "have one whole number or text"),
    "bytes ids that are not text": ({"ids": [b"\xff%d" % i for i in range(8)]}, "UTF-8"),
    "few groups": ({"groups": np.arange(3)}, "for each of the 8 images"),
}


@pytest.mark.parametrize(("arrays", "message"), ARRAYS.values(), ids=ARRAYS)
def test_unusable_arrays_are_refused(tmp_path, recipe, arrays, message):
    every_command(tmp_path, save_npz(tmp_path / "bad.npz", **arrays), recipe, message)


def test_a_last_class_without_images_is_refused(tmp_path, recipe):
    data = save_npz(tmp_path / "bad.npz", labels=np.eye(3, dtype=int)[LABELS])
    every_command(tmp_path, data, recipe, "no image has label 2")


def test_a_gap_after_a_thousand_classes_is_named():
    with pytest.raises(cp.CellprepError, match="no image has label 1500"):
        cp.Dataset.from_arrays(noise(1501, 1), np.r_[:1500, 1501])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": IMAGES, "labels": LABELS}, "no array 'images'; did you mean 'image'?"),
        ({"images": IMAGES, "label": LABELS}, "no array 'labels'; did you mean 'label'?"),
        ({"Images": IMAGES, "Labels": LABELS}, "no array 'images'; did you mean 'Images'?"),
        ({"pictures": IMAGES, "targets": LABELS}, "Allowed: pictures, targets"),
    ],
)
def test_array_names_are_suggested(tmp_path, recipe, given, message):
    np.savez(tmp_path / "named.npz", **given)
    every_command(tmp_path, tmp_path / "named.npz", recipe, message)


@pytest.mark.parametrize(
    "contents",
    [b"", b"labels,images\n1,2\n", b"PK\x03\x04", b"PK\x05\x06" + bytes(17), b"\x93NUMPY\x01\x00"],
)
def test_a_file_that_is_not_npz_is_refused(tmp_path, recipe, contents):
    (tmp_path / "bad.npz").write_bytes(contents)
    every_command(tmp_path, tmp_path / "bad.npz", recipe, "is not an npz file, or a damaged one")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_truncated_or_changed_npz_never_causes_a_traceback(tmp_path, save):
    """It is read or refused in one line, never with another exception."""
    save(tmp_path / "whole.npz", images=noise(6, 8), labels=LABELS[:6], ids=np.arange(6))
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.npz"
    for cut in (1, 30, 100, 500, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        bad.write_bytes(whole[:cut])
        refused(tmp_path, "inspect", bad, message="is not an npz file, or a damaged one")
    for _ in range(300):
        altered = bytearray(whole)
        for position in rng.integers(len(whole), size=rng.integers(1, 6)):
            altered[position] = rng.integers(256)
        bad.write_bytes(altered)
        with suppress(cp.CellprepError):
            cp.read(bad).to_arrays()


@pytest.mark.parametrize("kept", [0, 5, 40, 128, 1000])
def test_a_truncated_uncompressed_member_is_refused(tmp_path, recipe, kept):
    """The archive is intact, but the array in it is truncated."""
    files = {}
    for name, array in {"images": IMAGES, "labels": LABELS}.items():
        np.save(tmp_path / "one.npy", array)
        files[name] = (tmp_path / "one.npy").read_bytes()
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as archive:
        archive.writestr("images.npy", files["images"][:kept])
        archive.writestr("labels.npy", files["labels"])
    every_command(tmp_path, tmp_path / "cut.npz", recipe, "'images' in")


class Malicious:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["images", "labels", "ids", "groups", "class_names"])
def test_pickles_are_never_executed(tmp_path, recipe, save, key):
    objects = np.array([Malicious(tmp_path / "ran")] * 8)
    save(tmp_path / "bad.npz", **{"images": IMAGES, "labels": LABELS, key: objects})
    every_command(tmp_path, tmp_path / "bad.npz", recipe, "contains Python objects")
    pickle.loads(pickle.dumps(objects[0]))
    assert (tmp_path / "ran").is_dir(), "the array is harmless, so the test proves nothing"


TOO_FEW = {
    "one class": (np.zeros(8, int), "one class, '0'"),
    "one image of a class": (np.array([0, 0, 0, 0, 0, 0, 0, 1]), "class '1' has one image"),
}


@pytest.mark.parametrize("kind", ["npz", "folder"])
@pytest.mark.parametrize(("labels", "message"), TOO_FEW.values(), ids=TOO_FEW)
def test_too_few_classes_or_images_are_refused(tmp_path, recipe, kind, labels, message):
    data = save_npz(tmp_path / "data.npz", labels=labels)
    if kind == "folder":
        data = tmp_path / "data"
        cp.write(cp.read(tmp_path / "data.npz"), data, format="folder", progress=False)
        (data / "dataset.json").unlink()
    refused(tmp_path, "run", recipe, data, tmp_path / "out", message=message)
    words = message.replace("has one image", "has 1 image").replace("one class, '0'", "one class")
    refused(tmp_path, "split", data, tmp_path / "out", message=words)
    refused(tmp_path, "demo", "--data", data, "--out", tmp_path / "out", message=words)


def test_a_class_with_one_readable_image_is_refused(tmp_path, recipe):
    data = class_folders(tmp_path / "data")
    for path in sorted((data / "b").iterdir())[1:]:
        path.write_bytes(b"")
    skip = (recipe, data, tmp_path / "out", "--on-error", "skip")
    refused(tmp_path, "run", *skip, message="class 'b' has one image")
