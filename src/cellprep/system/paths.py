"""Places: local paths, URLs that fsspec knows, and whatever has to be done differently for the two.

A local place is a `pathlib.Path`. A URL is a `upath.UPath`, which has the same methods; those of
them that ask for patterns, make folders or delete are not used, as they read file names as patterns
or make buckets.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import CellprepError

WORK = ".cellprep"
"""The folder, within one that is written to, for what is only needed while it is written."""
LOCK = "lock"
"""The file, in `WORK`, that names the one process that writes."""
TEMPORARY = ".cellprep.tmp"
"""How the names of temporary files end, which lie where they will be moved."""

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::.*)?://", re.IGNORECASE)
_CUT_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+[^/]", re.IGNORECASE)
_AT_ONCE = 16
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: the file ends where it was written to
_PIECES = 256

Result = TypeVar("Result")
Found = Path | bytes | OSError
"""A local file as it is; of a URL, the bytes, or why there are none."""


def as_path(place: str | Path, storage_options: Mapping[str, Any] | None = None) -> Path:
    """The place as a path; a URL, such as `s3://bucket/set`, becomes a UPath.

    >>> as_path("out/train")
    PosixPath('out/train')
    >>> as_path("file:///tmp/cells.npz")
    PosixPath('/tmp/cells.npz')
    """
    text = str(place)
    if not _URL.match(text):
        path = Path(place)
        if storage_options:
            raise CellprepError(f"`storage_options` are for URLs, {text!r} is a local path")
        cut = _CUT_URL.match(text)
        if cut and not Path(cut[0]).parent.exists():
            raise CellprepError(
                f"{text!r} looks like a URL that pathlib has changed; pass text, as in "
                f"'{cut[1]}://...'"
            )
        return path
    try:
        from upath import UPath
    except ImportError as error:
        raise CellprepError(
            f"{text!r} is a URL, which needs universal_pathlib: pip install 'cellprep[remote]' "
            f"({error})"
        ) from error
    try:
        if isinstance(place, str):
            place = text if text.endswith("://") else text.rstrip("/")
        url: Any = UPath(place, **(storage_options or {}))
        if isinstance(url, Path) or url.protocol in ("file", "local"):
            return Path(url.path)
        # Listings that it kept may be older than what others, such as our workers, have written.
        url.fs.invalidate_cache()
        url.fs.dircache.use_listings_cache = False
        if not url.path.strip("/") and url.protocol != "memory":
            raise ValueError("it names no bucket or folder")
        remote: Path = url
        return remote
    except ImportError as error:
        raise CellprepError(f"{text!r} cannot be reached: {error}{_extra(text)}") from error
    except Exception as error:  # each library has its own, and no file has been asked for yet
        raise CellprepError(f"{text!r} cannot be reached: {_said(error)}") from error


def _extra(text: str) -> str:
    return ": pip install 'cellprep[s3]'" if text.startswith(("s3:", "s3a:")) else ""


def is_remote(path: Path | None) -> bool:
    """Whether it is a URL.

    >>> is_remote(Path("s3"))
    False
    """
    return path is not None and not isinstance(path, Path)


def _has_folders(path: Any) -> bool:
    """False for object stores: there a folder is the start of some names."""
    from upath.implementations.cloud import CloudPath

    return not (isinstance(path, CloudPath) or path.protocol == "memory")


def check_shared(*paths: Path | None) -> None:
    """Refuse places that other processes cannot see."""
    for path in paths:
        if is_remote(path) and getattr(path, "protocol", "") == "memory":
            raise CellprepError(
                f"{str(path)!r} lies in the memory of this process, which no other one sees; "
                'choose executor="threads"'
            )


def whole(path: Path) -> PurePath:
    """The one name of a place, to compare it with others."""
    if not is_remote(path):
        return Path(os.path.realpath(path))  # `resolve` raises where links go round
    url: Any = path.resolve()
    protocol = url.fs.protocol
    kind = protocol if isinstance(protocol, str) else protocol[0]
    return PurePosixPath("//", f"{kind}:", url.path.strip("/"))


@contextmanager
def answering(path: Path) -> Iterator[None]:
    """Errors of the library behind a URL as OSError: theirs are of many kinds."""
    try:
        yield
    except (CellprepError, OSError):
        raise
    except Exception as error:
        foreign = type(error).__module__.partition(".")[0] not in ("builtins", "numpy", "pyarrow")
        if is_remote(path) and foreign:
            raise OSError(_said(error)) from error
        raise


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# -- reading ----------------------------------------------------------------------------------


def opened(path: Path) -> BinaryIO:
    """The file as a stream that can be read in any order."""
    url: Any = path
    if not is_remote(path):
        return path.open("rb")
    with answering(path):
        if url.protocol == "memory":  # its streams are one stream, for all threads
            return io.BytesIO(url.fs.cat_file(url.path))
        stream: BinaryIO = url.fs.open(url.path, "rb")
        return stream


def read_bytes(path: Path) -> bytes:
    """The file."""
    if not is_remote(path):
        return path.read_bytes()
    url: Any = path
    with answering(path):
        data: bytes = url.fs.cat_file(url.path)
        return data


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """The file as a local one: itself, or a copy that is gone after the block.

    A map of the copy outlives it.
    """
    if not is_remote(path):
        yield path
        return
    url: Any = path
    with _room() as local:
        with answering(path):
            if url.protocol == "memory":
                local.write_bytes(url.fs.cat_file(url.path))
            else:
                url.fs.get_file(url.path, str(local))
        yield local


def found(paths: Sequence[Path]) -> list[Found]:
    """Local files as they are; those of URLs with their bytes, fetched together.

    A file that is not there or is not to be read gives its error. Any other error says nothing of
    the file, and is raised.
    """
    if not paths or not is_remote(paths[0]):
        return list(paths)
    urls: list[Any] = list(paths)
    with answering(paths[0]):
        got = urls[0].fs.cat_ranges([url.path for url in urls], None, None, on_error="return")
    return [_checked(data, path) for data, path in zip(got, paths, strict=True)]


def read_ranges(path: Path, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes start to stop of a URL, for each span, fetched together."""
    url: Any = path
    starts, stops = zip(*spans, strict=True)
    with answering(path):
        got = url.fs.cat_ranges([url.path] * len(spans), list(starts), list(stops))
    pieces = []
    for data, (start, stop) in zip(got, spans, strict=True):
        piece = _checked(data, path)
        if isinstance(piece, OSError):
            raise piece
        if not isinstance(piece, bytes) or len(piece) != stop - start:
            raise OSError(f"it ends before byte {stop}")
        pieces.append(piece)
    return pieces


