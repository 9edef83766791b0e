"""A fence around a writer: once it has lost its lease, it changes nothing more.

Inside `fenced`, every function of this folder that creates, replaces or deletes a file first asks
whether this process is still the writer. The answer may be outdated when a request arrives, if the
process is suspended in between. So where a store knows conditions, the request carries one: create
an object only if there is none; replace or delete it only if it is still the one that was seen
*before* asking. What the next writer has put there is another one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from .urls import as_os_errors

Check = Callable[[], None]
"""Raises once this process is no longer the writer."""

CHECK: ContextVar[Check | None] = ContextVar("is this process still the writer", default=None)

_AT_ONCE = 64 << 20
"""Bytes up to which s3fs sends an object in one request, to which a condition can be attached."""


@contextmanager
def fenced(check: Check) -> Iterator[None]:
    """Let every change of a file inside the block ask `check` first."""
    token = CHECK.set(check)
    try:
        yield
    finally:
        CHECK.reset(token)


def ask() -> None:
    """Raise if this process has lost its lease."""
    check = CHECK.get()
    if check is not None:
        check()


def knows_conditions(url: Any) -> bool:
    """Whether the store replaces and deletes objects under a condition, and fsspec passes it on."""
    return "s3" in (url.fs.protocol if isinstance(url.fs.protocol, tuple) else (url.fs.protocol,))


def version(url: Any) -> str | None:
    """What identifies the object at a URL for a condition; None if there is none."""
    with as_os_errors(url):
        try:
            info = url.fs.info(url.path)
        except FileNotFoundError:
            return None
    return None if info["type"] == "directory" else str(info.get("ETag", ""))


def put(local: Path, url: Any, seen: str | None) -> bool:
    """Upload a file if the object at the URL is still the one `seen`, None for no object.

    Returns False if it is not. A store that knows no conditions replaces whatever is there.
    """
    with as_os_errors(url):
        if seen is None:
            try:
                if url.protocol == "memory":
                    url.fs.pipe_file(url.path, local.read_bytes(), mode="create")
                else:
                    url.fs.put_file(str(local), url.path, mode="create")
            except FileExistsError:
                return False
            except NotImplementedError:
                url.fs.put_file(str(local), url.path)
            return True
        if url.protocol == "memory":
            url.fs.pipe_file(url.path, local.read_bytes())
        elif knows_conditions(url) and local.stat().st_size < _AT_ONCE:
            return _held(lambda: url.fs.pipe_file(url.path, local.read_bytes(), IfMatch=seen))
        elif knows_conditions(url):
            return _replace_large(local, url, seen)
        else:
            url.fs.put_file(str(local), url.path)
        return True


def _replace_large(local: Path, url: Any, seen: str) -> bool:
    """Upload under another name, which takes long, and copy it within the store."""
    from .temporary import temporary_name

    beside = url.with_name(temporary_name(url))
    try:
        url.fs.put_file(str(local), beside.path)
        ask()
        return _held(lambda: url.fs.cp_file(beside.path, url.path, IfMatch=seen))
    finally:
        with suppress(OSError):
            url.fs.rm_file(beside.path)


def delete(url: Any, seen: str) -> bool:
    """Delete the object at a URL if it is still the one `seen`; False if it is not."""
    with as_os_errors(url):
        if not knows_conditions(url):
            url.fs.rm_file(url.path)
            return True
        bucket, key, _ = url.fs.split_path(url.path)
        done = _held(lambda: url.fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=seen))
        url.fs.invalidate_cache(url.path)
        return done


def _held(request: Callable[[], object]) -> bool:
    """Whether the condition of a request held; any other error is raised."""
    try:
        request()
    except FileNotFoundError:
        return False
    except OSError as error:
        cause: Any = error.__cause__
        code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            return False
        if error.errno == errno.EINVAL and "pre-condition" in str(error):
            return False
        raise
    return True
