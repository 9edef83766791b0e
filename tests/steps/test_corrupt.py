"""Corrupt: its arithmetic against other libraries, its suites, and what a test set needs of it."""

from __future__ import annotations

import json
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

import cellprep as cp
from cellprep.arrays import Images
from cellprep.kernels.corrupt import blur
from cellprep.kernels.corrupt.noise import numbers
from cellprep.operations import Slots, suites

cv2 = pytest.importorskip("cv2")
skimage_color = pytest.importorskip("skimage.color")
stats = pytest.importorskip("scipy.stats")
ndimage = pytest.importorskip("scipy.ndimage")

MICROSCOPY, HEAVY = (suites.SUITES[name].names for name in ("microscopy", "heavy"))
SIZES = [(28, 28), (96, 96), (64, 97), (224, 224)]
sizes = st.sampled_from(SIZES[:3])


def resized(images: Images, height: int, width: int) -> Images:
    return np.stack([np.asarray(Image.fromarray(x).resize((width, height))) for x in images])


def sent(images: Images, name: str, a=0.0, b=0.0, c=0.0, seed: int = 1) -> Images:
    """All images through one operation."""
    out = images.copy()
    operations = np.full((len(out), 1), name)
    values = np.broadcast_to(np.array([a, b, c], np.float32), (len(out), 1, 3))
    seeds = np.arange(len(out), dtype=np.uint64) + np.uint64(seed)
    slots = Slots(operations, values, numbers(seeds, 1)).with_details(suites.TABLE)
    slots.run(suites.TABLE, out, np.arange(len(out)))
    return out


def noisy(height: int, width: int) -> Images:
    return np.random.default_rng(height).integers(0, 256, (3, height, width, 3), np.uint8)


def each(images: Images, function) -> Images:
    return np.stack([np.asarray(function(Image.fromarray(image))) for image in images])


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).max())


# -- arithmetic ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [0.6, 0.5, 0.4, 0.3, 0.25])
def test_pixelate_is_pillows(photographs, size, factor) -> None:
    images = np.concatenate([resized(photographs[:4], *size), noisy(*size)])
    height, width = size
    small = (int(width * factor), int(height * factor))
    box = Image.Resampling.BOX
    expected = each(images, lambda x: x.resize(small, box).resize((width, height), box))
    difference = np.abs(sent(images, "pixelate", factor).astype(int) - expected)
    assert difference.max() <= 1  # Pillow's weights are cut to 22 bits, which decides some ties
    assert (difference > 0).mean() < 0.02


def test_jpeg_is_pillows(photographs) -> None:
    def again(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=15)
        return Image.open(file)

    assert (sent(photographs, "jpeg", 15) == each(photographs, again)).all()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.15, 1.4])
def test_brightness_and_contrast_are_pillows(photographs, factor) -> None:
    """Pillow cuts values off where these round."""
    images = np.concatenate([photographs, noisy(96, 96)])
    for name, kind in {
        "gain": ImageEnhance.Brightness,
        "grey_contrast": ImageEnhance.Contrast,
    }.items():
        expected = each(images, lambda x, kind=kind: kind(x).enhance(factor))
        assert apart(sent(images, name, factor), expected) <= 1


@pytest.mark.parametrize("amount", [0.05, 0.2, 1.0])
def test_saturate_adds_to_the_saturation(photographs, amount) -> None:
    images = np.concatenate([photographs, noisy(96, 96), np.full((1, 96, 96, 3), 77, np.uint8)])
    hsv = skimage_color.rgb2hsv(images)
    hsv[..., 1] = np.clip(hsv[..., 1] + amount, 0, 1)
    expected = skimage_color.hsv2rgb(hsv) * 255
    assert apart(sent(images, "saturate", amount), expected) <= 0.5001


@given(st.floats(-0.5, 0.5, width=32))
def test_hue_turns_the_hue(turn) -> None:
    images = noisy(20, 31)
    images[0, :8] = images[0, :8, :, :1]  # greys
    hsv = skimage_color.rgb2hsv(images)
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    assert apart(sent(images, "hue", turn), skimage_color.hsv2rgb(hsv) * 255) <= 0.501


