"""`cellprep` on the command line: arguments to calls.

Exit codes: 0 done, 1 a bug (or conflicts, leaks, damage: what was looked for is there), 2 refused,
130 stopped.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from . import __version__, executors
from .commands import Commands, said
from .dataset import Dataset
from .draws import check_seed
from .errors import CellprepError, in_range, nearest
from .formats import FORMATS, read
from .kernels import HASHES
from .place import as_path, opened
from .recipe import Recipe
from .split import split as split_dataset
from .verify import check
from .write import Job, Written, plan_write


class _Place(click.Path):
    """A local path, or a URL."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return as_path(value)
        except CellprepError as error:
            self.fail(str(error), param, ctx)


_Path = _Place()


def _options(*names: str) -> Callable[[Any], Any]:
    """Options that several commands share, under one name and with one meaning."""
    known = {
        "seed": click.option(
            "--seed",
            type=int,
            default=None,
            help="Random seed.  [default: 0, or the recipe's]",
        ),
        "size": click.option("--size", type=int, help="Bring all images to SIZExSIZE."),
        "from": click.option(
            "--from",
            "from_",
            type=click.Choice(list(FORMATS)),
            metavar="FORMAT",
            help="Of INPUT.  [default: what it looks like]",
        ),
        "arrays": click.option(
            "--arrays",
            metavar="IMAGES,LABELS",
            help="In npz or zarr.  [default: images,labels]",
        ),
        "part": click.option("--part", help="Of INPUT: train, val or test."),
        "format": click.option(
            "--format",
            type=click.Choice(list(FORMATS)),
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}.  [default: by its ending]",
        ),
        "masks_in": click.option(
            "--drawn",
            type=_Path,
            help="Folder of drawn masks (PNG, same stems).",
        ),
        "masks": click.option("--masks", is_flag=True, help="Write the masks too."),
        "rows": click.option("--rows-per-shard", type=int, default=1024, show_default=True),
        "executor": click.option(
            "--executor",
            type=click.Choice(executors.EXECUTORS),
            metavar="NAME",
            default="threads",
            show_default=True,
            help=f"{', '.join(executors.EXECUTORS)}.",
        ),
        "workers": click.option("--workers", type=int, help="[default: all cores]"),
        "address": click.option(
            "--address", metavar="HOST:PORT", help="Of a Ray cluster, for --executor ray."
        ),
        "on_error": click.option(
            "--on-error",
            type=click.Choice(["raise", "skip", "quarantine"]),
            metavar="BAD_IMAGES",
            default="raise",
            show_default=True,
            help="raise, skip, quarantine.",
        ),
        "overwrite": click.option(
            "--overwrite", is_flag=True, help="Replace what cellprep wrote there."
        ),
        "near": click.option(
            "--near",
            type=int,
            metavar="BITS",
            help="Near duplicates too: BITS apart, such as 4.",
        ),
        "symmetries": click.option(
            "--symmetries", is_flag=True, help="Flipped and turned copies too."
        ),
        "hash": click.option(
            "--hash",
            type=click.Choice(HASHES),
            default="phash",
            show_default=True,
            help="Hash of near duplicates.",
        ),
        "csv": click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV."),
        "json": click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    }

    def add(function: Any) -> Any:
        for name in reversed(names):
            function = known[name](function)
        return function

    return add


