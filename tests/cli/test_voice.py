"""What both programs have in common: dry runs, colours, completion, recipes to begin with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import cellmodels.cli
import cellprep as cp
import cellprep.cli
from cellprep.cli.demo_job import draw_input
from cellprep.cli.template import step_kinds, template
from cellprep.steps.step import Step
from cellprep.writing.forecast import forecast
from cellprep.writing.job import plan_write

PROGRAMS = {"cellprep": cellprep.cli.main, "cellmodels": cellmodels.cli.main}
RECIPE = """\
[[steps]]
step = "Dedupe"

[[steps]]
step = "Balance"

[[steps]]
step = "RandAugment"
"""


def run(*arguments, code=0, program="cellprep"):
    line = [str(argument) for argument in arguments]
    result = CliRunner().invoke(PROGRAMS[program], line, prog_name=program)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in line else result.output


def everything(folder):
    """Every path below a folder, with the bytes and the time of each file."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


def size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "cells.npz"
    draw_input(path, 400, seed=0)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, drawn):
    """A folder with cells and a recipe, and one for temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))
    Path("cells.npz").symlink_to(drawn)
    Path("recipe.toml").write_text(RECIPE)
    return tmp_path


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
def test_help_fits_a_screen_and_has_an_example(program, names, command):
    lines = run(*names, "--help", program=program).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    assert f"  Example: {' '.join([program, *names])}" in "\n".join(lines)
    assert not any(line.endswith("...") for line in lines[1:] if "OUT/val" not in line)


def test_an_option_means_the_same_everywhere():
    told = {}
    for _, names, command in COMMANDS:
        for option in command.params:
            if isinstance(option, click.Option) and option.opts[0] not in ("--train", "--data"):
                told.setdefault(option.opts[0], {})[names] = (option.help, type(option.type))
    shared = {"--seed", "--workers", "--executor", "--format", "--json", "--dry-run", "--overwrite"}
    assert shared <= told.keys()
    told["--seed"].pop(("run",))  # in place of the recipe's
    told["--batch-size"].pop(("train",))  # of the steps
    told["--images"].pop(("demo",))  # to draw
    for option, by_command in told.items():
        assert len(set(by_command.values())) == 1, (option, by_command)


@pytest.mark.parametrize("line", [("cellprep",), ("cellprep", "recipe"), ("cellmodels",)])
def test_a_bare_command_prints_its_help(line):
    program, *names = line
    assert run(*names, program=program) == run(*names, "--help", program=program)


def test_whatever_writes_a_data_set_or_trains_has_a_dry_run():
    have = {
        names[0]
        for _, names, command in COMMANDS
        if any(option.name == "dry_run" for option in command.params)
    }
    assert have == {"run", "convert", "split", "demo", "train", "compare"}


# -- dry runs ----------------------------------------------------------------------------------

WRITING = {
    "run": ("run", "recipe.toml", "cells.npz", "out"),
    "run to a new folder": ("run", "recipe.toml", "cells.npz", "new/folder/out"),
    "convert": ("convert", "cells.npz", "out"),
    "npz": ("convert", "cells.npz", "out.npz"),
    "medmnist": ("convert", "cells.npz", "out", "--format", "medmnist"),
    "folder": ("convert", "cells.npz", "out", "--format", "folder"),
    "webdataset": ("run", "recipe.toml", "cells.npz", "out", "--format", "webdataset"),
    "parquet": ("convert", "cells.npz", "out", "--format", "parquet"),
    "small parts": ("convert", "cells.npz", "out", "--rows-per-shard", "64"),
    "processes": ("convert", "cells.npz", "out", "--executor", "processes", "--workers", "2"),
}


@pytest.mark.parametrize("line", WRITING.values(), ids=WRITING)
def test_a_dry_run_tells_what_a_run_does_and_writes_nothing(here, line):
    before = everything(here)
    text = run(*line, "--dry-run")
    plan = run(*line, "--dry-run", "--json")
    assert everything(here) == before
    done = run(*line, "--json")
    out = (
        here / line[-1 if line[0] == "convert" and len(line) == 3 else 3 if line[0] == "run" else 2]
    )
    assert (plan["rows"], plan["path"]) == (done["rows"], done["path"])
    assert plan.get("steps") == done.get("steps")
    assert (plan["target"], plan["resumed"]) == ("absent", 0)
    near = 0.1 if plan["bytes_are_estimated"] else 0.005
    assert plan["bytes"] == pytest.approx(size(out), rel=near)
    assert ("~" in text) == plan["bytes_are_estimated"]
    assert f"{plan['rows']:,} images as " in text
    assert "a dry run: nothing was written" in text
    assert 0 < plan["seconds"] < 60
    again = run(*line, "--dry-run", "--json")
    assert again["resumed"] == (again["rows"] if again["target"] == "complete" else 0)


def test_a_dry_run_of_a_split_and_of_the_demo(here):
    before = everything(here)
    line = ("split", "cells.npz", "out", "--parts", "train=0.7,test=0.3")
    assert "out/test: " in run(*line, "--dry-run")
    plan = run(*line, "--dry-run", "--json")
    demo = run("demo", "--data", "cells.npz", "--out", "demo", "--dry-run", "--json")
    assert "from " in run("demo", "--images", 400, "--out", "demo", "--dry-run")
    assert everything(here) == before
    done = run(*line, "--json")
    for name, part in done.items():
        assert {k: plan[name][k] for k in ("rows", "classes", "why")} == {
            k: part[k] for k in ("rows", "classes", "why")
        }
        assert plan[name]["bytes"] == pytest.approx(size(here / "out" / name), rel=0.005)
    done = run("demo", "--data", "cells.npz", "--out", "demo", "--json")
    assert demo["steps"] == done["steps"]
    assert {n: p["rows"] for n, p in demo["parts"].items()} == {
        n: p["rows"] for n, p in done["parts"].items()
    }


def test_a_dry_run_sees_what_an_earlier_run_left(here, monkeypatch):
    from cellprep.formats import shards

    line = ("convert", "cells.npz", "out", "--rows-per-shard", "100")
    write = shards.NpyWriter.write_shard

    def dying(self, folder, number, blocks):
        if number == 2:
            raise KeyboardInterrupt
        return write(self, folder, number, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(shards.NpyWriter, "write_shard", dying)
        run(*line, "--workers", 1, code=130)
    before = everything(here)
    plan = run(*line, "--dry-run", "--json")
    assert (plan["target"], plan["resumed"], plan["parts"]) == ("unfinished", 200, 4)
    assert everything(here) == before
    assert "200 of them are there from an earlier run" in run(*line, "--dry-run")
    assert run(*line, "--json")["resumed"] == 200
    shard = here / "out" / "shard-00003.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run(*line, "--dry-run", "--json")["resumed"] == 300
    shard.unlink()
    assert run(*line, "--dry-run", "--json")["resumed"] == 300


@pytest.mark.parametrize(
    "line",
    [
        ("run", "recipe.toml", "cells.npz", "cells.npz"),
        ("convert", "cells.npz", "mine"),
        ("split", "cells.npz", "mine"),
        ("demo", "--out", "mine"),
        ("convert", "bad", "out"),
        ("split", "bad", "out"),
    ],
)
def test_a_dry_run_is_refused_as_a_run_is(here, line):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("mine")
    Path("bad/a").mkdir(parents=True)
    Path("bad/a/x.png").write_bytes(b"no image")
    assert run(*line, "--dry-run", code=2) == run(*line, code=2)


def test_bad_images_are_told_in_a_dry_run(here):
    from PIL import Image

    for name, image in zip("abcd", np.load("cells.npz")["images"][:4], strict=True):
        Path(f"in/{name > 'b'}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"in/{name > 'b'}/{name}.png")
    Path("in/True/e.png").write_bytes(Path("in/True/d.png").read_bytes()[:900])
    line = ("convert", "in", "out", "--on-error", "quarantine")
    text = run(*line, "--dry-run")
    assert "1 image that cannot be read would be left out:\n  BAD True/e.png: " in text
    plan, done = run(*line, "--dry-run", "--json"), run(*line, "--json")
    assert (plan["rows"], plan["bad"]) == (done["rows"], done["bad"])
    assert plan["bytes"] == pytest.approx(size(here / "out"), rel=0.02)


def test_large_images_make_a_small_sample(tmp_path):
    images = np.zeros((40, 1600, 1600, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, np.arange(40) % 2)
    found = forecast(plan_write(cells, tmp_path / "out"))
    assert found.sampled < 10
    assert found.bytes == pytest.approx(images.nbytes, rel=1e-3)


# -- in a terminal -----------------------------------------------------------------------------


def in_a_terminal(*line, **environment):
    """What a program prints to a terminal of 80 columns, its exit code before it."""
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
            except OSError:  # Linux has it that the other side is closed
                break
            if not piece:
                break
            seen += piece
    os.close(main)
    return run.returncode, seen.decode()


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_lines_break_between_words_in_a_terminal(here):
    long = "  CONFLICT     35 x  basophil 4, eosinophil 5, "
    for line in [("duplicates", "cells.npz"), ("recipe", "new", "-", "--steps", "Dedup")]:
        seen = in_a_terminal(*line, NO_COLOR="1", COLUMNS="80")[1].split("\r")[-12:]
        piped = " ".join(run(*line, code=1 if line[0] == "duplicates" else 2).split())
        assert max(len(text.strip("\n")) for text in seen) <= 80
        assert " ".join("".join(seen).split()) in piped
    assert len(long) < 80 < max(map(len, run("duplicates", "cells.npz", code=1).splitlines()))


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_colours_are_for_terminals(here):
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
    "cellmodels train --model eff": {"efficientnet_b0", "efficientnet_b2", "efficientnet_v2s"},
    "cellmodels evaluate --shifted m": {"microscopy"},
    "cellmodels com": {"compare", "completion"},
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(("line", "wanted"), COMPLETED.items(), ids=COMPLETED)
def test_bash_completes(line, wanted):
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
    assert set(done.stdout.split()) == wanted


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells(program, shell):
    script = run("completion", shell, program=program)
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in script


# -- recipes to begin with ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", step_kinds().values(), ids=step_kinds())
def test_a_new_recipe_has_the_defaults(kind):
    needed = {"size": 80} if kind is cp.Crop else {}
    text = template([kind, cp.Dedupe], seed=4)
    assert cp.Recipe.from_toml(text) == cp.Recipe([kind(**needed), cp.Dedupe()], seed=4)
    assert max(map(len, text.splitlines())) <= 84
    assert not {"None", "True", "optional", "``"} & set(text.replace(".", " ").split())


def test_a_new_recipe_says_what_each_setting_means(here):
    assert run("recipe", "new", "my recipe.toml") == (
        "my recipe.toml: 4 steps: Dedupe, Balance, KMeansMask, RandAugment\n"
    )
    text = Path("my recipe.toml").read_text()
    assert '# "drop", "majority" or "keep". What to do with a group' in text
    assert "# whole number or false. A group larger than this is an outlier" in text
    assert "[steps.jitter]\n\n# number. Largest angle in degrees" in text
    assert "# Other steps: Corrupt, Crop, Jitter." in text
    steps = [cp.Dedupe(), cp.Balance(), cp.KMeansMask(), cp.RandAugment()]
    assert cp.Recipe.from_toml(Path("my recipe.toml")) == cp.Recipe(steps)
    assert "is there already" in run("recipe", "new", "my recipe.toml", code=2)
    assert Path("my recipe.toml").read_text() == text
    found = run("recipe", "check", "my recipe.toml", "--json")
    assert [step["step"] for step in found["steps"]] == [type(step).__name__ for step in steps]
    assert "  Dedupe(on_conflict='drop'" in run("recipe", "check", "my recipe.toml")
    assert run("recipe", "new", "-", "--steps", "Jitter") == template([cp.Jitter])
    assert "did you mean 'Jitter'" in run("recipe", "new", "-", "--steps", "Jiter", code=2)


def test_every_setting_has_its_words():
    """A setting without an entry in its docstring cannot be written to a new recipe."""
    assert {kind for kind in Step.__subclasses__() if kind.__module__.startswith("cellprep.")} <= {
        *step_kinds().values()
    }
    text = template([*step_kinds().values()])
    assert text.count("step = ") == len(step_kinds())
