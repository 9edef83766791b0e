"""What the command lines share: a group that names the nearest command, errors of one line.

Exit codes: 0 done, 1 a bug (or what was looked for is there), 2 refused, 130 stopped.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from ..errors import CellprepError, nearest


class Commands(click.Group):
    """Commands, with the nearest name for one that does not exist, and errors of one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        try:
            code: Any = super().main(args, prog_name, complete_var, False, **extra)
        except click.ClickException as error:
            where = getattr(error, "ctx", None)
            hint = f"; see {where.command_path} --help" if where else ""
            _fail(error.format_message().rstrip(".") + hint, 2)
        except click.Abort:
            _fail("stopped; the same command goes on from here", 130)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def said(function: Callable[..., None]) -> Callable[..., None]:
    """Every failure as one line on standard error."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            _fail("stopped; the same command goes on from here", 130)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe goes away
        except CellprepError as error:
            _fail(str(error), 2)
        except OSError as error:
            _fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 2)
        except MemoryError:
            _fail("not enough memory; use fewer --workers or a smaller --rows-per-shard", 2)
        except Exception as error:
            _fail(f"unexpected {type(error).__name__}: {error}; this is a bug, please report it", 1)

    return wrapper


def _fail(message: str, code: int) -> NoReturn:
    one_line = " ".join(message.split())
    click.echo(f"error: {one_line.encode('utf-8', 'backslashreplace').decode()}", err=True)
    sys.exit(code)
