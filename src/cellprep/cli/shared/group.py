"""The click group of a program: errors in one line, suggestions for misspelt names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from ...errors import nearest
from ...system.platform import escape_what_the_terminal_cannot_show
from .errors import fail

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
"""The context settings of a program's group."""


class Commands(click.Group):
    """A group whose errors are one line and name the nearest command or option."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        escape_what_the_terminal_cannot_show()
        try:
            code: Any = super().main(args, prog_name, complete_var, False, **extra)
        except click.ClickException as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # from click 8.2 on
                click.echo(error.format_message())
                sys.exit(0)
            context = getattr(error, "ctx", None)
            message = _message(error).rstrip(".")
            hint = f"see {context.command_path} --help" if context else ""
            fail(f"{message}{' ' if message.endswith('?') else '; ' * bool(hint)}{hint}", 2)
        except click.Abort:
            fail("interrupted", 130)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def _message(error: click.ClickException) -> str:
    """Click's message; for an unknown option, with the nearest known one."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts]
        long = [name for name in known if name.startswith("--")]
        guess, _, _ = nearest(error.option_name, long).partition(" Allowed: ")
        return f"there is no option {error.option_name}; {guess}"
    return error.format_message()
