"""The fingerprints of images: every change of their bytes changes them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellprep import Dataset
from cellprep.kernels.fingerprint import fingerprints


def of(data: bytes) -> tuple[int, ...]:
    (found,) = fingerprints(np.frombuffer(data, np.uint8)[None])
    return tuple(found.tolist())


@given(st.binary(max_size=3000), st.data())
def test_a_changed_byte_changes_it(data, draw) -> None:
    assert of(data + b"\0") != of(data)
    if data:
        at = draw.draw(st.integers(0, len(data) - 1))
        by = draw.draw(st.integers(1, 255))
        assert of(data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]) != of(data)


def test_highest_bits_and_places_count() -> None:
    """Where a plain product of words would forget: two flipped top bits, two lanes swapped."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 4096, np.uint8)
    seen = {of(data.tobytes())}
    for first in range(7, 4096, 256):
        for second in range(first + 256, 4096, 256):
            other = data.copy()
            other[[first, second]] ^= 128
            seen.add(of(other.tobytes()))
    swapped = data.copy().view(np.uint64)
    swapped[[0, 1]] = swapped[[1, 0]]
    seen.add(of(swapped.tobytes()))
    assert len(seen) == 1 + 120 + 1


def test_a_data_set_is_known_by_its_pixels_and_their_order(cells) -> None:
    images, labels = cells
    known = Dataset.from_arrays(images, labels).source.identity()
    assert Dataset.from_arrays(images.copy(order="F"), labels).source.identity() == known
    assert Dataset.from_arrays(images[::-1], labels).source.identity() != known
    masks = images[..., 0] > 100
    masked = Dataset.from_arrays(images, labels, masks=masks).source.identity()
    assert masked != known
    assert Dataset.from_arrays(images, labels, masks=~masks).source.identity() != masked
