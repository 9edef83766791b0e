"""Promises of the package as a whole: light to import, layered, typed, documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import cellmodels
import cellprep as cp
from cellprep import arrays, errors

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [getattr(package, name) for package in (cp, cellmodels) for name in package.__all__]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INTERNAL = ("kernels", "plan", "system")
"""Folders that no other package imports from, whatever their modules list in `__all__`."""


@pytest.mark.parametrize("package", ["cellprep", "cellmodels"])
def test_import_loads_no_heavy_library(package) -> None:
    heavy = (
        "tensorflow",
        "ray",
        "jax",
        "sklearn",
        "keras",
        "keras_cv",
        "numba",
        "pandas",
        "pyarrow",
        "cv2",
        "skimage",
        "jinja2",
        "matplotlib",
        "tqdm",
        "scipy",
        "fsspec",
        "upath",
        "torch",
        "datasets",
        "imblearn",
        "imagehash",
        "pywt",
    )
    code = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", [cp, cellmodels], ids=lambda package: package.__name__)
def test_all_lists_exactly_the_public_names_sorted(package) -> None:
    assert package.__all__ == sorted(package.__all__)
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(package.__all__)


@pytest.mark.parametrize("module", [arrays, errors], ids=lambda module: module.__name__)
def test_functions_of_public_modules_have_an_example(module) -> None:
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in module.__all__:
        member = getattr(module, name)
        assert not inspect.isfunction(member) or ">>>" in (inspect.getdoc(member) or ""), name


@pytest.mark.parametrize("member", PUBLIC, ids=lambda member: member.__name__)
def test_public_names_are_documented(member) -> None:
    documentation = inspect.getdoc(member)
    assert documentation
    if inspect.isfunction(member):
        for name, parameter in inspect.signature(member).parameters.items():
            assert parameter.annotation is not inspect.Parameter.empty
            named = f"{name} :" in documentation or f"*{name}" in documentation
            of_the_step = "settings as in `" in documentation.replace("\n", " ")
            assert named or of_the_step or len(inspect.signature(member).parameters) <= 2


@pytest.mark.parametrize(
    "function", [f for f in PUBLIC if inspect.isfunction(f)], ids=lambda function: function.__name__
)
def test_options_are_keyword_only(function) -> None:
    data = ("images", "labels", "dataset", "path", "a", "b", "at", "size", "class_names")
    data += ("model", "train", "val", "data", "table", "out", "maps", "masks", "probabilities")
    data += ("name", "n_classes", "input_shape", "suite", "profile")
    data += ("features", "other", "other_features")
    for name, parameter in inspect.signature(function).parameters.items():
        assert name in data or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)


# -- architecture ------------------------------------------------------------------------------


def test_imports_follow_the_contracts() -> None:
    """Layers import downwards only and there are no cycles; see pyproject.toml."""
    # In its own process: Import Linter closes the standard output.
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layer_table_in_the_documentation_matches_the_contract() -> None:
    """One row per layer, top to bottom, starting with the folder names in code marks."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "cellprep")
    depth = {name: n for n, layer in enumerate(layers) for name in layer.split(" | ")}
    section = (ROOT / "docs" / "design.md").read_text().partition("\n## Layers\n")[2]
    table = re.search(r"^\|.*?\n(?!\|)", section, re.MULTILINE | re.DOTALL)
    assert table, "docs/design.md has no table below '## Layers'"
    first_cells = [row.split("|")[1] for row in table[0].splitlines()]
    names = [name for cell in first_cells for name in re.findall(r"`(\w+)/?`", cell)]
    assert sorted(names) == sorted(depth)
    assert names == sorted(names, key=depth.__getitem__)


def test_the_root_of_the_package_has_at_most_14_entries() -> None:
    ignored = {"__init__.py", "_version.py", "py.typed", "__pycache__"}
    entries = {entry.name for entry in (ROOT / "src" / "cellprep").iterdir()} - ignored
    assert len(entries) <= 14, sorted(entries)


def imports_of_cellprep(file: Path) -> Iterator[tuple[str, str]]:
    """Module and name of every import from cellprep, imports inside functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            if (node.module or "").partition(".")[0] == "cellprep":
                yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.startswith("cellprep."))


def test_only_public_names_of_cellprep_are_imported() -> None:
    internal = []
    for folder in (ROOT / "src" / "cellmodels", ROOT / "examples"):
        for file in folder.rglob("*.py"):
            for module, name in imports_of_cellprep(file):
                public = getattr(importlib.import_module(module), "__all__", ())
                if name not in public or module.split(".")[1:2] in [[layer] for layer in INTERNAL]:
                    internal.append(f"{file.relative_to(ROOT)}: {module}.{name}")
    assert not internal, "\n".join(internal)


# -- the packages as they are installed ---------------------------------------------------------


def test_versions_agree() -> None:
    """One version, in `_version.py`: the package and the changelog have the same one."""
    assert "version" in PROJECT["project"]["dynamic"]
    source = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert source == ROOT / "src" / "cellprep" / "_version.py"
    assert f'__version__ = "{cp.__version__}"' in source.read_text()
    assert f"## {cp.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("package", [cp, cellmodels], ids=lambda package: package.__name__)
def test_packages_are_typed_and_every_module_imports(package) -> None:
    assert (Path(package.__file__).parent / "py.typed").is_file()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


@pytest.mark.parametrize("package", [cp, cellmodels], ids=lambda package: package.__name__)
def test_a_notebook_offers_public_names_only(package) -> None:
    assert {*dir(package)} - {"__version__"} == {*package.__all__}


def test_the_workflow_runs_every_version_of_python_that_is_declared() -> None:
    versions = [c.split()[-1] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert f"python: {versions}".replace("'", '"') in workflow
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"


def test_the_citation_has_what_its_format_requires_and_no_second_version() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["project"]["license"]
    assert "version" not in citation  # it is in `_version.py`


def test_every_version_after_the_first_states_what_changes_for_its_users() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    *later, first = re.split(r"^## (?=\S)", text, flags=re.MULTILINE)[1:]
    assert first.startswith("0.1.0")
    assert [part.split()[0] for part in later if "### What changes for you" not in part] == []
