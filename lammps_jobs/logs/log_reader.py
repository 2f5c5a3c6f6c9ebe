"""Reads LAMMPS logs: the timings of the runs, or the reason why they can't be used.

    >>> report = read_log("log.lammps")          # doctest: +SKIP
    >>> report.completed, report.loop_time       # doctest: +SKIP
    (True, 1.29041)

Only the time of a completed run is useful for learning. If a run was killed, stopped with an error, diverged or reached
a limit, its time would teach a model that such a job is short. So the report of such a run has a `failure`, and its
`loop_time` raises an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from lammps_jobs.logs.echo import Echo
from lammps_jobs.logs.echoed_run import EchoedRun
from lammps_jobs.logs.log_report import LogReport, RunTiming

__all__ = ["parse_log", "read_log"]

_LOOP = re.compile(
    rb"Loop time of (\d+(?:\.\d+)?(?:e[-+]\d+)?) on (\d+) procs(?: \(\d+ MPI x (?P<threads>\d+) OpenMP\))? for (\d+) steps with "
    rb"(\d+) atoms"
)
"""LAMMPS of 2012 to 2015 has the part in parentheses, and no line on CPU use."""
_CPU_USE = re.compile(rb"(\d+(?:\.\d+)?)% CPU use with (\d+) MPI tasks x (\d+|no) OpenMP threads")
_RATE = re.compile(rb"(\d+(?:\.\d+)?(?:e[-+]\d+)?) ([^\s,]+)")
_WALL = re.compile(rb"Total wall time: (\d+):(\d\d):(\d\d)\s*$")
_START = re.compile(rb"LAMMPS \(\d{1,2} \w{3} \d{4}")
_ERROR = re.compile(rb"ERROR(?: on proc \d+)?: ")
_SOURCE = re.compile(rb"\([^()\s]+\.(?:cpp|h):\d+\)\s*$")
_THREADS = re.compile(rb"\s*(?:using|set) (\d+) OpenMP thread\(s\) per MPI task")
_PARTITIONS = re.compile(rb"Running on (\d+) partitions of processors")
_QUIT = re.compile(rb"quit(?:\s+([^\s#]+))?\s*(?:#.*)?$")
_LOG_COMMAND = re.compile(rb"\s*(log\s+[^\s#]+(?:\s+append)?)\s*(?:#.*)?$")
_PRINT = re.compile(rb"\s*print\s")
_ECHO_COMMAND = re.compile(rb"\s*echo\s+(none|screen|log|both)\b")
_COMMAND = re.compile(rb"\s*(?:units|atom_style|pair_style|pair_coeff|read_data|create_box|fix|thermo|run|minimize)\s")
_RUN = re.compile(rb"\s*(run\s+\d+(?:\s[^#]*)?)(?:#.*)?$")
_QUOTED = re.compile(rb'"[^"]*"|\'[^\']*\'')
_QUOTED_WORD = re.compile(rb'"([^"\s]*)"|\'([^\'\s]*)\'')
_FIX_PRINT = re.compile(
    rb"""\s*(fix\s+\S+\s+\S+\s+print\s+\S+\s+(?:\"{3}(?P<three>.*?)\"{3}|"(?P<two>[^"]*)"|'(?P<one>[^']*)'|(?P<bare>\S+)))(?P<rest>.*)"""
)
_OWN = re.compile(
    rb"Loop time of |WARNING: Wall time limit reached|Wall time limit reached|Fix halt condition|Per MPI rank memory"
    rb"|Memory usage per processor|Total wall time: |LAMMPS \(\d{1,2} \w{3} \d{4}|.*% CPU use with "
)
"""Beginnings of the lines that LAMMPS itself writes and that are looked for."""
_LIMIT = re.compile(rb"\s*Stopping criterion = walltime limit reached")
_TIMER = re.compile(rb"New timer settings: style=(\w+)")
_SILENT_HALT = re.compile(rb"\s*fix\s+\S+\s+\S+\s+halt\s.*\smessage\s+(?:no|off)\b")
_NON_FINITE = re.compile(rb"(?:^|[\s=\[,])([-+]?(?:nan|inf))(?=$|[\s\],])", re.IGNORECASE)

BLOCK = 1 << 18
LONGEST_LINE = 1 << 16
NUMBERS = b"0123456789 +-.eE,[]\t\r\n"
WORDS = (
    b"Loop time", b"ERROR", b"WARNING", b"Wall time", b"Fix halt", b"Total wall", b"Per MPI", b"Memory usage",
    b"LAMMPS (", b"nan", b"inf",
)  # fmt: skip
"""Every line in the output of a run that is not a plain row contains one of these."""


def read_log(path: str | os.PathLike[str]) -> LogReport:
    """Read a file that LAMMPS wrote with ``-log``, or its captured output.

    If the file contains several starts of LAMMPS, the last one counts. Memory use does not depend on the length of the
    log. Raises OSError if the file can't be read.
    """
    with open(path, "rb") as file:
        return parse_log(_blocks(file))


def parse_log(pieces: Iterable[bytes]) -> LogReport:
    """Parse a log in pieces of complete lines. See `read_log`."""
    parser = _Parser()
    for piece in pieces:
        has_hole = b"\0" in piece
        if parser.in_run and not has_hole and _is_rows(piece):
            parser.rows(piece)
            continue
        for line in piece.splitlines(keepends=True):
            if _START.match(line) and not parser.is_printed(line):
                # A requeued job may append to the output of its first try: only the last start counts.
                parser = _Parser(version=_text(line)[len("LAMMPS (") :].rstrip(")"))
            else:
                if has_hole and b"\0" in line:
                    parser.holed()
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
        self._error: str | None = None
        self._timer_off = False
        self._echoes = self._echo_off = self._prints_errors = self._may_halt = False
        self._print: bytes | None = None
        """The `print` command in the previous line, or the lines of one over several."""
        self._print_lines = 0
        """How many lines it prints at most."""
        self._print_is_open = False
        """Whether triple quotes of that command are still open."""
        self._run: EchoedRun | None = None
        """The echoed `run` whose Loop time is still missing."""
        self._last_line = b""
        """The last line outside of the output of runs."""

    def rows(self, block: bytes) -> None:
        """Read a block of plain rows of a run's output. Nearly every line of a long log is one."""
        lines = block.rstrip()
        self._header = self._header or lines.partition(b"\n")[0]
        self._last_row = lines[lines.rfind(b"\n") + 1 :] or self._last_row

    def feed(self, line: bytes) -> None:
        self._empty = False
        if self._print_is_open and self._print is not None:
            self._print, self._print_lines = self._print + line, self._print_lines + 1
            self._print_is_open = line.count(_THREE) % 2 == 0
            return
        command, is_printed, self._print = self._print, self.is_printed(line), None
        # Rows of numbers start with a blank, a sign or a digit.
        if self.in_run and line[:1] <= b"9":
            self._row(line)
        elif command is not None and is_printed:
            self._last_line = b""
            self._print_lines -= 1
            self._print = command if self._print_lines else None
        elif line.startswith(b"Loop time of "):
            self._loop(line)
        elif _ERROR.match(line):
            self._stopped(line)
        elif line.startswith((b"WARNING: Wall time limit reached", b"Wall time limit reached")):
            self._fail(f"the run reached its time limit (timer timeout) {self._where()}")
        elif line.startswith(b"Fix halt condition"):
            self._fail(f"the run was halted early: {_text(line)}")
        elif line.startswith((b"Per MPI rank memory", b"Memory usage per processor")):
            if self.in_run and self._timer_off:
                self._fail(self._not_timed(None))
            self.in_run, self._header, self._last_row = True, b"", b""
            if self._wall_time is not None:
                self._fail(_TWO)
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

    def is_printed(self, line: bytes) -> bool:
        """Whether the `print` command before a line prints it, or it is in its quotes."""
        return self._print is not None and (self._print_is_open or _is_printed(line, self._print))

    def holed(self) -> None:
        """Note a byte 0: where two processes write to one file, the one that was there first leaves a hole."""
        if self._version is not None:
            self._fail(_TWO)

    def report(self) -> LogReport:
        # Text that an input prints may look like an error. But after a real error, LAMMPS doesn't write its last line.
        error = self._error if self._wall_time is None else None
        failure = self._failure or error or self._missing()
        values = self._echo.values
        first = {name: found[0] for name, found in values.items()}
        several = {name: tuple(found) for name, found in values.items() if len(found) > 1}
        return LogReport(self._version, tuple(self._runs), self._wall_time, failure, first, several)

    def _outside(self, line: bytes) -> None:
        self._last_line = line.strip() or self._last_line
        if found := _THREADS.match(line):
            self._threads = max(1, int(found[1]))
        elif found := _PARTITIONS.match(line):
            self._partitions = int(found[1])
        elif found := _LOG_COMMAND.match(line):
            self._log_command = _text(found[1])
        elif found := _TIMER.match(line):
            self._timer_off = found[1] == b"off"
        elif self._runs and _LIMIT.match(line):
            self._fail("the minimization was stopped early: its stopping criterion is `walltime limit reached`")
        else:
            self._command(line)
            self._echo.feed(line)

    def _command(self, line: bytes) -> None:
        if _PRINT.match(line):
            self._print, self._print_lines, self._print_is_open = line, 1, line.count(_THREE) % 2 == 1
        elif found := _ECHO_COMMAND.match(line):
            self._echo_off = found[1] in (b"none", b"screen")
        elif _COMMAND.match(plain := _QUOTED_WORD.sub(rb"\1\2", line)):
            self._echoes = True
            # Skip a command with variables that are not replaced yet: LAMMPS echoes it again.
            if (found := _RUN.match(plain)) and b"$" not in _QUOTED.sub(b"", line):
                if self._run is not None:
                    self._fail(self._not_timed(self._run))
                self._run = EchoedRun(found[1])
            elif found := _FIX_PRINT.match(line):
                self._prints(found)
            self._may_halt = self._may_halt or _SILENT_HALT.match(plain) is not None

    def _prints(self, found: re.Match[bytes]) -> None:
        """Note what a `fix print` will print among the output of runs, where nothing tells it from LAMMPS' own lines."""
        text = next(text for text in found.group("three", "two", "one", "bare") if text is not None)
        if _SILENT.search(found["rest"]):
            return
        if _OWN.match(text) or (_ERROR.match(text) and _SOURCE.search(text)) or _NON_FINITE.search(text):
            self._fail(
                f"`{_text(found[1])}` prints lines that can't be told from LAMMPS' own: change the text, or add `screen no` "
                "and write it to a file with `file`"
            )
        self._prints_errors = self._prints_errors or _ERROR.match(text) is not None

    def _not_timed(self, run: EchoedRun | None) -> str:
        if self._timer_off:
            return "no times were printed: the input's `timer off` turns them off; leave it out"
        if run is not None and run.done:
            return _EARLY.format(f"`{run.command}` did {run.done} steps")
        return f"`{'run' if run is None else run.command}` printed no Loop time: LAMMPS skipped it, as it does after a `fix halt` with `error soft` or a `timer timeout`"

    def _stopped(self, line: bytes) -> None:
        reason = f"LAMMPS stopped with {_text(line)}"
        if _SOURCE.search(line):
            self._fail(reason)
        elif self._error is None and not self._prints_errors:
            self._error = reason

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
        # "procs" is processes times threads. The line on CPU use has both, but is missing after `run … post no`.
        procs, steps, atoms = int(found[2]), int(found[4]), int(found[5])
        threads = max(1, int(found["threads"] or self._threads))
        threads = 1 if procs % threads else threads
        self._last_line = b""
        if self._wall_time is not None:
            self._fail(_TWO)
        if atoms == 0:
            self._fail("the run ended without atoms: all were lost, or none were created")
        if self._run is None and self._may_halt and self._echo_off:
            self._fail(_UNSEEN.format("`echo` keeps the commands out of it"))
        if self._run is not None:
            at = self._step()
            if self._may_halt and self._run.upto is not None and at is None:
                self._fail(_UNSEEN.format("its first column is no step"))
            if did := self._run.stopped_early(steps, at):
                self._fail(_EARLY.format(f"`{self._run.command}` {did}"))
            if not self._run.goes_on(at):
                self._run = None
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
            if self._wall_time is not None:
                self._fail(_TWO)
            self._wall_time = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason

    def _step(self) -> int | None:
        step = self._last_row.split(None, 1)[:1]
        return int(step[0]) if step and step[0].isdigit() and self._header.split(None, 1)[:1] == [b"Step"] else None

    def _where(self) -> str:
        step = self._step()
        return "during a run" if step is None else f"at step {step}"

    def _missing(self) -> str | None:
        if self._empty:
            return "the log is empty: LAMMPS never started, or its output went elsewhere"
        if self._version is None:
            if self._runs or self._wall_time is not None:
                return f"the log begins in the middle, like a file that the input's own `log` command started: {_WHOLE}"
            return "this is not a log of LAMMPS: no line starts with 'LAMMPS ('"
        if self._partitions:
            return (
                f"LAMMPS ran on {self._partitions} partitions, and each wrote a log of its own: this one's name with .0 to "
                f".{self._partitions - 1} added; report each, with `--log NAME.0 --step 0` and so on"
            )
        # The screen output of LAMMPS contains no commands, unless LAMMPS is told to echo them there.
        if self._log_command and (self._echoes or not self._runs):
            where = "nowhere" if self._log_command.split()[1] == "none" else "to another file"
            return f"the input's command `{self._log_command}` writes the rest {where}: {_WHOLE}"
        if self._wall_time is None and (why := self._end()):
            return why
        if self._run is not None:
            return self._not_timed(self._run)
        if self.in_run:
            return self._not_timed(None)
        if not any(run.steps for run in self._runs):
            return "LAMMPS ended well, but its input never ran a step"
        return None

    def _end(self) -> str | None:
        """Return why a log without LAMMPS's last line is incomplete; None if the input's `quit` ended it."""
        if not self.in_run and (found := _QUIT.match(self._last_line)):
            ended_well = found[1] in (None, b"0")
            return None if ended_well else f"the input stopped LAMMPS itself: {_text(self._last_line)}"
        where = f" {self._where()}" if self.in_run else ""
        if self._runs and not self.in_run and (self._echo_off or not self._echoes):
            return (
                "the log ends without LAMMPS's last line and holds no commands: the job was killed, crashed, or is still "
                "running, or the input's `quit` ended it; report a log or an output that LAMMPS echoes the commands to"
            )
        return f"the log breaks off{where}: the job was killed, crashed, or is still running"


def _is_printed(line: bytes, command: bytes) -> bool:
    """Return whether a line was printed by the `print` command before it.

    LAMMPS echoes the command again after a substitution.
    """
    if _PRINT.match(line) or (_ERROR.match(line) and _SOURCE.search(line)):
        return False
    return line.strip() in command or (b"$" in command and not _SILENT.search(command))


_THREE = b'"""'
_UNSEEN = "whether the input's `fix halt` with `message no` stopped the run can't be seen in this log: {}; leave `message no` out"
_EARLY = "the run was stopped early: {}, as with a `fix halt` that prints no message"
_SILENT = re.compile(rb"\sscreen\s+(?:no|off)\b")
_TWO = (
    "two LAMMPS runs wrote to this file at once: give each its own log, or, if they should be one run, start LAMMPS with "
    "the mpiexec of the MPI that it was built with"
)
_WHOLE = "leave the command out, or report the screen output of LAMMPS, which is complete"


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
