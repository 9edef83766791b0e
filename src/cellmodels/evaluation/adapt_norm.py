"""Batch normalisation adapted to the images of another laboratory, without their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError, Dataset

FEWEST = 32
"""Fewest images whose statistics are used."""
MOST = 256
"""Most images whose statistics are used."""
_PIXELS = MOST * 96 * 96
"""Fewer than MOST are used if they have more pixels than this: some activations of all of them are
in memory at once, which takes about half a GB."""
_CHUNK = 32


@contextmanager
def adapted_norm(model: Any, dataset: Dataset, weight: float, name: str) -> Iterator[None]:
    """Inside the block, the model normalises by statistics blended with those of these images.

    The mean and variance of each batch normalisation become (1 - weight) * trained + weight *
    target [1]_. Layer after layer, the target statistics are those of its inputs once all layers
    before it are adapted. They are taken over a sample of at most 256 images, chosen by their ids,
    and do not depend on the order of rows or the batch size. Afterwards the model is as before.

    Raises
    ------
    CellprepError
        For fewer than 32 images, and models without batch normalisation.

    References
    ----------
    .. [1] S. Schneider et al. Improving robustness against common corruptions by covariate shift
       adaptation. NeurIPS 2020.
    """
    norms = check_norm(model, dataset, name)
    statistics = [
        variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)
    ]
    trained = [_array(variable) for variable in statistics]
    try:
        _blend(model, _sample(dataset), weight, last=norms[-1])
        yield
    finally:
        for variable, value in zip(statistics, trained, strict=True):
            variable.assign(value)


def check_norm(model: Any, dataset: Dataset, name: str) -> list[Any]:
    """The batch normalisation layers of a model, in the order of computation.

    Raises
    ------
    CellprepError
        If there are none, and for fewer than 32 images.
    """
    import keras

    if len(dataset) < FEWEST:
        raise CellprepError(
            f"`adapt_norm` needs at least {FEWEST} images, but {name} has {len(dataset)}; leave it "
            "out, or predict more images of this laboratory together"
        )
    operations = getattr(model, "operations", [])
    if not operations or any(isinstance(each, keras.Model) for each in operations):
        raise CellprepError(
            f"`adapt_norm` needs a functional model without models inside, as build makes, but "
            f"{model.name} is none; leave it out"
        )
    norms = [each for each in operations if isinstance(each, keras.layers.BatchNormalization)]
    if not norms:
        raise CellprepError(f"{model.name} has no batch normalisation; leave `adapt_norm` out")
    return norms


def _sample(dataset: Dataset) -> list[NDArray[np.float32]]:
    """The images whose statistics are used, in chunks."""
    n = max(FEWEST, min(MOST, _PIXELS // (dataset.shape[1] * dataset.shape[2])))
    rows = dataset.shuffled(seed=0, epoch=0)[:n]
    starts = range(0, len(rows), _CHUNK)
    return [dataset.images[rows[k : k + _CHUNK]].astype(np.float32) for k in starts]


def _blend(model: Any, chunks: list[Any], weight: float, last: Any) -> None:
    """Compute the model operation by operation on all chunks, up to its last normalisation."""
    import keras

    steps = model.operations[: model.operations.index(last) + 1]
    steps = [step for step in steps if not isinstance(step, keras.layers.InputLayer)]
    needed = [keras.tree.flatten(step.input) for step in steps]
    uses = Counter(id(x) for inputs in needed for x in inputs)
    values = {id(model.inputs[0]): [keras.ops.convert_to_tensor(chunk) for chunk in chunks]}
    for step, inputs in zip(steps, needed, strict=True):
        given = list(zip(*(values[id(x)] for x in inputs), strict=True))
        if isinstance(step, keras.layers.BatchNormalization):
            _blend_layer(step, [x for (x,) in given], weight)
        run = keras.Function(inputs, step.output)
        values[id(step.output)] = [keras.ops.stop_gradient(run(list(each))) for each in given]
        for x in inputs:
            uses[id(x)] -= 1
            if not uses[id(x)]:
                del values[id(x)]


def _blend_layer(norm: Any, chunks: list[Any], weight: float) -> None:
    """Blend the statistics of one layer with those of its inputs."""
    from keras import ops

    rank = len(chunks[0].shape)
    axes = [k for k in range(rank) if k != norm.axis % rank]
    inputs = [ops.cast(chunk, "float32") for chunk in chunks]
    mean = _mean(inputs, axes)
    center = ops.convert_to_tensor(np.expand_dims(mean, axes).astype(np.float32))
    variance = _mean([ops.square(x - center) for x in inputs], axes)
    for trained, target in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        trained.assign((1 - weight) * _array(trained) + weight * target)


def _mean(chunks: list[Any], axes: list[int]) -> NDArray[np.float64]:
    """The mean over all chunks, each of which is averaged in float32."""
    from keras import ops

    means = [_array(ops.mean(chunk, axis=axes)) for chunk in chunks]
    found: NDArray[np.float64] = np.average(means, axis=0, weights=[len(c) for c in chunks])
    return found


def _array(tensor: Any) -> NDArray[np.float64]:
    import keras

    found: NDArray[np.float64] = keras.ops.convert_to_numpy(tensor).astype(np.float64)
    return found
