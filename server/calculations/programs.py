"""Programs: what the agents of all clusters advertise, and the rules that moderators set."""

from typing import Any

from server.calculations.models import AdvertisedProgram, Cluster, ProgramRule
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import NotFound
from server.core.json_codec import dumps_text, loads
from server.core.validation import format_value


def merged(name: str | None = None) -> list[dict[str, Any]]:
    """Return all programs by name, or the one with this name.

    Title, description, schema and analyses are those of the cluster that advertised the program last.
    """
    rows = AdvertisedProgram.objects.select_related("cluster").exclude(cluster__state=Cluster.DISABLED)
    rules = {rule.name: rule for rule in ProgramRule.objects.all()}
    if name is not None:
        rows = rows.filter(name=name)
    found: dict[str, dict[str, Any]] = {}
    for row in rows.order_by("name", "-seen_at", "-pk"):
        program = found.setdefault(row.name, _described(row, rules.get(row.name)))
        program["clusters"].append({"name": row.cluster.name, "version": row.version, "seen_at": row.seen_at})
        if row.version not in program["versions"]:
            program["versions"].append(row.version)
    return list(found.values())


def _described(row: AdvertisedProgram, rule: ProgramRule | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "description": row.description,
        "versions": [],
        "clusters": [],
        "schema": loads(row.schema),
        "needs_structure": row.needs_structure,
        "analyses": loads(row.analyses),
        "requires_approval": rule is not None and rule.requires_approval,
        "cost_limit": None if rule is None else loads(rule.cost_limit),
    }


def find(name: str) -> dict[str, Any]:
    """Return the program with this name.

    Raises
    ------
    NotFound
        If no cluster offers it. The message names those that there are.
    """
    found = merged(name) if "\x00" not in name else []
    if not found:
        raise unknown(name)
    return found[0]


def unknown(name: str, field: str = "program") -> NotFound:
    """Return the error for a program that no cluster offers."""
    known = sorted(set(AdvertisedProgram.objects.values_list("name", flat=True)))
    there = f"expected one of {', '.join(known)}" if known else "no agent has registered yet"
    return NotFound(f"no cluster offers a program named {format_value(name)}: {there}", field=field)


def change_rule(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Set when calculations with a program need approval, and return the program."""
    find(name)
    with transaction_for_writing():
        rule, _ = ProgramRule.objects.select_for_update().get_or_create(name=name)
        before = {"requires_approval": rule.requires_approval, "cost_limit": loads(rule.cost_limit)}
        if "requires_approval" in fields:
            rule.requires_approval = fields["requires_approval"]
        if "cost_limit" in fields:
            rule.cost_limit = dumps_text(fields["cost_limit"])
        rule.save()
        after = {"requires_approval": rule.requires_approval, "cost_limit": loads(rule.cost_limit)}
        audit_signals.send("program.rule", name, before=before, after=after)
    return find(name)
