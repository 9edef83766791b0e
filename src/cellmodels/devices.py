"""What the device at hand can do."""

from __future__ import annotations

from typing import Any


def mixed_policy() -> str | None:
    """The mixed precision that the first GPU computes fast, None where there is no such GPU.

    Tensor cores came with compute capability 7 for float16 and with 8 for bfloat16, which needs no
    loss scaling.
    """
    import keras

    capability = {"tensorflow": _of_tensorflow, "jax": _of_jax}.get(keras.backend.backend())
    found = capability() if capability else (0, 0)
    if found >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if found >= (7, 0) else None


def _of_tensorflow() -> tuple[int, ...]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return 0, 0
    details: dict[str, Any] = tf.config.experimental.get_device_details(gpus[0])
    return tuple(details.get("compute_capability", (0, 0)))


def _of_jax() -> tuple[int, ...]:
    import jax

    device = jax.devices()[0]
    text = str(getattr(device, "compute_capability", "0.0")) if device.platform == "gpu" else "0.0"
    return tuple(int(number) for number in text.split("."))
