"""Tensors are read without PyTorch, and a file that contains anything else is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from cellmodels.models.torch_file import read_tensors
from cellprep import CellprepError

HEADER = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))


def test_tensors_equal_those_that_pytorch_saved(tmp_path):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(24.0)
    saved = {
        "plain": numbers.reshape(2, 3, 4),
        "transposed": numbers.reshape(4, 6).T,  # shares its storage with the one before
        "part": numbers[5:9],
        "whole": torch.tensor([2**40, -1]),
        "one": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    torch.save(OrderedDict(saved), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    read = read_tensors(tmp_path / "w.pth")
    assert list(read) == list(saved)
    for name, tensor in saved.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())
        assert read[name].dtype == tensor.numpy().dtype
    torch.save(saved, tmp_path / "new.pth")
    with pytest.raises(CellprepError, match="cannot be read as tensors of PyTorch"):
        read_tensors(tmp_path / "new.pth")
    empty = OrderedDict(none=torch.zeros(0, 3))  # without numbers, its length is all that is cut
    torch.save(empty, tmp_path / "empty.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "empty.pth").read_bytes()[:-8])
    with pytest.raises(CellprepError, match="cannot be read as tensors of PyTorch"):
        read_tensors(tmp_path / "cut.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    for stop in range(0, len(whole), 40):
        (tmp_path / "cut.pth").write_bytes(whole[:stop])
        with pytest.raises(CellprepError, match="cannot be read as tensors of PyTorch"):
            read_tensors(tmp_path / "cut.pth")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_nothing_in_a_file_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(HEADER + pickle.dumps({"a": Harmful()}, 2))
    with pytest.raises(CellprepError, match=r"contains \w+.mkdir, which is not a tensor"):
        read_tensors("w.pth")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Harmful(), 2))
    with pytest.raises(CellprepError, match=r"mkdir, which is not a tensor"):
        read_tensors("w.pth")
    assert not (tmp_path / "harm").exists()


def described(count, start, shape, strides):
    """The pickle of a dictionary with one tensor."""

    def numbers(values):
        return "(" + "".join(f"I{value}\n" for value in values) + "t"

    storage = f"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{count}\nNtQ"
    tensor = f"{storage}I{start}\n{numbers(shape)}{numbers(strides)}"
    return f"(Va\nctorch._utils\n_rebuild_tensor_v2\n({tensor}tRd.".encode()


@pytest.mark.parametrize(
    ("count", "start", "shape", "strides", "message"),
    [
        (4, 0, (5,), (1,), "beyond its numbers"),
        (4, -1, (2,), (1,), "beyond its numbers"),
        (4, 1, (2, 2), (2, 1), "beyond its numbers"),
        (4, 3, (2,), (-1,), "beyond its numbers"),
        (4, 0, (-1,), (1,), "beyond its numbers"),
        (4, 0, (2, 2), (1,), ""),
        (2**60, 0, (2**60,), (1,), "truncated"),
        (8, 0, (8,), (1,), "smaller"),
    ],
)
def test_a_tensor_outside_its_numbers_is_refused(tmp_path, count, start, shape, strides, message):
    header, keys = HEADER + described(count, start, shape, strides), pickle.dumps(["0"], 2)
    content = count.to_bytes(8, "little") + np.arange(4, dtype="f4").tobytes()
    (tmp_path / "w.pth").write_bytes(header + keys + content)
    with pytest.raises(CellprepError, match="cannot be read as tensors of PyTorch") as error:
        read_tensors(tmp_path / "w.pth")
    assert message in str(error.value)
