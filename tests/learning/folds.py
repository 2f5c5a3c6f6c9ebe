"""Folds an example of each admitted estimator, in a process of its own: ``python -m tests.learning.folds``.

Reads what :func:`initial` gives, as JSON, from standard input, and writes {name: digest of all that it said}.
"""

import base64
import hashlib
import json
import sys
import warnings
from typing import Any

from server.core.errors import Invalid
from server.learning.pickles.loader import dump_state, load_state
from server.learning.river_adapters import determinism
from tests.learning.admitted import Use, examples, stream

POINTS = 500


def initial() -> dict[str, Any]:
    """Name to how the server stores it, in base64, and the calls that it takes; of all examples that can be models."""
    found = {}
    for name, stored in examples().items():
        estimator = load_state(stored)
        try:
            determinism.check(estimator)
        except Invalid:
            continue
        determinism.seed(estimator)
        stored = dump_state(estimator)
        found[name] = [base64.b64encode(stored).decode(), Use(stored).calls]
    return found


def digest(stored: str, calls: Any) -> str:
    """Of all that an estimator says of :data:`POINTS` points, in full: each bit of a number."""
    use = Use.__new__(Use)
    use.calls = [(name, tuple(parts)) for name, parts in calls]
    model, said = load_state(base64.b64decode(stored)), hashlib.sha256()
    for point in stream(7, POINTS):
        said.update(repr(in_order(use.step(model, point))).encode())
    return said.hexdigest()


def in_order(answer: Any) -> Any:
    """With the keys of dicts in order: river's own may depend on the hashes of text, and mean nothing."""
    if isinstance(answer, dict):
        return sorted(((key, in_order(value)) for key, value in answer.items()), key=repr)
    return [in_order(one) for one in answer] if isinstance(answer, (list, tuple)) else answer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump({name: digest(*of) for name, of in json.load(sys.stdin).items()}, sys.stdout)
