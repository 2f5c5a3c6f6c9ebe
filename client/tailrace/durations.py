"""Reading durations, and writing them in the formats of schedulers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from tailrace.errors import Unusable

__all__ = ["FORMATS", "format_duration", "parse_duration"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)")
_CLOCK = re.compile(r"(?:(\d{1,5})-)?(\d{1,6}):(\d{2}):(\d{2})")
_EXPECTED = "expected HH:MM:SS, D-HH:MM:SS, or numbers with units such as 90s, 5m, 1h30m or 2d"


def parse_duration(text: str) -> float:
    """Read a duration.

    Parameters
    ----------
    text
        ``HH:MM:SS``, ``D-HH:MM:SS``, or numbers with units: ``90s``, ``5m``, ``1h30m``, ``2d``. A number without a unit
        is refused, because some schedulers read it as minutes and others as seconds. ``MM:SS`` is refused, too.

    Returns
    -------
    The duration in seconds.

    Raises
    ------
    Unusable
        If the text has none of these forms.

    Examples
    --------
    >>> parse_duration("01:30:00"), parse_duration("1-00:00:00"), parse_duration("1h30m"), parse_duration("90s")
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
    raise Unusable(f"{text!r} is not a duration{hint}: {_EXPECTED}")


def format_duration(seconds: float, form: str = "slurm") -> str:
    """Write a duration in the format of a scheduler, rounded up to the format's smallest unit.

    Parameters
    ----------
    seconds
        The duration in seconds. Less than one second is written as one, because 0 means *no limit* in Slurm and Flux.
    form
        One of `FORMATS`: ``slurm`` (``HH:MM:SS`` or ``D-HH:MM:SS``, for ``sbatch --time``), ``pbs`` (``HH:MM:SS``, for
        ``qsub -l walltime``), ``lsf`` (``HH:MM``, whole minutes, for ``bsub -W``), ``flux`` (``200s``, for
        ``flux batch -t``), ``seconds``.

    Examples
    --------
    >>> format_duration(199.2), format_duration(90000), format_duration(90000, "pbs"), format_duration(199.2, "lsf"),
    format_duration(199.2, "flux") ('00:03:20', '1-01:00:00', '25:00:00', '00:04', '200s')
    """
    # Rounding first, so that floating-point errors do not add a second.
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
"""Functions that write whole seconds in the format of a scheduler, by name."""
