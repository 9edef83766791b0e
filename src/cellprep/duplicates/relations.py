"""All duplicates among the rows of a plan: exact, turned and near, grouped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..kernels.hashing.scale import Scale
from ..plan.groups import Groups, equal_rows
from ..plan.plan import Plan
from ..plan.rows import SAME
from . import on_ray
from .candidates import Ranks
from .clustering import Clustering
from .exact import exact_groups
from .pairs import compare, hash_distances, near_pairs
from .settings import Search
from .signatures import Signatures, is_measured, measure
from .symmetric import symmetric_pairs


@dataclass(frozen=True, eq=False)
class Related:
    """How n rows of a plan are related; groups and components are -1 for those without duplicates.

    Attributes
    ----------
    at : (n,) int or slice
        The rows: all, or after a search on a cluster those that may have duplicates.
    groups : (n,) int
        Rows that are duplicates of each other (see `Clustering`).
    components : (n,) int
        Connected components of all pairs of duplicates, however long the chain.
    first : (n,) int
        The first row of each row's group, itself if it is alone.
    relation : (n,) str
        "exact", "symmetry" or "near": how each row is related to that first row.
    symmetry : (n,) int
        The symmetry that turns the first row's image into this one.
    distance : (n,) int
        Number of bits in which their hashes differ.
    difference : (n,) float
        Grey levels by which they differ.
    """

    at: Positions | slice
    groups: Groups
    components: Groups
    first: Positions
    relation: NDArray[np.str_]
    symmetry: NDArray[np.int64]
    distance: NDArray[np.int64]
    difference: NDArray[np.float64]

    def repeated(self, n: int) -> tuple[Positions, Groups]:
        """Which of all n rows of the plan have duplicates, and their groups."""
        inside = self.groups >= 0
        return np.arange(n)[self.at][inside], self.groups[inside]

    def of_all(self, values: Groups, n: int) -> Groups:
        """Groups or components of all n rows of the plan."""
        groups = np.full(n, -1, np.int64)
        groups[self.at] = values
        return groups


def related(plan: Plan, search: Search) -> tuple[Plan, Related]:
    """The duplicates among the rows of a plan; the plan with what was measured of all rows."""
    if not on_ray.applies(plan) or is_measured(plan, search):
        return _related(plan, search)
    at, ranks = on_ray.candidates(plan, search)
    _, found = _related(plan.keep(at), search, ranks)
    return plan, replace(found, at=at)


def _related(plan: Plan, search: Search, ranks: Ranks | None = None) -> tuple[Plan, Related]:
    """The duplicates among all rows, with a column of equal rows.

    `ranks` are those of `candidate_pairs`.
    """
    signatures = None
    if search:
        signatures = measure(plan, search)
        plan = plan.with_column("digest", signatures.digests)
    plan, _ = exact_groups(plan)
    node, rows = _nodes(plan)
    if signatures is not None:
        signatures = signatures.take(rows)
    clusters = _cluster(plan, rows, signatures, search, ranks)
    root = clusters.roots[node]
    first, turns = rows[root], clusters.turns[node]
    relation = _relations(node, root, first, clusters.symmetric_roots)
    distance, difference = np.zeros(len(plan), np.int64), np.zeros(len(plan))
    near = np.flatnonzero((relation == "near") & (first != np.arange(len(plan))))
    if signatures is not None and search.near is not None and len(near):
        pairs = root[near], node[near], turns[near]
        scale = Scale.of(*plan.shape[:2])
        distance[near] = hash_distances(signatures, signatures, *pairs, search.near)
        difference[near] = clusters.differences[node[near]]
        new = np.flatnonzero(np.isnan(difference[near]))
        pairs = root[near[new]], node[near[new]], turns[near[new]]
        difference[near[new]] = compare(signatures, signatures, *pairs, scale)[:, 1]
    groups = equal_rows(root[:, None])
    components = equal_rows(clusters.components[node][:, None])
    found = groups, components, first, relation, turns, distance, difference
    return plan, Related(slice(None), *found)


def _nodes(plan: Plan) -> tuple[Positions, Positions]:
    """A node for each set of equal rows, in the order of their ids: each row's node, first rows."""
    order = plan.rows.order()
    same = plan.rows.columns[SAME][order]
    _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    number = np.empty(len(first), np.int64)
    number[by_first] = np.arange(len(first))
    node = np.empty(len(plan), np.int64)
    node[order] = number[inverse]
    return node, order[first[by_first]]


@dataclass(frozen=True, eq=False)
class _Clusters:
    """The result of a `Clustering`, and its roots before near pairs were added."""

    roots: Positions
    turns: NDArray[np.int64]
    differences: NDArray[np.float64]
    components: Positions
    symmetric_roots: Positions


def _cluster(
    plan: Plan,
    rows: Positions,
    signatures: Signatures | None,
    search: Search,
    ranks: Ranks | None,
) -> _Clusters:
    """Cluster nodes; `rows` are their first rows."""
    alone = np.arange(len(rows))
    if signatures is None:
        zeros = np.zeros(len(rows), np.int64)
        return _Clusters(alone, zeros, zeros.astype(float), alone, alone)
    clustering = Clustering(signatures, plan.shape[:2])
    symmetric_roots = alone
    if search.symmetries:
        for pairs in symmetric_pairs(plan, rows, signatures.invariants):
            clustering.add(pairs, equal=True)
        symmetric_roots = clustering.roots.copy()
    if search.near is not None:
        shape, roots = plan.shape[:2], clustering.roots
        for pairs in near_pairs(signatures, None, search, shape, roots, ranks):
            clustering.add(pairs)
    found = clustering.roots, clustering.turns, clustering.differences, clustering.components
    return _Clusters(*found, symmetric_roots)


def _relations(
    node: Positions, root: Positions, first: Positions, symmetric_roots: Positions
) -> NDArray[np.str_]:
    """How each row is related to the first row of its group."""
    relation = np.full(len(node), "exact", "<U8")
    relation[symmetric_roots[node] == symmetric_roots[root]] = "symmetry"
    relation[symmetric_roots[node] != symmetric_roots[root]] = "near"
    relation[node == root] = "exact"
    # A first row without exact duplicates gets the closest relation of any other row to it.
    for name in ("near", "symmetry"):
        has = np.zeros(len(node), bool)
        has[first[relation == name]] = True
        relation[has & (np.bincount(node, minlength=1)[node] == 1)] = name
    return relation
