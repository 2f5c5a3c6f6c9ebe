"""The working directory of a demo, from which it resumes after a crash: plan, spool, tokens, the server's output."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from tailrace.atomic_files import write_json

from lammps_jobs.demo_support.names import PlanError

__all__ = ["DemoDirectory"]

AnyPlan = TypeVar("AnyPlan")


class DemoDirectory(Generic[AnyPlan]):
    """The working directory of a demo.

    Parameters
    ----------
    path
        Path of the directory.
    make_plan
        Creates a plan from its stored fields.
    """

    def __init__(self, path: Path, make_plan: Callable[..., AnyPlan]) -> None:
        self.path = path
        self._make_plan = make_plan
        self._plan = path / "plan.json"
        self.spool = path / "spool"
        self.tokens = path / "tokens.json"
        self.server_log = path / "server.log"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the directory. Raises PlanError if a demo is running in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.parent / "demo.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlanError("a demo is running already: wait until it ends, or stop it with Ctrl-C") from None
            yield

    def load(self) -> AnyPlan | None:
        """Return the plan of the demo that was started here; None if there is none.

        Raises PlanError if it can't be read.
        """
        try:
            return self._make_plan(**json.loads(self._plan.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, PlanError) as error:
            raise PlanError(f"{self._plan} can't be read ({error}): start over with --fresh") from None

    def save(self, plan: AnyPlan) -> None:
        """Store the plan."""
        self.path.mkdir(parents=True, exist_ok=True)
        stored: Any = plan
        write_json(self._plan, asdict(stored))

    def set_aside(self) -> Path | None:
        """Rename the directory to a free name. Return its new path, or None if it doesn't exist."""
        if not self.path.exists():
            return None
        target = next(
            path for n in itertools.count(1) if not (path := self.path.with_name(f"{self.path.name}-old-{n}")).exists()
        )
        os.rename(self.path, target)
        return target
