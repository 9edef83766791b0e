"""The operations of Corrupt, compared with other libraries and with their formulas."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from cellprep.arrays import Images
from cellprep.kernels.corrupt import blur
from cellprep.kernels.corrupt.noise import numbers
from cellprep.operations import Slots, suites

from .images import SIZES, noisy, resized

cv2 = pytest.importorskip("cv2")
skimage_color = pytest.importorskip("skimage.color")
stats = pytest.importorskip("scipy.stats")
ndimage = pytest.importorskip("scipy.ndimage")

sizes = st.sampled_from(SIZES[:3])


def corrupted(images: Images, name: str, a=0.0, b=0.0, c=0.0, seed: int = 1) -> Images:
    """All images after one operation."""
    out = images.copy()
    operations = np.full((len(out), 1), name)
    values = np.broadcast_to(np.array([a, b, c], np.float32), (len(out), 1, 3))
    seeds = np.arange(len(out), dtype=np.uint64) + np.uint64(seed)
    slots = Slots(operations, values, numbers(seeds, 1)).with_details(suites.TABLE)
    slots.run(suites.TABLE, out, np.arange(len(out)))
    return out


def each(images: Images, function) -> Images:
    return np.stack([np.asarray(function(Image.fromarray(image))) for image in images])


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).max())


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 120), st.integers(1, 120)), st.floats(1 / 128, 1, width=32))
def test_pixelate_equals_pillow(size, factor) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    small = max(1, int(size[1] * factor)), max(1, int(size[0] * factor))
    box = Image.Resampling.BOX
    expected = each(images, lambda x: x.resize(small, box).resize(size[::-1], box))
    difference = np.abs(corrupted(images, "pixelate", factor).astype(int) - expected)
    # before version 13, Pillow filtered rows and columns in another order
    assert difference.max() <= (0 if int(PIL.__version__.split(".")[0]) >= 13 else 1)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["symmetric", "reflect", "edge"]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_convolution_adds_taps_in_groups_of_four(size, border, cancels, seed) -> None:
    """The order decides the last bit of a sum, and so, rarely, a level."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, 11, 14, 3), np.uint8)
    kernel = rng.random((2 * size[0] - 1, 2 * size[1] - 1), np.float32)
    kernel[rng.random(kernel.shape) < 0.3] = 0
    if cancels:  # large weights of both signs: the last bits of intermediate sums are whole levels
        images[:] = rng.integers(0, 256, (2, 1, 1, 3), np.uint8)
        kernel = np.float32(1e6) * (kernel - kernel[::-1, ::-1])
    kernel[size[0] - 1, size[1] - 1] += 1
    if not cancels:
        kernel /= kernel.sum()
    margins = [(0, 0), *((side // 2, side // 2) for side in kernel.shape), (0, 0)]
    padded = np.pad(images, margins, mode=border).astype(np.float32)
    products = [
        kernel[v, u] * padded[:, v : v + 11, u : u + 14] for v, u in np.argwhere(kernel).tolist()
    ]
    total = np.zeros(images.shape, np.float32)
    while len(products) >= 4:
        a, b, c, d, *products = products
        total += (a + b) + (c + d)
    for product in products:
        total += product
    blur.convolve(images, np.arange(2), np.stack([kernel, kernel]), border)
    assert (images == (total.clip(0, 255) + np.float32(0.5)).astype(np.uint8)).all()


def test_jpeg_equals_pillow(photographs) -> None:
    def compressed(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=15)
        return Image.open(file)

    assert (corrupted(photographs, "jpeg", 15) == each(photographs, compressed)).all()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.15, 1.4])
def test_brightness_and_contrast_equal_pillow_within_one_level(photographs, factor) -> None:
    """Pillow truncates; these operations round."""
    images = np.concatenate([photographs, noisy(96, 96)])
    for name, kind in {
        "gain": ImageEnhance.Brightness,
        "grey_contrast": ImageEnhance.Contrast,
    }.items():
        expected = each(images, lambda x, kind=kind: kind(x).enhance(factor))
        assert largest_difference(corrupted(images, name, factor), expected) <= 1


@pytest.mark.parametrize("amount", [0.05, 0.2, 1.0])
def test_saturate_adds_to_hsv_saturation(photographs, amount) -> None:
    images = np.concatenate([photographs, noisy(96, 96), np.full((1, 96, 96, 3), 77, np.uint8)])
    hsv = skimage_color.rgb2hsv(images)
    hsv[..., 1] = np.clip(hsv[..., 1] + amount, 0, 1)
    expected = skimage_color.hsv2rgb(hsv) * 255
    assert largest_difference(corrupted(images, "saturate", amount), expected) <= 0.5001


@given(st.floats(-0.5, 0.5, width=32))
def test_hue_rotates_hsv_hue(turn) -> None:
    images = noisy(20, 31)
    images[0, :8] = images[0, :8, :, :1]  # grey pixels
    hsv = skimage_color.rgb2hsv(images)
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    assert (
        largest_difference(corrupted(images, "hue", turn), skimage_color.hsv2rgb(hsv) * 255)
        <= 0.501
    )


def test_posterize_solarize_and_channel_operations_match_their_formulas() -> None:
    images = noisy(33, 20)
    for bits in (1, 2, 3, 4, 8):
        expected = each(images, lambda x, bits=bits: ImageOps.posterize(x, bits))
        assert (corrupted(images, "posterize", bits) == expected).all()
    assert (corrupted(images, "solarization", 0) == 255 - images).all()
    expected = each(images, lambda x: ImageOps.solarize(x, 100))
    assert (corrupted(images, "solarization", 100) == expected).all()
    for order, channels in enumerate(["gbr", "brg", "rbg", "bgr", "grb"]):
        expected = images[..., ["rgb".index(channel) for channel in channels]]
        assert (corrupted(images, "channel_shuffle", order) == expected).all()
    shifts = np.array([0.5, -0.25, 0.1])
    expected = np.clip(images + 255 * shifts, 0, 255)
    assert largest_difference(corrupted(images, "channel_shift", *shifts), expected) <= 0.501
    expected = each(images, lambda x: ImageEnhance.Color(x).enhance(1.7))
    assert (
        largest_difference(corrupted(images, "saturation", 1.7), expected) <= 2
    )  # Pillow rounds the grey and truncates the rest


def disk(radius: int) -> np.ndarray:
    """The kernel of medmnistc, whose window is 17 pixels wide."""
    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    points = (x**2 + y**2 <= radius**2).astype(np.float32)
    return cv2.GaussianBlur(points / points.sum(), (3, 3), sigmaX=0.1)


def line(radius: int, sigma: float, angle: float) -> np.ndarray:
    """The kernel of ImageMagick, point by point."""
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
def test_blurs_match_their_references_at_224_pixels(
    photographs, name, values, kernel, border
) -> None:
    images = resized(photographs[:2], 224, 224)
    expected = [cv2.filter2D(x.astype(np.float64), -1, kernel, borderType=border) for x in images]
    assert largest_difference(corrupted(images, name, *values), np.stack(expected)) <= 0.501


@pytest.mark.parametrize(("name", "values", "kernel", "border"), BLURS)
@pytest.mark.parametrize("times", [2, 4, 8])
def test_blurs_scale_with_image_size(photographs, name, values, kernel, border, times) -> None:
    """The result is that of enlarging to 224 pixels, blurring and averaging back."""
    side = 224 // times
    images = resized(photographs[:2], side, side)
    large = images.repeat(times, axis=1).repeat(times, axis=2).astype(np.float64)
    expected = np.stack([cv2.filter2D(x, -1, kernel) for x in large])
    expected = expected.reshape(-1, side, times, side, times, 3).mean(axis=(2, 4))
    edge = slice(32 // times, -(32 // times))  # borders are extended differently
    made = corrupted(images, name, *values)
    assert largest_difference(made[:, edge, edge], expected[:, edge, edge]) <= 0.51


@pytest.mark.parametrize("scale", [0.1, 0.4, 1, 1.3, 2, 3])
def test_blur_kernels_sum_to_one_and_have_no_gaps(scale) -> None:
    radius, sigma, angle = (np.array([value], np.float32) for value in (10, 9, 45))
    for kernel in (blur.disks(radius, scale)[0], blur.lines(radius, sigma, angle, scale)[0]):
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert (kernel >= 0).all()
        along = kernel.diagonal() > 0
        assert np.diff(np.flatnonzero(along)).max(initial=1) == 1


def test_blurs_do_not_depend_on_other_images_of_the_batch(photographs) -> None:
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
def test_gaussian_blur_equals_scipy(sigma, size) -> None:
    images = noisy(*size)
    expected = ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma, 0), mode="reflect")
    made = corrupted(images, "gaussian_blur", sigma * 224 / min(size))
    assert largest_difference(made, expected) <= 1.01  # rounded after each axis


