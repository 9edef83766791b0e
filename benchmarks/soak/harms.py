"""What is done to writers, data sets and trainings, and what must be true afterwards."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .child import PATIENCE, Child, run
from .sets import (
    OTHER,
    SEED,
    contents,
    damaged,
    files,
    replace,
    take_over,
    train,
    write,
)


@dataclass
class Harms:
    """One method for each kind of harm, which counts what happened and notes what may not."""

    references: dict[str, Path]
    """An intact data set by its format."""
    durations: dict[str, float]
    """Seconds of a write, by format."""
    expected: dict[str, str]
    """What is read from the data set of each format."""
    trained: str = ""
    training: float = 0.0
    others: dict[str, Path] = field(default_factory=dict)
    """The other data set, by format."""
    stored: dict[str, float] = field(default_factory=dict)
    """Seconds of a write to the store, by format."""
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def check(self, passed: bool, what: object) -> None:
        if not passed:
            self.problems.append(str(what))

    def accepted(self, writer: Child) -> bool:
        """Whether it is done; if not, it must have been refused."""
        outcome, value = writer.result()
        self.check(outcome in ("done", "refused"), (outcome, value))
        self.counts["writers refused"] += outcome == "refused"
        return outcome == "done"

    def finish(self, path: Path, format: str) -> None:
        """Run the write again: the result must be that of an uninterrupted one."""
        outcome, value = run(write, path, format)
        self.check(outcome == "done", (outcome, value))
        self.counts["continued"] += outcome == "done" and value > 0
        self.check(path.exists() and files(path) == files(self.references[format]), "other bytes")

    # -- in a folder -------------------------------------------------------------------------------

    def kill(self, random: random.Random, path: Path, format: str) -> None:
        """SIGKILL a writer and its workers at any moment."""
        executor = "processes" if random.random() < 0.05 else "threads"
        writer = Child.start(write, path, format, executor=executor)
        time.sleep(random.uniform(0, 1.2) * self.durations[format])
        writer.send(signal.SIGKILL)
        self.counts["killed"] += writer.result()[0] == "killed"
        self.finish(path, format)

    def flip(self, random: random.Random, path: Path, format: str) -> None:
        """Flip a bit of any file."""
        reference = self.references[format]
        copy = shutil.copytree if reference.is_dir() else shutil.copy
        copy(reference, path)
        found = sorted(file for file in (path.rglob("*") if path.is_dir() else [path]))
        file = random.choice([file for file in found if file.is_file() and file.stat().st_size])
        data = bytearray(file.read_bytes())
        bit = random.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        outcome, reported = run(damaged, path)
        seen = outcome == "refused" or (outcome == "done" and len(reported) > 0)
        where = (str(file.relative_to(path.parent)), bit)
        self.counts["detected"] += seen
        self.check(outcome != "failed", (where, reported))
        read, value = run(contents, path)
        self.check(read != "failed", (where, value))
        if file.name in ("dataset.json", "index.parquet"):
            self.check(seen and read == "refused", (where, "used although damaged"))
        if not seen:  # such as the date of a member of an archive
            self.check(read == "done" and value == self.expected[format], (where, "not detected"))
        elif outcome == "done" and not {"dataset.json", path.name} & {*reported}:
            # Without its manifest, or the directory of an archive, it must be moved away.
            self.finish(path, format)

    def suspend(self, random: random.Random, path: Path, format: str) -> None:
        """Stop a writer for a while, in which another one starts."""
        writer = Child.start(write, path, format)
        time.sleep(random.uniform(0, 1) * self.durations[format])
        writer.send(signal.SIGSTOP)
        second = Child.start(write, path, format)
        time.sleep(random.uniform(0, 0.5))
        writer.send(signal.SIGCONT)
        self.accepted(writer)
        self.accepted(second)
        self.finish(path, format)

    def race(self, random: random.Random, path: Path, format: str) -> None:
        """Several writers at once, one of which may be killed."""
        writers = [Child.start(write, path, format) for _ in range(random.randint(2, 4))]
        if random.random() < 0.5:
            time.sleep(random.uniform(0, 1) * self.durations[format])
            writers[0].send(signal.SIGKILL)
            self.counts["killed in a race"] += writers.pop(0).result()[0] == "killed"
        for writer in writers:
            self.accepted(writer)
        self.finish(path, format)

    # -- a training --------------------------------------------------------------------------------

    def kill_training(self, random: random.Random, path: Path) -> None:
        """SIGKILL a training at any moment."""
        trainer = Child.start(train, path)
        time.sleep(random.uniform(0.3, 1.1) * self.training)
        trainer.send(signal.SIGKILL)
        self.counts["trainings killed"] += trainer.result()[0] == "killed"
        outcome, value = run(train, path)
        self.check((outcome, value) == ("done", self.trained), (outcome, value))

    # -- on object storage -------------------------------------------------------------------------

    def is_there(self, url: str, *intact: Path, nothing_else: bool = False) -> None:
        """A data set is one of these, byte for byte, apart from what another writer left behind."""
        outcome, found = run(files, url)
        if outcome == "done" and not nothing_else:
            found = {name: d for name, d in found.items() if not name.startswith(".cellprep/")}
        self.check(outcome == "done" and found in map(files, intact), "other bytes")
        self.check(run(damaged, url) == ("done", []), "damaged")

    def finish_stored(self, url: str, format: str, how: Callable[..., int] = replace) -> None:
        """Replace what is there, or continue: the result must be that of an uninterrupted write."""
        outcome, value = run(how, url, format)
        self.check(outcome == "done", (outcome, value))
        self.counts["continued"] += outcome == "done" and value > 0
        self.is_there(url, self.references[format], nothing_else=True)

    def kill_stored(self, random: random.Random, url: str, format: str) -> None:
        """SIGKILL a writer at any moment."""
        writer = Child.start(write, url, format)
        time.sleep(random.uniform(0, 1.2) * self.stored[format])
        writer.send(signal.SIGKILL)
        self.counts["killed on S3"] += writer.result()[0] == "killed"
        self.finish_stored(url, format, write)

    def suspend_stored(self, random: random.Random, url: str, format: str) -> None:
        """Stop a writer until another one has taken over: it may change nothing more."""
        writer = Child.start(write, url, format)
        time.sleep(random.uniform(0, 1) * self.stored[format])
        writer.send(signal.SIGSTOP)
        second = run(take_over, url, format, PATIENCE / 2)
        self.check(second == ("done", None), second)
        writer.send(signal.SIGCONT)
        self.counts["lost"] += not self.accepted(writer)
        self.is_there(url, self.others[format])
        self.finish_stored(url, format)

    def race_stored(self, random: random.Random, url: str, format: str) -> None:
        """Two writers of different data sets at once, one of which may be killed."""
        one = Child.start(replace, url, format, SEED)
        two = Child.start(replace, url, format, OTHER)
        if random.random() < 0.5:
            time.sleep(random.uniform(0, 1) * self.stored[format])
            one.send(signal.SIGKILL)
            self.counts["killed in a race"] += one.result()[0] == "killed"
            self.accepted(two)
        else:
            done = [self.accepted(writer) for writer in (one, two)]
            intact = (self.references[format], self.others[format])
            if any(done):
                self.is_there(url, *(path for path, one in zip(intact, done, strict=True) if one))
        self.finish_stored(url, format)
