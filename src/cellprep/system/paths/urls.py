"""What a user passes as a path: a local path or a URL, and how the two differ."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

from ...errors import CellprepError
from .. import platform

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::.*)?://", re.IGNORECASE)
_URL_AS_PATH = re.compile(r"([a-z][a-z0-9+.-]+):[/\\]+[^/\\]", re.IGNORECASE)
_CONCURRENT_REQUESTS = 16

Result = TypeVar("Result")


def as_path(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Path:
    """The path as a Path; a URL, such as `s3://bucket/set`, becomes a UPath.

    >>> as_path("out/train").as_posix()
    'out/train'
    >>> as_path("file:///tmp/cells.npz").as_posix()
    '/tmp/cells.npz'
    """
    text = str(path)
    if not _URL.match(text):
        if storage_options:
            raise CellprepError(f"`storage_options` are for URLs, {text!r} is a local path")
        mangled = _URL_AS_PATH.match(text)
        if mangled and not Path(f"{mangled[1]}:").exists():
            raise CellprepError(
                f"{text!r} looks like a URL that pathlib has changed; pass it as text: "
                f"'{mangled[1]}://...'"
            )
        return _expanded(text)
    try:
        from upath import UPath
    except ImportError as error:
        raise CellprepError(
            f"{text!r} is a URL, which needs universal_pathlib: pip install 'cellprep[remote]' "
            f"({error})"
        ) from error
    try:
        if isinstance(path, str):
            path = text if text.endswith("://") else text.rstrip("/")
        url: Any = UPath(path, **(storage_options or {}))
        if isinstance(url, Path) or url.protocol in ("file", "local"):
            return Path(url.path)
        # Cached listings may be older than what other processes, such as our workers, wrote.
        url.fs.invalidate_cache()
        url.fs.dircache.use_listings_cache = False
        if not url.path.strip("/") and url.protocol != "memory":
            raise ValueError("it names no bucket or folder")
        remote: Path = url
        return remote
    except ImportError as error:
        raise CellprepError(f"{text!r} cannot be reached: {error}{_extra(text)}") from error
    except Exception as error:  # every library has its own errors, and no file was requested yet
        raise CellprepError(f"{text!r} cannot be reached: {message(error)}") from error


def anchored(path: Path) -> Path:
    """The path for good: a relative one is that of the current directory of now."""
    if is_remote(path):
        return path
    return path.absolute() if path.name not in ("", "..") else Path(os.path.realpath(path))


def shown(path: Path) -> str:
    """The path for people: relative if it is below the current directory."""
    text = str(path)
    if is_remote(path):
        return text
    text = platform.plain(text)
    try:
        return str(Path(text).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return text


def _expanded(text: str) -> Path:
    """A local path in which ~ is the home folder."""
    path = Path(os.path.expanduser(text))
    first = path.parts[0] if path.parts else ""
    if first.startswith("~") and not Path(first).exists():
        raise CellprepError(
            f"{text!r} begins with the name of a user who has no home folder here; for a file or "
            f"folder of that name pass './{text}'"
        )
    return platform.extended(path)


def _extra(text: str) -> str:
    return ": pip install 'cellprep[s3]'" if text.startswith(("s3:", "s3a:")) else ""


def is_remote(path: Path | None) -> bool:
    """Whether it is a URL.

    >>> is_remote(Path("s3"))
    False
    """
    return path is not None and not isinstance(path, Path)


def has_folders(url: Any) -> bool:
    """False for object stores, where a folder is only a common prefix of names."""
    from upath.implementations.cloud import CloudPath

    return not (isinstance(url, CloudPath) or url.protocol == "memory")


def check_shared(*paths: Path | None) -> None:
    """Refuse paths that other processes cannot see."""
    for path in paths:
        if is_remote(path) and getattr(path, "protocol", "") == "memory":
            raise CellprepError(
                f"{str(path)!r} exists only in the memory of this process; "
                'choose executor="threads"'
            )


def canonical(path: Path) -> PurePath:
    """The one name of a path, for comparison with other paths."""
    if not is_remote(path):
        return Path(platform.plain(os.path.realpath(path)))  # `resolve` raises on circular links
    url: Any = path.resolve()
    protocol = url.fs.protocol
    kind = protocol if isinstance(protocol, str) else protocol[0]
    return PurePosixPath("//", f"{kind}:", url.path.strip("/"))


def make_folder(path: Path) -> None:
    """Make a folder and its parents, where folders exist; never a bucket."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)
        return
    url: Any = path
    with as_os_errors(path):
        if has_folders(url):
            url.fs.makedirs(url.path, exist_ok=True)


@contextmanager
def as_os_errors(path: Path) -> Iterator[None]:
    """Turn the errors of the library behind a URL, which are of many types, into OSError."""
    try:
        yield
    except (CellprepError, OSError):
        raise
    except Exception as error:
        foreign = type(error).__module__.partition(".")[0] not in ("builtins", "numpy", "pyarrow")
        if is_remote(path) and foreign:
            raise OSError(message(error)) from error
        raise


def message(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def map_files(
    function: Callable[..., Result], paths: Sequence[Path], *others: Iterable[Any]
) -> list[Result]:
    """`map`, one after the other for local files, concurrently for URLs, which respond slowly."""
    if not paths or not is_remote(paths[0]):
        return list(map(function, paths, *others))
    context = copy_context()

    def adopt() -> None:  # the threads have the context variables of this one
        for variable, value in context.items():
            variable.set(value)

    with ThreadPoolExecutor(_CONCURRENT_REQUESTS, initializer=adopt) as pool:
        return list(pool.map(function, paths, *others))
