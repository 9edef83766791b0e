"""Pure functions on batches of pixels: one parameter value per image, no sampling, no files.

The names that settings may have are defined here, so that checking them does not load a compiler.
"""

SPACES = ("rgb", "lab", "chroma", "stain", "purple", "dark")
TARGETS = ("cell", "nucleus")
HASHES = ("phash", "dhash", "ahash", "whash")
FOREGROUNDS = ("auto", "darkest", "two-darkest", "not-brightest")
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
