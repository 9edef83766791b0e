"""The numeric precision of a model, as far as the device supports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cellprep import CellprepError


@contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """Layers created inside the block compute in this precision."""
    import keras

    mixed = None if precision == "float32" else mixed_policy()
    if precision == "mixed" and mixed is None:
        raise CellprepError(
            "`precision` 'mixed' needs a GPU of compute capability 7 or newer, and this machine "
            "has none; use 'auto' or 'float32'"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(mixed or "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def mixed_policy() -> str | None:
    """The mixed precision that the first GPU computes fast, or None without such a GPU.

    Tensor cores came with compute capability 7 for float16 and with 8 for bfloat16, which needs no
    loss scaling.
    """
    import keras

    by_backend = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}
    found = by_backend[keras.backend.backend()]()
    if found >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if found >= (7, 0) else None


def _by_tensorflow() -> tuple[int, ...]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return 0, 0
    details: dict[str, Any] = tf.config.experimental.get_device_details(gpus[0])
    return tuple(details.get("compute_capability", (0, 0)))


def _by_jax() -> tuple[int, ...]:
    import jax

    device = jax.devices()[0]
    text = str(getattr(device, "compute_capability", "0.0")) if device.platform == "gpu" else "0.0"
    return tuple(int(number) for number in text.split("."))


def _by_torch() -> tuple[int, ...]:
    import torch

    return torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)
