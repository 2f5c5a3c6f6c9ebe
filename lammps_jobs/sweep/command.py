"""`python -m lammps_jobs sweep`: many jobs, over any launcher and container runtime."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tailrace.errors import Refused, Unreachable
from tailrace.server import Server

from lammps_jobs.run import PYTHON_PATH, LammpsNotFound
from lammps_jobs.sweep import queues
from lammps_jobs.sweep.containers import Container
from lammps_jobs.sweep.inputs import InputNotFound, find_input
from lammps_jobs.sweep.jobs import Recipe, lammps_program
from lammps_jobs.sweep.launchers import make_launcher
from lammps_jobs.sweep.models import NoSuchModel, Stream
from lammps_jobs.sweep.options import parser
from lammps_jobs.sweep.plan import Plan, PlanError, SweepDirectory, SweepJob, resumed
from lammps_jobs.sweep.running import Here, Queued
from lammps_jobs.sweep.space import PARAMETERS

__all__ = ["main"]

USUAL_ITERS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sweep and return its exit code: 0, 1 if jobs failed, 2 for a wrong start, 130 if it was stopped."""
    options = parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        recipe = _recipe(options)
        jobs = recipe.plan.jobs()
        if options.dry_run:
            _show(recipe, jobs)
            return 0
        with recipe.directory.alone():
            return _run(recipe, jobs, options)
    except (PlanError, InputNotFound, LammpsNotFound, NoSuchModel, ValueError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except (Refused, Unreachable, queues.QueueFailed) as error:
        print(f"sweep: {error}\nWhat was done is kept. Start it again to go on from here.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sweep: {error.filename or 'the disk'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was done is kept: start it again to go on from there.", file=sys.stderr)
        return 130


def _recipe(options: argparse.Namespace) -> Recipe:
    """The sweep that is asked for, as far as it needs no server; one that was begun, if there is one in its directory."""
    # A job has another working directory; what is no file here may be a name or an address of the runtime's own.
    image = str(Path(options.image).resolve()) if options.image and os.path.exists(options.image) else options.image
    container = Container(options.container, image)
    if (options.container == "none") is (options.image != ""):
        raise PlanError("--container and --image go together: which program runs the image, and which image")
    directory = SweepDirectory(Path(options.directory or f"sweep-{options.mode}").resolve())
    iters = options.iters or (None if options.sample == "grid" else USUAL_ITERS)
    values = {name: getattr(options, name) for name in PARAMETERS}
    # An input of one's own may be named from anywhere.
    name = str(Path(options.input).resolve()) if os.path.isfile(options.input) else options.input
    plan = Plan(options.mode, name, values, options.sample, iters, options.seed, options.stream)
    if (begun := directory.load()) is not None:
        plan = resumed(begun, plan, directory.path)
    server = Server(options.url)
    environment = {"TAILRACE_URL": server.url}
    if os.environ.get("TAILRACE_SPOOL"):
        environment["TAILRACE_SPOOL"] = os.path.abspath(os.environ["TAILRACE_SPOOL"])
    return Recipe(
        plan=plan,
        directory=directory,
        input=find_input(name, contained=options.container != "none"),
        launcher=make_launcher(options.launcher, options.option, options.mpi),
        container=container,
        lmp=lammps_program(options.lmp, container),
        nodes=options.nodes,
        limit=options.time,
        environment=environment,
    )


def _show(recipe: Recipe, jobs: Sequence[SweepJob]) -> None:
    for job in jobs:
        if (submit := recipe.submit(job)) is not None:
            print(shlex.join(submit))
            print("   ", end=" ")
        print(shlex.join(recipe.lammps(job)))


def _run(recipe: Recipe, jobs: Sequence[SweepJob], options: argparse.Namespace) -> int:
    from lammps_jobs.sweep import heldout
    from lammps_jobs.sweep.execution import Execution
    from lammps_jobs.sweep.screen import Screen

    plan, directory, container = recipe.plan, recipe.directory, recipe.container
    if container.is_file and not os.path.exists(container.image):
        raise PlanError(f"--image {container.image} is not there")
    stream = Stream(Server(options.url), plan.stream)
    if plan.mode == "train":
        about = f"Loop time of LAMMPS runs ({plan.input})"
        stream.ensure(plan.features(jobs[0]), about, options.recipes)
    models = [] if plan.mode == "train" else stream.models(options.models)
    if plan.mode == "predict" and not models:
        raise NoSuchModel(
            f"stream {plan.stream} has no regression model that could predict: make one, such as by tailrace create runtime "
            f"--stream {plan.stream} --recipe runtime"
        )
    directory.save(plan)
    recipe.input.put(directory.inputs)
    environment = os.environ | recipe.environment | {"PYTHONPATH": PYTHON_PATH}
    kind = Queued if recipe.launcher.name in queues.LIST else Here
    runner = kind(recipe, environment)
    screen = Screen(len(jobs))
    execution = Execution(recipe, runner, stream, models, environment, screen)
    started = time.monotonic()
    try:
        with screen.progress():
            outcomes = execution.run(jobs, options.at_once or recipe.launcher.at_once)
    except BaseException:
        screen.note(runner.leave())
        raise
    screen.ended(outcomes, time.monotonic() - started)
    if plan.mode == "predict":
        heldout.write(directory, plan, models, outcomes)
        screen.table(models, outcomes)
        screen.note(f"Report: {_shown(directory.report)}, picture: {_shown(directory.picture)}")
    return 1 if any(outcome.failure is not None for outcome in outcomes) else 0


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
