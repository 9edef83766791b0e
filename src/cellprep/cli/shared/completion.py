"""The command that prints a program's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .errors import one_line_errors
from .options import OneOf


def completion(program: str) -> click.Command:
    """The command `completion` of a program."""

    @click.command(
        help=f"""Print a script for SHELL that completes commands, options and values.

        \b
        Example: {program} completion bash > ~/.{program}-completion
                 echo '. ~/.{program}-completion' >> ~/.bashrc
        zsh:     the same in ~/.zshrc, after compinit
        fish:    the same in ~/.config/fish/completions/{program}.fish
        """,
        short_help="Print the completion script of a shell.",
    )
    @click.argument("shell", type=OneOf(["bash", "zsh", "fish"]), metavar="SHELL")
    @click.pass_context
    @one_line_errors
    def command(ctx: click.Context, shell: str) -> None:
        kind = get_completion_class(shell)
        assert kind is not None
        variable = f"_{program.upper()}_COMPLETE"
        script = kind(ctx.find_root().command, {}, program, variable).source()
        # Click's script for fish cuts off a value that contains a comma.
        click.echo(script.replace('string split ","', 'string split --max 1 ","'))

    command.name = "completion"
    return command
