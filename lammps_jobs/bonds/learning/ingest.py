"""Sends labeled cells to a server: checks them, computes descriptors, and posts each cell in one request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from tailrace.errors import Conflict, NotFound

from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.labels import calculation
from lammps_jobs.bonds.labels.calculation import STRUCTURE, Calculation
from lammps_jobs.bonds.learning.cell_observations import described
from lammps_jobs.bonds.structures import structure_files

if TYPE_CHECKING:
    from ase import Atoms
    from tailrace.transport.server import Server

__all__ = ["SEGMENT", "TARGET", "Done", "Ingest"]

TARGET = {"name": "-ICOHP", "unit": "eV", "kind": "number"}
SEGMENT = "bond"
DEADLINE = 120.0
"""Seconds for one request with all its retries: a cell has hundreds of bonds, and each model learns each of them."""

_NAMED = re.compile(r"(?P<composition>[^-]+)-\d+-\d+(?:-.+)?")


@dataclass(frozen=True)
class Done:
    """Result for one cell.

    Attributes
    ----------
    what
        ``posted``, or ``there`` if the server had the cell already.
    bonds
        Number of bonds.
    """

    what: Literal["posted", "there"]
    bonds: int


class Ingest:
    """Posts cells to one stream. The stream is created if it does not exist.

    Parameters
    ----------
    server
        The server.
    stream
        Name of the stream.
    descriptor
        Computes the features of all cells.

    Raises
    ------
    Refused
        If the server has another definition of that name, or the stream has other features.
    tailrace.errors.TailraceError
        If the server can't be reached or refuses.
    """

    def __init__(self, server: Server, stream: str, descriptor: Descriptor) -> None:
        self._server = server
        self._descriptor = descriptor
        self._path = f"/api/v1/streams/{_part(stream)}/"
        self._define()
        self._make_stream(stream)

    def post(self, directory: Path) -> Done:
        """Check one cell's directory and post the cell with its bonds. The server stores the whole cell or nothing.

        A cell that the server has already, with the same files, is skipped.

        Raises
        ------
        Refused
            With file, line and reason, if the cell can't be used; or if the server has another cell of that name.
        OSError
            If a file can't be read.
        tailrace.errors.TailraceError
            If the server can't be reached or refuses.
        """
        found = calculation.check(directory)
        checksums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found.files}
        there = self._known(found.name)
        if there is not None and there["status"] == "labeled":
            if there["checksums"] == checksums:
                return Done("there", there["last"] - there["first"] + 1)
            changed = sorted(
                name
                for name in {*checksums, *there["checksums"]}
                if checksums.get(name) != there["checksums"].get(name)
            )
            raise Refused(
                f"the server has a cell {found.name} already, with another {', another '.join(changed)}: give a new "
                "calculation a new name",
                directory,
            )
        body = self._body(directory, found, checksums)
        try:
            self._server.request("POST", f"{self._path}cells/", body, deadline=DEADLINE)
        except Conflict as error:
            raise Refused(str(error), directory) from error
        return Done("posted", len(body["observations"]))

    def record_failure(self, directory: Path, reason: str) -> bool:
        """Record on the server that a cell's calculation failed, and why.

        Returns
        -------
        bool
            Whether it was recorded: not if the structure can't be read, or the server has a labeled cell of that name.
        """
        try:
            structure = structure_files.read(directory / STRUCTURE)
            name = directory.resolve().name
            body = {
                "name": name,
                "status": "failed",
                "reason": reason[:2000],
                "structure": _text(directory / STRUCTURE, structure),
                "composition": composition_of(name, structure),
            }
        except (Refused, OSError):
            return False
        try:
            self._server.request("POST", f"{self._path}cells/", body, deadline=DEADLINE)
        except Conflict:  # the server keeps its labeled cell of that name
            return False
        return True

    def _body(self, directory: Path, found: Calculation, checksums: dict[str, str]) -> dict[str, Any]:
        labels = directory / calculation.LABELS
        cell = described(found.structure, found.bonds, self._descriptor, str(labels), str(directory / STRUCTURE))
        provenance = {
            "method": found.method,
            "charge_spilling": found.charge_spilling,
            "total_spilling": found.total_spilling,
        }
        return {
            "name": found.name,
            "structure": _text(directory / STRUCTURE, found.structure),
            "composition": composition_of(found.name, found.structure),
            "provenance": {name: value for name, value in provenance.items() if value is not None},
            "checksums": checksums,
            "descriptor": self._descriptor.definition.name,
            "observations": [{"x": x, "y": y} for x, y in cell.observations()],
        }

    def _known(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._server.request("GET", f"{self._path}cells/{_part(name)}/", deadline=DEADLINE))
        except NotFound:
            return None

    def _define(self) -> None:
        """Make sure that the server has this descriptor definition under its name."""
        definition = self._descriptor.definition
        content = {name: value for name, value in definition.as_json().items() if name != "name"}
        try:
            found = self._server.request("GET", f"/api/v1/descriptors/{_part(definition.name)}/", deadline=DEADLINE)
        except NotFound:
            body = {"name": definition.name, "content": content}
            found = self._server.request("POST", "/api/v1/descriptors/", body, deadline=DEADLINE)
        if found["fingerprint"] != definition.fingerprint:
            raise Refused(
                f"the server has another descriptor with the name {definition.name} (its fingerprint is "
                f"{found['fingerprint'][:12]}…, here {definition.fingerprint[:12]}…): give this one another name"
            )

    def _make_stream(self, name: str) -> None:
        descriptor = self._descriptor.definition.name
        try:
            found = self._server.request("GET", self._path, deadline=DEADLINE)
        except NotFound:
            body = {"name": name, "target": TARGET, "segment": SEGMENT, "descriptor": descriptor}
            try:
                found = self._server.request("POST", "/api/v1/streams/", body, deadline=DEADLINE)
            except Conflict:  # another ingest was first
                found = self._server.request("GET", self._path, deadline=DEADLINE)
        for what, expected in (("descriptor", descriptor), ("segment", SEGMENT)):
            if found[what] != expected:
                raise Refused(
                    f"stream {name} has the {what} {found[what]!r}, and these cells need {expected!r}: "
                    "choose another stream, or a name that is free"
                )


def composition_of(name: str, structure: Atoms) -> str:
    """Return a cell's composition, from its directory's name such as ``Zr49Cu49Al2-21-00``, or else from its atoms."""
    if found := _NAMED.fullmatch(name):
        try:
            return Composition.parse(found["composition"]).text
        except Refused:
            pass
    return str(structure.get_chemical_formula(mode="hill"))


def _text(path: Path, structure: Atoms) -> str:
    """Return the text of the last frame of the structure file, which is the one that was read."""
    lines: Sequence[str] = path.read_text(encoding="utf-8").rstrip().splitlines()
    return "\n".join(lines[-(len(structure) + 2) :]) + "\n"


def _part(name: str) -> str:
    """Return a name quoted for a URL."""
    return quote(name, safe="")
