"""A step as a program sees it: the site, the step and its parents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailrace.launchers.containers import Container
from tailrace.launchers.schedulers import Launcher, Resources
from tailrace.programs.errors import StepRefused
from tailrace.programs.results import Table

__all__ = ["Parent", "Site", "Step"]


@dataclass(frozen=True)
class Site:
    """How the site runs a program: its table ``[programs.NAME]`` in the agent's file.

    Parameters
    ----------
    options
        What the site wrote there, such as a command or a folder of pseudopotentials.
    launcher
        Starts MPI programs.
    container
        The image that the program runs in.
    root
        A folder that contains all steps of the agent; a container mounts it. None: the folder of the step.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    launcher: Launcher = field(default_factory=Launcher)
    container: Container = field(default_factory=Container)
    root: Path | None = None

    def command(self, words: Sequence[str], step: Step, folder: Path, *, mpi: bool = True) -> list[str]:
        """Returns the command line that runs `words` on the step's processes, in the site's container.

        Parameters
        ----------
        words
            The program and its arguments.
        step
            The step, for its resources.
        folder
            The attempt's folder.
        mpi
            Whether an MPI launcher starts the program.
        """
        start = self.launcher.start(step.mpi_resources) if mpi else []
        root = self.root or folder
        if self.launcher.inside:
            return self.container.wrap([*start, *words], root, folder)
        return [*start, *self.container.wrap(words, root, folder)]


@dataclass(frozen=True)
class Parent:
    """A finished step that this step depends on.

    Attributes
    ----------
    name
        Name of the step in its calculation.
    folder
        Folder of its valid attempt, with the files that it keeps for children.
    parameters
        Its parameters.
    results
        Its `Results.to_json()`, as the server returned it, without observations. Tables that are too large are left out, and
        ``tables_left_out`` names them. If the values and reports of all parents are too large together, those of the last ones are
        left out, and ``values_left_out`` is true.
    """

    name: str
    folder: Path
    parameters: Mapping[str, Any]
    results: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """Returns one value of its results.

        Raises
        ------
        StepRefused
            If there is none, or if the values of all parents were too large for the server to hand them on.
        """
        if self.results.get("values_left_out"):
            raise StepRefused(
                f"the values of the parent step {self.name!r} were not handed on, because those of all parents are too large "
                "together: the program must write them to a file that is kept for children (`Program.keep`)"
            )
        try:
            return self.results["values"][name]["value"]
        except (KeyError, TypeError):
            raise StepRefused(f"the parent step {self.name!r} has no value {name!r} in its results") from None

    def table(self, name: str) -> Table:
        """Returns one table of its results.

        Raises
        ------
        StepRefused
            If there is none, or if it was too large for the server to hand it on.
        """
        if name in (self.results.get("tables_left_out") or ()):
            raise StepRefused(
                f"the table {name!r} of the parent step {self.name!r} is too large to be handed on: the program must write it to a "
                "file that is kept for children (`Program.keep`)"
            )
        try:
            return Table.from_json(self.results["tables"][name])
        except (KeyError, TypeError):
            raise StepRefused(f"the parent step {self.name!r} has no table {name!r} in its results") from None


@dataclass(frozen=True)
class Step:
    """One step of a calculation, for one attempt.

    Attributes
    ----------
    id, name, calculation, program
        Identifier and name of the step, identifier of its calculation, name of its program.
    parameters
        As they were asked for.
    structure
        Atoms as extended XYZ; None if there are none.
    parents
        Steps that it depends on, all of them done.
    attempt, fence
        Number of the attempt, from 1; number that grows whenever the step may run anew.
    analyses
        Names of the analyses to run.
    corrections
        Changes of parameters by handlers (`Program.correct`).
    resources
        ``nodes``, ``processes`` and ``seconds``.
    given_seconds
        The time that was given with the step, where a model has set ``seconds``; None if no model did.
    """

    id: str
    name: str
    calculation: str
    program: str
    parameters: Mapping[str, Any]
    structure: str | None = None
    parents: tuple[Parent, ...] = ()
    attempt: int = 1
    fence: int = 1
    analyses: tuple[str, ...] = ()
    corrections: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    given_seconds: int | None = None

    @classmethod
    def from_json(cls, work: Mapping[str, Any], folder_of: Callable[[str, int], Path]) -> Step:
        """Returns the step that the server sent.

        Parameters
        ----------
        work
            The step as JSON (``step``, ``fence``, ``attempt``, …).
        folder_of
            Returns the folder of a parent from its step's identifier and its fence.
        """
        parents = tuple(
            Parent(one["name"], folder_of(one["step"], one["fence"]), one["parameters"], one["results"])
            for one in work.get("parents") or ()
        )
        return cls(
            id=work["step"],
            name=work["name"],
            calculation=work["calculation"],
            program=work["program"],
            parameters=work["parameters"],
            structure=work.get("structure"),
            parents=parents,
            attempt=work["attempt"],
            fence=work["fence"],
            analyses=tuple(work.get("analyses") or ()),
            corrections=work.get("corrections") or {},
            resources=work.get("resources") or {},
            given_seconds=(work.get("walltime") or {}).get("given"),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters with the corrections over them."""
        return {**self.parameters, **self.corrections}

    @property
    def mpi_resources(self) -> Resources:
        seconds = self.resources.get("seconds")
        return Resources(int(self.resources.get("nodes") or 1), int(self.resources.get("processes") or 1), seconds)

    @property
    def atoms(self) -> int:
        """Number of atoms, from the first line of the structure; 0 without a structure."""
        if self.structure is None:
            return 0
        first = self.structure.lstrip().partition("\n")[0].strip()
        if not first.isascii() or not first.isdigit():
            raise StepRefused(f"the structure starts with {first[:60]!r}: expected the number of atoms (extended XYZ)")
        return int(first)
