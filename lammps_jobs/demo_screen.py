"""Everything that the demo shows: its lines, its progress, its table, its pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lammps_jobs.campaign import Outcome
from lammps_jobs.plan import RECIPES, DemoDirectory, Plan
from lammps_jobs.report import draw_drift, draw_scatter
from lammps_jobs.run import Job
from lammps_jobs.scores import Trial, coverage, scores

__all__ = ["JobProgress", "Screen"]

OURS = "runtime"
LEAST_CPU_USE = 80


class Screen:
    """Writes to the terminal, or plainly where there is none. Paths are shown relative to `root` where they can be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)

    def path(self, path: Path) -> str:
        try:
            return str(path.relative_to(self._root))
        except ValueError:
            return str(path)

    def note(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def trouble(self, line: str) -> None:
        self._errors.print(Text(f"demo: {line}"), soft_wrap=True)

    def stopped(self) -> None:
        self._errors.print(Text("Stopped. What was done is kept: start it again to go on from there."), soft_wrap=True)

    def serving(self, url: str, taken: int | None) -> None:
        """Where the server listens, and which port it would have had if that hadn't been taken."""
        why = "" if taken is None else f" (port {taken} is taken)"
        self.note(f"It serves on {url}/{why} and asks for tokens: a job's can learn into its stream, and nothing else.")

    def begins(self, plan: Plan) -> None:
        at_most = f"on 1 to {plan.cores} processes" if plan.cores > 1 else "on 1 process"
        self.note(
            f"Stream {plan.stream}, models {', '.join(plan.models.values())}. "
            f"Real LAMMPS jobs, a Cu-Zr melt of x·y·z cells {at_most}:"
        )

    def ended(self, plan: Plan, fresh: int, seconds: float) -> None:
        total = plan.jobs + plan.heldout
        if fresh == 0:
            self.note(
                f"All {total} jobs were done before; none was run again (--jobs N for more, --fresh to start over)."
            )
        elif fresh < total:
            self.note(f"Ran {fresh} jobs in {seconds:.0f} s; {total - fresh} were done before.")
        else:
            self.note(f"Ran {fresh} jobs in {seconds:.0f} s.")

    def busy(self, outcomes: Sequence[Outcome]) -> None:
        """Say so where other programs took so much of the processors that the times can't be trusted."""
        short = sum(outcome.cpu_use is not None and outcome.cpu_use < LEAST_CPU_USE for outcome in outcomes)
        if short:
            self.note(
                f"{short} of {len(outcomes)} jobs got less than {LEAST_CPU_USE} % of their processors (LAMMPS's CPU use): "
                "other programs ran, and no model can know when."
            )

    def table(self, plan: Plan, metrics: dict[str, Any], heldout: Sequence[Outcome]) -> None:
        """Each model's prequential metrics, from the server, beside its errors on the held-out jobs."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="")
        table.add_column("loop time in s\nmodel", no_wrap=True)
        for heading in ("\nn", "prequential\nMAE", "\nRMSE", "held-out\nMAE", "\nRMSE", "\nR²"):
            table.add_column(heading, justify="right", no_wrap=True)
        for recipe, model in plan.models.items():
            own, unseen = metrics[model], scores(_trials(heldout, recipe))
            table.add_row(
                model, str(own["learned"]), _number(own["metrics"]["MAE"]), _number(own["metrics"]["RMSE"]),
                _number(unseen.mae), _number(unseen.rmse), _number(unseen.r2),
                style="bold" if recipe == OURS else "",
            )  # fmt: skip
        self._console.print(table)
        self.note(
            "Prequential: each job was predicted before it was learned; the first, which none could know, isn't scored."
        )
        inside, of = coverage(_trials(heldout, OURS))
        if of:
            self.note(f"{plan.models[OURS]}'s 95 % intervals held the time of {inside} of {of} held-out jobs.")

    def pictures(self, directory: DemoDirectory, learned: Sequence[Outcome], heldout: Sequence[Outcome]) -> None:
        typical = math.fsum(outcome.loop_time for outcome in learned) / len(learned)
        draw_drift(directory.drift, {recipe: _trials(learned, recipe) for recipe in RECIPES}, typical)
        draw_scatter(directory.scatter, {recipe: _trials(heldout, recipe) for recipe in RECIPES})
        self.note(f"Pictures: {self.path(directory.drift)}, {self.path(directory.scatter)}")
        self.note(f"Every job's script, log and receipt: {self.path(directory.path / 'jobs')}/")

    def further(self, plan: Plan, port: int, usual: bool) -> None:
        """How to go on from here; a port that is not the `usual` one has to be named to `make serve`."""
        base = f"http://127.0.0.1:{port}"
        serve = "make serve" if usual else f"TAILRACE_BIND=127.0.0.1:{port} make serve"
        model = plan.models[OURS]
        self.note(f"\nThe log stays in the database. To look further, run `{serve}`, which asks nobody on this machine")
        self.note(f"for a token, and open {base}/api/v1/docs/, or paste this into IPython (or .venv/bin/python):\n")
        self.note("from tailrace import Client")
        self.note(f'model = Client("{base}").model("{model}")')
        self.note("model.predict(x=8, y=4, z=6, processes=2)")
        self.note("model.metrics()")

    @contextmanager
    def progress(self, plan: Plan) -> Iterator[JobProgress]:
        """A bar while jobs run; where there is no terminal, a line for each job."""
        progress = JobProgress(self._console, plan)
        with Live(progress, console=self._console, refresh_per_second=8, transient=True) if progress.live else progress:
            yield progress


class JobProgress:
    """Shows which job runs, how many are done, and how the last one compared with its prediction."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.live = console.is_terminal
        self._console = console
        self._total = plan.jobs + plan.heldout
        self._count = 0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("jobs"),
            TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("Running", total=self._total)
        self._now = Text()
        self._last = Text()

    def __enter__(self) -> JobProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __rich__(self) -> Group:
        return Group(self._bar, self._now, self._last)

    def over(self, how: str, jobs: Sequence[Job]) -> Iterator[Job]:
        """The jobs one by one, showing each as it begins."""
        for job in jobs:
            self._now = Text(f"  now   {_size(job)} ({how})")
            yield job

    def done(self, outcome: Outcome) -> Outcome:
        """Count a job and show what came of it."""
        self._count += 1
        self._bar.update(self._task, completed=self._count)
        said = outcome.trials.get(OURS)
        line = f"{_size(outcome.job)}: {outcome.loop_time:.2f} s"
        if said is not None:
            line += f" ({OURS} had predicted {said.predicted:.2f} s)"
        self._last = Text(f"  last  {line}", style="dim")
        if not self.live and outcome.fresh:
            self._console.print(Text(f"{self._count:3d}/{self._total}  {outcome.job.name}  {line}"), soft_wrap=True)
        return outcome


def _size(job: Job) -> str:
    return f"{job.x} × {job.y} × {job.z} on {job.processes} {'process' if job.processes == 1 else 'processes'}"


def _trials(outcomes: Sequence[Outcome], recipe: str) -> list[Trial]:
    return [outcome.trials[recipe] for outcome in outcomes if recipe in outcome.trials]


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
