"""`Program`: the base class of plug-ins, and `Analysis`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tailrace.programs.outcome import Correction, Keep, Verdict
from tailrace.programs.results import Report, Results
from tailrace.programs.step import Site, Step

__all__ = ["Analysis", "Program"]


@dataclass(frozen=True)
class Analysis:
    """A named computation on the results of a step.

    Attributes
    ----------
    name, title, description
        For addresses, pages and forms.
    run
        Called with the step, its folder and the results of the program. It may write small files into the folder.
    requires
        Names of analyses of the same program that must succeed first.
    """

    name: str
    title: str
    description: str
    run: Callable[[Step, Path, Results], Report]
    requires: tuple[str, ...] = ()


class Program:
    """A simulation code, or a tool of ours, as an agent can run it.

    A plug-in is a class derived from this one, registered in the entry point group ``tailrace.programs``, or named in the
    agent's file as ``module = "package.module:Class"``. The agent calls `schema` and `version` when it starts, and for
    each attempt `prepare`, `command`, `validate`, then `extract` if the verdict is done, or `correct` if it is not.

    Parameters
    ----------
    site
        How the site runs this program.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    needs_structure: ClassVar[bool | None] = None
    """True: a structure is required. None: optional. False: refused."""
    analyses: ClassVar[tuple[Analysis, ...]] = ()
    streams: ClassVar[tuple[str, ...]] = ()
    """Names of the streams that it posts to by default."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def version(self) -> str:
        """Returns the version of the installed program.

        Raises
        ------
        ProgramUnavailable
            If it cannot run here. The message says what is missing and what to do.
        """
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of the parameters (`parameters.check_schema` says which part of JSON Schema)."""
        raise NotImplementedError

    def prepare(self, step: Step, folder: Path) -> None:
        """Write the input files of an attempt into its folder, which is empty.

        Raises
        ------
        StepRefused
            If the step cannot be prepared.
        """
        raise NotImplementedError

    def command(self, step: Step, folder: Path) -> list[str]:
        """Returns the argument list that the job runs in `folder`. It is never given to a shell."""
        raise NotImplementedError

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        """Returns whether the results may be used. An exit code of 0 is never enough.

        Parameters
        ----------
        exit_code
            Exit code of the command; None if the job ended without one, for example because it was killed.
        """
        raise NotImplementedError

    def extract(self, step: Step, folder: Path) -> Results:
        """Returns the results of a step that `validate` found to be done."""
        raise NotImplementedError

    def correct(self, step: Step, folder: Path, verdict: Verdict) -> Correction | None:
        """Returns what the next attempt changes. None: there is nothing to try. The step then stays as it ended."""
        return None

    def keep(self, step: Step) -> Keep:
        """Returns which files of the folder to keep."""
        return Keep()

    def walltime_features(self, step: Step) -> Mapping[str, Any]:
        """Returns features besides program, atoms and processes that the wall time of a step depends on."""
        return {}
