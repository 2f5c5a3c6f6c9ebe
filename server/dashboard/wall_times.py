"""The wall time to request for a job, and the charts of the ledger.

The rule is that of the client (``tailrace/walltime.py``), so that a page and ``tailrace walltime`` give the same answer.
"""

from dataclasses import dataclass
from typing import Any

from tailrace.durations import FORMATS, format_duration

from server.core.errors import Conflict
from server.dashboard.asked import Answer
from server.dashboard.charts import Chart, Series
from server.dashboard.formatting import number, share
from server.learning.models import Model
from server.learning.records import ledger
from server.learning.records.ledger import Jobs

QUANTILE, LEAST, MOST = 0.95, 0.51, 0.99
FLOOR = 60.0
UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
RISKS = tuple(round(0.5 + 0.01 * index, 2) for index in range(50))
COMMANDS = {
    "slurm": "sbatch --time={} job.sh",
    "pbs": "qsub -l walltime={} job.sh",
    "lsf": "bsub -W {} < job.sh",
    "flux": "flux batch -t {} job.sh",
    "seconds": "timeout {} ./job.sh",
}
"""How a job is submitted with the time, by format."""

assert set(COMMANDS) == set(FORMATS)


@dataclass(frozen=True)
class Terms:
    """What a wall time is made of, besides the prediction.

    Attributes
    ----------
    quantile
        Probability that the job ends within the time, before the margin.
    share, seconds
        The margin: a share of the bound, and seconds.
    """

    quantile: float = QUANTILE
    share: float = 0.0
    seconds: float = 0.0

    @property
    def level(self) -> float:
        """Level of the interval whose upper end is exceeded with probability ``1 - quantile``."""
        return 2 * self.quantile - 1

    @property
    def words(self) -> str:
        """The terms as the page says them."""
        margins = [f"{100 * self.share:g} %"] * bool(self.share) + [f"{self.seconds:g} s"] * bool(self.seconds)
        return f"{100 * self.quantile:g} %" + (f" and a margin of {' and '.join(margins)}" if margins else "")

    def options(self, form: str) -> list[str]:
        """The options of ``tailrace walltime`` that say the same."""
        found = [] if form == "slurm" else ["--format", form]
        if self.quantile != QUANTILE:
            found += ["--quantile", f"{self.quantile:g}"]
        margins = [f"{100 * self.share:.10g}%"] * bool(self.share) + [f"{self.seconds:.10g}s"] * bool(self.seconds)
        return [*found, "--margin", "+".join(margins)] if margins else found


@dataclass(frozen=True)
class WallTime:
    """A wall time: ``seconds`` to request, the ``bound`` without the margin, and what is ``expected``, in seconds."""

    seconds: float
    bound: float
    expected: float

    def written(self) -> dict[str, str]:
        """The time in each format."""
        return {form: format_duration(self.seconds, form) for form in FORMATS}


def wall_time(model: Model, answer: Answer, terms: Terms) -> WallTime:
    """Return the wall time that follows from a prediction with an interval of the level :attr:`Terms.level`.

    Raises
    ------
    Conflict
        If the model can't say how long the job may take.
    """
    if answer.error:
        raise Conflict(answer.error)
    if answer.high is None and answer.low is None and not answer.prediction and not answer.at:
        raise Conflict(f"model {model.name} has learned nothing yet")
    if answer.high is None:
        raise Conflict(f"model {model.name} gives no interval: create a model from the recipe runtime, which gives one")
    if answer.high <= 0:
        raise Conflict(f"model {model.name} has learned nothing yet")
    unit = UNITS.get(model.stream.target_unit.lower())
    if unit is None:
        raise Conflict(f"model {model.name} predicts in {model.stream.target_unit!r}, which is not a unit of time")
    bound = unit * answer.high
    return WallTime(max(bound * (1 + terms.share) + terms.seconds, FLOOR), bound, unit * float(answer.prediction))


def sentence(model: Model, found: dict[str, Any], terms: Terms) -> str:
    """Say what the ledger says."""
    if not found["jobs"]:
        return "No job has a bound from before it ran yet."
    said = (
        f"Had each of the latest {number(found['jobs'])} jobs requested what {model.name} said before it ran, with "
        f"{terms.words}, {number(found['killed'])} ({share(found['killed'] / found['jobs'])}) would have been killed, and of "
        f"{_hours(found['requested'])} requested, {_hours(found['unused'])} unused and {_hours(found['lost'])} lost."
    )
    if "own" not in found:
        return said
    own = found["own"]
    saved = found["saved"]
    more = "less" if saved >= 0 else "more"
    part = f" ({share(abs(saved) / own['requested'])})" if own["requested"] else ""
    return (
        f"{said} The users of {number(own['jobs'])} of them asked for {_hours(own['requested'])} themselves: that is "
        f"{_hours(abs(saved))}{part} {more} with the model, and {number(found['same']['killed'])} instead of "
        f"{number(own['killed'])} jobs killed."
    )


def _hours(value: float) -> str:
    return f"{number(value)} node-hours"


def over_risk(jobs: Jobs, terms: Terms) -> dict[str, Chart]:
    """Return the charts over the risk, by name: the share of killed jobs, and node-hours."""
    found = [
        ledger.account(jobs, quantile, share=terms.share, seconds=terms.seconds, floor=FLOOR) for quantile in RISKS
    ]
    counts = [one["jobs"] for one in found]
    killed = [one["killed"] / one["jobs"] if one["jobs"] else None for one in found]
    requested = [one["requested"] for one in found]
    hours = [
        Series("requested", requested, tone=0),
        Series("used", [one["used"] for one in found], tone=2),
        Series("unused", [one["unused"] for one in found], tone=1),
        Series("lost", [one["lost"] for one in found], tone=3),
    ]
    said = f"From {_hours(requested[0])} at {share(RISKS[0])} to {_hours(requested[-1])} at {share(RISKS[-1])}."
    if "own" in found[0]:
        hours.append(Series("requested by users", [one["own"]["requested"] for one in found], tone=4))
        hours.append(Series("requested for these jobs", [one["same"]["requested"] for one in found], tone=5))
    if not counts[0]:
        killed, hours, said = [], [], "No job has a bound from before it ran yet."
    return {
        "killed": Chart(
            "killed",
            "Killed jobs over the risk",
            f"{share(killed[0])} of the jobs at {share(RISKS[0])}, {share(killed[-1])} at {share(RISKS[-1])}; without a "
            "margin, the model promises the other line."
            if killed
            else said,
            "probability to end in time",
            "share of jobs",
            RISKS if killed else [],
            [Series("killed", killed, tone=1), Series("promised", [round(1 - risk, 2) for risk in RISKS], tone=2)]
            if killed
            else [],
        ),
        "hours": Chart(
            "hours",
            "Node-hours over the risk",
            said,
            "probability to end in time",
            "node-hours",
            RISKS if hours else [],
            hours,
        ),
    }
