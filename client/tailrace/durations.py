"""Lengths of time as schedulers write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from tailrace.errors import Unusable

__all__ = ["FORMATS", "duration", "written"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)")
_CLOCK = re.compile(r"(?:(\d{1,5})-)?(\d{1,6}):(\d{2}):(\d{2})")
_EXPECTED = "expected HH:MM:SS, D-HH:MM:SS, or numbers with units such as 90s, 5m, 1h30m or 2d"


def duration(text: str) -> float:
    """Read a length of time.

    Parameters
    ----------
    text
        ``HH:MM:SS``, ``D-HH:MM:SS``, or numbers with units: ``90s``, ``5m``, ``1h30m``, ``2d``. A bare number is
        refused, as it is minutes for one scheduler and seconds for the next; so is ``MM:SS``.

    Returns
    -------
    Seconds.

    Raises
    ------
    Unusable
        If it is none of those.

    Examples
    --------
    >>> duration("01:30:00"), duration("1-00:00:00"), duration("1h30m"), duration("90s")
    (5400.0, 86400.0, 5400.0, 90.0)
    """
    stripped = text.strip().lower()
    clock = _CLOCK.fullmatch(stripped)
    if clock is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        if minutes < 60 and seconds < 60 and (clock[1] is None or hours < 24):
            return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    elif stripped and not _UNIT.sub("", stripped).strip():
        return float(sum(float(number) * _UNITS[unit[0]] for number, unit in _UNIT.findall(stripped)))
    hint = ""
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        hint = f" (did you mean {stripped}s or {stripped}m?)"
    elif re.fullmatch(r"\d+:\d{2}", stripped):
        hint = f" (did you mean 00:{stripped} or {stripped}:00?)"
    raise Unusable(f"{text!r} is no length of time{hint}: {_EXPECTED}")


def written(seconds: float, form: str = "slurm") -> str:
    """Write a length of time as a scheduler takes it, rounded up to what it can say.

    Parameters
    ----------
    seconds
        More than that a scheduler takes as it is; less than one second is written as one, since 0 means *no limit* to
        Slurm and Flux.
    form
        One of `FORMATS`: ``slurm`` (``HH:MM:SS`` or ``D-HH:MM:SS``, for ``sbatch --time``), ``pbs`` (``HH:MM:SS``, for
        ``qsub -l walltime``), ``lsf`` (``HH:MM``, whole minutes, for ``bsub -W``), ``flux`` (``200s``, for
        ``flux batch -t``), ``seconds``.

    Examples
    --------
    >>> written(199.2), written(90000), written(90000, "pbs"), written(199.2, "lsf"), written(199.2, "flux")
    ('00:03:20', '1-01:00:00', '25:00:00', '00:04', '200s')
    """
    # What floating point leaves over is no second more.
    whole = max(1, math.ceil(round(seconds, 6)))
    return FORMATS[form](whole)


def _slurm(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    return f"{days}-{_pbs(rest)}" if days else _pbs(rest)


def _pbs(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _lsf(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


FORMATS: dict[str, Callable[[int], str]] = {
    "slurm": _slurm,
    "pbs": _pbs,
    "lsf": _lsf,
    "flux": "{}s".format,
    "seconds": str,
}
"""Scheduler to how it writes whole seconds."""
