"""Which values an upload may use as keys, so that hashing and comparing them is quick and runs no code.

Python hashes a tuple by recursion and compares keys whose hashes are equal one by one. So a key is measured
before it is hashed, and keys that share a hash are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from server.learning import pickle_allowlist as allowlist
from server.learning.pickle_context import check, shown
from server.streams.errors import Invalid

MAX_PARTS = 256
"""How many values a tuple used as a key may unfold to."""

MAX_COLLIDING = 32
"""How many keys of one container may have the same hash."""

PLAIN_KEYS = frozenset((str, int, float, bool, bytes, type(None)))

_MODULUS = 2**61 - 1
"""Whole numbers from 0 to here are their own hashes."""


class Keys:
    """Checks the keys of one upload.

    Parameters
    ----------
    trusted_modules
        See `pickle_allowlist.find`.
    mind_the_time
        Called now and then; raises once the upload has taken too long.
    """

    def __init__(self, trusted_modules: Sequence[str], mind_the_time: Callable[[], None]) -> None:
        self._trusted_modules = trusted_modules
        self._mind_the_time = mind_the_time
        self._insertions = 0
        self._hashes: dict[int, tuple[Any, Counter[int]]] = {}

    def check(self, container: Any, key: Any) -> None:
        """Raise `Invalid` unless the container may take the key."""
        self._insertions += 1
        if not self._insertions & 255:
            self._mind_the_time()
        if type(key) not in PLAIN_KEYS:
            self._check_parts(key)
        if _may_collide(key):
            _, hashes = self._hashes.setdefault(id(container), (container, Counter()))
            _count(hashes, key, shown(container))

    def _check_parts(self, key: Any) -> None:
        """Measure a key before it is hashed, a part that it shares with itself each time that it is met."""
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
                check(river, shown(part), "it is used as a key")
            if parts > MAX_PARTS:
                raise Invalid(
                    f"the upload has a key, a {shown(key)}, that unfolds to more than {MAX_PARTS} values; "
                    f"at most {MAX_PARTS} are admitted."
                )


def check_collisions(name: str, keys: Iterable[Any]) -> None:
    """Raise `Invalid` if too many keys, all of them plain values, share a hash."""
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
            "which no estimator's has."
        )
