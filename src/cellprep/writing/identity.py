"""The identity of the source of a write, from the digests of the written files where possible.

To digest arrays in memory takes a fifth of the time that it takes to write them, and the written
files are digested anyway. So where such arrays are written unchanged, the identity is computed
at the end from the digests of all shards. Until then the fingerprint has no source, and the record
of each shard shows what it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..formats import FORMATS
from ..formats.pieces import Entry, digests_of
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.source import DigestedSource
from ..system.executors import cut
from ..system.paths import WORK, sizes
from .records import load_intact, record_path


def identified_by_files(plan: Plan, format: str) -> DigestedSource | None:
    """The source, where the digests of the written files identify it."""
    source = plan.source.digested()
    return source if plan.is_unprocessed and FORMATS[format].digest else None


def identity_of(plan: Plan, format: str, rows_per_shard: int) -> str:
    """The identity of the source; by what the digests of the files would be, where they give it."""
    source, digest = identified_by_files(plan, format), FORMATS[format].digest
    if source is None or digest is None:
        return plan.source.identity()
    return source.identity_of(source.digests(cut(len(plan), rows_per_shard), digest))


def identity_by_shards(source: DigestedSource, shards: Iterable[Entry]) -> str:
    """The same, from the entries of all shards."""
    return source.identity_of(digests_of([entry]) for entry in shards)


def written_from_source(path: Path, plan: Plan, fingerprint: Fingerprint) -> bool:
    """Whether the shards of an unfinished data set contain the images of the source.

    A shard whose record is damaged does not count, since it is written again.
    """
    digest = FORMATS[fingerprint.format].digest
    source = identified_by_files(plan, fingerprint.format)
    if source is None or digest is None:
        return False
    size_of = sizes(path / WORK)
    spans = {
        record_path(path, number): span
        for number, span in enumerate(cut(len(plan), fingerprint.rows_per_shard))
        if size_of(record_path(path, number).name) is not None
    }
    expected = source.digests([*spans.values()], digest)
    return all(
        record is None or digests_of([record[1]]) == known
        for record, known in zip(load_intact([*spans]), expected, strict=True)
    )
