"""What the site needs beside mkdocs: pages from outside of docs/, and notes on blocks not run."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = {
    "benchmarks-method.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_ON_SITE = {path: page for page, path in OUTSIDE.items()} | {"README.md": "index.md"}
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    root = Path(config.config_file_path).parent
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri = page.file.src_uri
    folder = posixpath.dirname(OUTSIDE.get(uri, f"docs/{uri}"))

    def on_site(link: re.Match[str]) -> str:
        """A link of the repository as one of the site."""
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        target = _ON_SITE.get(path, path.removeprefix("docs/"))
        relative = posixpath.relpath(target, posixpath.dirname(uri) or ".")
        return f"]({relative}{link['anchor'] or ''})"

    markdown = re.sub(
        r"^( *)<!-- not run: (.+?) -->$",
        r'\1<p class="not-run">The tests do not run this: \2.</p>\n',
        markdown,
        flags=re.MULTILINE,
    )
    return _LINK.sub(on_site, markdown)
