"""Hostile uploads by the thousand: each is refused by name and in time, or gives an estimator that harms nobody.

    python -m tests.fuzz.uploads --seconds 600 --seed 7        look for some
    python -m tests.fuzz.uploads --replay FILE                 try one again

Each case is loaded in a child process whose memory is limited and that is ended when it takes too long. A *finding* is a
case that ends the child or hangs while it is loaded, that is refused with anything but a refusal, or that is admitted and then ends
the child. An admitted estimator that hangs, or takes more memory than there is, when it learns or predicts is only counted: at run
time budgets end it.
"""

import argparse
import hashlib
import os
import random
import resource
import select
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz import seeds
from tests.fuzz.operations import mutated
from tests.fuzz.structures import hostile_estimator
from tests.learning.hostile_limits import LIMITS
from tests.learning.hostile_payloads import CANARY, PAYLOADS

LOAD_SECONDS = 10
"""How long a load may take. Its limit in the server is shorter on a machine that does nothing else."""

USE_SECONDS = 3
GROWTH = 3 * 2**29
"""Address space that a child may add to what it begins with, bytes."""

LARGEST_LIMIT = 20_000
"""Bytes of the largest hand-made upload that is mutated."""


@dataclass
class Finding:
    """What went wrong with one upload."""

    seed: int
    case: int
    what: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.what} (seed {self.seed}, case {self.case}, {len(self.data)} bytes)"


@dataclass
class Outcome:
    """What a run has seen."""

    cases: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


class Cases:
    """Uploads by number: the same number of the same seed is the same upload."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._real = seeds.uploads()
        made = [make() for make, _ in LIMITS.values()]
        mine = str(CANARY).encode()  # has this process's number
        made += [data for data, _ in PAYLOADS.values() if mine not in data]
        self._hostile = [data for data in made if len(data) < LARGEST_LIMIT]

    def make(self, number: int) -> bytes:
        chance = random.Random(f"{self.seed} {number}")
        kind = chance.random()
        if kind < 0.30:
            return hostile_estimator(chance)
        source = self._hostile if kind < 0.50 else self._real
        data = chance.choice(source)
        try:
            return mutated(chance, data)
        except ValueError:
            return data  # hand-made ones that are no pickles


def use(data: bytes, say: Callable[[str], None]) -> None:
    """Load an upload and, if it is admitted, use what it gave as the server does."""
    from server.core.errors import TailraceError
    from server.learning import inspection
    from server.learning.pickles import loader
    from server.learning.river_adapters import determinism

    say("loading")
    try:
        model: Any = loader.load_estimator(data)
    except TailraceError as error:
        error.message.encode()  # it is answered: half a character would be a 500
        say("refused" if 20 < len(error.message) < 1500 else f"raised a message of {len(error.message)} characters")
        return
    say("using")
    for step in (
        lambda: loader.load_state(loader.dump_state(model)),
        lambda: loader.load_state(loader.dumps(model)),
        lambda: determinism.check(model),
        lambda: inspection.hyperparameters(model),
        lambda: model.clone(),
        *(lambda index=index: seeds.learn(model, index) for index in range(3)),
        lambda: seeds.ask(model, 5),
        lambda: loader.dump_state(model),
    ):
        try:
            step()
        except Exception:  # an estimator may fail: it fails alone
            continue
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            say("panicked")
            return
    say("used")


def child(cases: Cases, numbers: Iterator[int], to: int) -> None:
    """Go through cases until the end of the process or of the cases, telling each step in a line."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + GROWTH, used + GROWTH))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:

        def say(step: str, number: int = number) -> None:
            os.write(to, f"{number} {step}\n".encode())

        try:
            say("making")
            use(cases.make(number), say)
        except MemoryError:
            say("filled its memory")
            return
        except BaseException as error:
            say(f"raised {type(error).__name__}: {str(error)[:200]!r}")
            return


