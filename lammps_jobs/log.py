"""What a LAMMPS log says happened: the timings of its runs, or the reason why there are none to trust.

    >>> report = read_log("log.lammps")          # doctest: +SKIP
    >>> report.completed, report.loop_time       # doctest: +SKIP
    (True, 1.29041)

Only a run that completed has a time worth learning from. One that was killed, stopped with an error,
diverged or ran into a limit has taken *some* time, and that number would teach a model that such a job is
short. So a report of such a run has a `failure`, and asking it for its time raises.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from lammps_jobs.echo import Echo

__all__ = ["LogReport", "RunNotCompleted", "RunTiming", "parse_log", "read_log"]

_LOOP = re.compile(rb"Loop time of (\d+(?:\.\d+)?(?:e[-+]\d+)?) on (\d+) procs for (\d+) steps with (\d+) atoms")
_CPU_USE = re.compile(rb"(\d+(?:\.\d+)?)% CPU use with (\d+) MPI tasks x (\d+|no) OpenMP threads")
_RATE = re.compile(rb"(\d+(?:\.\d+)?(?:e[-+]\d+)?) ([^\s,]+)")
_WALL = re.compile(rb"Total wall time: (\d+):(\d\d):(\d\d)")
_THREADS = re.compile(rb"\s*(?:using|set) (\d+) OpenMP thread\(s\) per MPI task")
_PARTITIONS = re.compile(rb"Running on (\d+) partitions of processors")
_QUIT = re.compile(rb"quit(?:\s+([^\s#]+))?\s*(?:#.*)?$")
_LOG_COMMAND = re.compile(rb"(log\s+[^\s#]+(?:\s+append)?)\s*(?:#.*)?$")
_NON_FINITE = re.compile(rb"(?:^|[\s=\[,])([-+]?(?:nan|inf))(?=$|[\s\],])", re.IGNORECASE)

BLOCK = 1 << 18
LONGEST_LINE = 1 << 16
NUMBERS = b"0123456789 +-.eE,[]\t\r\n"
WORDS = (
    b"Loop time", b"ERROR", b"WARNING", b"Wall time", b"Fix halt", b"Total wall", b"Per MPI", b"Memory usage",
    b"LAMMPS (", b"nan", b"inf",
)  # fmt: skip
"""One of these is in every line of a run's output that is more than a row."""


class RunNotCompleted(Exception):
    """The log shows no completed run, so it has no time that could serve as a label."""


@dataclass(frozen=True)
class RunTiming:
    """One `run` or `minimize` of an input, as the lines that end it report it.

    Attributes
    ----------
    loop_time
        Seconds in the time-stepping loop, as precise as LAMMPS prints it (six digits).
    steps, atoms
        Steps done, and atoms at the end.
    processes, threads
        MPI processes, and OpenMP threads in each.
    cpu_use
        Share of its processors that the run got, in percent of the time of one for each process: well below
        100 (times the threads) where other programs ran beside it. None where the log doesn't say.
    performance
        The rates that LAMMPS prints, by unit, such as ``{"ns/day": 218.105, "timesteps/s": 1262.185, …}``; which
        ones depends on its version and on the input's units.
    """

    loop_time: float
    steps: int
    atoms: int
    processes: int
    threads: int
    cpu_use: float | None = None
    performance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogReport:
    """What one log says.

    Attributes
    ----------
    version
        As LAMMPS writes it, such as ``22 Jul 2025 - Update 4``; None where the log does not say.
    runs
        The runs that reached their end, in order.
    wall_time
        Whole seconds from start to exit; None where LAMMPS never got to write it.
    failure
        Why this is not a completed job, in words for its owner; None for one that completed.
    variables
        What the input's references to variables stood for, such as ``{"x": "8", "steps": "100"}``: the first value
        of each, as printed. LAMMPS doesn't repeat its command line, but it echoes each command before and after it
        puts a value in. So a variable that was given with ``-v`` and never used isn't here, nor is any of a run with
        ``-echo none``.
    """

    version: str | None
    runs: tuple[RunTiming, ...]
    wall_time: int | None
    failure: str | None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        return self.failure is None

    @property
    def loop_time(self) -> float:
        """Seconds in the loops of all runs together.

        Raises
        ------
        RunNotCompleted
            With the reason, for any job that did not run to its end.
        """
        if self.failure is not None:
            raise RunNotCompleted(self.failure)
        return sum(run.loop_time for run in self.runs)

    @property
    def steps(self) -> int:
        """Steps of all runs together."""
        return sum(run.steps for run in self.runs)

    @property
    def atoms(self) -> int | None:
        """Atoms in the last run; None if no run ended."""
        return self.runs[-1].atoms if self.runs else None

    @property
    def processes(self) -> int | None:
        """MPI processes of the last run; None if no run ended."""
        return self.runs[-1].processes if self.runs else None

    @property
    def threads(self) -> int | None:
        """OpenMP threads in each process of the last run; None if no run ended."""
        return self.runs[-1].threads if self.runs else None

    @property
    def cpu_use(self) -> float | None:
        """Percent of its processors that the last run got; None if no run ended, or the log doesn't say."""
        return self.runs[-1].cpu_use if self.runs else None