def pieces(files: Sequence[Path], places: NDArray[np.int64]) -> Iterator[bytes]:
    """The bytes of each (file, offset, length), in order; cut short where the file is.

    Of URLs up to 256 are fetched together.
    """
    if files and is_remote(files[0]):
        for start in range(0, len(places), _PIECES):
            yield from _fetched_pieces(files, places[start : start + _PIECES])
        return
    opened_as, stream = -1, None
    try:
        for number, offset, length in places.tolist():
            if number != opened_as or stream is None:
                if stream is not None:
                    stream.close()
                stream, opened_as = files[number].open("rb"), number
            stream.seek(offset)
            yield stream.read(length)
    except OSError as error:
        raise _unreadable(files[opened_as], error) from error
    finally:
        if stream is not None:
            stream.close()


def _fetched_pieces(files: Sequence[Any], places: NDArray[np.int64]) -> Iterator[bytes]:
    held = places[:, 2] > 0
    numbers, starts, lengths = places[held].T
    names = [files[number].path for number in numbers]
    got: Iterator[Any] = iter(())
    if names:
        with answering(files[0]):
            ends = (starts + lengths).tolist()
            got = iter(files[0].fs.cat_ranges(names, starts.tolist(), ends, on_error="return"))
    for (number, _, _), some in zip(places.tolist(), held.tolist(), strict=True):
        data = _checked(next(got), files[number]) if some else b""
        if isinstance(data, OSError):
            raise _unreadable(files[number], data)
        yield data


def _unreadable(path: Path, error: OSError) -> CellprepError:
    return CellprepError(
        f"cannot read {str(path)!r}: {error.strerror or error}; was it moved or deleted?"
    )


