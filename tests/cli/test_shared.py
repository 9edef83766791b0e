"""What all commands of both programs share: help, options, colours, completion."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import cellprep as cp

from .helpers import PROGRAMS, run

_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

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


def example(lines):
    """The example in a command's help, which is on one line to be copied."""
    at = next(k for k, line in enumerate(lines) if line.startswith("  Example:"))
    return (lines[at].removeprefix("  Example:").strip() or lines[at + 1].strip()).rstrip()


@pytest.mark.parametrize(
    ("program", "names", "command"), COMMANDS, ids=[" ".join([p, *n]) for p, n, _ in COMMANDS]
)
def test_help_fits_a_screen_and_shows_an_example(program, names, command):
    lines = run(*names, "--help", program=program).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert example(lines).startswith(" ".join([program, *names]))
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
    assert run(*names, program=program).startswith(run(*names, "--help", program=program))


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


@pytest.mark.unix("no pseudo-terminals")
def test_terminal_lines_break_between_words(here):
    long = "  CONFLICT     35 x  basophil 4, eosinophil 5, "
    for line in [("duplicates", "cells.npz"), ("recipe", "new", "-", "--steps", "Dedup")]:
        seen = in_a_terminal(*line, NO_COLOR="1", COLUMNS="80")[1].split("\r")[-12:]
        piped = " ".join(run(*line, code=1 if line[0] == "duplicates" else 2).split())
        assert max(len(text.strip("\n")) for text in seen) <= 80
        assert " ".join("".join(seen).split()) in piped
    assert len(long) < 80 < max(map(len, run("duplicates", "cells.npz", code=1).splitlines()))


@pytest.mark.unix("no pseudo-terminals")
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


@pytest.mark.slow
def test_examples_work_after_the_demo(tmp_path):
    """Each as printed, in a real shell; models are trained before they are used."""
    texts = {
        (program, *names): example(run(*names, "--help", program=program).splitlines())
        for program, names, _ in COMMANDS
        if names != ("completion",)
    }
    first = [("cellmodels", "train")]
    lines = ["cellprep demo --images 400", *(texts.pop(name) for name in first), *texts.values()]
    table = tmp_path / "out" / "demo" / "table.toml"
    for line in lines:
        if line.startswith("cellmodels train"):
            line += " --epochs 1"
        if line.startswith("cellmodels compare"):
            table.write_text(table.read_text().replace("images = 6000", "images = 600"))
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env={**os.environ, "PATH": _PATH}, capture_output=True
        )
        found = done.returncode == 1 and line.split()[1] in ("duplicates", "leaks")
        assert done.returncode == 0 or found, (line, done.stdout, done.stderr)


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
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": _PATH}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
@pytest.mark.parametrize(("line", "expected"), COMPLETED.items(), ids=COMPLETED)
def test_fish_completes(line, expected, tmp_path):
    program = line.split(" ")[0]
    script = f"{program} completion fish | source; complete -C '{line}'"
    home = {"HOME": str(tmp_path), "PATH": _PATH}
    done = subprocess.run(
        ["fish", "-c", script], env={**os.environ, **home}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {each.split("\t")[0] for each in done.stdout.splitlines()} == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize("line", [line for line, found in COMPLETED.items() if len(found) == 1])
def test_zsh_completes(line, tmp_path):
    """In an interactive shell in a terminal, by the tabulator key."""
    import pty

    (expected,) = COMPLETED[line]
    program, *_, word = line.split(" ")
    (tmp_path / ".zshrc").write_text(
        f"autoload -Uz compinit; compinit -u\neval \"$({program} completion zsh)\"\nPS1='ready>'\n"
    )
    environment = {**os.environ, "PATH": _PATH, "ZDOTDIR": str(tmp_path), "TERM": "dumb"}
    child, terminal = pty.fork()
    if not child:
        os.execvpe("zsh", ["zsh", "-i"], environment)
    try:
        seen = _until(terminal, "ready>")
        os.write(terminal, f"{line}\t".encode())
        seen = _until(terminal, f"{line.removesuffix(word)}{expected}")
        assert "error" not in seen
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(child, 0)


def _until(terminal, text):
    """Read from a terminal until this text has appeared; a silent one fails instead of hanging."""
    seen = ""
    while text not in seen:
        assert select.select([terminal], [], [], 120)[0], seen
        seen += os.read(terminal, 1024).decode(errors="replace")
    return seen