def read_log(path: str | os.PathLike[str]) -> LogReport:
    """Read a file that LAMMPS wrote with ``-log``, or its captured output.

    Where LAMMPS was started more than once into one file, the last start counts. Memory stays constant
    however long the log is. Raises OSError where the file can't be read.
    """
    with open(path, "rb") as file:
        return parse_log(_blocks(file))


def parse_log(pieces: Iterable[bytes]) -> LogReport:
    """Parse a log that comes in pieces of one or more whole lines. See `read_log`."""
    parser = _Parser()
    for piece in pieces:
        if parser.in_run and _is_rows(piece):
            parser.rows(piece)
            continue
        for line in piece.splitlines(keepends=True):
            if line.startswith(b"LAMMPS ("):
                # A requeued job may append to the output of its first try: only the last start counts.
                parser = _Parser(version=_text(line)[len("LAMMPS (") :].rstrip(")"))
            else:
                parser.feed(line)
    return parser.report()


def _is_rows(piece: bytes) -> bool:
    return not piece.translate(None, NUMBERS) or not any(word in piece for word in WORDS)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline(LONGEST_LINE)


class _Parser:
    def __init__(self, version: str | None = None) -> None:
        self.in_run = False
        self._version = version
        self._runs: list[RunTiming] = []
        self._wall_time: int | None = None
        self._failure: str | None = None
        self._echo = Echo()
        self._empty = version is None
        self._header = b""
        self._last_row = b""
        self._threads = 1
        self._partitions = 0
        self._log_command = ""
        self._last_line = b""
        """Outside of the output of runs."""

    def rows(self, block: bytes) -> None:
        """Take lines of a run's output that are rows and no more: nearly every line of a long log is one."""
        lines = block.rstrip()
        self._header = self._header or lines.partition(b"\n")[0]
        self._last_row = lines[lines.rfind(b"\n") + 1 :] or self._last_row

    def feed(self, line: bytes) -> None:
        self._empty = False
        # Rows of numbers start with a blank, a sign or a digit.
        if self.in_run and line[:1] <= b"9":
            self._row(line)
        elif line.startswith(b"Loop time of "):
            self._loop(line)
        elif line.startswith(b"ERROR"):
            self._fail(f"LAMMPS stopped with {_text(line)}")
        elif line.startswith((b"WARNING: Wall time limit reached", b"Wall time limit reached")):
            self._fail(f"the run reached its time limit (timer timeout) {self._where()}")
        elif line.startswith(b"Fix halt condition"):
            self._fail(f"the run was halted early: {_text(line)}")
        elif line.startswith((b"Per MPI rank memory", b"Memory usage per processor")):
            self.in_run, self._header, self._last_row = True, b"", b""
        elif line.startswith(b"Total wall time: "):
            self._wall(line)
        elif self._runs and line.startswith(b"Performance: "):
            rates = {_text(unit): float(rate) for rate, unit in _RATE.findall(line)}
            self._runs[-1] = replace(self._runs[-1], performance=rates)
        elif self._runs and b"% CPU use with " in line:
            self._cpu_use(line)
        elif not self.in_run:
            self._outside(line)
        elif not line.startswith(b"WARNING"):
            self._row(line)

    def report(self) -> LogReport:
        failure = self._failure or self._missing()
        return LogReport(self._version, tuple(self._runs), self._wall_time, failure, self._echo.variables)

    def _outside(self, line: bytes) -> None:
        self._last_line = line.strip() or self._last_line
        if found := _THREADS.match(line):
            self._threads = max(1, int(found[1]))
        elif found := _PARTITIONS.match(line):
            self._partitions = int(found[1])
        elif found := _LOG_COMMAND.match(line):
            self._log_command = _text(found[1])
        else:
            self._echo.feed(line)

    def _row(self, line: bytes) -> None:
        self._header = self._header or line
        self._last_row = line
        if (b"nan" in line or b"inf" in line) and (found := _NON_FINITE.search(line)):
            self._fail(f"the run diverged: its output shows {found[1].decode()} {self._where()}")

    def _loop(self, line: bytes) -> None:
        self.in_run = False
        found = _LOOP.match(line)
        if found is None:
            self._fail(f"a line of the log can't be read: {_text(line)!r}")
            return
        # It counts processes times threads. A line on the use of the CPU tells them apart, but not after `run … post no`.
        procs, steps, atoms = int(found[2]), int(found[3]), int(found[4])
        threads = 1 if procs % self._threads else self._threads
        self._last_line = b""
        self._runs.append(RunTiming(float(found[1]), steps, atoms, processes=procs // threads, threads=threads))

    def _cpu_use(self, line: bytes) -> None:
        found = _CPU_USE.match(line)
        if found is None:
            return
        run = self._runs[-1]
        threads = 1 if found[3] == b"no" else int(found[3])
        self._runs[-1] = replace(run, processes=int(found[2]), threads=threads, cpu_use=float(found[1]))

    def _wall(self, line: bytes) -> None:
        found = _WALL.match(line)
        if found is not None:
            self._wall_time = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason

    def _where(self) -> str:
        step = self._last_row.split(None, 1)[:1]
        if step and step[0].isdigit() and self._header.split(None, 1)[:1] == [b"Step"]:
            return f"at step {step[0].decode()}"
        return "during a run"

    def _missing(self) -> str | None:
        if self._empty:
            return "the log is empty: LAMMPS never started, or its output went elsewhere"
        if self._version is None:
            if self._runs or self._wall_time is not None:
                return (
                    f"the log begins in the middle, as a file does that the input's own `log` command began: {_WHOLE}"
                )
            return "this is not a log of LAMMPS: no line starts with 'LAMMPS ('"
        if self._partitions:
            return (
                f"LAMMPS ran on {self._partitions} partitions, and each wrote a log of its own: this one's name with .0 to "
                f".{self._partitions - 1} added; report each, with `--log NAME.0 --step 0` and so on"
            )
        if self._log_command:
            return f"the input's command `{self._log_command}` sends what follows elsewhere: {_WHOLE}"
        if self._wall_time is None and (why := self._end()):
            return why
        if not any(run.steps for run in self._runs):
            return "LAMMPS ended well, but its input never ran a step"
        return None

    def _end(self) -> str | None:
        """Why a log without LAMMPS's last line isn't whole; None if the input's `quit` ended it."""
        if not self.in_run and (found := _QUIT.match(self._last_line)):
            ended_well = found[1] in (None, b"0")
            return None if ended_well else f"the input stopped LAMMPS itself: {_text(self._last_line)}"
        where = f" {self._where()}" if self.in_run else ""
        return f"the log breaks off{where}: the job was killed, crashed, or is still running"


_WHOLE = "leave the command out, or report what LAMMPS printed, which is whole"


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
