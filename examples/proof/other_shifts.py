"""Shifts of images by SciPy, scikit-image and Pillow, independent of cellprep's `Corrupt`.

A model can be trained for the corruptions that it will be tested on. So it is also tested on these,
which no row of the tables trains with: one to three of fourteen changes per image.
"""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from skimage import color, exposure, transform, util


def gaussian_blur(image, random):
    return ndimage.gaussian_filter(image, (random.uniform(1, 2.5),) * 2 + (0,), mode="nearest")


def motion_blur(image, random):
    line = np.zeros((11, 11))
    line[5] = 1
    line = ndimage.rotate(line, random.uniform(0, 180), reshape=False, order=1)
    return ndimage.convolve(image, (line / line.sum())[..., None], mode="nearest")


def gaussian_noise(image, random):
    return util.random_noise(image, "gaussian", rng=random, var=random.uniform(0.003, 0.02))


def salt_and_pepper(image, random):
    return util.random_noise(image, "s&p", rng=random, amount=random.uniform(0.01, 0.06))


def jpeg(image, random):
    file = io.BytesIO()
    _pillow(image).save(file, "JPEG", quality=int(random.integers(6, 25)))
    return _array(Image.open(file))


def fewer_pixels(image, random):
    side = image.shape[0]
    small = transform.resize(image, (int(side * random.uniform(0.25, 0.5)),) * 2, order=1)
    return transform.resize(small, image.shape[:2], order=1)


def brightness(image, random):
    return _array(ImageEnhance.Brightness(_pillow(image)).enhance(_factor(random)))


def contrast(image, random):
    return _array(ImageEnhance.Contrast(_pillow(image)).enhance(_factor(random)))


def saturation(image, random):
    return _array(ImageEnhance.Color(_pillow(image)).enhance(random.uniform(0, 2.5)))


def hue(image, random):
    hsv = color.rgb2hsv(image)
    hsv[..., 0] = (hsv[..., 0] + random.uniform(-0.12, 0.12)) % 1
    return color.hsv2rgb(hsv)


def gamma(image, random):
    return exposure.adjust_gamma(image, np.exp(random.uniform(-0.9, 0.9)))


def few_levels(image, random):
    return _array(ImageOps.posterize(_pillow(image), int(random.integers(2, 4))))


def turned_and_zoomed(image, random):
    middle = np.array(image.shape[:2]) / 2
    change = transform.AffineTransform(
        scale=np.exp(random.uniform(-0.35, 0.35)),
        rotation=random.uniform(-np.pi, np.pi),
        translation=random.uniform(-8, 8, 2),
    )
    there = transform.AffineTransform(translation=-middle)
    back = transform.AffineTransform(translation=middle)
    return transform.warp(image, there + change + back, mode="edge")


def elastic(image, random):
    moved = [
        ndimage.gaussian_filter(random.uniform(-1, 1, image.shape[:2]), 6) * 60 for _ in range(2)
    ]
    grid = np.mgrid[: image.shape[0], : image.shape[1]] + moved
    planes = [
        ndimage.map_coordinates(image[..., k], grid, order=1, mode="nearest") for k in range(3)
    ]
    return np.stack(planes, axis=-1)


CHANGES = (
    gaussian_blur,
    motion_blur,
    gaussian_noise,
    salt_and_pepper,
    jpeg,
    fewer_pixels,
    brightness,
    contrast,
    saturation,
    hue,
    gamma,
    few_levels,
    turned_and_zoomed,
    elastic,
)


def shifted(image, random):
    """An image (height, width, 3) uint8 after one to three different changes."""
    found = image / 255
    for k in random.choice(len(CHANGES), size=int(random.integers(1, 4)), replace=False):
        found = np.clip(CHANGES[k](found, random), 0, 1)
    return np.rint(found * 255).astype(np.uint8)


def _factor(random):
    """Less or more than 1, not between 0.8 and 1.25."""
    return float(np.exp(random.choice([-1, 1]) * random.uniform(0.22, 0.7)))


def _pillow(image):
    return Image.fromarray(np.rint(image * 255).astype(np.uint8))


def _array(image):
    return np.asarray(image.convert("RGB")) / 255
