"""A chain of nodes in other epochs: the same rows, other random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arrays import Masks
from .found import Found
from .nodes import Joined, Mapped, Node, Noted, Origin, Taken


def fixed_rows(node: Node) -> Masks:
    """(n,) whether the image of a row is the same in every epoch."""
    if isinstance(node, Origin):
        return np.ones(len(node.source.table), bool)
    if isinstance(node, Taken):
        return np.asarray(fixed_rows(node.before)[node.choice.rows(slice(None))])
    if isinstance(node, Joined):
        return np.concatenate([fixed_rows(node.first), fixed_rows(node.second)])
    fixed = fixed_rows(node.before)
    if isinstance(node, Noted):
        return fixed
    if node.sampled(np.arange(0)):
        fixed = fixed & ~node.touched(np.arange(len(fixed)))
    return fixed


def sharing(node: Node) -> Node:
    """The chain for all epochs, which share what is found in fixed images."""
    if isinstance(node, Origin | Joined):
        return node
    before = sharing(node.before)
    if isinstance(node, Taken | Noted):
        return replace(node, before=before)
    fixed = fixed_rows(before)
    finds = node.step.finds_masks or node.step.finds_parameters
    measured_again = node.step.finds_parameters and not fixed.all()
    known = None if measured_again else node.known
    found = node.found or (Found(fixed) if finds else None)
    return replace(node, before=before, known=known, found=found)


def in_epoch(node: Node, epoch: int) -> Node:
    """The chain in another epoch."""
    if isinstance(node, Origin | Joined):
        return node
    before = in_epoch(node.before, epoch)
    if isinstance(node, Mapped):
        return replace(node, before=before, epoch=epoch)
    return replace(node, before=before)
