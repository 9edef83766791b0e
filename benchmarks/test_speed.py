"""Each job: ours beside its peers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import harness
import pictures
from cellprep.synthetic import SMALLEST_MESS
from jobs import JOBS
from report import Report


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_speed(job: harness.Job, report: Report, pool: pictures.Images, tmp_path: Path) -> None:
    n = max(report.images, SMALLEST_MESS) if job.messy else report.images
    data = partial(pictures.messy if job.messy else pictures.labelled, pictures=pool)
    report.results.append(harness.run(job, n, data, tmp_path, report.rounds))
