"""The speed of each job compared with other libraries."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cellprep.synthetic import SMALLEST_MESS

from . import images
from .jobs import JOBS
from .measure.job import Images, Job
from .measure.race import run
from .report import Report


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_speed(job: Job, report: Report, pool: Images, tmp_path: Path) -> None:
    n = max(report.images, SMALLEST_MESS) if job.messy else report.images
    data = partial(images.messy if job.messy else images.labelled, pool=pool)
    report.results.append(run(job, n, data, tmp_path, report.rounds))
