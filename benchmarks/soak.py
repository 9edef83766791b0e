"""Kills, flipped bits, suspensions and races at random, on every format, until time is up.

Trainings are killed too, if Keras is installed.

    python benchmarks/soak.py                          # an hour
    python benchmarks/soak.py --minutes 5 --seed 7

After each of them the data set must be as an uninterrupted write leaves it, byte for byte, and the
model as an uninterrupted training does; a flipped bit must be detected or change nothing that is
read. Prints one line of counts, and exits
with 1 if anything else happened. What a round does depends on the seed and its number; when it
does it depends on the machine too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pickle
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

import cellprep as cp
from cellprep.formats import FORMATS
from cellprep.synthetic import draw_cells

PATIENCE = 300  # seconds until something counts as hanging
TRAININGS = 0.05  # their share of the rounds: each takes much longer than a write


def originals() -> cp.Dataset:
    return cp.Dataset.from_arrays(*draw_cells([4] * 8, side=24, seed=2))


def write(path: Path, format: str, executor: str = "threads", workers: int = 2) -> int:
    """Write the data set, 96 images in 16 shards, or continue; returns how many were resumed."""
    recipe = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=2)], seed=6)
    options = {"rows_per_shard": 6, "masks": True, "progress": False}
    made = cp.write(
        recipe(originals()), path, format=format, executor=executor, workers=workers, **options
    )
    return made.resumed + made.repaired


def train(path: Path) -> str:
    """Train a small model, or continue; returns a digest of its history and weights."""
    import cellmodels as cm

    cells = cp.split(originals(), train=0.75, val=0.25)
    model = cm.build("baseline_cnn", 8, (24, 24, 3), seed=1)
    fitted = cm.fit(model, cells["train"], cells["val"], epochs=3, out=path, progress=False)
    digest = xxhash.xxh3_128(repr(fitted.history).encode())
    for weights in model.get_weights():
        digest.update(weights.tobytes())
    return digest.hexdigest()


def tree(path: Path) -> str:
    """A digest of the names and bytes of all files."""
    digest = xxhash.xxh3_128()
    for file in sorted(path.rglob("*") if path.is_dir() else [path]):
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def contents(path: Path) -> str:
    """A digest of everything that is read from a data set, and replayed from its record."""
    found, digest = cp.read(path), xxhash.xxh3_128()
    columns = (found.ids, found.labels, found.copies, found.masks[:], cp.replay(path, originals()))
    for column in (*found.to_arrays(workers=1), *columns):
        digest.update(column.tobytes())
    digest.update(repr(found.class_names).encode())
    return digest.hexdigest()


def damaged(path: Path) -> list[str]:
    """The files that `verify` reports."""
    return [str(name) for name in cp.verify(path, progress=False)["file"]]


@dataclass(frozen=True)
class Child:
    """A function that runs in a process group of its own."""

    process: int
    pipe: int

    @classmethod
    def start(cls, function: Callable[..., object], *arguments: object) -> Child:
        reading, writing = os.pipe()
        process = os.fork()
        if process:
            os.close(writing)
            return cls(process, reading)
        os.setsid()
        try:
            outcome: tuple[str, object] = "done", function(*arguments)
        except cp.CellprepError as error:
            outcome = ("failed" if "\n" in str(error) else "refused"), str(error)
        except BaseException:
            outcome = "failed", traceback.format_exc()
        os.write(writing, pickle.dumps(outcome)[:60_000])
        os._exit(0)

    def send(self, number: int) -> None:
        """Send a signal to all processes of the group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process, number)

    def result(self) -> tuple[str, Any]:
        """("done", value), ("refused", message), ("failed", why) or ("killed", None)."""
        data = b""
        while select.select([self.pipe], [], [], PATIENCE)[0]:
            piece = os.read(self.pipe, 1 << 16)
            if not piece:
                break
            data += piece
        else:
            self.send(signal.SIGKILL)
        os.close(self.pipe)
        os.waitpid(self.process, 0)
        return pickle.loads(data) if data else ("killed", None)


def run(function: Callable[..., object], *arguments: object) -> tuple[str, Any]:
    return Child.start(function, *arguments).result()