class Run:
    """Goes through numbered cases for a while, in one child after the other.

    Parameters
    ----------
    cases
        Where they come from.
    seconds
        How long.
    """

    def __init__(self, cases: Cases, seconds: float) -> None:
        self.cases = cases
        self.end = time.monotonic() + seconds
        self.outcome = Outcome()

    def go(self, first: int = 0, limit: int | None = None) -> Outcome:
        number = first
        while time.monotonic() < self.end and (limit is None or number < first + limit):
            number = self._batch(number, None if limit is None else first + limit)
        return self.outcome

    def _batch(self, first: int, stop: int | None) -> int:
        """One child: the number of the case that comes next."""
        source, to = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(source)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.dup2(2, 1)
            try:
                child(self.cases, iter(range(first, stop if stop is not None else sys.maxsize)), to)
            finally:
                os._exit(0)
        os.close(to)
        number, step, ended = first, "making", ""
        with os.fdopen(source, "rb", buffering=0) as pipe:
            buffer = b""
            while not ended:
                patience = USE_SECONDS if step == "using" else LOAD_SECONDS
                ready, _, _ = select.select([pipe], [], [], patience)
                received = pipe.read(65_536) if ready else None
                if received is None:
                    ended = "hung"
                elif not received:
                    ended = "ended"
                *lines, buffer = (buffer + (received or b"")).split(b"\n")
                for line in lines:
                    text, step = line.decode().split(" ", 1)
                    number = int(text)
                    self._note(number, step)
                if time.monotonic() > self.end and step not in ("making", "loading", "using"):
                    ended = ended or "over"
        if ended != "ended":
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if ended == "hung" or (ended == "ended" and status != 0):
            self._died(number, step, ended, status)
        return number + 1

    def _note(self, number: int, step: str) -> None:
        if step in ("making", "loading", "using"):
            self.outcome.cases += step == "loading"
            return
        self.outcome.seen[step.split(" ")[0]] += 1
        if step.startswith("raised"):
            self._find(number, step)

    def _died(self, number: int, step: str, ended: str, status: int) -> None:
        if ended == "hung":
            self.outcome.seen[f"hung when {step}"] += 1
            if step != "using":
                self._find(number, f"hung when {step}")
        else:
            self._find(number, f"the process ended with {status} when {step}")

    def _find(self, number: int, what: str) -> None:
        finding = Finding(self.cases.seed, number, what, self.cases.make(number))
        self.outcome.findings.append(finding)


def prepare() -> None:
    """What a server has done before it takes uploads, so that each child begins with it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()
    warnings.simplefilter("ignore")
    use(seeds.PICKLERS[0](next(seeds.estimators())), lambda _: None)


def run(seconds: float, seed: int, first: int = 0, limit: int | None = None) -> Outcome:
    """Try uploads for so long, or so many.

    Parameters
    ----------
    seconds, limit
        Whichever is reached first.
    seed, first
        Say which uploads.
    """
    prepare()
    cases = Cases(seed)
    return Run(cases, seconds).go(first, limit)


def replay(data: bytes) -> Outcome:
    """Try one upload."""
    prepare()

    class One:
        seed = 0

        def make(self, number: int) -> bytes:
            return data

    return Run(One(), 60.0).go(0, 1)  # type: ignore[arg-type]


def write(findings: list[Finding], directory: Path) -> list[str]:
    """Keep findings as files that can be replayed; a line for each."""
    lines = []
    directory.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        path = directory / f"{hashlib.sha256(finding.data).hexdigest()[:12]}.pickle"
        path.write_bytes(finding.data)
        lines.append(f"{finding}: python -m tests.fuzz.uploads --replay {path}")
    return lines


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of a set is part of its pickle
        environment = {**os.environ, "PYTHONHASHSEED": "0", "RUST_BACKTRACE": "0"}
        os.execve(sys.executable, [sys.executable, "-m", "tests.fuzz.uploads", *sys.argv[1:]], environment)
    parser = argparse.ArgumentParser(description="Hostile uploads by the thousand.")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--seed", type=int, default=1, help="which uploads (1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (0)")
    parser.add_argument("--cases", type=int, help="at most so many cases")
    parser.add_argument("--replay", type=Path, help="try one upload from a file")
    parser.add_argument("--findings", type=Path, default=Path("var/fuzz"), help="where findings are kept (var/fuzz)")
    given = parser.parse_args()
    if given.replay is not None:
        outcome = replay(given.replay.read_bytes())
    else:
        outcome = run(given.seconds, given.seed, given.first, given.cases)
    seen = ", ".join(f"{count} {what}" for what, count in sorted(outcome.seen.items()))
    print(f"{outcome.cases} uploads: {seen}; {len(outcome.findings)} findings")
    for line in write(outcome.findings, given.findings):
        print(line)
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
