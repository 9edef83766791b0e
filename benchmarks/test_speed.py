"""Each job: ours beside its peers."""

from __future__ import annotations

from pathlib import Path

import harness
import numpy as np
import pictures
import pytest
from jobs import JOBS
from report import Report


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_speed(
    job: harness.Job, report: Report, pool: pictures.Images, tmp_path: Path
) -> None:
    n = min(report.images, job.images or report.images)
    images = pictures.messy(n, pool)[0] if job.messy else pictures.different(n, pool)
    before = images[:: max(1, n // 64)].copy()
    report.results.append(harness.run(job, images, tmp_path, report.rounds))
    assert np.array_equal(images[:: max(1, n // 64)], before), "a contender changed its input"
