"""Types of arrays and the checks of arrays that users pass.

After these checks, images are `(n, height, width, 3)` uint8 RGB everywhere, and labels `(n,)` int64
indices of the class names. The names in `__all__` are public: steps of other packages may use them.
"""

from __future__ import annotations

from .images import check_images, check_masks, eight_bits
from .kinds import ClassNames, Ids, Images, Keys, Labels, Masks, Positions
from .labels import check_class_names, check_ids, check_texts, encode_labels, one_form, read_labels
from .rows import as_slice, take, writable
from .values import as_array, decode_text, is_missing, plain, text_of

__all__ = [
    "ClassNames",
    "Ids",
    "Images",
    "Keys",
    "Labels",
    "Masks",
    "Positions",
    "as_array",
    "as_slice",
    "check_class_names",
    "check_ids",
    "check_images",
    "check_masks",
    "check_texts",
    "decode_text",
    "eight_bits",
    "encode_labels",
    "is_missing",
    "one_form",
    "plain",
    "read_labels",
    "take",
    "text_of",
    "writable",
]