_READING = ("size", "from", "arrays", "part", "masks_in")
_LIKENESS = ("near", "symmetries", "hash")
_WRITING = (
    *("format", "rows", "executor", "workers", "address"),
    *("on_error", "overwrite", "masks", "json"),
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cellprep")
def main() -> None:
    """Turn a messy labelled image set into a training set that makes a classifier generalise."""
    warnings.filterwarnings("ignore", module="PIL")  # an image that is bad is named as such


@main.command()
@click.option(
    "--data", type=_Path, help="Your own .npz file or image folder.  [default: drawn cells]"
)
@click.option("--out", type=_Path, default=Path("out/demo"), show_default=True)
@click.option("--images", type=int, default=2400, show_default=True, help="Cells to draw.")
@_options("seed", "size", "on_error", "json")
@said
def demo(
    data: Path | None,
    out: Path,
    images: int,
    seed: int | None,
    size: int | None,
    on_error: str,
    as_json: bool,
) -> None:
    """Run the main job from end to end, on drawn cells or your own images.

    Example: cellprep demo --data smears/ --size 96 --out out/smears
    """
    from .demo import run_demo

    in_range("images", images, 400, 1_000_000, whole=True)
    check_seed(seed or 0)
    if size is not None and data is None:
        raise CellprepError("`size` is for images of your own; the drawn cells are 96x96")
    done = run_demo(
        out,
        data,
        images=images,
        size=size,
        seed=seed or 0,
        on_error=on_error,
        say=functools.partial(click.echo, err=as_json),
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "parts": {name: _written(w) for name, w in done.written.items()},
                    "steps": done.changes.to_dict("records"),
                    "contact_sheet": str(done.sheet),
                    "report": None if done.report is None else str(done.report),
                },
                indent=1,
            )
        )
        return
    click.echo()
    _show_steps(done.changes)
    if done.report is not None:
        click.echo(f"\nreport:        {done.report}")
    click.echo(
        f"contact sheet: {done.sheet}\ntrain on it:   np.load('{out}/train/shard-00000.npy',"
        f" mmap_mode='r'), labels in '{out}/train/index.parquet'"
    )


@main.command()
@click.argument("input", type=_Path)
@_options(*_READING, "json")
@said
def inspect(input: Path, as_json: bool, **options: Any) -> None:
    """Print counts, sizes, value ranges, duplicates and conflicts of INPUT.

    Example: cellprep inspect train_data.npz
    """
    from .inspect import describe
    from .inspect import inspect as look

    with executors.using(progress=not as_json):
        found = look(input, **_reading(options))
    click.echo(json.dumps(found, indent=1) if as_json else _printable(describe(found)))


