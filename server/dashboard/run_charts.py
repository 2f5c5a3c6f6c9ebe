"""Curves of metrics of runs, by step or by time."""

from collections.abc import Sequence

from server.core.errors import NotFound
from server.core.validation import format_value
from server.dashboard.charts import Chart, Series
from server.dashboard.formatting import number
from server.tracking import histories
from server.tracking.histories import Bin
from server.tracking.models import LatestMetric, Run

BY = {"step": "step", "time": "seconds since the run began", "date": "time"}
"""What the curves are drawn over, and the label of that axis."""

MOST_POSITIONS = 500
MOST_OF_SEVERAL = 200
TONES = 6


def of_one(run: Run, key: str, by: str = "step") -> Chart:
    """Return a metric of a run. Where a position stands for several points, their least and largest value are drawn, too.

    Raises
    ------
    NotFound
        If the run has no such metric.
    """
    found = histories.bins(histories.series(run, key), MOST_POSITIONS)
    x = _places(run, found, by)
    series = [Series(key, [_finite(one.last) for one in found], "line" if len(found) > 1 else "points")]
    stands_for = max((one.points for one in found), default=1)
    if stands_for > 1:
        series += [
            Series("lowest", [one.min for one in found], "low"),
            Series("highest", [one.max for one in found], "high"),
        ]
    return Chart(
        name=_name(key), title=key, sentence=_sentence(found), x_label=BY[by], y_label=key, x=x, series=series,
        is_time=by == "date", live=run.status not in Run.ENDED,
    )  # fmt: skip


def of_several(runs: Sequence[Run], key: str, by: str = "step") -> Chart:
    """Return a metric of several runs over one axis. Runs without it are left out.

    Raises
    ------
    NotFound
        If none of them has it.
    """
    known = (
        {one.run_id: one for one in LatestMetric.objects.filter(run__in=list(runs), key=key)}
        if "\x00" not in key
        else {}
    )
    curves: list[tuple[Run, dict[float, float | None]]] = []
    for run in runs:
        if run.pk in known:
            found = histories.bins(known[run.pk], MOST_OF_SEVERAL)
            places = _places(run, found, by)
            curves.append((run, {x: _finite(one.last) for x, one in zip(places, found, strict=True)}))
    if not curves:
        raise NotFound(f"none of these runs has a metric {format_value(key)}", field="metric")
    x = sorted({place for _, curve in curves for place in curve})
    series = [
        Series(name_of(run), [curve.get(place) for place in x], tone=tone % TONES)
        for tone, (run, curve) in enumerate(curves)
    ]
    last = [(known[run.pk].value, name_of(run)) for run, _ in curves if not known[run.pk].special]
    sentence = "No value is finite."
    if last:
        (low, low_name), (high, high_name) = min(last), max(last)
        sentence = f"The last value is between {number(low)} ({low_name}) and {number(high)} ({high_name})."
        if len(last) == 1:
            sentence = f"The last value is {number(low)}."
    return Chart(
        name=_name(key),
        title=key,
        sentence=sentence,
        x_label=BY[by],
        y_label=key,
        x=x,
        series=series,
        is_time=by == "date",
    )


def name_of(run: Run) -> str:
    """Return the name of a run; the beginning of its identifier if it has none."""
    return run.name or run.uid[:8]


def _places(run: Run, found: Sequence[Bin], by: str) -> list[float]:
    if by == "step":
        return [float(one.last_step) for one in found]
    first = 0 if by == "date" else run.started_ms
    places = [(one.last_ms - first) / 1000 for one in found]
    for index in range(1, len(places)):  # late points: an axis never goes back
        places[index] = max(places[index], places[index - 1])
    return places


def _finite(value: float | str) -> float | None:
    return None if isinstance(value, str) else value


def _sentence(found: Sequence[Bin]) -> str:
    if not found:
        return "It has no point yet."
    points, special = sum(one.points for one in found), sum(one.special for one in found)
    lows, highs = ([v for v in side if v is not None] for side in ([b.min for b in found], [b.max for b in found]))
    last = found[-1].last
    said = f"{number(points)} {'point' if points == 1 else 'points'}; the last is {last if isinstance(last, str) else number(last)}"
    if lows:
        said += f", the lowest {number(min(lows))}, the highest {number(max(highs))}"
    return f"{said}; {number(special)} not finite." if special else f"{said}."


def _name(key: str) -> str:
    """Return a name for the chart that any file system and any address takes."""
    return "metric-" + "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in key)[:80]
