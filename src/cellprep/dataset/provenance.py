"""What a data set reports about its rows and their origin, for training and comparisons."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import xxhash

from ..arrays import Positions
from ..plan.plan import Plan
from ..plan.source import Source


class Provenance(ABC):
    """The methods of a `Dataset` that describe its rows and their origin."""

    source: Source

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    def provenance(self) -> dict[str, Any]:
        """What the rows are and what was done to their images, as JSON values.

        Returns
        -------
        dict
            `path` that was read, or None; `masks`, whether the source has masks; `steps`, the saved
            form of every step since the images were first read, with its seed, and its epoch unless
            that is 0; `rows`, a digest of ids, copy numbers and labels; `images`, the shape of all
            images; `class_names`.

        Examples
        --------
        >>> from cellprep import Crop, Dataset, Recipe
        >>> cells = Dataset.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
        >>> found = Recipe([Crop(4)])(cells).provenance()
        >>> found["images"], [step["step"] for step in found["steps"]]
        ([2, 4, 4, 3], ['Crop'])
        """
        rows = self.plan.rows
        digest = xxhash.xxh3_128()
        for column in (rows.keys, rows.labels):
            digest.update(np.ascontiguousarray(column).data)
        steps = json.loads(json.dumps([dict(step) for step in self.plan.saved]))
        return {
            "path": None if self.source.path is None else str(self.source.path),
            "masks": self.source.has_masks,
            "steps": steps,
            "rows": digest.hexdigest(),
            "images": [len(rows), *self.plan.shape],
            "class_names": list(self.plan.class_names),
        }

    def shares_ids(self, other: Provenance) -> bool:
        """Whether equal ids mean the same source image in both data sets.

        They do if the ids are file names, or numbers of the rows of one source.

        Examples
        --------
        >>> from cellprep import Dataset
        >>> black = Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0] * 4)
        >>> white = Dataset.from_arrays(np.full((4, 8, 8, 3), 255, np.uint8), [0] * 4)
        >>> black.shares_ids(black), black.shares_ids(white)
        (True, False)
        """
        kinds = {each.plan.rows.ids.dtype.kind for each in (self, other)}
        if len(kinds) > 1:
            return False
        return kinds == {"U"} or self._origin() == other._origin()

    def shuffled(self, seed: int, epoch: int) -> Positions:
        """Positions of all rows in the order of one epoch.

        The order depends on the seed, the epoch and the ids of the rows alone: it is the same
        whatever order the rows are stored in.

        Parameters
        ----------
        seed : int
        epoch : int

        Returns
        -------
        (n,) int

        Examples
        --------
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 8, 3), np.uint8), [0] * 5)
        >>> sorted(cells.shuffled(0, epoch=3).tolist())
        [0, 1, 2, 3, 4]
        """
        return self.plan.rows.shuffled(seed, epoch)

    def _origin(self) -> str:
        """Identity of the source whose rows the ids number: its own, or the one before a write."""
        path = self.source.history.path
        if path is None:
            return self.source.identity()
        from ..formats.written import load_manifest

        return str(load_manifest(path)["made_of"]["source"])