def _checked(data: Any, path: Path) -> bytes | OSError:
    if isinstance(data, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if isinstance(data, PermissionError):
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if isinstance(data, BaseException):
        raise CellprepError(f"cannot read {str(path)!r}: {_said(data)}") from data
    return bytes(data)


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of every file below a URL, by its name there, from one listing."""
    url: Any = folder
    with answering(folder):
        start = url.fs._strip_protocol(url.path).rstrip("/") + "/"
        files = url.fs.find(url.path, detail=True)
    return {
        name.removeprefix(start): info
        for name, info in files.items()
        if name.startswith(start) and not name.endswith("/")
    }


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    if is_remote(folder):
        return sorted(listed(folder))
    held = (Path(parent, name) for parent, _, files in os.walk(folder) for name in files)
    return sorted(str(file.relative_to(folder)) for file in held)


def states(folder: Path) -> Callable[[str], str]:
    """What tells a file of a folder from a later one of the same name."""
    if is_remote(folder):
        known = {name: mark(info) for name, info in listed(folder).items()}
        return lambda name: known.get(name, "unreadable")
    return lambda name: changed(folder / name)


def sizes(folder: Path) -> Callable[[str], int | None]:
    """The size of a file in a folder, by its name there; None where there is no such file."""
    if is_remote(folder):
        known = {name: int(info["size"]) for name, info in listed(folder).items()}
        return known.get

    def size(name: str) -> int | None:
        file = folder / name
        return file.stat().st_size if file.is_file() else None

    return size


def mark(info: Mapping[str, Any]) -> str:
    """What tells a file of a listing from a later one of the same name.

    >>> mark({"size": 3, "ETag": '"49f68a5c8493ec2c0bf489821c21fc3b"'})
    '3 "49f68a5c8493ec2c0bf489821c21fc3b"'
    """
    keys = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    return f"{info.get('size')} {next((info[key] for key in keys if info.get(key)), '')}"


def changed(path: Path) -> str:
    """What is another text when the file or folder is another one."""
    if not is_remote(path):
        status = path.stat()
        return f"{status.st_size}\0{status.st_mtime_ns}"
    url: Any = path
    with answering(path):
        return mark(url.fs.info(url.path))


# -- writing ----------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to put a temporary file, which takes the place of `path` when the block ends well.

    It lies beside a local path. To a URL it is sent in one piece, which object stores show when it
    is complete.
    """
    if is_remote(path):
        with _room() as temporary:
            yield temporary
            with answering(path):
                _put(temporary, path)
        return
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def reserve(file: BinaryIO, size: int) -> None:
    """Ask the file system for all the room of a file at once: it is written a fifth faster.

    Nothing comes of it where a file system cannot; `os.posix_fallocate` would write there into
    every block. Whether there is room at all, the writing tells.
    """
    if fallocate := _fallocate():
        fallocate(file.fileno(), _KEEP_SIZE, 0, size)


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Linux's, where it is."""
    function = getattr(ctypes.CDLL(None), "fallocate", None) if sys.platform == "linux" else None
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def _temporary_name(path: Path) -> str:
    return f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}"


def _put(local: Path, path: Any) -> None:
    if path.protocol == "memory":
        path.fs.pipe_file(path.path, local.read_bytes())
    elif not _has_folders(path):
        path.fs.put_file(str(local), path.path)
    else:
        beside = path.with_name(_temporary_name(path))
        path.fs.put_file(str(local), beside.path)
        path.fs.mv(beside.path, path.path)


@contextmanager
def _room() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cellprep-", ignore_cleanup_errors=True) as folder:
        yield Path(folder, "file")


def copy(source: Path, target: Path) -> bool:
    """Copy a file, as far as it can be read; whether it could."""
    try:
        if not (is_remote(source) or is_remote(target)):
            shutil.copy2(source, target)
            return True
        data = read_bytes(source)
    except OSError:
        return False
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return True


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where there is such a thing; never a bucket."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)
        return
    url: Any = path
    with answering(path):
        if _has_folders(url):
            url.fs.makedirs(url.path, exist_ok=True)


def together(
    function: Callable[..., Result], paths: Sequence[Path], *others: Iterable[Any]
) -> list[Result]:
    """The function of each path, one after the other; of URLs, which answer late, at once."""
    if not paths or not is_remote(paths[0]):
        return list(map(function, paths, *others))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, paths, *others))


# -- taking away ------------------------------------------------------------------------------


def move(source: Path, target: Path) -> None:
    """Rename a small file; of a URL both may stand, complete, when this is killed."""
    if not is_remote(source):
        os.replace(source, target)
        return
    with replacing(target) as temporary:
        temporary.write_bytes(read_bytes(source))
    unlink([source])


def unlink(files: Iterable[Path]) -> None:
    """Delete files, of which some may not be there."""
    together(_unlink, list(files))


def _unlink(path: Path) -> None:
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    url: Any = path
    with suppress(FileNotFoundError), answering(path):
        url.fs.rm_file(url.path)


def remove_folder(path: Path) -> None:
    """Delete an empty folder, where there is such a thing."""
    if not is_remote(path):
        path.rmdir()
    elif _has_folders(path):
        url: Any = path
        with answering(path):
            url.fs.rmdir(url.path)


def remove_tree(path: Path) -> None:
    """Delete a folder of files."""
    if is_remote(path):
        unlink([path / name for name in listed(path)])
        remove_folder(path)
    else:
        shutil.rmtree(path)


def leftovers(folder: Path, of: str | None = None) -> list[Path]:
    """Temporary files that killed runs left below a folder; or, in it, those of one file."""
    if is_remote(folder) and not _has_folders(folder):
        return []
    if of is not None:
        files = list(folder.iterdir())
    elif is_remote(folder):
        files = [folder / name for name in listed(folder)]
    else:
        files = list(folder.rglob(f".*{TEMPORARY}"))
    # not those of a file whose name begins with this one
    mine = r"\..*" if of is None else rf"\.{re.escape(of)}\.[0-9a-f]{{8}}"
    pattern = re.compile(mine + re.escape(TEMPORARY), re.DOTALL)
    return [file for file in files if pattern.fullmatch(file.name)]
