"""Pure functions on batches of pixels: one parameter value per image, no sampling, no files.

The names that settings may have are defined here, so that checking them does not load a compiler.
"""

from typing import Literal, get_args

Space = Literal["rgb", "lab", "chroma", "stain", "purple", "dark"]
Target = Literal["cell", "nucleus"]
Hash = Literal["phash", "dhash", "ahash", "whash"]
Foreground = Literal["auto", "darkest", "two-darkest", "not-brightest"]
SPACES: tuple[Space, ...] = get_args(Space)
TARGETS: tuple[Target, ...] = get_args(Target)
HASHES: tuple[Hash, ...] = get_args(Hash)
FOREGROUNDS: tuple[Foreground, ...] = get_args(Foreground)
SYMMETRIES = (
    "identity",
    "flip_left_right",
    "flip_top_bottom",
    "rotate_180",
    "transpose",
    "rotate_270",
    "rotate_90",
    "transverse",
)
SIDE = 48
"""Side in pixels of the thumbnails that near duplicates are compared by."""
KERAS_CV = (
    "auto_contrast",
    "equalization",
    "solarization",
    "color_degeneration",
    "contrast",
    "brightness",
    "shear_x",
    "shear_y",
    "translation_x",
    "translation_y",
)
"""The ten operations of KerasCV's RandAugment, in its order."""
