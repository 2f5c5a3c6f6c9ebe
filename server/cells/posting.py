"""A cell on its way in: checked, and then stored in the transaction in which its bonds are learned."""

import re
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from server.cells import usage
from server.cells.canonical import canonical, fingerprint_of
from server.cells.models import Cell
from server.streams import changes, quota_usage
from server.streams.codec import text
from server.streams.errors import Conflict, Invalid, NotFound
from server.streams.locks import stream_transaction
from server.streams.models import Stream
from server.streams.quota_usage import Charged
from server.streams.quotas import Owner
from server.streams.validation import check_name, check_text, shown

LARGEST_STRUCTURE = 20_000_000
"""Characters: some 200,000 atoms."""
LARGEST_PROVENANCE = 100_000
MOST_FILES = 1000
LONGEST_REASON = 2000
FIELDS = (
    "name", "structure", "composition", "provenance", "checksums", "descriptor", "status", "reason", "observations",
)  # fmt: skip

_COMPOSITION = re.compile(r"(?:[A-Z][a-z]?(?:[0-9]+(?:\.[0-9]+)?)?)+\Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def checked(payload: dict[str, Any]) -> Cell:
    """The cell that a request describes, without what its observations say of it.

    Raises
    ------
    Invalid, TooLarge
        Naming the field, its value and what was expected.
    """
    status = payload.get("status", Cell.LABELED)
    if status not in (Cell.LABELED, Cell.FAILED):
        raise Invalid(f"status is {shown(status)}: expected labeled or failed", field="status")
    composition = check_text(payload["composition"], "composition", 100)
    if not _COMPOSITION.match(composition):
        raise Invalid(
            f"composition is {shown(composition)}: expected elements and their shares, such as Zr49Cu49Al2",
            field="composition",
        )
    _check_structure(payload["structure"])
    return Cell(
        name=check_name(payload["name"], "cell"),
        status=status,
        reason=_reason(payload, status),
        composition=composition,
        structure=payload["structure"],
        provenance=canonical(payload.get("provenance", {}), "provenance", LARGEST_PROVENANCE),
        checksums=_checksums(payload.get("checksums", {})),
    )


def _reason(payload: dict[str, Any], status: str) -> str:
    """Why it failed; whether there are observations fits to whether it did."""
    if status == Cell.FAILED:
        if "observations" in payload:
            raise Invalid("observations go with a labeled cell: one that failed has none", field="observations")
        if "reason" not in payload:
            raise Invalid("reason is missing: expected why the calculation failed", field="reason", code="missing")
        reason = check_text(payload["reason"], "reason", LONGEST_REASON)
        if not reason.strip():
            raise Invalid("reason is empty: expected why the calculation failed", field="reason")
        return reason
    if "reason" in payload:
        raise Invalid('reason goes with the status "failed"', field="reason", code="unknown_field")
    observations = payload.get("observations")
    if type(observations) is not list or not observations:
        raise Invalid(
            f"observations is {shown(observations)}: expected a list of at least one bond (x and y)",
            field="observations",
            code="invalid" if "observations" in payload else "missing",
        )
    return ""


def _check_structure(structure: Any) -> None:
    """Whether it is one frame of extended XYZ, as far as can be told without knowing what an atom is."""
    expected = "expected extended XYZ: the number of atoms, a line with Lattice=…, and a line for each atom"
    lines = check_text(structure, "structure", LARGEST_STRUCTURE).split("\n")
    if lines[-1] == "":
        lines.pop()
    first = lines[0].strip() if lines else ""
    if not (first.isascii() and first.isdigit() and len(first) < 10 and int(first) > 0):
        raise Invalid(f"structure begins with {shown(first)}: {expected}", field="structure")
    if len(lines) != int(first) + 2:
        raise Invalid(
            f"structure says that it has {first} atoms, and has {max(0, len(lines) - 2)} lines of them: {expected}",
            field="structure",
        )
    if "Lattice=" not in lines[1]:
        raise Invalid(f"structure has the second line {shown(lines[1])}: {expected}", field="structure")


def _checksums(value: Any) -> str:
    found = canonical(value, "checksums", LARGEST_PROVENANCE)
    if len(value) > MOST_FILES:
        raise Invalid(f"checksums has {len(value)} files: the most allowed is {MOST_FILES}", field="checksums")
    for name, digest in value.items():
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            field = f"checksums.{name}"
            raise Invalid(f"{field} is {shown(digest)}: expected a SHA-256 of 64 hexadecimal digits", field=field)
    return found


def fingerprint(payload: dict[str, Any]) -> str:
    """Of a checked request: the same for two that say the same, in whatever order, and with defaults said or not."""
    defaults: dict[str, Any] = {"status": Cell.LABELED, "provenance": {}, "checksums": {}, "descriptor": None}
    return fingerprint_of(defaults | payload)


def types_of(xs: Sequence[dict[str, Any]], segment: str | None) -> str:
    """The column ``types`` of a cell with observations of these features."""
    places: dict[str, int] = {}
    of = [places.setdefault("" if segment is None else str(x.get(segment, "")), len(places)) for x in xs]
    return text({"names": list(places), "of": of})


class Keeper:
    """Stores a cell along with its observations: a companion of theirs in :mod:`server.learning`.

    Parameters
    ----------
    cell
        The cell, with all but the numbers of its observations.
    owner
        Whose quotas it counts for; None for nobody's.
    """

    def __init__(self, cell: Cell, owner: Owner | None = None) -> None:
        self.cell = cell
        self.order = 0 if owner is None else owner.user_id
        self.is_new = True
        self._owner = owner
        self._charged = Charged()
        if owner is not None:
            cell.owner_id, cell.token_id = owner.user_id, owner.token_id or None
        self._failed_before: Cell | None = None
        # It is told who asks for this, also where the thread of another request does it.
        self._context = copy_context()

    def known(self) -> Sequence[int] | None:
        """The numbers of its observations, where it is stored already; a failed one gives way to one with other content.

        Raises
        ------
        Conflict
            If another labeled cell has its name.
        QuotaExceeded
            If it is new, and its owner has as much as they may.
        """
        self._failed_before = None
        found = Cell.objects.filter(stream=self.cell.stream, name=self.cell.name).first()
        if found is None:
            quota_usage.check(self._owner, usage.of_cell(self.cell))
            return None
        if found.fingerprint == self.cell.fingerprint:
            self.cell, self.is_new = found, False
            return [] if found.first is None or found.last is None else range(found.first, found.last + 1)
        if found.status == Cell.FAILED:
            quota_usage.check(self._owner, usage.of_cell(self.cell), usage.freed([found]))
            self._failed_before = found
            return None
        raise Conflict(
            f"cell {found.name} is there already with other content, as observations {found.first} to {found.last}: "
            "retract those that are wrong, and give a new calculation a new name",
            field="name",
            code="name_taken",
        )

    def take(self, seqs: Sequence[int]) -> None:
        self.cell.first, self.cell.last = seqs[0], seqs[-1]

    def keep(self) -> None:
        freed = []
        if self._failed_before is not None:
            freed = usage.freed([self._failed_before])
            Cell.objects.filter(pk=self._failed_before.pk).delete()
        self.cell.save(force_insert=True)
        self._charged = quota_usage.charge(self._owner, usage.of_cell(self.cell), freed)

    def tell(self) -> None:
        before = None if self._failed_before is None else _told(self._failed_before)
        cell = self.cell
        self._context.run(changes.tell, "cell.create", f"{cell.stream.name}/{cell.name}", before, _told(cell))
        self._context.run(self._charged.tell)


def record_failure(cell: Cell, owner: Owner | None = None) -> Keeper:
    """Store a cell whose calculation failed, and which has no observations.

    Raises
    ------
    Conflict
        If a labeled cell has its name.
    NotFound
        If the stream is gone.
    QuotaExceeded
        If its owner has as much as they may.
    """
    keeper = Keeper(cell, owner)
    with stream_transaction(cell.stream_id):
        if not Stream.objects.filter(pk=cell.stream_id).exists():
            raise NotFound("the stream was deleted")
        if keeper.known() is None:
            keeper.keep()
            keeper.tell()
    return keeper


def _told(cell: Cell) -> dict[str, Any]:
    """What the audit trail says of a cell."""
    said = {"status": cell.status, "composition": cell.composition, "fingerprint": cell.fingerprint}
    return said | ({"reason": cell.reason} if cell.status == Cell.FAILED else {"first": cell.first, "last": cell.last})
