"""Runs the pages of the documentation: their blocks in order, in one namespace per page.

`python` blocks are executed, `pycon` blocks compared as doctests, `sh` blocks run line by line. A
`text` block after one of them must equal its output; "..." matches anything, and
`<!-- numbers within 0.1 -->` on the line before sets a tolerance for numbers. A block with
`title="name"` becomes a file for the page's commands. If the page writes a picture with the name of
one that it shows, the two are compared. `<!-- not run: why -->` on the line before a block skips
it; `<!-- needs: torch -->` anywhere skips the page if the library is missing.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops, ImageStat

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ["howto/folder.md", "howto/pytorch.md", "howto/saliency.md", "tutorial.md"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?:[ ]*<!-- (?:not run: (?P<why>.+?)|numbers within (?P<within>[\d.]+)) -->\n)?"
    r"(?P<indent>[ ]*)```(?P<language>\S*)(?P<rest>.*)\n(?P<code>(?s:.*?))^(?P=indent)```[ ]*$",
    re.MULTILINE,
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
_EXIT_1 = re.compile(r"#.*exit code 1")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    code: str
    line: int  # of its first line of code
    title: str  # the name of the file to write, or ""
    why: str  # why it is not run, or ""
    within: float  # tolerance for numbers
    alone: bool  # whether there is text between it and the previous block


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found, end = [], 0
    for match in _BLOCK.finditer(text):
        title = re.search(r'title="([^"]+)"', match["rest"])
        found.append(
            Block(
                match["language"],
                dedent(match["code"]),
                text.count("\n", 0, match.start("code")) + 1,
                title[1] if title else "",
                match["why"] or "",
                float(match["within"] or 0),
                bool(text[end : match.start()].strip()),
            )
        )
        end = match.end()
    assert len(found) * 2 == len(re.findall(r"^ *```", text, re.MULTILINE)), page
    return found


def needed(page: Path) -> list[str]:
    """The libraries that a page needs."""
    listed = re.findall(r"<!-- needs: (.+?) -->", page.read_text("utf-8"))
    return [library.strip() for names in listed for library in names.split(",")]


def run(page: Path, names: dict[str, Any]) -> None:
    """Run the blocks of a page in the current folder; a failure states the line of its block."""
    every = blocks(page)
    for block in every:
        if block.title:
            Path(block.title).write_text(block.code, "utf-8")
    printed = None
    for block in every:
        printed = _run(block, page, names, printed)
    for shown in re.findall(r"!\[.*?\]\((.+?)\)", page.read_text("utf-8")):
        if Path(Path(shown).name).exists():
            _same_picture(Path(Path(shown).name), page.parent / shown)


def _run(block: Block, page: Path, names: dict[str, Any], before: str | None) -> str | None:
    """The output of the block, if it is run; `before` is that of the previous block."""
    where = f"{name(page)}, line {block.line}"
    code = block.code.replace("s3://", "memory://")
    if block.why:
        return None
    match block.language:
        case "python":
            printed = io.StringIO()
            program = compile("\n" * (block.line - 1) + code, str(page), "exec")
            with contextlib.redirect_stdout(printed):
                exec(program, names)
            return printed.getvalue()
        case "pycon":
            _compare(code, where, names)
        case "sh":
            return "".join(_command(line, where) for line in _lines(code))
        case "text" if before is not None and not block.alone:
            same(code, before, block.within, where)
        case "toml":
            tomllib.loads(code)
        case other:
            assert other == "text", f"{where}: cannot run {other!r}"
    return None


def _compare(code: str, where: str, names: dict[str, Any]) -> None:
    report: list[str] = []
    example = doctest.DocTestParser().get_doctest(code, names, where, where, 0)
    example.globs = names
    runner = doctest.DocTestRunner(optionflags=_FLAGS)
    runner.run(example, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)


def same(shown: str, printed: str, within: float, where: str) -> None:
    pattern = shown
    if within:
        a, b = (np.array(_NUMBER.findall(text), float) for text in (shown, printed))
        if len(a) == len(b) and (abs(a - b) <= within).all():
            pattern = _NUMBER.sub("...", shown)
    equal = doctest.OutputChecker().check_output(pattern, printed, _FLAGS)
    assert equal, f"{where}: the page shows\n{shown}\nbut the output is\n{printed}"


def _same_picture(made: Path, shown: Path) -> None:
    with Image.open(made) as new, Image.open(shown) as old:
        pictures = [new.convert("L"), old.convert("L")]
    assert pictures[0].size == pictures[1].size, f"{shown} has a different size"
    difference = ImageStat.Stat(ImageChops.difference(*pictures)).mean[0]
    assert difference < 2, f"the page makes a different {shown}: {difference:.1f} levels apart"


def _lines(code: str) -> Iterator[str]:
    for line in code.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _command(line: str, where: str) -> str:
    """The output of a command. Exit code 1 is allowed if its comment announces it."""
    words = shlex.split(line, comments=True)
    if words[0] in ("pip", "make"):
        _exists(words, where)
        return ""
    if words[0] in ("cellprep", "cellmodels") and not {"|", ">", "&&", ";"} & set(words):
        done = CliRunner().invoke(_program(words[0]), words[1:])
        crash, code, output = done.exc_info, done.exit_code, done.output
        assert crash is None or crash[0] is SystemExit, f"{where}: {line}\n{crash}"
    else:
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False
        )
        code, output = ran.returncode, ran.stdout + ran.stderr
    allowed = (0, 1) if _EXIT_1.search(line) else (0,)
    assert code in allowed, f"{where}: {line}\nexit code {code}\n{output}"
    return output


def _program(name: str) -> click.Command:
    if name == "cellmodels":
        pytest.importorskip("keras")
        from cellmodels.cli import main
    else:
        from cellprep.cli import main
    return main


def _exists(words: list[str], where: str) -> None:
    """Check the extra that pip would install, or the target of make."""
    if words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        asked = [extra for word in words for extra in re.findall(r"\[(.+?)\]", word)]
        for extra in ",".join(asked).split(",") if asked else ():
            assert extra in project["optional-dependencies"], f"{where}: no extra {extra!r}"
    else:
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        for word in words[1:]:
            assert "=" in word or word in targets, f"{where}: make has no {word!r}"
