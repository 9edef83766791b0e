"""How kernels are compiled: by Numba, unless the wheel or an earlier process has done it.

Numba caches beside the source or in the user's cache folder, and fails if both are read-only, as in
many containers, if the disk is full, or if a cached file is damaged. Here none of this is an error:
the kernel is compiled for this process.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba as nb
import xxhash
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

from ..errors import CellprepError, CellprepWarning
from . import ahead

_DIGEST = 16  # bytes

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # read from the environment
    raise CellprepError(
        "NUMBA_DISABLE_JIT is set, but kernels must be compiled: in plain Python, a run takes "
        "hours and integers overflow differently; unset it"
    )


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a function that Numba compiles when it is first called, and that needs no GIL.

    Options are those of `numba.njit`.
    """
    if function is None:
        return functools.partial(kernel, **options)
    dispatcher = nb.njit(nogil=True, **options)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher


_keeping: list[Path] = []


def keep(folder: Path) -> None:
    """Keep what this process compiles from now on, for a wheel's `ahead.FOLDER`."""
    folder.mkdir(parents=True)
    _keeping.append(folder)


class _Nowhere:
    """Used if Numba finds no folder that it can write to: saving raises an error."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Nowhere:
        return cls(function, file)

    def get_cache_path(self) -> str:
        return "no folder can be written to"

    def get_source_stamp(self) -> None:
        return None

    def get_disambiguator(self) -> str:
        return str(self._line)

    def ensure_cache_path(self) -> None:
        raise OSError("neither the package's folder nor the user's cache can be written to")


class _Places(CompileResultCacheImpl):
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _Nowhere]  # noqa: RUF012


class _Cache(FunctionCache):
    """A cache in which what cannot be read is compiled again, and what cannot be saved is not."""

    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        where = self._impl.locator
        self._name_ahead = f"{function.__module__}.{function.__qualname__}"
        self._cache_file = _DigestedFile(
            where.get_cache_path(),
            self._impl.filename_base,
            (where.get_source_stamp(), _package_stamp()),
        )

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Numba's own would refresh the target: 0.7 s, for what only compiling needs."""
        rtsys.initialize(target)
        try:
            found = self._load_ahead(signature, target) or self._load_overload(signature, target)
        except Exception:  # damage leads to errors of any type
            with suppress(OSError):  # saving will report it
                self.flush()
            return None
        return found

    def _load_ahead(self, signature: Any, target: Any) -> Any:
        folder = ahead.folder()
        if folder is None:
            return None
        with suppress(Exception):  # as above; the wheel's files are left alone
            data = self._file_ahead(folder).load(self._key_ahead(signature, target.codegen()))
            return data and self._impl.rebuild(target, data)
        return None

    def save_overload(self, signature: Any, data: Any) -> None:
        for folder in _keeping:
            key = self._key_ahead(signature, data.codegen)
            self._file_ahead(folder).save(key, self._impl.reduce(data))
        try:
            super().save_overload(signature, data)
        except Exception as error:
            _not_cached(str(error))

    def _file_ahead(self, folder: Path) -> _DigestedFile:
        return _DigestedFile(str(folder), self._name_ahead, _package_stamp())

    def _key_ahead(self, signature: Any, codegen: Any) -> Any:
        """Numba's key without the processor, which the folder identifies."""
        signature, (triple, *_), digests = self._index_key(signature, codegen)
        return signature, triple, digests


@functools.cache
def _package_stamp() -> bytes:
    """Changes with every file here, since a kernel contains what it inlines from others."""
    digest = xxhash.xxh3_128()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


class _DigestedFile(IndexDataCacheFile):
    """Files that end in their digest, so that no damaged machine code is run."""

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        with super()._open_for_write(filepath) as file:
            data = io.BytesIO()
            yield data
            file.write(data.getvalue() + xxhash.xxh3_128_digest(data.getvalue()))

    def _load_index(self) -> Any:
        _check(self._index_path)
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        _check(self._data_path(name))
        return super()._load_data(name)


def _check(file: str) -> None:
    """Refuse a file whose digest does not match."""
    with suppress(FileNotFoundError):
        saved = Path(file).read_bytes()
        if xxhash.xxh3_128_digest(saved[:-_DIGEST]) != saved[-_DIGEST:]:
            raise ValueError(f"{file!r} is damaged")


_said: list[str] = []


def _not_cached(why: str) -> None:
    """Say what it costs that compiled kernels are not kept, once per process."""
    if _said:
        return
    _said.append(why)
    warnings.warn(
        f"compiled kernels cannot be saved ({' '.join(why.split())}), so every process compiles "
        "them again, which takes up to a minute; set NUMBA_CACHE_DIR to a writable folder",
        CellprepWarning,
        stacklevel=2,
    )
