"""Posting a cell: it is checked, and stored in the transaction in which its bonds are learned."""

import re
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from server.cells import families, quota_counts
from server.cells.canonical_json import canonical, fingerprint_of
from server.cells.models import Cell
from server.core import audit_signals
from server.core.db.locks import stream_transaction
from server.core.errors import Conflict, Invalid, NotFound
from server.core.json_codec import dumps_text
from server.core.validation import check_name, check_text, format_value
from server.streams.models import Stream
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import Owner
from server.streams.quotas.quota_usage import Charge

LARGEST_STRUCTURE = 20_000_000
"""Characters, enough for about 200,000 atoms."""
LARGEST_PROVENANCE = 100_000
MOST_FILES = 1000
LONGEST_REASON = 2000
FIELDS = (
    "name", "structure", "composition", "provenance", "checksums", "descriptor", "status", "reason", "observations",
)  # fmt: skip

_COMPOSITION = re.compile(r"(?:[A-Z][a-z]?(?:[0-9]+(?:\.[0-9]+)?)?)+\Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def checked(payload: dict[str, Any]) -> Cell:
    """Return the cell of a request, without the data from its observations.

    Raises
    ------
    Invalid, TooLarge
        If a field is invalid. The message names the field, its value and what was expected.
    """
    status = payload.get("status", Cell.LABELED)
    if status not in (Cell.LABELED, Cell.FAILED):
        raise Invalid(f"status is {format_value(status)}: expected labeled or failed", field="status")
    composition = check_text(payload["composition"], "composition", 100)
    if not _COMPOSITION.match(composition):
        raise Invalid(
            f"composition is {format_value(composition)}: expected elements with amounts, such as Zr49Cu49Al2",
            field="composition",
        )
    _check_structure(payload["structure"])
    name, provenance = check_name(payload["name"], "cell"), payload.get("provenance", {})
    kept = canonical(provenance, "provenance", LARGEST_PROVENANCE)
    return Cell(
        name=name,
        family=_family(name, provenance),
        status=status,
        reason=_reason(payload, status),
        composition=composition,
        structure=payload["structure"],
        provenance=kept,
        checksums=_checksums(payload.get("checksums", {})),
    )


def _family(name: str, provenance: dict[str, Any]) -> str:
    """Return the cell's family. What ``provenance.family`` holds, if it is a text, must be a name."""
    named = provenance.get("family")
    if isinstance(named, str) and not families.is_name(named):
        raise Invalid(
            f"provenance.family is {format_value(named)}: expected the name of the undeformed cell, 1 to {families.LONGEST} "
            "printable characters",
            field="provenance.family",
        )
    return families.of_cell(name, provenance)


def _reason(payload: dict[str, Any], status: str) -> str:
    """Return the reason of a failed cell, and check that a labeled cell has observations and a failed one has none."""
    if status == Cell.FAILED:
        if "observations" in payload:
            raise Invalid('observations are not allowed with the status "failed"', field="observations")
        if "reason" not in payload:
            raise Invalid("reason is missing: expected why the calculation failed", field="reason", code="missing")
        reason = check_text(payload["reason"], "reason", LONGEST_REASON)
        if not reason.strip():
            raise Invalid("reason is empty: expected why the calculation failed", field="reason")
        return reason
    if "reason" in payload:
        raise Invalid('reason is only allowed with the status "failed"', field="reason", code="unknown_field")
    observations = payload.get("observations")
    if type(observations) is not list or not observations:
        raise Invalid(
            f"observations is {format_value(observations)}: expected a list of at least one bond (x and y)",
            field="observations",
            code="invalid" if "observations" in payload else "missing",
        )
    return ""


def _check_structure(structure: Any) -> None:
    """Check that the structure is one frame of extended XYZ. The atoms' lines are counted, not parsed."""
    expected = "expected extended XYZ: the number of atoms, a line with Lattice=…, and a line for each atom"
    lines = check_text(structure, "structure", LARGEST_STRUCTURE).split("\n")
    if lines[-1] == "":
        lines.pop()
    first = lines[0].strip() if lines else ""
    if not (first.isascii() and first.isdigit() and len(first) < 10 and int(first) > 0):
        raise Invalid(f"structure begins with {format_value(first)}: {expected}", field="structure")
    if len(lines) != int(first) + 2:
        raise Invalid(
            f"structure declares {first} atoms but has {max(0, len(lines) - 2)} lines of atoms: {expected}",
            field="structure",
        )
    if "Lattice=" not in lines[1]:
        raise Invalid(f"structure has the second line {format_value(lines[1])}: {expected}", field="structure")


def _checksums(value: Any) -> str:
    found = canonical(value, "checksums", LARGEST_PROVENANCE)
    if len(value) > MOST_FILES:
        raise Invalid(f"checksums has {len(value)} files: at most {MOST_FILES} are allowed", field="checksums")
    for name, digest in value.items():
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            field = f"checksums.{name}"
            raise Invalid(
                f"{field} is {format_value(digest)}: expected a SHA-256 of 64 hexadecimal digits", field=field
            )
    return found


def fingerprint(payload: dict[str, Any]) -> str:
    """Return the fingerprint of a checked request. It doesn't depend on the order of fields, or on whether defaults are given."""
    defaults: dict[str, Any] = {"status": Cell.LABELED, "provenance": {}, "checksums": {}, "descriptor": None}
    return fingerprint_of(defaults | payload)


def types_of(xs: Sequence[dict[str, Any]], segment: str | None) -> str:
    """Return the column ``types`` of a cell with these observations."""
    places: dict[str, int] = {}
    of = [places.setdefault("" if segment is None else str(x.get(segment, "")), len(places)) for x in xs]
    return dumps_text({"names": list(places), "of": of})


class CellAttachment:
    """Stores a cell together with its observations, as an attachment (:mod:`server.learning.write_path.attachments`).

    Parameters
    ----------
    cell
        The cell, complete except for the numbers of its observations.
    owner
        The owner whose quotas it counts for; None for no quota.
    """

    def __init__(self, cell: Cell, owner: Owner | None = None) -> None:
        self.cell = cell
        self.order = 0 if owner is None else owner.user_id
        self.is_new = True
        self._owner = owner
        self._charged = Charge()
        if owner is not None:
            cell.owner_id, cell.token_id = owner.user_id, owner.token_id or None
        self._failed_before: Cell | None = None
        # The audit trail records this request's user, even if another request's thread stores the cell.
        self._context = copy_context()

    def existing(self) -> Sequence[int] | None:
        """Return the numbers of its observations if it is stored already. A failed cell is replaced by one with other content.

        Raises
        ------
        Conflict
            If another labeled cell has its name.
        QuotaExceeded
            If it is new, and its owner's quota is used up.
        """
        self._failed_before = None
        found = Cell.objects.filter(stream=self.cell.stream, name=self.cell.name).first()
        if found is None:
            quota_usage.check(self._owner, quota_counts.of_cell(self.cell))
            return None
        if found.fingerprint == self.cell.fingerprint:
            self.cell, self.is_new = found, False
            return [] if found.first is None or found.last is None else range(found.first, found.last + 1)
        if found.status == Cell.FAILED:
            quota_usage.check(self._owner, quota_counts.of_cell(self.cell), quota_counts.freed([found]))
            self._failed_before = found
            return None
        raise Conflict(
            f"cell {found.name} exists with other content, as observations {found.first} to {found.last}: "
            "retract the wrong observations, and give a new calculation a new name",
            field="name",
            code="name_taken",
        )

    def assign(self, seqs: Sequence[int]) -> None:
        self.cell.first, self.cell.last = seqs[0], seqs[-1]

    def store(self) -> None:
        freed = []
        if self._failed_before is not None:
            freed = quota_counts.freed([self._failed_before])
            Cell.objects.filter(pk=self._failed_before.pk).delete()
        self.cell.save(force_insert=True)
        self._charged = quota_usage.charge(self._owner, quota_counts.of_cell(self.cell), freed)

    def audit(self) -> None:
        before = None if self._failed_before is None else _audit_entry(self._failed_before)
        cell = self.cell
        self._context.run(
            audit_signals.send, "cell.create", f"{cell.stream.name}/{cell.name}", before, _audit_entry(cell)
        )
        self._context.run(self._charged.report)


def record_failure(cell: Cell, owner: Owner | None = None) -> CellAttachment:
    """Store a cell whose calculation failed. It has no observations.

    Raises
    ------
    Conflict
        If a labeled cell has its name.
    NotFound
        If the stream is gone.
    QuotaExceeded
        If its owner's quota is used up.
    """
    keeper = CellAttachment(cell, owner)
    with stream_transaction(cell.stream_id):
        if not Stream.objects.filter(pk=cell.stream_id).exists():
            raise NotFound("the stream was deleted")
        if keeper.existing() is None:
            keeper.store()
            keeper.audit()
    return keeper


def _audit_entry(cell: Cell) -> dict[str, Any]:
    """Return a cell as the audit trail records it."""
    said = {"status": cell.status, "composition": cell.composition, "fingerprint": cell.fingerprint}
    return said | ({"reason": cell.reason} if cell.status == Cell.FAILED else {"first": cell.first, "last": cell.last})
