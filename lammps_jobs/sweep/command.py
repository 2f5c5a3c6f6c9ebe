"""The command `python -m lammps_jobs sweep`: runs many jobs, with any launcher and container runtime."""

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
from tailrace.launchers.containers import Container
from tailrace.launchers.queues import QueueFailed
from tailrace.launchers.schedulers import make_launcher
from tailrace.transport.server import Server

from lammps_jobs.runs.lammps_job import PYTHON_PATH, LammpsNotFound
from lammps_jobs.sweep.inputs import InputNotFound, find_input
from lammps_jobs.sweep.jobs import JobBuilder, lammps_program
from lammps_jobs.sweep.models import NoSuchModel, Stream
from lammps_jobs.sweep.options import parser
from lammps_jobs.sweep.parameter_space import PARAMETERS
from lammps_jobs.sweep.plan import Plan, PlanError, SweepDirectory, SweepJob, resumed
from lammps_jobs.sweep.runners import LocalRunner, QueueRunner

__all__ = ["main"]

USUAL_ITERS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sweep and return its exit code. 0: done. 1: jobs failed. 2: it can't be started. 130: interrupted."""
    options = parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        builder = _job_builder(options)
        jobs = builder.plan.jobs()
        if options.dry_run:
            _show(builder, jobs)
            return 0
        with builder.directory.alone():
            return _run(builder, jobs, options)
    except (PlanError, InputNotFound, LammpsNotFound, NoSuchModel, ValueError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except (Refused, Unreachable, QueueFailed) as error:
        print(f"sweep: {error}\nFinished jobs are kept. Run the same command again to resume.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sweep: {error.filename or 'the disk'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Finished jobs are kept. Run the same command again to resume.", file=sys.stderr)
        return 130


def _job_builder(options: argparse.Namespace) -> JobBuilder:
    """Return the requested sweep, or the one that was started in its directory before. No server is needed."""
    # Jobs have other working directories: a path must be absolute. Any other name is for the container runtime.
    image = str(Path(options.image).resolve()) if options.image and os.path.exists(options.image) else options.image
    container = Container(options.container, image)
    if (options.container == "none") is (options.image != ""):
        raise PlanError("--container and --image go together: the program that runs the image, and the image")
    directory = SweepDirectory(Path(options.directory or f"sweep-{options.mode}").resolve())
    iters = options.iters or (None if options.sample == "grid" else USUAL_ITERS)
    values = {name: getattr(options, name) for name in PARAMETERS}
    # The path of the user's own input may be relative.
    name = str(Path(options.input).resolve()) if os.path.isfile(options.input) else options.input
    plan = Plan(options.mode, name, values, options.sample, iters, options.seed, options.stream)
    if (begun := directory.load()) is not None:
        plan = resumed(begun, plan, directory.path)
    server = Server(options.url)
    environment = {"TAILRACE_URL": server.url}
    if os.environ.get("TAILRACE_SPOOL"):
        environment["TAILRACE_SPOOL"] = os.path.abspath(os.environ["TAILRACE_SPOOL"])
    return JobBuilder(
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


def _show(builder: JobBuilder, jobs: Sequence[SweepJob]) -> None:
    for job in jobs:
        if (submit := builder.submit(job)) is not None:
            print(shlex.join(submit))
            print("   ", end=" ")
        print(shlex.join(builder.lammps(job)))


def _run(builder: JobBuilder, jobs: Sequence[SweepJob], options: argparse.Namespace) -> int:
    from lammps_jobs.sweep import prediction_report
    from lammps_jobs.sweep.execution import Execution
    from lammps_jobs.sweep.screen import Screen

    plan, directory, container = builder.plan, builder.directory, builder.container
    if container.is_file and not os.path.exists(container.image):
        raise PlanError(f"--image {container.image} does not exist")
    stream = Stream(Server(options.url), plan.stream)
    if plan.mode == "train":
        about = f"Loop time of LAMMPS runs ({plan.input})"
        stream.ensure(plan.features(jobs[0]), about, options.recipes)
    models = [] if plan.mode == "train" else stream.models(options.models)
    if plan.mode == "predict" and not models:
        raise NoSuchModel(
            f"stream {plan.stream} has no regression model to predict with: create one, for example by tailrace create runtime "
            f"--stream {plan.stream} --recipe runtime"
        )
    directory.save(plan)
    builder.input.put(directory.inputs)
    environment = os.environ | builder.environment | {"PYTHONPATH": PYTHON_PATH}
    runner = (QueueRunner if builder.is_queued else LocalRunner)(builder, environment)
    screen = Screen(len(jobs))
    execution = Execution(builder, runner, stream, models, environment, screen)
    started = time.monotonic()
    try:
        with screen.progress():
            outcomes = execution.run(jobs, options.at_once or builder.launcher.at_once)
    except BaseException:
        screen.note(runner.leave())
        raise
    screen.ended(outcomes, time.monotonic() - started)
    if plan.mode == "predict":
        prediction_report.write(directory, plan, models, outcomes)
        screen.table(models, outcomes)
        screen.note(f"Report: {_shown(directory.report)}, picture: {_shown(directory.picture)}")
    return 1 if any(outcome.failure is not None for outcome in outcomes) else 0


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