def test_posterize_invert_and_channels() -> None:
    images = noisy(33, 20)
    for bits in (1, 2, 3, 4, 8):
        expected = each(images, lambda x, bits=bits: ImageOps.posterize(x, bits))
        assert (sent(images, "posterize", bits) == expected).all()
    assert (sent(images, "solarization", 0) == 255 - images).all()
    expected = each(images, lambda x: ImageOps.solarize(x, 100))
    assert (sent(images, "solarization", 100) == expected).all()
    for order, channels in enumerate(["gbr", "brg", "rbg", "bgr", "grb"]):
        expected = images[..., ["rgb".index(channel) for channel in channels]]
        assert (sent(images, "channel_shuffle", order) == expected).all()
    shifts = np.array([0.5, -0.25, 0.1])
    expected = np.clip(images + 255 * shifts, 0, 255)
    assert apart(sent(images, "channel_shift", *shifts), expected) <= 0.501
    expected = each(images, lambda x: ImageEnhance.Color(x).enhance(1.7))
    assert apart(sent(images, "saturation", 1.7), expected) <= 2  # Pillow rounds the grey, and cuts


def disk(radius: int) -> np.ndarray:
    """medmnistc's, whose window is 17 pixels wide."""
    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    points = (x**2 + y**2 <= radius**2).astype(np.float32)
    return cv2.GaussianBlur(points / points.sum(), (3, 3), sigmaX=0.1)


def line(radius: int, sigma: float, angle: float) -> np.ndarray:
    """ImageMagick's, point by point."""
    kernel = np.zeros((4 * radius + 3, 4 * radius + 3), np.float32)
    middle = 2 * radius + 1
    for i in range(2 * radius + 1):
        y, x = (int(np.ceil(i * f(np.deg2rad(angle)) - 0.5)) + middle for f in (np.sin, np.cos))
        kernel[y, x] += np.exp(-(i**2) / (2 * sigma**2))
    return kernel / kernel.sum()


BLURS = [
    *(("defocus_blur", (radius,), disk(radius), cv2.BORDER_REFLECT_101) for radius in (2, 4, 6)),
    *(
        ("motion_blur", values, line(*values), cv2.BORDER_REPLICATE)
        for values in ((3, 3, 0), (10, 5, 33.3), (10, 9, -45), (15, 12, 170))
    ),
]


@pytest.mark.parametrize(("name", "values", "kernel", "border"), BLURS)
def test_blurs_are_their_references_at_224(photographs, name, values, kernel, border) -> None:
    images = resized(photographs[:2], 224, 224)
    expected = [cv2.filter2D(x.astype(np.float64), -1, kernel, borderType=border) for x in images]
    assert apart(sent(images, name, *values), np.stack(expected)) <= 0.501


@pytest.mark.parametrize(("name", "values", "kernel", "border"), BLURS)
@pytest.mark.parametrize("times", [2, 4, 8])
def test_blurs_scale_with_the_side(photographs, name, values, kernel, border, times) -> None:
    """As if the image were enlarged to 224, blurred there and averaged back."""
    side = 224 // times
    images = resized(photographs[:2], side, side)
    large = images.repeat(times, axis=1).repeat(times, axis=2).astype(np.float64)
    expected = np.stack([cv2.filter2D(x, -1, kernel) for x in large])
    expected = expected.reshape(-1, side, times, side, times, 3).mean(axis=(2, 4))
    edge = slice(32 // times, -(32 // times))  # borders are continued otherwise
    made = sent(images, name, *values)
    assert apart(made[:, edge, edge], expected[:, edge, edge]) <= 0.51


@pytest.mark.parametrize("scale", [0.1, 0.4, 1, 1.3, 2, 3])
def test_kernels_sum_to_one_without_gaps(scale) -> None:
    radius, sigma, angle = (np.array([value], np.float32) for value in (10, 9, 45))
    for kernel in (blur.disks(radius, scale)[0], blur.lines(radius, sigma, angle, scale)[0]):
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert (kernel >= 0).all()
        along = kernel.diagonal() > 0
        assert np.diff(np.flatnonzero(along)).max(initial=1) == 1


def test_kernels_do_not_depend_on_the_others_of_a_batch(photographs) -> None:
    radius = np.array([3, 15, 6, 2], np.float32)
    sigma, angle = np.full(4, 9, np.float32), np.array([20, -170, 45, 90], np.float32)
    images = photographs[:4].copy()
    blur.convolve(images, np.arange(4), blur.lines(radius, sigma, angle, 0.43), "edge")
    blur.convolve(images, np.arange(4), blur.disks(radius, 0.43), "reflect")
    sigmas = radius * np.float32(224 / min(images.shape[1:3]))
    blur.gaussian_blur(images, np.arange(4), sigmas)
    alone = photographs[:4].copy()
    for row in range(4):
        at, this = np.array([row]), slice(row, row + 1)
        blur.convolve(alone, at, blur.lines(radius[this], sigma[this], angle[this], 0.43), "edge")
        blur.convolve(alone, at, blur.disks(radius[this], 0.43), "reflect")
        blur.gaussian_blur(alone, at, sigmas[this])
    assert (alone == images).all()


@given(st.floats(0.3, 7), sizes)
@settings(max_examples=15)
def test_gaussian_blur_is_scipys(sigma, size) -> None:
    images = noisy(*size)
    expected = ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma, 0), mode="reflect")
    made = sent(images, "gaussian_blur", sigma * 224 / min(size))
    assert apart(made, expected) <= 1.01  # rounded after each axis


