"""RandAugment on planes computes the same bytes as kernels that take one operation at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellprep.arrays import Images
from cellprep.kernels import ahead
from cellprep.kernels.planar import chain
from cellprep.operations import OPERATIONS, Slots, engines

SIDES = st.one_of(st.integers(1, 130), st.integers(250, 300))
LESSER = [one for one in ahead.PROCESSORS if one.name == "avx2"]
LESSER.append(ahead.Processor("generic", LESSER[0].machines, "generic"))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Images, Slots]:
    """Images (of noise, of one value, of a few values), and two operations for each."""
    height, width = draw(SIDES), draw(SIDES)
    threshold = draw(st.floats(0, 256, width=32))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, (4, height, width, 3)).astype(np.uint8)
    images[1] = images[1, 0, 0]
    images[2] = rng.choice(np.array([3, 60, 251], np.uint8), images[2].shape, p=(0.9, 0.09, 0.01))
    operations = rng.choice(np.array(chain.NAMES), (4, 2))
    values = np.full((4, 2, 3), threshold, np.float32)
    values[operations == "color_cast"] = rng.uniform(0, 2, 3)
    values[..., 0] = rng.choice(np.array([-1, -0.5, 0, 0.5, 1, *rng.uniform(-1, 1, 9)]), (4, 2))
    values[operations == "solarization", 0] *= 110
    values[np.isin(operations, ["contrast", "saturation"]), 0] += 1
    values[operations == "posterize", 0] = rng.integers(1, 9)
    return images, Slots(operations, values)


def both(images: Images, at: list[int], to: list[int], slots: Slots) -> tuple[Images, Images]:
    """The images after their slots, one operation at a time and in a chain."""
    plain, fast = images.copy(), images.copy()
    plain[to] = images[at]
    slots.run(OPERATIONS, plain, np.array(to))
    positions = np.array(at), fast, np.array(to)
    chain.run(images, *positions, slots.operations, slots.values)
    return plain, fast


@settings(deadline=None, max_examples=150)
@given(cases())
def test_chain_equals_plain_operations(case) -> None:
    images, slots = case
    to = [2, 0, 1]
    some = Slots(slots.operations[to], slots.values[to])
    plain, fast = both(images, [1, 2, 2], to, some)
    assert np.array_equal(fast, plain)
    assert np.array_equal(fast[3], images[3])


@pytest.mark.parametrize("operation", chain.NAMES)
def test_every_operation_at_96_pixels(operation, photographs) -> None:
    n = len(photographs)
    values = np.full((n, 1, 3), 128, np.float32)
    strength = np.linspace(-1, 1, n, dtype=np.float32)
    scaled = {"solarization": 110 * strength, "contrast": 1 + strength}
    scaled |= {"posterize": np.arange(n) % 8 + 1, "color_cast": 1 + strength / 2}
    values[:, 0, 0] = scaled.get(operation, strength)
    plain, fast = both(
        photographs, [*range(n)], [*range(n)], Slots(np.full((n, 1), operation), values)
    )
    assert np.array_equal(fast, plain)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_chained_operations_among_others_equal_plain_operations(seed, width) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (6, 12, width, 3)).astype(np.uint8)
    values = rng.uniform(1, 3, (6, 4, 3)).astype(np.float32)
    operations = rng.choice(np.array([*chain.NAMES, "hue", "flip", "gamma"]), (6, 4))
    slots, every = Slots(operations, values), np.arange(6)
    plain, fast = images.copy(), images.copy()
    slots.run(OPERATIONS, plain, every)
    engines.run("native", fast, every, fast, every, slots)
    assert np.array_equal(fast, plain)


@pytest.mark.slow
@pytest.mark.parametrize("processor", LESSER, ids=lambda processor: processor.name)
def test_same_bytes_on_lesser_processors(processor) -> None:
    if ahead.forced() or not processor.runs_here():
        pytest.skip("not one that this machine can be")
    command = [sys.executable, "-m", "pytest", "-q", "-k", "not lesser", __file__]
    done = subprocess.run(
        command, env={**os.environ, **processor.environment()}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
