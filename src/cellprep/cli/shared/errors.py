"""Every failure of a command as one line on standard error, with its exit code."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from ...errors import CellprepError, CellprepWarning
from .terminal import printable, styled, wrapped

_SETTINGS = {"from_": "format", "format": "format of OUT"}
"""Settings whose name in messages differs from that of the option."""


def one_line_errors(function: Callable[..., None], *, advice: str = "") -> Callable[..., None]:
    """Turn what a command raises into one line and an exit code; `advice` follows Ctrl-C."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        warnings.showwarning = _show_warning
        try:
            function(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            starts_over = kwargs.get("dry_run") or kwargs.get("overwrite")
            fail("interrupted" + advice * (not starts_over), 130)
        except BrokenPipeError:
            raise  # click exits quietly when the reader of a pipe has closed it
        except CellprepError as error:
            fail(_settings_as_options(str(error)), 2)
        except OSError as error:
            fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 2)
        except MemoryError:
            fail("not enough memory; use fewer --workers or a smaller --rows-per-shard", 2)
        except Exception as error:
            fail(f"internal error, please report it: {type(error).__name__}: {error}", 1)

    return wrapper


resumable = functools.partial(one_line_errors, advice="; run the same command again to continue")
"""`one_line_errors` for a command that continues where it was interrupted."""


def fail(message: str, code: int) -> NoReturn:
    """Print an error and exit."""
    _print("error:", message, "red")
    sys.exit(code)


_python_shows = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **to: Any) -> None:
    """Print a warning of cellprep in one line, others as Python does."""
    if issubclass(category, CellprepWarning):
        _print("note:", str(message), "yellow")
    else:
        _python_shows(message, category, *where, **to)


def _print(what: str, message: str, color: str) -> None:
    one_line = printable(f"{what} {' '.join(message.split())}")
    text = "\n".join(wrapped(one_line, err=True)).removeprefix(what)
    click.echo(styled(what, err=True, fg=color, bold=True) + text, err=True)


def _settings_as_options(message: str) -> str:
    """Settings that a message mentions, such as overwrite=True, as options of the command.

    Text in brackets is Python and stays unchanged.
    """
    context = click.get_current_context(silent=True)
    for option in context.command.params if context else ():
        if context and isinstance(option, click.Option) and option.name:
            flag, name = option.opts[0], _SETTINGS.get(option.name, option.name)
            if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                message = re.sub(rf"^`{option.name}`", f"`{flag}`", message)
            value, put = r"([\"']?)(\w+)\1", rf"{flag} \2"
            if option.is_flag:
                value, put = "True", flag
            message = re.sub(rf"(?<![(.\w])(?<!, ){name}={value}", put, message)
    return message
