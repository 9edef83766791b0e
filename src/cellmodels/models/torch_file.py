"""Tensors of a file that PyTorch saved, read without PyTorch and without running what it contains.

Such a file is a pickle, and unpickling can call any function. Here a pickle may name nothing but
dictionaries and tensors.
"""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from cellprep import CellprepError

_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
    """Numbers that tensors share, which follow the pickle."""

    dtype: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """Which numbers of a storage a tensor consists of."""

    storage: _Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict, by name.

    Parameters
    ----------
    path : str or Path
        A file of `torch.save` in the format before PyTorch 1.6, with tensors of float32 and int64.

    Returns
    -------
    dict of str to array
        In the order of the file. Read-only.

    Raises
    ------
    CellprepError
        For a file in another format, or with anything but tensors.

    References
    ----------
    .. [1] `_legacy_save` in https://github.com/pytorch/pytorch/blob/main/torch/serialization.py

    Examples
    --------
    >>> read_tensors(__file__)
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: ...torch_file.py' cannot be read as tensors of PyTorch: ...
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != _MAGIC:
                raise pickle.UnpicklingError("it is not in the format before PyTorch 1.6")
            _Unpickler(file).load()  # the version of the format
            _Unpickler(file).load()  # the sizes of C types
            tensors = _Unpickler(file).load()
            keys = _Unpickler(file).load()
            storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
            numbers = {key: _read_storage(file, storages[key]) for key in keys}
        return {
            name: _array(tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()
        }
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises almost any type
        raise CellprepError(
            f"{str(path)!r} cannot be read as tensors of PyTorch: {error}"
        ) from None


def _rebuild(
    storage: _Storage, start: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    # Otherwise `as_strided` would read memory that does not belong to the storage.
    last = start + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if min((start, *shape, *strides)) < 0 or last >= storage.length:
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    return _Tensor(storage, start, shape, strides)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    """Accepts the names in `_ALLOWED` and no others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not a tensor")
        return _ALLOWED[module, name]

    def persistent_load(self, saved: Any) -> _Storage:
        _, dtype, key, _, length, _ = saved
        return _Storage(dtype, key, length)


def _read_storage(file: Any, storage: _Storage) -> NDArray[Any]:
    dtype = np.dtype(storage.dtype)
    size = storage.length * dtype.itemsize
    length = file.read(8)  # shorter at the end of a truncated file
    if len(length) < 8 or int.from_bytes(length, "little") != storage.length:
        raise pickle.UnpicklingError("a tensor has another size than its description")
    if size > os.fstat(file.fileno()).st_size:  # before memory is allocated
        raise pickle.UnpicklingError("it is truncated")
    return np.frombuffer(file.read(size), dtype, storage.length)


def _array(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return as_strided(numbers[tensor.start :], tensor.shape, strides, writeable=False)
