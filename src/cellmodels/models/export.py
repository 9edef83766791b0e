"""`to_onnx`: a trained model for programs without Keras."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import cellprep
from cellprep import CellprepError
from cellprep.errors import require
from cellprep.writing.output import writing_to

from ..atomic import atomic_write, local
from .files import load

_EXTRA = "cellprep[export]"


def to_onnx(model: Any, path: str | Path) -> Path:
    """Write a model as an ONNX file for programs without Keras.

    Its input `images` is (n, height, width, 3) uint8, 0-255, and its output (n, classes) float32:
    the probabilities of the model itself, before a temperature. Preprocessing is part of the file.
    The metadata of the file have `class_names`, as JSON, and the `temperature`, if there is one.
    Models in mixed precision are written in float32.

    Parameters
    ----------
    model : keras.Model or path
        From `build`, or a file that `fit` saved.
    path : str or Path
        A new file that ends in .onnx, or an old one to replace.

    Returns
    -------
    Path

    Raises
    ------
    CellprepError
        Without the extra `export`, with another backend than TensorFlow, and for another ending.

    Examples
    --------
    >>> to_onnx("out/b0/model.keras", "b0.onnx")  # doctest: +SKIP
    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("b0.onnx")  # doctest: +SKIP
    >>> (probabilities,) = session.run(None, {"images": images})  # doctest: +SKIP
    """
    target = local(path)
    if target.suffix.lower() != ".onnx":
        raise CellprepError(f"an ONNX file ends in .onnx, got {str(path)!r}")
    for module in ("onnx", "tf2onnx"):
        require(module, _EXTRA)
    import keras

    if keras.backend.backend() != "tensorflow":
        raise CellprepError(
            f"exporting needs the backend tensorflow, and this is {keras.backend.backend()}; set "
            "KERAS_BACKEND=tensorflow, which loads models of any backend"
        )
    if isinstance(model, str | Path):
        model = load(model)
    with writing_to(target, is_file=True), atomic_write(target) as temporary:
        _export(_of_bytes(_in_float32(model)), temporary)
        _describe(temporary, getattr(model, "card", None))
    return target


def _of_bytes(model: Any) -> Any:
    """The model after a conversion of its input from uint8."""
    import keras

    images = keras.Input(model.input_shape[1:], dtype="uint8", name="images")
    return keras.Model(images, model(keras.ops.cast(images, "float32")), name=model.name)


def _in_float32(model: Any) -> Any:
    """The model, or a copy that computes in float32 if it computes in 16 bits."""
    if all(layer.dtype_policy.name == "float32" for layer in model.layers):
        return model
    copy = type(model).from_config(_with_float32(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _with_float32(config: Any) -> Any:
    """A configuration with every policy of mixed precision replaced."""
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(entry) for entry in config)
    if not isinstance(config, dict):
        return config
    name = config.get("config", {}).get("name", "") if "class_name" in config else ""
    if config.get("class_name") == "DTypePolicy" and name.startswith("mixed_"):
        return {**config, "config": {**config["config"], "name": "float32"}}
    return {key: _with_float32(value) for key, value in config.items()}


def _export(model: Any, path: Path) -> None:
    """Write the file as Keras does, without what its libraries print."""
    import keras

    spec = keras.InputSpec(dtype="uint8", shape=(None, *model.input_shape[1:]), name="images")
    quiet = logging.getLogger("tf2onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model.export(str(path), format="onnx", verbose=False, input_signature=[spec])
    finally:
        quiet.setLevel(level)


def _describe(path: Path, card: Any) -> None:
    """Add to the file what a user of the outputs has to know."""
    import onnx

    found = onnx.load(str(path))
    known = {"producer": f"cellmodels {cellprep.__version__}"}
    if card is not None:
        known["class_names"] = json.dumps(list(card.class_names))
        if card.temperature is not None:
            known["temperature"] = str(card.temperature)
    onnx.helper.set_model_props(found, known)
    onnx.save(found, str(path))
