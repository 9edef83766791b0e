"""What the command lines of both programs share: their voice.

Exit codes: 0 done, 1 a bug (or what was looked for is there), 2 refused, 130 stopped.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class

from ..errors import CellprepError, nearest

_SETTINGS = {"from_": "format", "format": "format of OUT"}
"""What an option is called in messages, where that is something else."""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


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
            if type(error).__name__ == "NoArgsIsHelpError":  # from click 8.2 on
                click.echo(error.format_message())
                sys.exit(0)
            where = getattr(error, "ctx", None)
            told = _said(error).rstrip(".")
            hint = f"see {where.command_path} --help" if where else ""
            _fail(f"{told}{' ' if told.endswith('?') else '; ' * bool(hint)}{hint}", 2)
        except click.Abort:
            _fail("stopped", 130)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


class OneOf(click.Choice):  # type: ignore[type-arg]
    """A value of a list, the nearest of which is named for another."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            name = param.opts[0] if isinstance(param, click.Option) else self.name
            hint = nearest(str(value), self.choices)
            raise click.UsageError(f"{name} got {value!r}; {hint}", ctx)
        return str(value)


def said(function: Callable[..., None], *, advice: str = "") -> Callable[..., None]:
    """Every failure as one line on standard error, `advice` after Ctrl-C."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            begins_anew = kwargs.get("dry_run") or kwargs.get("overwrite")
            _fail("stopped" + advice * (not begins_anew), 130)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe goes away
        except CellprepError as error:
            _fail(_as_options(str(error)), 2)
        except OSError as error:
            _fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 2)
        except MemoryError:
            _fail("not enough memory; use fewer --workers or a smaller --rows-per-shard", 2)
        except Exception as error:
            _fail(f"unexpected {type(error).__name__}: {error}; this is a bug, please report it", 1)

    return wrapper


resumable = functools.partial(said, advice="; the same command goes on from here")


def completion(program: str) -> click.Command:
    """The command that prints a program's completion script."""

    @click.command(
        help=f"""Print the script with which SHELL completes commands, options and values.

        \b
        Example: {program} completion bash > ~/.{program}-completion
                 echo '. ~/.{program}-completion' >> ~/.bashrc
        zsh:     the same into ~/.zshrc, after compinit
        fish:    the same into ~/.config/fish/completions/{program}.fish
        """,
        short_help="Print the completion script of a shell.",
    )
    @click.argument("shell", type=OneOf(["bash", "zsh", "fish"]), metavar="SHELL")
    @click.pass_context
    @said
    def command(ctx: click.Context, shell: str) -> None:
        kind = get_completion_class(shell)
        assert kind is not None
        variable = f"_{program.upper()}_COMPLETE"
        click.echo(kind(ctx.find_root().command, {}, program, variable).source())

    command.name = "completion"
    return command


def paint(text: str, *, err: bool = False, **style: Any) -> str:
    """The text in colour where a terminal shows it and nobody asked for none (NO_COLOR)."""
    stream = sys.stderr if err else sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else click.style(text, **style)


def fitted(line: str, *, err: bool = False) -> list[str]:
    """A line as it fits a terminal, broken between words; elsewhere it stays whole."""
    width = shutil.get_terminal_size().columns
    if not (sys.stderr if err else sys.stdout).isatty() or len(line) <= width:
        return [line]
    hang = max(len(line) - len(line.lstrip()) + 2, line[: width // 2].rfind("  ") + 2)
    indent = " " * hang
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _said(error: click.ClickException) -> str:
    """Click's message, an option that does not exist with the nearest one."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts]
        long = [name for name in known if name.startswith("--")]
        guess, _, _ = nearest(error.option_name, long).partition(" Allowed: ")
        return f"there is no option {error.option_name}; {guess}"
    return error.format_message()


def _as_options(message: str) -> str:
    """Settings that a message speaks of, such as overwrite=True, as options of the command.

    What stands between brackets is Python, and stays.
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


def _fail(message: str, code: int) -> NoReturn:
    one_line = printable(f"error: {' '.join(message.split())}")
    text = "\n".join(fitted(one_line, err=True)).removeprefix("error:")
    click.echo(paint("error:", err=True, fg="red", bold=True) + text, err=True)
    sys.exit(code)
