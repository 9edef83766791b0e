"""What the package as a whole promises: light, typed, documented, one voice."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cellmodels
import cellprep as cp

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [getattr(package, name) for package in (cp, cellmodels) for name in package.__all__]
# Bottom up, as docs/design.md has them; cellmodels stands on all of cellprep.
LAYERS = {
    "cellprep": [
        ["errors", "place", "arrays", "draws", "streams"],
        ["kernels"],
        ["ray_engine"],
        ["executors"],
        ["rows", "rules"],
        ["source", "measures"],
        ["plan"],
        ["dataset", "near", "duplicates", "split"],
        ["keras_cv_engine", "steps"],
        ["formats"],
        ["locks", "verify"],
        ["duplicate_index", "recipe", "functions", "records", "destination", "replay"],
        ["parts", "repair", "write"],
        ["interop"],
        ["template", "forecast"],
        ["synthetic", "examples", "contact_sheet", "inspect", "report", "demo", "cli"],
    ],
    "cellmodels": [
        ["devices", "metrics", "data", "figures"],
        ["backbones", "files", "loader"],
        ["train", "evaluate", "saliency"],
        ["forecast"],
        ["compare"],
        ["cli"],
    ],
}
# The methods of a Dataset that hand it to other libraries, and take theirs.
REACHES_UP = ("dataset", "interop")


@pytest.mark.parametrize("package", ["cellprep", "cellmodels"])
def test_import_is_light(package) -> None:
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
def test_all_is_sorted_complete_and_nothing_else(package) -> None:
    assert package.__all__ == sorted(package.__all__)
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(package.__all__)


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_public_names_are_documented(thing) -> None:
    documentation = inspect.getdoc(thing)
    assert documentation
    if inspect.isfunction(thing):
        for name, parameter in inspect.signature(thing).parameters.items():
            assert parameter.annotation is not inspect.Parameter.empty
            named = f"{name} :" in documentation or f"*{name}" in documentation
            of_the_step = "the settings are those of" in documentation.replace("\n", " ")
            assert named or of_the_step or len(inspect.signature(thing).parameters) <= 2


@pytest.mark.parametrize(
    "function", [f for f in PUBLIC if inspect.isfunction(f)], ids=lambda function: function.__name__
)
def test_options_are_keyword_only(function) -> None:
    data = ("images", "labels", "dataset", "path", "a", "b", "at", "size", "class_names")
    data += ("model", "train", "val", "data", "table", "out", "maps", "masks", "probabilities")
    data += ("name", "n_classes", "input_shape", "suite")
    for name, parameter in inspect.signature(function).parameters.items():
        assert name in data or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_import_downwards_only(name) -> None:
    layers = LAYERS[name]
    height = {name: level for level, names in enumerate(layers) for name in names}
    package = ROOT / "src" / name
    for file in package.rglob("*.py"):
        parts = file.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) == 1:
            continue
        assert parts[0] in height, f"{file} has no layer"
        for line in file.read_text().splitlines():
            words = line.split()
            assert name != "cellprep" or "import cellmodels" not in line, f"{file}: {line}"
            if len(words) < 2 or words[0] != "from" or not words[1].startswith("."):
                continue
            dots = len(words[1]) - len(words[1].lstrip("."))
            base = parts[:-dots] if parts[-1] != "__init__" else parts[: len(parts) - dots]
            tail = words[1].lstrip(".").split(".") if words[1].strip(".") else [words[3].strip(",")]
            target = (*base, *tail)[0]
            if target in height and (parts[0], target) != REACHES_UP:
                assert height[target] <= height[parts[0]], f"{file}: {line}"


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == cp.__version__
    assert f"## {cp.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("package", [cp, cellmodels], ids=lambda package: package.__name__)
def test_packages_are_typed_and_every_module_imports(package) -> None:
    assert (Path(package.__file__).parent / "py.typed").is_file()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
