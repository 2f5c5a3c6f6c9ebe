"""Output of a sweep: a progress bar, a line for each job, failures, the table of models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lammps_jobs.evaluation.scores import scores
from lammps_jobs.sweep.execution import Outcome
from lammps_jobs.sweep.models import ModelInfo
from lammps_jobs.sweep.plan import SweepJob
from lammps_jobs.sweep.prediction_report import trials

__all__ = ["Screen"]

MOST_FAILURES = 10


class Screen:
    """Prints to the terminal, or plain lines if there is none. It is the `Watcher` of a sweep of `total` jobs."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = self._failed = 0
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("jobs"),
            TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(), console=self._console,
        )  # fmt: skip
        self._task = self._bar.add_task("Running", total=total)
        self._now, self._last = Text(), Text()

    def note(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def trouble(self, line: str) -> None:
        self._errors.print(Text(f"sweep: {line}"), soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a bar while jobs run, if there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(self, console=self._console, refresh_per_second=4, transient=True):
            yield

    def __rich__(self) -> Group:
        return Group(self._bar, self._now, self._last)

    def notice(self, line: str) -> None:
        self._errors.print(Text(line), soft_wrap=True)

    def under_way(self, jobs: Sequence[SweepJob]) -> None:
        more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        self._now = Text(f"  now   {_size(jobs[0])}{more}") if jobs else Text()

    def settled(self, outcome: Outcome) -> None:
        self._count += 1
        self._failed += outcome.failure is not None
        self._bar.update(self._task, completed=self._count)
        if outcome.failure is not None:
            line = f"failed: {outcome.failure}"
        else:
            line = f"{_size(outcome.job)}: {outcome.loop_time:.2f} s{_said(outcome)}"
        self._last = Text(f"  last  {outcome.job.name}  {line}", style="dim")
        if outcome.fresh and (outcome.failure is not None or not self._console.is_terminal):
            self._console.print(Text(f"{self._count:3d}/{self._total}  {outcome.job.name}  {line}"), soft_wrap=True)

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Print the numbers of jobs that ran and failed, and the reasons."""
        failed = [outcome for outcome in outcomes if outcome.failure is not None]
        before = sum(not outcome.fresh for outcome in outcomes)
        done = f", {before} were done before" if before else ""
        self.note(
            f"{len(outcomes)} jobs: {len(outcomes) - len(failed)} counted, {len(failed)} failed{done} ({seconds:.0f} s)."
        )
        for outcome in failed[:MOST_FAILURES]:
            self.trouble(f"{outcome.job.name}: {outcome.failure}")
        if len(failed) > MOST_FAILURES:
            self.trouble(f"and {len(failed) - MOST_FAILURES} more")
        if failed:
            self.note("Run the same command again to retry those.")

    def table(self, models: Sequence[ModelInfo], outcomes: Sequence[Outcome]) -> None:
        """Print each model's errors on jobs that it did not learn."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="")
        for heading in ("model", "recipe"):
            table.add_column(heading, no_wrap=True)
        for heading in ("n", "R²", "MSE (s²)", "MAE (s)", "RMSE (s)"):
            table.add_column(heading, justify="right", no_wrap=True)
        for model in models:
            own = scores(trials(model, outcomes))
            figures = [_number(value) for value in (own.r2, own.mse, own.mae, own.rmse)]
            table.add_row(model.name, model.recipe, str(own.n), *figures)
        self._console.print(table)


def _size(job: SweepJob) -> str:
    point = job.point
    processes = f"{point['processes']} {'process' if point['processes'] == 1 else 'processes'}"
    return f"{point['x']} × {point['y']} × {point['z']}, {point['steps']} steps on {processes}"


def _said(outcome: Outcome) -> str:
    said = {
        name: answer["prediction"]
        for name, answer in outcome.predictions.items()
        if answer.get("prediction") is not None
    }
    if not said or outcome.observation == 1:  # The answer of a model that has learned nothing is not a prediction.
        return ""
    name = "runtime" if "runtime" in said else min(said)
    return f" ({name} predicted {said[name]:.2f} s)"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
