"""The picture of docs/models.md: what MixUp and CutMix make of synthetic cells.

python docs/mixing.py                 redraws docs/mixing.webp
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cards import Tile, card, strip

from cellmodels.training.mixing import sample_mixes
from cellprep.synthetic import CLASS_NAMES, draw_cells

SHOWN = ("basophil", "eosinophil", "lymphocyte", "neutrophil")


def main() -> None:
    counts = [2 * (name in SHOWN) for name in CLASS_NAMES]
    images, labels = draw_cells(counts, seed=2)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    names = [CLASS_NAMES[label] for label in labels]
    strips = [strip("training images", [Tile(*pair) for pair in zip(images, names, strict=True)])]
    for setting, value in (("mixup", 0.4), ("cutmix", 1.0)):
        how = {"mixup": 0.0, "cutmix": 0.0, setting: value}
        mixes = sample_mixes(len(images), *images.shape[1:3], **how, seed=4, epoch=0)
        assert mixes is not None
        mixed = mixes.images(images, np.roll(images, 1, axis=0))
        tiles = [
            Tile(image, f"{1 - share:.0%} {names[n]}, {share:.0%} {names[n - 1]}")
            for n, (image, share) in enumerate(
                zip(mixed, mixes.shares(*images.shape[1:3]), strict=True)
            )
        ]
        strips.append(strip(f"{setting}={value}: each with the image on its left", tiles))
    card(strips).save(Path(__file__).with_name("mixing.webp"), quality=80, method=6)


if __name__ == "__main__":
    main()