@main.command()
@click.argument("input", type=_Path)
@_options(*_LIKENESS, *_READING, "csv", "json")
@said
def duplicates(
    input: Path,
    near: int | None,
    symmetries: bool,
    hash: str,
    as_csv: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """List the images of INPUT that stand more than once, conflicting labels first.

    Exit code 1 says that there are conflicts.

    Example: cellprep duplicates smears/ --near 4 --symmetries
    """
    from .duplicates import find_duplicates
    from .inspect import read_any

    _check_one_output(as_csv, as_json)
    with executors.using(progress=not (as_json or as_csv)):
        dataset, note = read_any(input, **_reading(options))
        dataset = dataset.readable()
        table = find_duplicates(dataset, near=near, symmetries=symmetries, hash=hash)
    said = {"path": str(input), "images": len(dataset), "note": note, "bad": dataset.bad}
    _show_groups(table, said, as_csv, as_json)
    if table["conflict"].any():
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("train", type=_Path)
@click.argument("test", type=_Path)
@_options(*_LIKENESS, *_READING, "csv", "json")
@said
def leaks(
    train: Path,
    test: Path,
    near: int | None,
    symmetries: bool,
    hash: str,
    as_csv: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """List the images that stand in TRAIN ("a") as well as in TEST ("b").

    Exit code 1 says that there are some.

    Example: cellprep leaks out/train out/test --near 4
    """
    from .duplicates import find_leaks

    _check_one_output(as_csv, as_json)
    reading = _reading(options)
    with executors.using(progress=not (as_json or as_csv)):
        a, b = read(train, **reading).readable(), read(test, **reading).readable()
        table = find_leaks(a, b, near=near, symmetries=symmetries, hash=hash)
    said = {
        "path": f"{train} and {test}",
        "images": len(a) + len(b),
        "note": "",
        "bad": {**a.bad, **b.bad},
    }
    _show_groups(table, said, as_csv, as_json)
    if len(table):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("input", type=_Path)
@click.option("-o", "--out", type=_Path, default=Path("report.html"), show_default=True)
@click.option("--recipe", type=_Path, help="Show what this recipe (TOML) does to INPUT.")
@click.option("--test", type=_Path, help="Show what of INPUT leaks into this test set.")
@click.option("--near", type=int, metavar="BITS", default=4, help="Near duplicates.  [default: 4]")
@click.option("--symmetries/--no-symmetries", default=True, help="Flipped and turned copies.")
@click.option("--exact", is_flag=True, help="Equal pixels only: no near or turned copies.")
@_options("hash", *_READING, "json")
@said
def report(
    input: Path,
    out: Path,
    recipe: Path | None,
    test: Path | None,
    near: int,
    symmetries: bool,
    exact: bool,
    hash: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Show INPUT on one page of HTML: what is in it, what is wrong, what a recipe does.

    Example: cellprep report smears/ -o report.html --recipe recipe.toml
    """
    from .inspect import read_any
    from .report import report as make_report

    steps = None if recipe is None else Recipe.from_toml(recipe)
    reading = _reading(options)
    with executors.using(progress=not as_json):
        dataset, note = read_any(input, **reading)
        if note:
            reading["size"] = dataset.shape[1:3]
        done = make_report(
            dataset,
            out,
            recipe=steps,
            test=None if test is None else read(test, **reading),
            near=None if exact else near,
            symmetries=symmetries and not exact,
            hash=hash,
            notes=[f"{note[0].upper()}{note[1:]}."] if note else [],
        )
    if as_json:
        click.echo(json.dumps({**vars(done), "path": str(done.path)}, indent=1))
    else:
        click.echo(_printable(str(done)))


@main.command()
@click.argument("recipe", type=_Path)
@click.argument("input", type=_Path)
@click.argument("out", type=_Path)
@_options("seed", *_READING, *_WRITING)
@said
def run(recipe: Path, input: Path, out: Path, seed: int | None, **options: Any) -> None:
    """Apply RECIPE (a TOML file) to INPUT and write the result to OUT.

    Example: cellprep run recipe.toml train_data.npz out/train
    """
    steps = Recipe.from_toml(recipe)
    if seed is not None:
        steps = Recipe(steps.steps, seed)
    dataset = read(input, **_reading(options))
    if options["on_error"] != "raise":
        dataset = dataset.readable()
    with _using(options):
        _check_trainable(dataset)
        result = steps(dataset).readable()
        written = _job(result, out, options).run()
    if options["as_json"]:
        steps_done = result.changes().to_dict("records")
        click.echo(json.dumps({**_written(written), "steps": steps_done}, indent=1))
    else:
        _show_steps(result.changes())
        click.echo(str(written))


@main.command()
@click.argument("input", type=_Path)
@click.argument("out", type=_Path)
@_options(*_READING, *_WRITING)
@said
def convert(input: Path, out: Path, **options: Any) -> None:
    """Write INPUT to OUT in another format, its pixels, labels and ids unchanged.

    Example: cellprep convert smears/ smears.npz --size 96
    """
    dataset = read(input, **_reading(options))
    with _using(options):
        written = _job(dataset, out, options).run()
    click.echo(json.dumps(_written(written), indent=1) if options["as_json"] else str(written))


@main.command()
@click.argument("input", type=_Path)
@click.argument("out", type=_Path)
@click.option(
    "--parts",
    default="train=0.8,val=0.1,test=0.1",
    metavar="SHARES",
    help="[default: train=0.8,val=0.1,test=0.1]",
)
@click.option(
    "--groups",
    metavar="GROUPS",
    help="'parent', a pattern, or TABLE:COLUMN.",
)
@_options("near", "symmetries", "seed", *_READING, *_WRITING)
@said
def split(
    input: Path,
    out: Path,
    parts: str,
    groups: str | None,
    near: int | None,
    symmetries: bool,
    seed: int | None,
    **options: Any,
) -> None:
    """Cut INPUT into stratified parts, written to OUT/train, OUT/val, ...

    Duplicates and groups (folders, patterns, columns) never straddle parts.

    Example: cellprep split train_data.npz out --parts train=0.9,test=0.1
    """
    shares: dict[str, Any] = _parse_parts(parts)
    dataset = read(input, **_reading(options))
    if options["on_error"] != "raise":
        dataset = dataset.readable()
    with _using(options):
        together = None if groups is None else _groups(groups, dataset)
        cut = split_dataset(
            dataset, seed=seed or 0, groups=together, near=near, symmetries=symmetries, **shares
        )
        one_file = options["format"] is not None and FORMATS[options["format"]].is_file
        suffix = ".npz" if one_file else ""
        _check_holds_only(out, {f"{name}{suffix}" for name in cut})
        # All parts are looked at before the first is written.
        jobs = {name: _job(part, out / f"{name}{suffix}", options) for name, part in cut.items()}
        done = {name: job.run() for name, job in jobs.items()}
    if options["as_json"]:
        click.echo(
            json.dumps(
                {
                    name: {
                        **_written(w),
                        "classes": cut[name].counts(),
                        "why": cut[name].changes()["why"].iloc[-1],
                    }
                    for name, w in done.items()
                },
                indent=1,
            )
        )
    else:
        for name, written in done.items():
            click.echo(f"{name}: {written}")
            click.echo(f"  {cut[name].changes()['why'].iloc[-1]}")


@main.command()
@click.argument("path", type=_Path)
@_options("executor", "workers", "json")
@said
def verify(path: Path, executor: str, workers: int | None, as_json: bool) -> None:
    """Check every file of PATH, which cellprep wrote, against the digests in its record.

    Exit code 1 says that some are damaged. Nothing is changed: the command that wrote PATH makes
    them again.

    Example: cellprep verify out/train
    """
    with executors.using(executor, workers, not as_json):
        found = check(path)
    if as_json:
        damaged = [
            {"file": one.file, "rows": one.rows, "state": one.state} for one in found.damaged
        ]
        said = {"path": str(path), "rows": found.rows, "files": found.files, "damaged": damaged}
        click.echo(json.dumps(said, indent=1))
    else:
        many = f"{found.files:,} file{'s' * (found.files != 1)}"
        click.echo(
            _printable(
                f"{path}: {len(found.damaged):,} of {many} damaged; the command that wrote them "
                "makes them again"
                if found.damaged
                else f"{path}: {many}, {found.rows:,} images, all whole"
            )
        )
        for one in found.damaged:
            click.echo(_printable(f"  {one.file}: {one.state} ({one.rows:,} images)"))
    if found.damaged:
        raise click.exceptions.Exit(1)


def _groups(text: str, dataset: Dataset) -> Any:
    """What `split` takes: a word or pattern as it is, a column of a table by its ids."""
    name, _, column = text.rpartition(":")
    path = as_path(name)
    if not path.is_file():
        return text
    import pandas as pd

    try:
        with opened(path) as file:
            table = pd.read_parquet(file) if path.suffix == ".parquet" else pd.read_csv(file)
    except Exception as error:
        raise CellprepError(f"{name!r} cannot be read as a table: {error}") from error
    for wanted in ("id", column):
        if wanted not in table:
            raise CellprepError(
                f"{name!r} has no column {wanted!r}; {nearest(wanted, map(str, table))}"
            )
    ids = pd.Index(table["id"].astype(str))
    if ids.has_duplicates:
        raise CellprepError(f"{name!r} names id {ids[ids.duplicated()][0]!r} more than once")
    found = table[column].astype(str).set_axis(ids).reindex(dataset.ids.astype(str))
    if found.isna().any():
        raise CellprepError(f"{name!r} has no id {found.index[found.isna()][0]!r}")
    return found.to_numpy(dtype=str)


def _check_one_output(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise CellprepError("`--csv` and `--json` are two forms of one table; choose one")


def _show_groups(table: Any, said: dict[str, Any], as_csv: bool, as_json: bool) -> None:
    """A table of duplicate groups, as asked."""
    groups = [group for _, group in table.groupby("group")]
    conflicts = sum(bool(group["conflict"].iloc[0]) for group in groups)
    if as_csv:
        click.echo(table.to_csv(index=False), nl=False)
        return
    if as_json:
        listed = [
            {
                "group": number,
                "images": len(group),
                "conflict": bool(group["conflict"].iloc[0]),
                "votes": group["votes"].iloc[0],
                "rows": json.loads(
                    group.drop(columns=["group", "conflict", "votes"]).to_json(orient="records")
                ),
            }
            for number, group in enumerate(groups)
        ]
        counts = {"duplicate_groups": len(groups), "conflicts": conflicts}
        click.echo(json.dumps({**said, **counts, "groups": listed}, indent=1))
        return
    lines = [
        f"{said['path']}: {len(table):,} of {said['images']:,} images in {len(groups):,} groups, "
        f"{conflicts:,} of them under conflicting labels"
    ]
    if said["note"]:
        lines.append(f"  {said['note']}")
    for group in groups[:20]:
        mark = "CONFLICT" if group["conflict"].iloc[0] else ""
        found = ", ".join(dict.fromkeys(group["relation"]))
        ids = ", ".join(map(str, group["id"][:3])) + ", ..." * (len(group) > 3)
        votes = group["votes"].iloc[0]
        lines.append(f"  {mark:8} {len(group):6,} x  {votes}  ({found}; ids {ids})")
    if len(groups) > 20:
        lines.append(f"  and {len(groups) - 20:,} more groups; --csv or --json lists them all")
    lines += [f"  BAD {name}: {cause}" for name, cause in list(said["bad"].items())[:8]]
    click.echo(_printable("\n".join(lines)))


def _check_holds_only(out: Path, names: set[str]) -> None:
    """Parts of an earlier, other split must not come to lie beside these."""
    others = sorted({entry.name for entry in out.iterdir()} - names) if out.is_dir() else []
    if others:
        raise CellprepError(
            f"{str(out)!r} holds other things ({others[0]}); choose another path, or move them away"
        )


def _parse_parts(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = (word.strip() for word in item.partition("="))
        if name in shares:
            raise CellprepError(f"`--parts` names part {name!r} twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise CellprepError(
                f"`--parts` must look like train=0.8,test=0.2, got {text!r}"
            ) from None
        if not name.isidentifier():
            raise CellprepError(f"`--parts` names folders by plain words, got {name!r}")
        if name in ("dataset", "seed", "groups", "near", "symmetries"):
            raise CellprepError(f"`--parts` cannot name a part {name!r}; choose another word")
    return shares


def _check_trainable(dataset: Dataset) -> None:
    """A classifier needs two classes, and more than one image of each."""
    counts = dataset.counts()
    if len(counts) < 2:
        raise CellprepError(
            f"the input has one class, '{next(iter(counts))}'; a training set needs "
            "two or more (one folder, or one label number, a class)"
        )
    for name, count in counts.items():
        if count < 2:
            held = "one image" if count else "no images"
            raise CellprepError(
                f"class '{name}' has {held}, of which nothing can be learnt; add "
                "images, or take the class out"
            )


def _reading(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `read` among the options, taken out of them."""
    chosen = {"format": options.pop("from_"), "size": options.pop("size")}
    chosen["masks"] = options.pop("drawn")
    if (part := options.pop("part")) is not None:
        chosen["part"] = part
    arrays = options.pop("arrays")
    if arrays is not None:
        names = arrays.split(",")
        if len(names) != 2 or not all(names):
            raise CellprepError(
                f"`--arrays` must be two names, as in images,labels; got {arrays!r}"
            )
        chosen |= {"images": names[0].strip(), "labels": names[1].strip()}
    return chosen


def _using(options: dict[str, Any]) -> AbstractContextManager[None]:
    progress = not options["as_json"]
    return executors.using(options["executor"], options["workers"], progress, options["address"])


def _job(dataset: Dataset, out: Path, options: dict[str, Any]) -> Job:
    chosen = {
        key: options[key] for key in ("format", "rows_per_shard", "on_error", "overwrite", "masks")
    }
    return plan_write(dataset, out, **chosen)


def _written(written: Written) -> dict[str, Any]:
    return {
        "path": str(written.path),
        "rows": written.rows,
        "resumed": written.resumed,
        "repaired": written.repaired,
        "bad": dict(written.bad),
        "quarantined": written.quarantined,
        "seconds": round(written.seconds, 2),
    }


def _show_steps(changes: Any) -> None:
    click.echo(f"{'step':16} {'rows in':>9} {'rows out':>9}  why")
    for step, rows_in, rows_out, why in changes.itertuples(index=False):
        click.echo(f"{step:16} {rows_in:9,} {rows_out:9,}  {why}")


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
