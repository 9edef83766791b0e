"""Extensions of the site: pages from outside docs/, --help texts, notes on blocks not run."""

from __future__ import annotations

import importlib
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import nbformat
from mkdocs.structure.files import File, Files

sys.path.append(str(Path(__file__).parent))
import notebooks

OUTSIDE = {
    "benchmarks-method.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
STEPS = Path(__file__).parent / "steps"
_ON_SITE = {path: page for page, path in OUTSIDE.items()} | {"README.md": "index.md"}
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    root = Path(config.config_file_path).parent
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(root / path)))
    for page in notebooks.pages():
        text = nbformat.writes(notebooks.notebook(page)) + "\n"
        files.append(File.generated(config, f"notebooks/{notebooks.name(page)}", content=text))
    return files


def on_config(config: Any) -> Any:
    """Add step pages that the navigation does not list to the end of its section "Steps"."""
    section = next(entry["Steps"] for entry in config.nav if "Steps" in entry)
    section += [{title: f"steps/{page}"} for page, title in unlisted_steps(str(section)).items()]
    return config


def unlisted_steps(text: str) -> dict[str, str]:
    """The pages of steps to which a text has no link, and their titles."""
    pages = sorted(STEPS.glob("*.md"))
    titles = {page.name: page.read_text("utf-8").partition("\n")[0].strip("# ") for page in pages}
    return {page: title for page, title in titles.items() if page not in (text + "index.md")}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri == "steps/index.md":
        others = [f"[{title}]({uri})" for uri, title in unlisted_steps(markdown).items()]
        markdown += f"\nFurther steps: {', '.join(others)}.\n" * bool(others)
    for pattern, text in _COMMENTS.items():
        markdown = re.sub(rf"^( *)<!-- {pattern} -->$", text, markdown, flags=re.MULTILINE)
    uri = page.file.src_uri
    markdown = markdown.replace(notebooks.MARK, _download(uri))
    folder = posixpath.dirname(OUTSIDE.get(uri, f"docs/{uri}"))

    def on_site(link: re.Match[str]) -> str:
        """A link within the repository as a link within the site."""
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        target = _ON_SITE.get(path, path.removeprefix("docs/"))
        relative = posixpath.relpath(target, posixpath.dirname(uri) or ".")
        return f"]({relative}{link['anchor'] or ''})"

    return _LINK.sub(on_site, markdown)


def _download(uri: str) -> str:
    """The line of a page with its notebook."""
    path = posixpath.relpath(f"notebooks/{notebooks.name(uri)}", posixpath.dirname(uri) or ".")
    return f'<p class="notebook"><a href="{path}" download>This page as a notebook</a></p>\n'


def _help_of(comment: re.Match[str]) -> str:
    module = comment[2]
    return "\n".join(_helps(importlib.import_module(module).main, module.split(".")[0]))


def _helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """The heading and help text of a command, then of its subcommands."""
    context = command.make_context(name, [], parent, resilient_parsing=True)
    path = context.command_path
    yield f"{'#' * (path.count(' ') + 2)} {path}\n"
    yield f"```text\n{click.unstyle(command.get_help(context))}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _helps(command.commands[inner], inner, context)


_COMMENTS: dict[str, Any] = {
    "numbers within .+": "",
    "help: (.+?)": _help_of,
    "not run: (.+?)": r'\1<p class="not-run">The tests do not run this: \2.</p>\n',
}