def test_gaussian_noise_is_normal() -> None:
    images = np.full((4, 97, 101, 3), 128, np.uint8)
    made = sent(images, "gaussian_noise", 0.1).astype(float) - 128
    jittered = made.ravel() + np.random.default_rng(0).uniform(-0.5, 0.5, made.size)
    assert stats.kstest(jittered / 25.5, "norm").pvalue > 1e-3
    assert made.std() == pytest.approx(25.5, rel=0.01)
    flat = made.reshape(4, -1)
    for lag in (1, 3, 4, 12):
        assert abs(np.corrcoef(flat[:, lag:].ravel(), flat[:, :-lag].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(flat)[~np.eye(4, dtype=bool)]).max() < 0.03


def test_marks_have_the_sizes_asked(photographs) -> None:
    white = np.full((40, 224, 224, 3), 255, np.uint8)
    for size, theirs in {21: 349, 26.5: 554}.items():  # mean areas of medmnistc's own
        black = 1 - sent(white, "stain_deposit", 1, size).mean(axis=(1, 2, 3)) / 255
        assert (black * 224**2).mean() == pytest.approx(theirs, rel=0.04)
    dark = np.zeros((40, 224, 224, 3), np.uint8)
    area = np.mean([np.pi * (r + 0.5) ** 2 * 100 + np.pi * (4 * r + 6) * 130 for r in range(3, 8)])
    light = sent(dark, "bubble", 1, 7).sum(axis=(1, 2, 3)) / 3
    assert light.mean() == pytest.approx(area, rel=0.15)
    halves = sent(white, "cutout", 0.5)
    share = (halves == 0).all(axis=3).mean(axis=(1, 2))
    assert share.max() <= 0.25
    assert share.min() >= 0.05
    grid = (sent(white, "grid_mask", 0.5, 0.2, 20) == 0).mean()
    assert grid == pytest.approx(0.25, abs=0.02)


@given(st.sampled_from(HEAVY + MICROSCOPY), sizes, st.integers(0, 99))
@settings(max_examples=60)
def test_other_rows_stay_and_a_row_alone_is_the_same(name, size, seed) -> None:
    images = noisy(*size)
    suite = "heavy" if name in HEAVY else "microscopy"
    step = cp.Corrupt(suite, corruption=name)
    whole = cp.Recipe([step], seed)(
        cp.Dataset.from_arrays(images, [0, 0, 0], ["a"], ["x", "y", "z"])
    )
    record = whole.plan.evaluate(np.arange(3))[1]
    parameters = {key.split(".")[1]: column.values[1:2] for key, column in record.items()}
    made, row = images.copy(), np.array([1])
    step.apply_to(made, row, made, row, **parameters)
    assert (made[[0, 2]] == images[[0, 2]]).all()
    assert (made[1] == whole.images[1]).all()


# -- the suites ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MICROSCOPY)
def test_severities_grow(photographs, name, size) -> None:
    images = resized(photographs, *size)
    change = [
        np.abs(cp.corrupt(images, corruption=name, severity=s).astype(int) - images).mean()
        for s in range(1, 6)
    ]
    assert change[0] > 0.05
    least = 0.9 if name == "pixelate" else 1  # boxes that fit a small side exactly change less
    assert all(later >= least * earlier for earlier, later in pairwise(change))
    assert change[4] > 1.3 * change[0]


@pytest.mark.parametrize("name", HEAVY)
def test_every_change_shows(photographs, name) -> None:
    made = cp.corrupt(photographs, suite="heavy", corruption=name)
    change = np.abs(made.astype(int) - photographs).mean(axis=(1, 2, 3))
    assert np.median(change) > 1


def record(step: cp.Corrupt, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    dataset = cp.Dataset.from_arrays(np.zeros((n, 2, 2, 3), np.uint8), np.zeros(n, int))
    found = cp.Recipe([step], seed)(dataset).plan.evaluate(np.arange(n))[1]
    return {name.removeprefix("corrupt."): column.values for name, column in found.items()}


def test_microscopy_draws_every_corruption_and_severity_alike() -> None:
    found = record(cp.Corrupt(), 11_000)
    pairs = [found["corruption"], found["severity"].astype(str)]
    counts = np.unique(np.char.add(*pairs), return_counts=True)[1]
    assert len(counts) == 55
    assert stats.chisquare(counts).pvalue > 1e-3


def test_severities_share_angle_and_places() -> None:
    low, high = (record(cp.Corrupt(severity=s, corruption="motion_blur"), 50) for s in (1, 5))
    assert (low["c_1"] == high["c_1"]).all()
    assert (low["seed"] == high["seed"]).all()
    assert -45 <= low["c_1"].min() < -35
    assert 35 < low["c_1"].max() <= 45
    assert (low["a_1"] == 3).all()
    assert (high["b_1"] == 9).all()


def test_heavy_makes_two_to_four_different_changes_of_most_images() -> None:
    n = 8000
    found = record(cp.Corrupt("heavy"), n)
    change = {way[0]: number for number, ways in enumerate(suites._HEAVY) for way in ways}
    made = np.stack([found[f"op_{slot}"] for slot in range(1, 5)], axis=1)
    count = (made != "none").sum(axis=1)
    assert (count == 0).mean() == pytest.approx(0.05, abs=0.01)
    assert stats.chisquare(np.bincount(count)[2:]).pvalue > 1e-3
    numbers = [[change[name] for name in row if name != "none"] for row in made.tolist()]
    assert all(len(set(row)) == len(row) for row in numbers)
    assert (
        stats.chisquare(np.bincount(np.concatenate([r for r in numbers if r]).astype(int))).pvalue
        > 1e-3
    )
    firsts = np.bincount([row[0] for row in numbers if row])
    assert stats.chisquare(firsts).pvalue > 1e-3


def test_heavy_values_lie_in_their_ranges() -> None:
    for ways in suites._HEAVY:
        for name, *taken in ways:
            found = record(cp.Corrupt("heavy", corruption=name), 400)
            same = [way[1:] for way in ways if way[0] == name]
            for place, column in enumerate(("a_1", "b_1", "c_1")):
                low = min(np.min(way[place]) if place < len(way) else 0 for way in same)
                high = max(np.max(way[place]) if place < len(way) else 0 for way in same)
                assert low <= found[column].min()
                assert found[column].max() <= high
                if suites.TABLE[name].whole and place < len(taken):
                    assert np.unique(found[column]).tolist() == list(range(low, high))


# -- as a test set ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", [cp.Corrupt(), cp.Corrupt("heavy")], ids=repr)
def test_rows_stay_and_replay_makes_the_same_bytes(step, cells, tmp_path) -> None:
    images, labels = cells
    ids = np.array([f"smear {n}" for n in range(len(images))])
    source = cp.Dataset.from_arrays(images, labels, ids=ids)
    made = cp.Recipe([cp.KMeansMask(), cp.Jitter(), step, step], seed=3)(source)
    assert (made.ids == ids).all()
    assert (made.labels == labels).all()
    for format_, place in {"shards": "out", "npz": "out.npz"}.items():
        cp.write(made, tmp_path / place, format=format_)
        written = cp.read(tmp_path / place).to_arrays()[0]
        assert (written == made.to_arrays()[0]).all()
    assert (cp.replay(tmp_path / "out", source) == written).all()
    assert (cp.replay(tmp_path / "out", source, at=[7, 2]) == written[[7, 2]]).all()


def test_augmix_is_replayed_from_its_recorded_mixture_alone(cells) -> None:
    images, _ = cells
    step = cp.Corrupt("heavy", corruption="augmix")
    found = record(step, len(images))
    mixtures = [json.loads(text) for text in found["details"].tolist()]
    assert all(len(mixture) == 3 for mixture in mixtures)
    lengths = {len(chain) for mixture in mixtures for _, chain in mixture}
    assert lengths == {1, 2, 3}
    rows, expected = np.arange(len(images)), images.copy()
    step.apply_to(expected, rows, expected, rows, **found)
    other_seeds = found | {"seed": found["seed"] + np.uint64(1)}
    replayed = images.copy()
    step.apply_to(replayed, rows, replayed, rows, **other_seeds)
    assert (replayed == expected).all()
    old = {name: column for name, column in found.items() if name != "details"}  # version 0.1
    replayed = images.copy()
    step.apply_to(replayed, rows, replayed, rows, **old)
    assert (replayed == expected).all()
    resampled = images.copy()
    step.apply_to(resampled, rows, resampled, rows, **(old | {"seed": other_seeds["seed"]}))
    assert (resampled != expected).any()


def test_a_corrupted_set_may_be_split(cells) -> None:
    """Nothing was multiplied: every image is there once."""
    dataset = cp.Recipe([cp.Corrupt("heavy")])(cp.Dataset.from_arrays(*cells))
    parts = cp.split(dataset, train=0.5, test=0.5)
    assert sum(len(part) for part in parts.values()) == len(cells[0])


@pytest.mark.parametrize("name", HEAVY)
def test_masks_follow_the_moves(name) -> None:
    masks = np.zeros((12, 60, 80), bool)
    masks[:, 20:45, 25:60] = True
    masks[:, 30:40, 60:70] = True
    step = cp.Corrupt("heavy", corruption=name)
    images = np.where(masks[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=3)
    found = record(step, 12)
    moved = step.move_masks(masks, np.arange(12), **found)
    if suites.TABLE[name].moves:
        step.apply_to(images, np.arange(12), images, np.arange(12), **found)
        assert ((images[..., 0] > 127) != moved).mean() < 0.01
        assert (moved != masks).any(axis=(1, 2)).mean() > 0.9
    else:
        assert (moved == masks).all()


def test_mistakes_are_errors() -> None:
    for settings_, words in {
        ("microscopic",): "did you mean 'microscopy'",
        ("microscopy", 0): r"`severity` must be a whole number in \[1, 5\], got 0",
        ("microscopy", 6): "got 6",
        ("microscopy", 2.5): "got 2.5",
        ("microscopy", True): "got True",
        ("microscopy", 2, "pixelated"): "did you mean 'pixelate'",
        ("microscopy", None, "cutout"): "`corruption` got 'cutout'",
        ("heavy", 3): "which samples every strength from its range; omit it",
        ("heavy", None, "gausian_noise"): "did you mean 'gaussian_noise'",
    }.items():
        with pytest.raises(cp.CellprepError, match=words):
            cp.Corrupt(*settings_)
    with pytest.raises(cp.CellprepError, match="step Corrupt: `suite` got 'haevy'; did you mean"):
        cp.Recipe.from_toml('[[steps]]\nstep = "Corrupt"\nsuite = "haevy"')


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 40), (9, 5)])
def test_tiny_images(shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, *shape, 3), np.uint8)
    for suite, table in suites.SUITES.items():
        for name in (None, *table.names):
            assert cp.corrupt(images, suite=suite, corruption=name).shape == images.shape
