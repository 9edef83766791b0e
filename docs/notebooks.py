"""Notebooks of the pages that have the comment `<!-- notebook -->`: each block is a cell.

    python docs/notebooks.py out/notebooks             writes them
    python docs/notebooks.py out/notebooks --run       also runs them: outputs and pictures included

The site offers them for download as they are written, without outputs. What a page shows as the
output of a block is left out, as the notebook has its own; a picture that a block makes becomes a
cell that displays the file, named by `<!-- notebook shows: NAME -->` if the page shows another one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat

DOCS = Path(__file__).parent
MARK = "<!-- notebook -->"

SETUP = {  # the files that the tests of these pages are given
    "howto/folder.md": """
In place of your own images: a folder of synthetic ones, with masks, and a recipe.

```python
from pathlib import Path

from PIL import Image

import cellprep as cp
from cellprep.synthetic import CLASS_NAMES, draw_cells

images, labels = draw_cells([8] * len(CLASS_NAMES), seed=1)
for n, (image, label, mask) in enumerate(zip(images, labels, cp.segment(images))):
    name = f"{CLASS_NAMES[label]}/patient{n % 8}_{n:02}.png"
    for folder, picture in (("smears", image), ("drawn", mask)):
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(Path(folder, name))
cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=3)], seed=0).to_toml("recipe.toml")
```
""",
    "howto/pytorch.md": """
In place of your own images: 400 synthetic cells, some of them copies. PyTorch must be installed.

```python
import numpy as np
from cellprep.synthetic import CLASS_NAMES, draw_messy_set

images, labels = draw_messy_set(400, seed=0)
np.savez("train_data.npz", images=images, labels=labels, class_names=CLASS_NAMES)
```
""",
}

_STRICT = """
def _strict(command, shell=get_ipython(), run=get_ipython().system):
    run(command)
    if shell.user_ns["_exit_code"]:
        raise RuntimeError(f"{command} failed")
get_ipython().system = _strict
"""
_SHOWS = "notebook shows: "
_BLOCK = re.compile(  # and its output
    r"^```(?P<language>python|sh)\n(?P<code>(?s:.*?))^```\n"
    r"(?:\n?(?:<!-- numbers within .+ -->\n)?```text\n(?s:.*?)^```\n)?",
    re.MULTILINE,
)
_PICTURE = re.compile(
    rf"^(?:<!-- {_SHOWS}(?P<made>\S+) -->\n)?"
    r"(?:\[!\[[^\]]*\]\((?P<linked>[^)]+)\)\]\([^)]+\)|!\[[^\]]*\]\((?P<shown>[^)]+)\))$",
    re.MULTILINE,
)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def pages() -> list[str]:
    """The pages that are notebooks too, relative to docs/."""
    found = (page for page in DOCS.rglob("*.md") if MARK in page.read_text("utf-8"))
    return sorted(page.relative_to(DOCS).as_posix() for page in found)


def name(page: str) -> str:
    """The file name of a page's notebook."""
    return f"{Path(page).stem}.ipynb"


def notebook(page: str) -> nbformat.NotebookNode:
    """A page as a notebook, which has not been run."""
    made = jupytext.reads(_as_cells(page), fmt="md")
    for number, cell in enumerate(made.cells):
        cell.id = f"{number:03}"  # the same in every build
    made.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.validate(made)
    return made


def _as_cells(page: str) -> str:
    """The page in jupytext's Markdown, whose `python` blocks are cells."""
    text = (DOCS / page).read_text("utf-8")
    title, _, rest = text[text.index("# ") :].partition("\n")
    if page in SETUP:
        rest = f"\n{SETUP[page].strip()}\n{rest}"
    shown = _PICTURE.sub(_display, rest)
    cells = _BLOCK.sub(_cell, shown)
    words = re.sub(r"<!-- .*? -->\n?", "", cells)
    return f"{title}\n{_LINK.sub(lambda link: link[1], words)}"  # the other pages are not beside it


def _display(picture: re.Match[str]) -> str:
    """A cell that shows the file that an earlier one has made."""
    file = picture["made"] or picture["linked"] or picture["shown"]
    before = _BLOCK.findall(picture.string[: picture.start()])
    if not any(file in code for _, code in before):
        raise ValueError(f"no block above the picture makes {file!r}")
    return f"```python\nfrom IPython.display import Image\n\nImage({file!r})\n```"


def _cell(block: re.Match[str]) -> str:
    """A block of a page as a cell, without its output."""
    code = block["code"]
    if block["language"] == "sh":
        code = "".join(f"!{line}\n" for line in code.splitlines())
    return f"```python\n{code}```\n"


def run(made: nbformat.NotebookNode) -> None:
    """Run all cells in an empty folder; a cell or command that fails raises."""
    from nbclient import NotebookClient

    commands = Path(sys.executable).parent  # cellprep is installed there
    env = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        resources: dict[str, Any] = {"metadata": {"path": folder}}
        made.cells.insert(0, nbformat.v4.new_code_cell(_STRICT))
        NotebookClient(made, timeout=None, resources=resources).execute(env=env)
        del made.cells[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", action="store_true", help="with outputs and pictures")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for page in pages():
        made = notebook(page)
        if given.run:
            run(made)
        nbformat.write(made, given.out / name(page))
        print(given.out / name(page))


if __name__ == "__main__":
    main()
