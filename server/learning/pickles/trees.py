"""Conversion of river's search trees to flat lists for pickling.

If targets or features keep increasing, the depth of such a tree equals its number of nodes. But Python's pickler
supports a nesting of a few hundred objects only.
"""

from typing import Any

from river.tree.splitter.ebst_splitter import EBSTNode
from river.tree.splitter.exhaustive_splitter import ExhaustiveNode

KINDS = {
    EBSTNode: ("att_val", "estimator", "_update_estimator"),
    ExhaustiveNode: ("class_count_left", "class_count_right", "cut_point"),
}
"""Classes of nodes, and their attributes besides ``_left`` and ``_right``."""


def flat(root: Any) -> list[tuple[Any, ...]]:
    """Return one row for each node of a tree: its parent's row (-1: none), whether it is the left child, attributes."""
    names = KINDS[type(root)]
    rows: list[tuple[Any, ...]] = []
    waiting = [(root, -1, False)]
    while waiting:
        node, parent, is_left = waiting.pop()
        own = len(rows)
        rows.append((parent, is_left, *[getattr(node, name) for name in names]))
        waiting += [
            (child, own, left) for child, left in ((node._right, False), (node._left, True)) if child is not None
        ]
    return rows


def grown(kind: Any, rows: list[tuple[Any, ...]]) -> Any:
    """Return the tree described by the rows of :func:`flat`."""
    names = KINDS[kind]
    nodes: list[Any] = []
    for parent, is_left, *values in rows:
        node = kind.__new__(kind)
        node._left = node._right = None
        for name, value in zip(names, values, strict=True):
            setattr(node, name, value)
        if nodes:
            setattr(nodes[parent], "_left" if is_left else "_right", node)
        nodes.append(node)
    return nodes[0]
