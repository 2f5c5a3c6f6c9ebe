"""Checks of dictionary keys and set items, so that hashing and comparing them is fast and runs no code.

Python hashes a tuple recursively, and compares keys with equal hashes one by one. So the size of a key is checked
before it is hashed, and keys with equal hashes are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from server.core.errors import Invalid
from server.learning.pickles import allowlist as allowlist
from server.learning.pickles.context import check, full_name

MAX_PARTS = 256
"""Most values in a tuple that is used as a key."""

MAX_COLLIDING = 32
"""Most keys of one container with the same hash."""

PLAIN_KEYS = frozenset((str, int, float, bool, bytes, type(None)))

_MODULUS = 2**61 - 1
"""Integers from 0 up to this number are their own hashes."""


class Keys:
    """Checks the keys of one upload.

    Parameters
    ----------
    trusted_modules
        See :func:`server.learning.pickles.allowlist.find`.
    check_time
        Called every 256 keys. Raises `Invalid` if the upload takes too long.
    """

    def __init__(self, trusted_modules: Sequence[str], check_time: Callable[[], None]) -> None:
        self._trusted_modules = trusted_modules
        self._check_time = check_time
        self._insertions = 0
        self._hashes: dict[int, tuple[Any, Counter[int]]] = {}

    def check(self, container: Any, key: Any) -> None:
        """Raise `Invalid` unless the container may take the key."""
        self._insertions += 1
        if not self._insertions & 255:
            self._check_time()
        if type(key) not in PLAIN_KEYS:
            self._check_parts(key)
        if _may_collide(key):
            _, hashes = self._hashes.setdefault(id(container), (container, Counter()))
            _count(hashes, key, full_name(container))

    def _check_parts(self, key: Any) -> None:
        """Check the size of a key before it is hashed. A shared object counts once for each reference."""
        parts, pending = 0, [key]
        while pending:
            part = pending.pop()
            parts += 1
            if isinstance(part, (tuple, frozenset)):
                parts += len(part)
                pending.extend(part if parts <= MAX_PARTS else ())
            elif type(part) not in PLAIN_KEYS and not isinstance(part, (np.number, np.bool_, type)):
                kind = type(part)
                river = allowlist.is_river_class(kind) or allowlist.is_trusted_class(kind, self._trusted_modules)
                check(river, full_name(part), "it is used as a key")
            if parts > MAX_PARTS:
                raise Invalid(
                    f"the upload has a key, a {full_name(key)}, of more than {MAX_PARTS} values; "
                    f"at most {MAX_PARTS} are admitted."
                )


def check_collisions(name: str, keys: Iterable[Any]) -> None:
    """Raise `Invalid` if too many of the keys, which are plain values, have the same hash."""
    hashes: Counter[int] = Counter()
    for key in keys:
        if _may_collide(key):
            _count(hashes, key, name)


def _may_collide(key: Any) -> bool:
    kind = type(key)
    if kind is int:
        return not 0 <= key < _MODULUS
    return kind is not str and kind is not bytes and key is not None and kind is not bool


def _count(hashes: Counter[int], key: Any, name: str) -> None:
    value = hash(key)
    hashes[value] += 1
    if hashes[value] > MAX_COLLIDING:
        raise Invalid(
            f"the upload's {name.removeprefix('builtins.')} has more than {MAX_COLLIDING} keys with one hash, "
            "which no estimator has."
        )
