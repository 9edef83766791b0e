"""The list of jobs. Each file has one or more: cellprep, its peers, and a check of the result."""

from . import (
    colors,
    corrupt,
    duplicates,
    fresh,
    jitter,
    masks,
    perceptual,
    rand_augment,
    recipe,
    sizes,
    storage,
)

JOBS = (
    *duplicates.JOBS,
    *perceptual.JOBS,
    *masks.JOBS,
    *jitter.JOBS,
    *sizes.JOBS,
    *colors.JOBS,
    *rand_augment.JOBS,
    *corrupt.JOBS,
    *storage.JOBS,
    *recipe.JOBS,
    *fresh.JOBS,
)
