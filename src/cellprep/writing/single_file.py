"""Writing a data set that is one file."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Images, Masks
from ..formats import FORMATS
from ..formats.format import Block
from ..formats.index import index_of
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.profile import Measured, Measuring
from ..system import executors
from .manifest import contents_of, manifest_of

if TYPE_CHECKING:
    import pyarrow as pa


def write_file(plan: Plan, path: Path, fingerprint: Fingerprint) -> Mapping[str, Any]:
    """Compute blocks of images in parallel, and stream them in order into the one file.

    Returns its manifest.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_file = FORMATS[fingerprint.format].write_file
    assert write_file is not None
    contents = contents_of(plan, fingerprint)
    index: list[pa.Table] = []
    measured: list[Measured] = []
    manifest: dict[str, Any] = {}

    def blocks() -> Iterator[Block]:
        task = _BlockTask(plan, contents.masks, Measuring.of(plan))
        size = math.prod(plan.shape)
        results = executors.run(task, plan.spans(), "writing", image_bytes=size)
        for images, masks, table, found in results:
            index.append(table)
            measured.append(found)
            yield images, masks

    def finish() -> tuple[dict[str, Any], bytes]:
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(index).unify_dictionaries(), buffer)
        found = Measured.total(measured)
        manifest.update(manifest_of(plan, fingerprint, {}, {}, found))
        return manifest, buffer.getvalue()

    write_file(path, contents, blocks(), finish)
    return manifest


@dataclass(frozen=True)
class _BlockTask:
    """Computes the images of a block, and their rows of the index."""

    plan: Plan
    with_masks: bool
    measuring: Measuring

    def __call__(self, span: executors.Span) -> tuple[Images, Masks | None, Any, Measured]:
        at, masks = np.arange(*span), None
        if self.with_masks:
            images, parameters, masks = self.plan.evaluate_masked(at)
        else:
            images, parameters = self.plan.evaluate(at)
        found = self.measuring(at, images, masks)
        return images, masks, index_of(self.plan, span, {}, [parameters]), found
