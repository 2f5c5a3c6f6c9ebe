"""`SiteFile`: the site's file ``agent.toml``, which says what an agent may run, how and where."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tailrace.agent.wall_time_rule import WallTimeRule
from tailrace.errors import Unusable
from tailrace.launchers.containers import RUNTIMES
from tailrace.launchers.schedulers import LAUNCHERS, Launcher, make_launcher
from tailrace.similar_names import did_you_mean, join_names
from tailrace.walltime import margin

__all__ = ["EXAMPLE", "Limits", "ProgramTable", "SiteFile", "read_site_file", "read_token"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

EXAMPLE = """\
# What this cluster's agent may run, and how. `tailrace agent check --config FILE` tries all of it.
server = "https://tailrace.example.org"
token_file = "agent.token"      # the cluster's token, readable by you alone (chmod 600)
root = "/scratch/me/tailrace"   # all files of the steps are below this folder

launcher = "slurm"              # local, slurm, flux, pbs or lsf
options = []                    # more options of sbatch, such as "--account=materials"
mpi = ""                        # starts MPI programs; empty: as usual for the launcher
at_once = 8                     # steps that wait or run at the same time

[limits]
disk_free_gb = 10               # take nothing new if less is free below root

# A table for each program that steps may name. Nothing else is ever run.
# [programs.tblite]
# modules = ["python/3.11"]
# python = "/home/me/venv/bin/python"
"""


@dataclass(frozen=True)
class Limits:
    """Limits of an agent.

    Attributes
    ----------
    disk_free_gb
        The agent takes nothing new if less is free below its root, GB.
    plugin_memory_mb, plugin_seconds
        Memory and time of one call of a program's plug-in.
    absent_seconds
        A job has ended without a result if two answers of the queue, this far apart, do not have it.
    attempts
        Most attempts of a step that handlers may start.
    sync_seconds
        Most seconds between two syncs, if the server asks for fewer syncs. For a cluster of one's own.
    """

    disk_free_gb: float = 1.0
    plugin_memory_mb: float = 8192.0
    plugin_seconds: float = 1800.0
    absent_seconds: float = 30.0
    attempts: float = 5.0
    sync_seconds: float = 300.0


@dataclass(frozen=True)
class ProgramTable:
    """One table ``[programs.NAME]``.

    Attributes
    ----------
    module
        ``package.module:Class`` of the plug-in. Empty: the plug-in that is installed under this name.
    python
        The Python that runs the plug-in. The client must be installed for it.
    setup
        Shell lines of the site that the job's script runs first.
    modules
        Environment modules that the job's script loads.
    mpi
        Starts MPI programs; empty: as for all programs.
    runtime, image
        Container of the program.
    walltime
        How the wall times of its steps are found.
    options
        Everything else, for the plug-in.
    """

    name: str
    module: str = ""
    python: str = sys.executable
    setup: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    mpi: str = ""
    runtime: str = "none"
    image: str = ""
    walltime: WallTimeRule = WallTimeRule()  # noqa: RUF009 - it is frozen
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteFile:
    """The site's file.

    Attributes
    ----------
    path
        Where it is.
    server
        Address of the server.
    token_file
        File with the cluster's token.
    root
        Folder below which the agent writes.
    launcher
        Submits jobs.
    at_once
        Most steps that wait or run at the same time.
    programs
        What may run, by name.
    """

    path: Path
    server: str
    token_file: Path
    root: Path
    launcher: Launcher
    at_once: int
    limits: Limits
    programs: Mapping[str, ProgramTable]


def read_site_file(path: Path) -> SiteFile:
    """Returns a site's file. Relative paths in it are relative to its folder.

    Raises
    ------
    Unusable
        If it cannot be read, or is not valid. The message names the key, its value and what was expected.
    """
    return _Reader(path, _parsed(path)).site_file()


def read_token(path: Path) -> str:
    """Returns the token in a file.

    Raises
    ------
    Unusable
        If the file cannot be read, is empty, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Unusable(f"the token file {path} can't be read: {why}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise Unusable(f"others can read the token file {path} (mode {stat.S_IMODE(mode):o}): chmod 600 {path}")
    if not token:
        raise Unusable(f"the token file {path} is empty: write the token of `tailrace cluster add` into it")
    return token


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if sys.version_info >= (3, 11):  # noqa: UP036 - the client runs on 3.9
        import tomllib as toml
    else:
        try:
            import tomli as toml
        except ImportError:
            raise Unusable(
                "Python below 3.11 needs tomli to read the agent's file: pip install 'tailrace[agent]'"
            ) from None
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise Unusable(f"{path} is not valid TOML: {error}") from None


class _Reader:
    """Reads keys of one file, and says which one is wrong."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def site_file(self) -> SiteFile:
        top = self._content
        known = (
            "server",
            "token_file",
            "root",
            "launcher",
            "options",
            "mpi",
            "at_once",
            "limits",
            "walltime",
            "programs",
        )
        self._only(top, known, "")
        name = self._text(top, "launcher", "local")
        if name not in LAUNCHERS:
            raise self._wrong("launcher", name, f"one of {join_names(LAUNCHERS)}")
        launcher = self._launcher(name, self._words(top, "options", ""), self._text(top, "mpi", ""))
        at_once = top.get("at_once", launcher.at_once)
        if not isinstance(at_once, int) or isinstance(at_once, bool) or not 1 <= at_once <= 10_000:
            raise self._wrong("at_once", at_once, "a whole number from 1 to 10000")
        programs = self._table(top, "programs", "")
        if not programs:
            raise Unusable(f"{self._path} has no table [programs.NAME]: the agent would have nothing to run")
        return SiteFile(
            path=self._path,
            server=self._text(top, "server"),
            token_file=self._place(top, "token_file"),
            root=self._place(top, "root"),
            launcher=launcher,
            at_once=at_once,
            limits=self._limits(self._table(top, "limits", "")),
            programs={name: self._program(name, programs) for name in programs},
        )

    def _program(self, name: str, tables: Mapping[str, Any]) -> ProgramTable:
        where = f"programs.{name}."
        if not NAME.fullmatch(name):
            raise self._wrong(f"programs.{name}", name, "letters, digits, '.', '_' and '-'")
        table = dict(self._table(tables, name, "programs."))
        container = self._table(table, "container", where)
        self._only(container, ("runtime", "image"), f"{where}container.")
        runtime = self._text(container, "runtime", "none", f"{where}container.")
        if runtime not in RUNTIMES:
            raise self._wrong(f"{where}container.runtime", runtime, f"one of {join_names(RUNTIMES)}")
        mpi = self._text(table, "mpi", "", where)
        self._launcher("local", (), mpi)
        python = self._text(table, "python", sys.executable, where)
        own = ("module", "python", "setup", "modules", "mpi", "container", "walltime")
        return ProgramTable(
            name=name,
            module=self._text(table, "module", "", where),
            python=str(self._path.parent / Path(python).expanduser()),
            setup=self._words(table, "setup", where),
            modules=self._words(table, "modules", where),
            mpi=mpi,
            runtime=runtime,
            image=self._text(container, "image", "", f"{where}container."),
            walltime=self._walltime(self._walltime(WallTimeRule(), self._content, ""), table, where),
            options={key: value for key, value in table.items() if key not in own},
        )

    def _walltime(self, rule: WallTimeRule, above: Mapping[str, Any], where: str) -> WallTimeRule:
        """Returns a rule with what a table ``walltime`` changes."""
        table, where = self._table(above, "walltime", where), f"{where}walltime."
        self._only(table, tuple(WallTimeRule.__dataclass_fields__), where)
        found: dict[str, Any] = {}
        for name, value in table.items():
            if name == "model":
                found[name] = self._text(table, name, "", where)
            elif name == "margin":
                found[name] = margin(self._text(table, name, "", where))
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise self._wrong(where + name, value, "a number of at least 0")
            else:
                found[name] = float(value)
        made = replace(rule, **found)
        if not 0.5 < made.quantile < 1:
            raise self._wrong(where + "quantile", made.quantile, "a probability between 0.5 and 1, such as 0.95")
        if 0 < made.most_seconds < made.least_seconds:
            raise self._wrong(
                where + "most_seconds", made.most_seconds, f"at least least_seconds, {made.least_seconds:g}"
            )
        return made

    def _limits(self, table: Mapping[str, Any]) -> Limits:
        known = Limits.__dataclass_fields__
        self._only(table, tuple(known), "limits.")
        for name, value in table.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise self._wrong(f"limits.{name}", value, "a number of at least 0")
        return Limits(**{name: float(value) for name, value in table.items()})

    def _launcher(self, name: str, options: tuple[str, ...], mpi: str) -> Launcher:
        try:
            return make_launcher(name, options, mpi)
        except ValueError as error:
            raise Unusable(f"{self._path}: {error}") from None

    def _only(self, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for name in table:
            if name not in known:
                raise Unusable(
                    f"{self._path} has the key {where}{name}{did_you_mean(name, known)}: expected {join_names(known)}"
                )

    def _table(self, table: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
        found = table.get(name, {})
        if not isinstance(found, dict):
            raise self._wrong(where + name, found, "a table")
        return found

    def _words(self, table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
        found = table.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self._wrong(where + name, found, 'a list of texts, such as ["a", "b"]')
        return tuple(found)

    def _text(self, table: Mapping[str, Any], name: str, default: str | None = None, where: str = "") -> str:
        found = table.get(name, default)
        if found is None:
            raise Unusable(f"{self._path} has no {where}{name}")
        if not isinstance(found, str) or "\0" in found:
            raise self._wrong(where + name, found, "a text")
        return found

    def _place(self, table: Mapping[str, Any], name: str) -> Path:
        given = self._text(table, name)
        if not given:
            raise self._wrong(name, given, "a path")
        return Path(os.path.normpath(self._path.absolute().parent / Path(given).expanduser()))

    def _wrong(self, name: str, value: object, expected: str) -> Unusable:
        return Unusable(f"{self._path}: {name} is {value!r}: expected {expected}")
