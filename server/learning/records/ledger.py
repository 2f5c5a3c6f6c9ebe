"""Ledger of a model of run times: what its upper bounds would have requested, and what that would have saved or killed.

Everything is from what was predicted before each job. A job's *own request* is what its user asked for: a feature or a
``source`` field of the observation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from server.core.errors import Invalid
from server.learning.models import Model
from server.learning.records import calibration
from server.learning.records.columns import QUANTILES, SCORED, Columns
from server.streams import log

SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
MOST_JOBS = 100_000


def bounds(columns: Columns, probability: float) -> np.ndarray:
    """Return the time within which each job ends with ``probability``, between the recorded bounds by linear interpolation.

    Raises
    ------
    Invalid
        If ``probability`` isn't within those of the recorded bounds.
    """
    names = [name for name in QUANTILES if name in columns.values]
    levels = [QUANTILES[name] for name in names]
    if not names or not levels[0] <= probability <= levels[-1]:
        raise Invalid(f"quantile is {probability:g}: expected 0.5 to 0.99", field="quantile")
    index = min(max(int(np.searchsorted(levels, probability)), 1), len(levels) - 1) if len(levels) > 1 else 0
    upper = columns.values[names[index]].astype(float)
    if not index:
        return upper
    lower = columns.values[names[index - 1]].astype(float)
    part = (probability - levels[index - 1]) / (levels[index] - levels[index - 1])
    return lower + part * (upper - lower)


@dataclass(frozen=True)
class Jobs:
    """The latest jobs of a model's record.

    Attributes
    ----------
    columns
        Their record.
    unit
        Seconds in the target's unit.
    hours
        Node-hours that one target unit of each job is.
    own
        The time that each user requested, in the target's unit; NaN where it is unknown.
    """

    columns: Columns
    unit: float
    hours: np.ndarray
    own: np.ndarray


def read(model: Model, *, nodes: str = "", request: str = "", last: int | None = None, most: int = MOST_JOBS) -> Jobs:
    """Read the latest jobs of a model; the parameters are as for :func:`ledger`.

    Raises
    ------
    Invalid
        If the target is not a time, or the model gives no upper bounds.
    """
    unit = SECONDS.get(model.stream.target_unit or "")
    if unit is None:
        raise Invalid(f"the target of stream {model.stream.name} is in {model.stream.target_unit}: expected a time")
    columns = calibration.read(model, None, last, most)
    if columns is None or "q50" not in columns.values:
        raise Invalid(
            f"model {model.name} has no upper bounds of times in its record (yet): choose a model such as runtime"
        )
    width, own = _of_jobs(model, columns, nodes, request)
    return Jobs(columns, unit, width * unit / 3600.0, own)


def account(
    jobs: Jobs, probability: float, *, share: float = 0.0, seconds: float = 0.0, floor: float = 0.0
) -> dict[str, Any]:
    """Return the ledger of these jobs; parameters and result are as for :func:`ledger`."""
    if not 0 <= share <= 10:
        raise Invalid(f"margin is {share:g}: expected a share from 0 to 10", field="margin")
    columns = jobs.columns
    asked = np.maximum(bounds(columns, probability) * (1 + share) + seconds / jobs.unit, floor / jobs.unit)
    y = columns.values["y"]
    known = (columns.values["state"] == SCORED) & ~np.isnan(asked) & ~np.isnan(y)
    found: dict[str, Any] = {
        "first": columns.first,
        "last": columns.last,
        "quantile": probability,
        "margin": share,
        **_account(y[known], asked[known], jobs.hours[known]),
    }
    both = known & ~np.isnan(jobs.own)
    if both.any():
        found["own"] = _account(y[both], jobs.own[both], jobs.hours[both])
        found["same"] = _account(y[both], asked[both], jobs.hours[both])
        found["saved"] = found["own"]["requested"] - found["same"]["requested"]
    return found


def ledger(
    model: Model,
    probability: float,
    *,
    share: float = 0.0,
    seconds: float = 0.0,
    floor: float = 0.0,
    nodes: str = "",
    request: str = "",
    last: int | None = None,
) -> dict[str, Any]:
    """Return the ledger of the latest jobs.

    Parameters
    ----------
    model
        A model whose target is a time, with its stream loaded.
    probability
        Probability that a job ends within the requested time, 0.5 to 0.99.
    share, seconds
        Margin that is added: a share of the bound, and seconds.
    floor
        Least time that is requested, in seconds.
    nodes
        Feature with a job's number of nodes (or processes); empty: each job counts as one.
    request
        Feature or ``source`` field with the time that the user requested, in the target's unit; empty: there is none.
    last
        The last observation; None: the last that is recorded.

    Returns
    -------
    dict
        ``jobs`` (with a bound), ``killed`` (longer than their bound), and in node-hours ``used``, ``requested``,
        ``unused`` (requested but not used, of jobs that end), ``lost`` (used until the bound by killed jobs). If users'
        requests are known, the same of these jobs by their own requests under ``own`` (with ``jobs``), ``saved``, and
        ``same``: the model's figures for the same jobs.

    Raises
    ------
    Invalid
        If the target is not a time, or the model gives no upper bounds.
    """
    jobs = read(model, nodes=nodes, request=request, last=last)
    return account(jobs, probability, share=share, seconds=seconds, floor=floor)


def _account(y: np.ndarray, asked: np.ndarray, hours: np.ndarray) -> dict[str, Any]:
    killed = y > asked
    return {
        "jobs": len(y),
        "killed": int(killed.sum()),
        "used": float((np.where(killed, asked, y) * hours).sum()),
        "requested": float((asked * hours).sum()),
        "unused": float(((asked - y) * hours)[~killed].sum()),
        "lost": float((asked * hours)[killed].sum()),
    }


def _of_jobs(model: Model, columns: Columns, nodes: str, request: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each job's nodes (1 where unknown) and its user's request (NaN where unknown), from the log."""
    width, own = np.ones(len(columns)), np.full(len(columns), np.nan)
    if not (nodes or request):
        return width, own
    for span in log.spans(model.stream_id, columns.first - 1, columns.last):
        for offset, x in enumerate(span.xs):
            place = span.first + offset - columns.first
            source = span.notes.get(offset, {}).get("source") or {}
            if nodes:
                width[place] = max(_number(x, source, nodes, 1.0), 0.0)
            if request:
                own[place] = _number(x, source, request, np.nan)
    return width, own


def _number(x: dict[str, Any] | None, source: dict[str, Any], name: str, missing: float) -> float:
    value = (x or {}).get(name, source.get(name))
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return missing
    return number if np.isfinite(number) else missing