def test_gaussian_noise_is_normal_and_uncorrelated() -> None:
    images = np.full((4, 97, 101, 3), 128, np.uint8)
    made = corrupted(images, "gaussian_noise", 0.1).astype(float) - 128
    jittered = made.ravel() + np.random.default_rng(0).uniform(-0.5, 0.5, made.size)
    assert stats.kstest(jittered / 25.5, "norm").pvalue > 1e-3
    assert made.std() == pytest.approx(25.5, rel=0.01)
    flat = made.reshape(4, -1)
    for lag in (1, 3, 4, 12):
        assert abs(np.corrcoef(flat[:, lag:].ravel(), flat[:, :-lag].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(flat)[~np.eye(4, dtype=bool)]).max() < 0.03


def test_marks_have_the_requested_sizes(photographs) -> None:
    white = np.full((40, 224, 224, 3), 255, np.uint8)
    for size, expected in {21: 349, 26.5: 554}.items():  # mean areas in medmnistc
        black = 1 - corrupted(white, "stain_deposit", 1, size).mean(axis=(1, 2, 3)) / 255
        assert (black * 224**2).mean() == pytest.approx(expected, rel=0.04)
    dark = np.zeros((40, 224, 224, 3), np.uint8)
    area = np.mean([np.pi * (r + 0.5) ** 2 * 100 + np.pi * (4 * r + 6) * 130 for r in range(3, 8)])
    light = corrupted(dark, "bubble", 1, 7).sum(axis=(1, 2, 3)) / 3
    assert light.mean() == pytest.approx(area, rel=0.15)
    cut = corrupted(white, "cutout", 0.5)
    share = (cut == 0).all(axis=3).mean(axis=(1, 2))
    assert share.max() <= 0.25
    assert share.min() >= 0.05
    grid = (corrupted(white, "grid_mask", 0.5, 0.2, 20) == 0).mean()
    assert grid == pytest.approx(0.25, abs=0.02)
