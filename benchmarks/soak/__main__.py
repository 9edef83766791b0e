"""The command: harm at random until time is up, then one line of counts."""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cellprep as cp
from cellprep.formats import FORMATS

from . import __doc__ as about
from .child import run
from .harms import Harms
from .sets import OTHER, contents, replace, train, write
from .store import Store

TRAININGS, STORED = 0.06, 0.12  # shares of the rounds; each takes much longer than a local write


def timed(function: Callable[..., object], *arguments: object) -> tuple[float, object]:
    """Seconds, and the value, of a function in a process of its own."""
    began = time.monotonic()
    outcome, value = run(function, *arguments)
    assert outcome == "done", value
    return time.monotonic() - began, value


def prepared(folder: Path, store: Store | None) -> Harms:
    """An intact data set in every format whose library is installed; kernels are compiled here."""
    harms = Harms({}, {}, {})
    for format, entry in FORMATS.items():
        name = f"{format}.npz" if entry.is_file else format
        path = folder / "references" / name
        path.parent.mkdir(exist_ok=True)
        try:
            write(path, format, workers=1)
        except cp.MissingExtraError:
            continue
        harms.references[format], harms.expected[format] = path, contents(path)
        harms.durations[format], _ = timed(write, folder / "again" / name, format)
        if store:
            harms.others[format] = folder / "others" / name
            write(harms.others[format], format, OTHER)
            harms.stored[format], _ = timed(replace, f"s3://cells/{name}", format)
    if importlib.util.find_spec("keras"):
        harms.training, digest = timed(train, folder / "model")
        harms.trained = str(digest)
    return harms


def main() -> None:
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    can_store = all(map(importlib.util.find_spec, ("upath", "s3fs", "moto", "flask")))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        store = stack.enter_context(Store.running()) if can_store else None
        harms = prepared(folder, store)
        local = [harms.kill, harms.kill, harms.flip, harms.suspend, harms.race]
        stored = [harms.kill_stored, harms.suspend_stored, harms.race_stored]
        rounds, began = 0, time.monotonic()
        while time.monotonic() - began < 60 * options.minutes:
            chosen = random.Random(f"{options.seed} {rounds}")
            where, format = chosen.random(), chosen.choice(list(harms.references))
            path, before = folder / "round" / harms.references[format].name, len(harms.problems)
            path.parent.mkdir()
            if where < TRAININGS and harms.trained:
                harm = "kill_training"
                harms.kill_training(chosen, path.with_name("model"))
            elif TRAININGS < where < TRAININGS + STORED and store:
                attack = chosen.choice(stored)
                harm = attack.__name__
                attack(chosen, f"s3://cells/{path.name}", format)
                store.clear()
            else:
                attack = chosen.choice(local)
                harm = attack.__name__
                attack(chosen, path, format)
            for problem in harms.problems[before:]:
                print(f"round {rounds}, {harm} {format}: {problem}", file=sys.stderr, flush=True)
            harms.counts[harm] += 1
            rounds += 1
            shutil.rmtree(path.parent)
        minutes = (time.monotonic() - began) / 60
    c = harms.counts
    print(
        f"seed {options.seed}, {minutes:.0f} min, {len(harms.references)} formats, "
        f"{rounds} rounds: {c['kill']} kills ({c['killed']} before the end), {c['flip']} flips "
        f"({c['detected']} detected, the others harmless), {c['suspend']} suspensions, "
        f"{c['race']} races; on S3 {c['kill_stored']} kills ({c['killed on S3']} before the end), "
        f"{c['suspend_stored']} suspensions past the lease ({c['lost']} before the end), "
        f"{c['race_stored']} races; {c['killed in a race']} killed in a race, "
        f"{c['kill_training']} trainings killed ({c['trainings killed']} before the end), "
        f"{c['writers refused']} writers refused, {c['continued']} writes continued; "
        f"{len(harms.problems)} problems"
    )
    sys.exit(bool(harms.problems))


if __name__ == "__main__":
    main()
