"""What a run prints while it works and when it ends."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.system import executors

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
CELLPREP = Path(sys.executable).with_name("cellprep")
LAST_LINE = r"([\d,]+) images written(?: \(([\d,]+) of them by an earlier run\))?, "
LAST_LINE += r"([\d,]+) skipped, ([\d,]+) quarantined, ([\d.]+) s: (.+)"


@pytest.fixture
def folder(tmp_path):
    """Sixty images of two classes and two bad files, one of them a broken link."""
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    (tmp_path / "data" / "a" / "text.png").write_text("not an image")
    (tmp_path / "data" / "b" / "missing.png").symlink_to("absent.png")
    return tmp_path / "data"


def run_in_terminal(*line: object) -> tuple[str, str]:
    """Standard output of a command, and what it prints on its terminal."""
    import fcntl
    import termios

    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [CELLPREP, *map(str, line)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True) as process:
        os.close(terminal)
        printed = b""
        while True:
            try:
                piece = os.read(screen, 4096)
            except OSError:  # the process has closed its side
                break
            if not piece:
                break
            printed += piece
        os.close(screen)
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0, printed
    return output, printed.decode()


def last_line(output: str) -> tuple[str, ...]:
    found = re.fullmatch(LAST_LINE, output.splitlines()[-1])
    assert found, output
    return found.groups()


def test_each_stage_has_a_bar_with_images_megabytes_and_time_left(folder, tmp_path):
    line = ("convert", folder, tmp_path / "out", "--on-error", "skip", "--rows-per-shard", 10)
    output, printed = run_in_terminal(*line)
    bars = [line for line in re.split(r"[\r\n]+", printed) if line]
    ends = {bar.partition(":")[0]: bar for bar in bars}  # the last of each
    assert list(ends) == ["reading", "writing"]
    assert re.search(r"100%.* 62\.0/62\.0 .*images/s, 0\.0 MB\]", ends["reading"]), ends
    assert re.search(r"100%.* 60\.0/60\.0 .*\[\d\d:\d\d<\d\d:\d\d, .*images/s, ", ends["writing"])
    assert last_line(output)[:4] == ("60", None, "2", "0")
    assert last_line(output)[5] == str(tmp_path / "out")


@pytest.mark.parametrize(("on_error", "counts"), [("skip", ("2", "0")), ("quarantine", ("1", "1"))])
def test_without_a_terminal_only_the_last_line_is_printed(folder, tmp_path, on_error, counts):
    line = [CELLPREP, "convert", folder, tmp_path / "out", "--on-error", on_error]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert last_line(done.stdout)[2:4] == counts
    assert len(done.stdout.splitlines()) == 1


def test_images_of_an_earlier_run_count_as_done(tmp_path, monkeypatch):
    """The bar starts there, so that the time left is estimated from the missing images."""
    shown = []

    class Bar:
        def __init__(self, **settings):
            shown.append(settings)
            self.n = settings["initial"]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            shown.append(self.n)

        def update(self, n):
            self.n += n

        def set_postfix_str(self, text, refresh):
            shown.append(text)

    monkeypatch.setattr("tqdm.tqdm", Bar)
    images = np.random.default_rng(0).integers(0, 256, (50, 100, 100, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, np.arange(50) % 2)
    path = interrupted(cells, tmp_path / "out")
    written = cp.write(cells, path, rows_per_shard=10, workers=1)
    assert written.resumed == 20
    checking, _, writing, *rest = shown
    assert checking["total"] == 20
    assert writing["total"] == 50
    assert writing["initial"] == 20
    assert rest == ["0.9 MB", "1.2 MB", "1.5 MB", 50]
    assert str(written).startswith("50 images written (20 of them by an earlier run), 0 skipped")


def interrupted(cells: cp.Dataset, path: Path) -> Path:
    """Write two of five shards, then stop."""
    from cellprep.formats import shards

    write_shard, calls = shards.NpyWriter.write_shard, []

    def breaking(self, *given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_shard(self, *given)

    shards.NpyWriter.write_shard = breaking
    try:
        with pytest.raises(KeyboardInterrupt):
            cp.write(cells, path, rows_per_shard=10, workers=1, progress=False)
    finally:
        shards.NpyWriter.write_shard = write_shard
    return path


def test_an_error_ends_the_work_of_other_threads():
    started = threading.Event()

    def work(span):
        if span[0] == 0:
            started.wait(60)
            raise CellprepError("no")
        started.set()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            executors.check_running()
            time.sleep(0.01)

    start = time.monotonic()
    with executors.using(workers=2), pytest.raises(CellprepError):
        list(executors.run(work, [(0, 1), (1, 2)]))
    assert time.monotonic() - start < 30
