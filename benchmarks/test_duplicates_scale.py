"""Time and memory of finding duplicates, from ten thousand to a million images.

    python -m pytest benchmarks/test_duplicates_scale.py -s

Random digests and hashes replace the images, one in ten of them planted near another; the last
table uses images. Every row runs in its own process, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = str(Path(__file__).resolve().parents[1])
SIZES = (10_000, 100_000, 1_000_000)


def hashes(n: int, seed: int = 0) -> np.ndarray:
    """Distinct 64-bit hashes, every tenth within 4 bits of another."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, n, np.uint64, endpoint=False)
    copies = values[: n // 10].copy()
    for _ in range(4):
        copies ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
    values[n - len(copies) :] = copies
    return np.unique(values)


def exact(n: int) -> int:
    """The number of groups of equal 128-bit digests."""
    from cellprep.plan.groups import equal_rows

    rng = np.random.default_rng(0)
    digests = rng.integers(0, 2**64, (n, 2), np.uint64, endpoint=False)
    digests[n - n // 10 :] = digests[: n // 10]
    began = time.perf_counter()
    found = int(equal_rows(digests).max()) + 1
    return report(began, found)


def close(n: int, distance: int) -> int:
    """The number of pairs of hashes within a distance."""
    from cellprep.kernels.hashing.pairs import close_pairs

    values = hashes(n)
    for _ in close_pairs(values[:1000], None, distance, 2):  # compile before timing
        pass
    began = time.perf_counter()
    found = sum(len(run[0]) for run in close_pairs(values, None, distance, 2))
    return report(began, found)


def pixels(n: int, near: int | None, symmetries: bool) -> int:
    """The number of groups among synthetic cells of 48x48 and their mirror images."""
    import cellprep as cp
    from cellprep.synthetic import draw_cells

    cells = draw_cells([n // 16] * 8, side=48, seed=0)[0]
    images = np.concatenate([cells, cells[:, ::-1]])
    cp.find_duplicates(images[:64], near=near, symmetries=symmetries)
    began = time.perf_counter()
    table = cp.find_duplicates(images, near=near, symmetries=symmetries)
    return report(began, int(table["group"].nunique()))


def report(began: float, found: int) -> int:
    from benchmarks.measure import memory

    print(json.dumps([round(time.perf_counter() - began, 2), memory.peak() >> 20, found]))
    return found


def measured(call: str) -> list[float]:
    """Seconds, peak MB and result of a call in its own process."""
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); "
        f"from benchmarks import test_duplicates_scale as scale; scale.{call}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.strip().splitlines()[-1]))


def table(title: str, calls: dict[str, str]) -> dict[str, list[float]]:
    """Print the time and memory of each call."""
    found = {name: measured(call) for name, call in calls.items()}
    print(f"\n{title}\n{'':32}{'seconds':>9}{'peak MB':>9}{'found':>10}")
    for name, (seconds, peak, count) in found.items():
        print(f"{name:32}{seconds:9.2f}{peak:9,}{count:10,}")
    return found


def test_cost_by_number_of_images() -> None:
    found = table("equal digests", {f"{n:,}": f"exact({n})" for n in SIZES})
    assert [count for _, _, count in found.values()] == [n // 10 for n in SIZES]
    for distance in (4, 8):
        calls = {f"{n:,}, within {distance}": f"close({n}, {distance})" for n in SIZES}
        found = table("pairs of 64-bit hashes", calls)
        assert all(
            count >= 0.99 * n / 10 for n, (_, _, count) in zip(SIZES, found.values(), strict=True)
        )
        assert all(peak < 2000 for _, peak, _ in found.values())


def test_cost_of_the_whole_search_on_images() -> None:
    settings = {
        "plain": "None, False",
        "symmetries": "None, True",
        "near 4": "4, False",
        "both": "4, True",
    }
    calls = {
        f"{name}, {n:,} images": f"pixels({n}, {given})"
        for n in (2_000, 8_000)
        for name, given in settings.items()
    }
    found = table("images of 48x48, half of them mirror images", calls)
    assert found["symmetries, 8,000 images"][2] == 4000