@dataclass
class Soak:
    """The state of a soak, and one method for each kind of harm."""

    folder: Path
    references: dict[str, Path]
    durations: dict[str, float]
    expected: dict[str, str]
    trained: str | None
    training: float
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def check(self, passed: bool, what: object) -> None:
        if not passed:
            self.problems.append(str(what))

    def finish(self, path: Path, format: str) -> None:
        """Run the write again: the result must be that of an uninterrupted one."""
        outcome, value = run(write, path, format)
        self.check(outcome == "done", (outcome, value))
        self.counts["resumed"] += outcome == "done" and value > 0
        self.check(path.exists() and tree(path) == tree(self.references[format]), "other bytes")

    def kill(self, random: random.Random, path: Path, format: str) -> None:
        """SIGKILL a writer and its workers at any moment."""
        executor = "processes" if random.random() < 0.05 else "threads"
        writer = Child.start(write, path, format, executor)
        time.sleep(random.uniform(0, 1.2) * self.durations[format])
        writer.send(signal.SIGKILL)
        self.counts["kills before the end"] += writer.result()[0] == "killed"
        self.finish(path, format)

    def flip(self, random: random.Random, path: Path, format: str) -> None:
        """Flip a bit of any file."""
        reference = self.references[format]
        copy = shutil.copytree if reference.is_dir() else shutil.copy
        copy(reference, path)
        files = sorted(file for file in (path.rglob("*") if path.is_dir() else [path]))
        file = random.choice([file for file in files if file.is_file() and file.stat().st_size])
        data = bytearray(file.read_bytes())
        bit = random.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        outcome, found = run(damaged, path)
        seen = outcome == "refused" or (outcome == "done" and len(found) > 0)
        where = (str(file.relative_to(path.parent)), bit)
        self.counts["flips detected"] += seen
        self.check(outcome != "failed", (where, found))
        read, value = run(contents, path)
        self.check(read != "failed", (where, value))
        if file.name in ("dataset.json", "index.parquet"):
            self.check(seen and read == "refused", (where, "used although damaged"))
        if not seen:  # such as the date of a member of an archive
            self.check(read == "done" and value == self.expected[format], (where, "not detected"))
        elif outcome == "done":
            self.finish(path, format)

    def suspend(self, random: random.Random, path: Path, format: str) -> None:
        """Stop a writer for a while, in which another one starts."""
        writer = Child.start(write, path, format)
        time.sleep(random.uniform(0, 1) * self.durations[format])
        writer.send(signal.SIGSTOP)
        second = Child.start(write, path, format)
        time.sleep(random.uniform(0, 0.5))
        writer.send(signal.SIGCONT)
        for outcome, value in (writer.result(), second.result()):
            self.check(outcome in ("done", "refused"), (outcome, value))
            self.counts["writers refused"] += outcome == "refused"
        self.finish(path, format)

    def race(self, random: random.Random, path: Path, format: str) -> None:
        """Several writers at once, one of which may be killed."""
        writers = [Child.start(write, path, format) for _ in range(random.randint(2, 4))]
        if random.random() < 0.5:
            time.sleep(random.uniform(0, 1) * self.durations[format])
            writers[0].send(signal.SIGKILL)
        for outcome, value in [writer.result() for writer in writers]:
            self.check(outcome in ("done", "refused", "killed"), (outcome, value))
            self.counts["writers refused"] += outcome == "refused"
        self.finish(path, format)

    def kill_training(self, random: random.Random, path: Path) -> None:
        """SIGKILL a training at any moment."""
        if self.trained is None:
            return
        trainer = Child.start(train, path)
        time.sleep(random.uniform(0.3, 1.1) * self.training)
        trainer.send(signal.SIGKILL)
        trainer.result()
        self.counts["trainings killed"] += 1
        outcome, value = run(train, path)
        self.check((outcome, value) == ("done", self.trained), (outcome, value))


def prepared(folder: Path) -> Soak:
    """An intact data set in every format whose library is installed; kernels are compiled here."""
    references: dict[str, Path] = {}
    durations, expected = {}, {}
    for format, entry in FORMATS.items():
        path = folder / "references" / (f"{format}.npz" if entry.is_file else format)
        path.parent.mkdir(exist_ok=True)
        try:
            write(path, format, workers=1)
        except cp.MissingExtraError:
            continue
        expected[format] = contents(path)
        references[format], again = path, folder / "again" / path.name
        began = time.monotonic()
        run(write, again, format)
        durations[format] = time.monotonic() - began
    shutil.rmtree(folder / "again")
    trained: str | None = None
    began = time.monotonic()
    if importlib.util.find_spec("keras"):
        outcome, trained = run(train, folder / "references" / "model")
        assert outcome == "done", trained
    training = time.monotonic() - began
    return Soak(folder, references, durations, expected, trained, training)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        soak = prepared(Path(name))
        harms = {"kill": soak.kill, "flip": soak.flip, "suspend": soak.suspend, "race": soak.race}
        rounds, began = 0, time.monotonic()
        while time.monotonic() - began < 60 * options.minutes:
            chosen = random.Random(f"{options.seed} {rounds}")
            harm, format = chosen.choice(list(harms)), chosen.choice(list(soak.references))
            path = Path(name) / "round" / soak.references[format].name
            path.parent.mkdir()
            before = len(soak.problems)
            if chosen.random() < TRAININGS:
                harm = "kill_training"
                soak.kill_training(chosen, path.with_name("model"))
            else:
                harms[harm](chosen, path, format)
            for problem in soak.problems[before:]:
                print(f"round {rounds}, {harm} {format}: {problem}", file=sys.stderr)
            soak.counts[harm] += 1
            rounds += 1
            shutil.rmtree(path.parent)
        minutes = (time.monotonic() - began) / 60
    c = soak.counts
    print(
        f"seed {options.seed}, {minutes:.0f} min, {len(soak.references)} formats, {rounds} rounds: "
        f"{c['kill']} kills ({c['kills before the end']} before the end), {c['flip']} flips "
        f"({c['flips detected']} detected, the others harmless), {c['suspend']} suspensions, "
        f"{c['race']} races, {c['trainings killed']} trainings killed, "
        f"{c['writers refused']} writers refused, {c['resumed']} writes continued; "
        f"{len(soak.problems)} problems"
    )
    sys.exit(bool(soak.problems))


if __name__ == "__main__":
    main()
