"""How large an estimator's parameters may be, so that none fills a server's memory by a number.

River takes any number. Some of its constructors allocate by one (a rolling quantile reserves its whole
window at once, and a failed reservation there ends the process), and some loops run by one, so whoever
accepts an estimator from elsewhere checks here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_LIMIT = 1_000_000
"""Largest whole number that a parameter may be where nothing else is said."""

PARAMETER_LIMITS: dict[str, int] = {
    "burn_in_sweeps": 1_000,
    "centres": 64,
    "code_size": 1_000,
    "d": 100,
    "components": 1_024,
    "decimals": 100,
    "degree": 10,
    "graph_k": 10_000,
    "height": 16,
    "horizon": 10_000,
    "m": 10_000,
    "max_bins": 100_000,
    "max_buckets": 10_000,
    "max_iter_e_step": 1_000,
    "memory_estimate_period": 10**12,
    "most": 10_000,
    "n_bins": 100_000,
    "n_clusters": 10_000,
    "n_components": 10_000,
    "n_estimators": 1_000,
    "n_factors": 10_000,
    "n_features": 2**32,
    "n_iters": 10_000,
    "n_models": 1_000,
    "n_random_cuts": 10_000,
    "n_splits": 10_000,
    "n_thresholds": 10_000,
    "n_trees": 1_000,
    "number_of_samples": 1_000,
    "order": 1_000,
    "p": 1_000,
    "q": 1_000,
    "sd": 100,
    "seed": 2**64,
    "sp": 1_000,
    "sq": 1_000,
    "warm_up": 100_000,
}
"""Largest whole number for the parameters that multiply work or memory (or, for a seed, neither)."""

MAX_EXACT_CODE = 16
"""Code size of an output code that lists all of its 2**size words."""

MAX_TREE_NODES = 1_000_000
"""``n_trees · 2**height`` of the estimators that grow whole trees before the first observation."""

SMALLEST: dict[str, float] = {"epsilon": 1e-6, "fp_rate": 1e-9}
"""Smallest value of the parameters by whose inverse a sketch is sized; only checked on ``river.sketch``."""

TOKENIZER_PATTERN = r"(?u)\b\w[\w\-]+\b"
"""River's own pattern, the only one admitted: a regular expression of one's own can take forever on one
text."""


def excesses(owner: type, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say which parameters are beyond their limit.

    Parameters
    ----------
    owner
        The class that takes the parameters.
    parameters
        Values by parameter name; only numbers and tokenizer patterns are looked at.

    Yields
    ------
    The parameter's name and what is wrong with its value.
    """
    for name, value in parameters.items():
        if isinstance(value, int) and not isinstance(value, bool):
            limit = PARAMETER_LIMITS.get(name, DEFAULT_LIMIT)
            if abs(value) > limit:
                yield name, f"is {_shown(value)}; at most {limit} is admitted"
        elif isinstance(value, (tuple, list)):
            if any(isinstance(item, int) and abs(item) > DEFAULT_LIMIT for item in value):
                yield name, f"holds a number beyond {DEFAULT_LIMIT}"
        elif isinstance(value, float) and name in SMALLEST and owner.__module__.startswith("river.sketch."):
            if not value >= SMALLEST[name]:
                yield name, f"is {value}; at least {SMALLEST[name]} is admitted"
        elif name in {"pattern", "tokenizer_pattern"} and value != TOKENIZER_PATTERN:
            yield name, f"is a pattern of its own; only river's default, {TOKENIZER_PATTERN}, is admitted"
    code = parameters.get("code_size")
    if isinstance(code, int) and code > MAX_EXACT_CODE and parameters.get("coding_method") == "exact":
        yield "code_size", f"is {_shown(code)}; at most {MAX_EXACT_CODE} is admitted with the exact coding method"
    trees, height = parameters.get("n_trees"), parameters.get("height")
    if isinstance(trees, int) and isinstance(height, int) and 0 <= height <= PARAMETER_LIMITS["height"]:
        nodes = trees * 2**height
        if nodes > MAX_TREE_NODES:
            yield "n_trees", f"and height make {nodes} nodes; at most {MAX_TREE_NODES} are admitted"


def _shown(value: int) -> str:
    return str(value) if value.bit_length() < 128 else f"a number of {value.bit_length()} bits"
