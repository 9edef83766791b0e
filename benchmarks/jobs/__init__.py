"""The table of jobs; each file holds one job: ours, the peers, and a check of the result."""

from . import duplicates, jitter, masks, rand_augment

JOBS = (
    *duplicates.JOBS,
    *masks.JOBS,
    *jitter.JOBS,
    *rand_augment.JOBS,
)
