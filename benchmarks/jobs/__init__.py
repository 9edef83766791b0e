"""The list of jobs. Each file has one or more: cellprep, its peers, and a check of the result."""

from . import (
    colors,
    corrupt,
    duplicates,
    fresh,
    image_files,
    jitter,
    loaders,
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
    *loaders.JOBS,
    *image_files.JOBS,
    *recipe.JOBS,
    *fresh.JOBS,
)
