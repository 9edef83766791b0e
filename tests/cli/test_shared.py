"""What all commands of both programs share: help, options, colours, completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import cellprep as cp

from .helpers import PROGRAMS, run

# -- every command -----------------------------------------------------------------------------


def commands(group, *names):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        yield (*names, name), command


COMMANDS = [
    (program, names, command)
    for program, group in PROGRAMS.items()
    for names, command in commands(group)
]


@pytest.mark.parametrize(
    ("program", "names", "command"), COMMANDS, ids=[" ".join([p, *n]) for p, n, _ in COMMANDS]
)
def test_help_fits_a_screen_and_shows_an_example(program, names, command):
    lines = run(*names, "--help", program=program).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert f"  Example: {' '.join([program, *names])}" in "\n".join(lines)
    assert not any(line.endswith("...") for line in lines[1:] if "OUT/val" not in line)


def test_an_option_has_one_meaning_in_all_commands():
    meanings = {}
    for _, names, command in COMMANDS:
        for option in command.params:
            if isinstance(option, click.Option) and option.opts[0] not in ("--train", "--data"):
                meanings.setdefault(option.opts[0], {})[names] = (option.help, type(option.type))
    shared = {"--seed", "--workers", "--executor", "--format", "--json", "--dry-run", "--overwrite"}
    assert shared <= meanings.keys()
    meanings["--seed"].pop(("run",))  # overrides the recipe's
    meanings["--batch-size"].pop(("train",))  # of training steps
    meanings["--classes"].pop(("predict",))  # without labels, none are known to be present
    meanings["--images"].pop(("demo",))  # number of synthetic cells
    meanings["--images"].pop(("train",))  # as many are trained on
    for option, by_command in meanings.items():
        assert len(set(by_command.values())) == 1, (option, by_command)


@pytest.mark.parametrize("line", [("cellprep",), ("cellprep", "recipe"), ("cellmodels",)])
def test_a_group_without_command_prints_its_help(line):
    program, *names = line
    assert run(*names, program=program) == run(*names, "--help", program=program)


def test_commands_that_write_or_train_have_a_dry_run():
    have = {
        names[0]
        for _, names, command in COMMANDS
        if any(option.name == "dry_run" for option in command.params)
    }
    assert have == {"run", "convert", "split", "demo", "train", "compare"}


# -- in a terminal -----------------------------------------------------------------------------


def in_a_terminal(*line, **environment):
    """Exit code and output of a program in a terminal of 80 columns."""
    import pty

    program = Path(sys.executable).with_name("cellprep")
    main, side = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    env |= {"TERM": "xterm", **environment}
    with subprocess.Popen([program, *line], stdin=side, stdout=side, stderr=side, env=env) as run:
        os.close(side)
        seen = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:  # on Linux: the other side is closed
                break
            if not piece:
                break
            seen += piece
    os.close(main)
    return run.returncode, seen.decode()


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_terminal_lines_break_between_words(here):
    long = "  CONFLICT     35 x  basophil 4, eosinophil 5, "
    for line in [("duplicates", "cells.npz"), ("recipe", "new", "-", "--steps", "Dedup")]:
        seen = in_a_terminal(*line, NO_COLOR="1", COLUMNS="80")[1].split("\r")[-12:]
        piped = " ".join(run(*line, code=1 if line[0] == "duplicates" else 2).split())
        assert max(len(text.strip("\n")) for text in seen) <= 80
        assert " ".join("".join(seen).split()) in piped
    assert len(long) < 80 < max(map(len, run("duplicates", "cells.npz", code=1).splitlines()))


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_colours_only_in_terminals(here):
    code, seen = in_a_terminal("duplicates", "cells.npz")
    assert code == 1
    assert "\x1b[31m  CONFLICT\x1b[0m" in seen
    assert "\x1b[1mcells.npz: " in seen
    code, seen = in_a_terminal("duplicates", "no.npz")
    assert code == 2
    assert "\x1b[31m\x1b[1merror:\x1b[0m there is no file" in seen
    for line, environment in [
        (("duplicates", "cells.npz"), {"NO_COLOR": "1"}),
        (("duplicates", "cells.npz"), {"TERM": "dumb"}),
        (("duplicates", "cells.npz", "--json"), {}),
        (("duplicates", "cells.npz", "--csv"), {}),
    ]:
        assert "\x1b" not in in_a_terminal(*line, **environment)[1]
    assert "\x1b" not in run("duplicates", "cells.npz", code=1)


# -- completion --------------------------------------------------------------------------------

COMPLETED = {
    "cellprep du": {"duplicates"},
    "cellprep recipe n": {"new"},
    "cellprep run --dr": {"--drawn", "--dry-run"},
    "cellprep convert --format ": {*cp.formats.FORMATS},
    "cellprep verify --executor t": {"threads"},
    "cellprep duplicates --hash a": {"ahash"},
    "cellprep recipe new --steps KM": {"KMeansMask"},
    "cellprep recipe new --steps Dedupe,Ra": {"Dedupe,RandAugment"},
    "cellmodels train --model efficientnet_b": {"efficientnet_b0", "efficientnet_b2"},
    "cellmodels evaluate --shifted m": {"microscopy"},
    "cellmodels com": {"compare", "completion"},
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(("line", "expected"), COMPLETED.items(), ids=COMPLETED)
def test_bash_completes(line, expected):
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        eval "$({words[0]} completion bash)"
        function=$(complete -p {words[0]} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
        $function {words[0]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_of_other_shells(program, shell):
    script = run("completion", shell, program=program)
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in script
