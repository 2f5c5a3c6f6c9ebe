"""Submitting a calculation: everything is checked first, then stored in one transaction."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any

from django.conf import settings
from django.db import IntegrityError

from server.calculations import approval, clusters, graphs, identical, resources, schemas, states, structures
from server.calculations.models import AdvertisedProgram, Calculation, Cluster, Parent, Step, Structure
from server.calculations.programs import unknown
from server.calculations.transitions import changing, person
from server.core import audit_signals
from server.core.db import changed_rows
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, Invalid
from server.core.json_codec import dumps_text, loads
from server.core.validation import check_name, format_value


@dataclass
class Planned:
    """A step that was checked and is not stored yet."""

    name: str
    program: str
    parameters: dict[str, Any]
    structure: Structure | None
    parents: list[str]
    resources: dict[str, int]
    analyses: list[str]
    fingerprint: str = ""


@dataclass
class Plan:
    """A calculation that was checked and is not stored yet.

    Attributes
    ----------
    cost
        Process hours that its steps ask for.
    fingerprint
        SHA-256 of what all of its steps compute.
    """

    asked: dict[str, Any]
    cluster: Cluster | None
    structure: Structure | None
    steps: list[Planned]
    cost: float = 0.0
    fingerprint: str = ""
    programs: set[str] = field(default_factory=set)


def plan(asked: dict[str, Any]) -> Plan:
    """Check a request, and return what would be stored.

    Raises
    ------
    Invalid
        If something can't be. The message names the field, its value and what was expected.
    NotFound
        If there is no such cluster, program or structure.
    """
    cluster = None if asked.get("cluster") is None else clusters.find(asked["cluster"])
    structure = _structure(asked, "")
    offered, sizes = _Offered(cluster), schemas.Sizes()
    steps = []
    for n, step in enumerate(graphs.of_request(asked)):
        where = f"steps[{n}]." if asked.get("steps") is not None else ""
        steps.append(_planned(asked, step, structure, offered, where))
        sizes.add(steps[-1].parameters, f"{where}parameters")
    made = Plan(asked, cluster, structure, steps, programs={step.program for step in steps})
    offered.check_together(made.programs)
    made.cost = sum(step.resources["processes"] * step.resources["seconds"] for step in steps) / 3600
    _fingerprint(made)
    return made


class _Offered:
    """Programs that the wanted cluster, or any cluster, offers."""

    def __init__(self, cluster: Cluster | None) -> None:
        self.cluster = cluster
        rows = AdvertisedProgram.objects.select_related("cluster").exclude(cluster__state=Cluster.DISABLED)
        self._rows = rows if cluster is None else rows.filter(cluster=cluster)
        self._known: dict[str, list[tuple[AdvertisedProgram, dict[str, Any], list[dict[str, Any]]]]] = {}

    def of(self, name: str, where: str) -> list[tuple[AdvertisedProgram, dict[str, Any], list[dict[str, Any]]]]:
        """Return the program as each cluster offers it, with its schema and its analyses."""
        if name not in self._known:
            rows = list(self._rows.filter(name=name)) if "\x00" not in name else []
            if not rows:
                if self.cluster is not None:
                    here = ", ".join(sorted(self._rows.values_list("name", flat=True))) or "none"
                    raise Invalid(
                        f"{where}program is {format_value(name)}: cluster {self.cluster.name} offers {here}",
                        field=f"{where}program",
                    )
                raise unknown(name, f"{where}program")
            self._known[name] = [(row, loads(row.schema), loads(row.analyses)) for row in rows]
        return self._known[name]

    def check_together(self, programs: set[str]) -> None:
        """Check that a single cluster has all programs of a calculation, because its steps stay on one cluster."""
        common = set.intersection(*({row.cluster.name for row, _, _ in self.of(name, "")} for name in programs))
        if not common:
            raise Invalid(
                f"no cluster offers all of {', '.join(sorted(programs))}, and the steps of a calculation run on one cluster",
                field="steps",
            )


def _structure(asked: dict[str, Any], where: str) -> Structure | None:
    name, content = asked.get("structure"), asked.get("structure_content")
    if name is not None and content is not None:
        raise Invalid(f"{where}structure and structure_content are given both: expected one", field=f"{where}structure")
    if content is not None:
        return structures.read(content, asked.get("structure_format") or "extxyz", f"{where}structure_content")
    return None if name is None else structures.find(name, f"{where}structure")


def _planned(
    asked: dict[str, Any], step: dict[str, Any], shared: Structure | None, offered: _Offered, where: str
) -> Planned:
    check_name(step["name"], "step", f"{where}name")
    program = step.get("program") or asked["program"]
    found = offered.of(program, where)
    parameters = {**(asked.get("parameters") or {}), **(step.get("parameters") or {})}
    if step.get("program") not in (None, asked["program"]):
        parameters = step.get("parameters") or {}
    completed = schemas.complete(parameters, found[0][1])
    for row, schema, _ in found:
        try:
            schemas.check_parameters(completed, schema, f"{where}parameters", program)
        except Invalid as exc:
            if len(found) == 1:
                raise
            raise Invalid(f"on cluster {row.cluster.name}: {exc.message}", field=exc.field, code=exc.code) from exc
    structure = structures.find(step["structure"], f"{where}structure") if step.get("structure") else shared
    needed = found[0][0].needs_structure
    if needed is True and structure is None:
        raise Invalid(f"program {program} needs a structure", field=f"{where}structure", code="missing")
    if needed is False:
        if structure is not None and program == asked["program"]:
            raise Invalid(f"program {program} takes no structure", field=f"{where}structure")
        structure = None
    own = {**(asked.get("resources") or {}), **(step.get("resources") or {})}
    resources.check(own, f"{where}resources")
    wanted = asked.get("analyses") or []
    known = [one["name"] for one in found[0][2]]
    if program == asked["program"]:
        _check_analyses(wanted, found[0][2], program)
    return Planned(
        name=step["name"],
        program=program,
        parameters=completed,
        structure=structure,
        parents=list(step.get("parents") or []),
        resources={**resources.DEFAULTS, **own},
        analyses=[name for name in known if name in wanted],
    )


def _check_analyses(wanted: list[str], known: list[dict[str, Any]], program: str) -> None:
    """Check that a set of analyses is known, and closed under what they require."""
    requires = {one["name"]: one["requires"] for one in known}
    for name in wanted:
        if name not in requires:
            there = f"it has {', '.join(requires)}" if requires else "it has none"
            raise Invalid(f"program {program} has no analysis {format_value(name)}: {there}", field="analyses")
        missing = [other for other in requires[name] if other not in wanted]
        if missing:
            raise Invalid(f"analysis {name} requires {', '.join(missing)}: add them to analyses", field="analyses")


def _fingerprint(made: Plan) -> None:
    """Give each step the checksum of what it computes: program, parameters, structure, and the same of its parents."""
    of: dict[str, str] = {}
    for step in _parents_first(made.steps):
        sha256 = None if step.structure is None else step.structure.sha256
        parents = sorted(of[name] for name in step.parents)
        parts = [step.program, sorted(step.parameters.items()), sha256, parents, sorted(step.analyses)]
        of[step.name] = step.fingerprint = hashlib.sha256(dumps_text(parts).encode()).hexdigest()
    made.fingerprint = hashlib.sha256("\n".join(sorted(step.fingerprint for step in made.steps)).encode()).hexdigest()


def _parents_first(steps: list[Planned]) -> list[Planned]:
    by_name = {step.name: step for step in steps}
    order = TopologicalSorter({step.name: set(step.parents) for step in steps}).static_order()
    return [by_name[name] for name in order]


def submit(
    asked: dict[str, Any], *, created_by: str, owner_id: int | None
) -> tuple[Calculation | None, list[dict[str, Any]]]:
    """Store a calculation, unless the same one is done already.

    Returns
    -------
    calculation, identical
        The new calculation, or the one that the same request with the same ``key`` created before; or None, and the
        calculations with identical input that are done.

    Raises
    ------
    Invalid, NotFound
        As :func:`plan` does.
    Forbidden
        If the user has as many unfinished steps as they may.
    Conflict
        If another request of the user had the same ``key``.
    """
    before = _with_key(asked, created_by)
    if before is not None:
        return before, []
    made = plan(asked)
    if not asked.get("again"):
        same = identical.found(made.fingerprint, made.programs, made.cluster)
        if same:
            return None, same
    try:
        with transaction_for_writing():
            _check_quota(owner_id, created_by, len(made.steps))
            calculation = _store(made, created_by, owner_id)
            audit_signals.send(
                "calculation.create",
                str(calculation.pk),
                after={"name": calculation.name, "program": calculation.program, "steps": len(made.steps)},
            )
    except IntegrityError:
        before = _with_key(asked, created_by)  # the same request came twice at the same moment
        if before is None:
            raise
        return before, []
    return calculation, []


def _with_key(asked: dict[str, Any], created_by: str) -> Calculation | None:
    """Return the calculation that the same request of this user created before; None without one, or without a key.

    Raises
    ------
    Conflict
        If the request with this key asked for something else.
    """
    if asked.get("key") is None:
        return None
    found = Calculation.objects.filter(created_by=created_by, key=asked["key"]).first()
    if found is not None and found.asked != _kept_request(asked):
        raise Conflict(
            f"the key {format_value(asked['key'])} submitted calculation {found.pk}, which asks for something else: use another "
            "key",
            field="key",
            code="key_taken",
        )
    return found


def _kept_request(asked: dict[str, Any]) -> str:
    return dumps_text({name: value for name, value in asked.items() if name not in ("again", "key")})


def _check_quota(owner_id: int | None, owner: str, number: int) -> None:
    most: int = settings.TAILRACE.quota_steps
    if not most or owner_id is None:
        return
    has = Step.objects.filter(owner_id=owner_id).exclude(state__in=states.ENDED).count()
    if has + number > most:
        raise Forbidden(
            f"{owner} has {has} steps that have not ended, and this calculation has {number}: the most allowed is {most} "
            "(TAILRACE_QUOTA_STEPS); wait for some, or cancel them",
            code="quota_exceeded",
        )


def _store(made: Plan, created_by: str, owner_id: int | None) -> Calculation:
    asked = made.asked
    needs = approval.needed(made.programs, made.cost)
    kept = _kept([made.structure, *(step.structure for step in made.steps)], created_by, owner_id)
    calculation = Calculation.objects.create(
        name=asked["name"],
        description=asked.get("description") or "",
        program=asked["program"],
        structure=None if made.structure is None else kept[made.structure.sha256],
        wanted_cluster=made.cluster,
        cluster=made.cluster,
        priority=asked.get("priority", 50),
        key=asked.get("key"),
        asked=_kept_request(asked),
        analyses=dumps_text(asked.get("analyses") or []),
        notify=dumps_text(asked.get("notify") or []),
        state="",
        fingerprint=made.fingerprint,
        cost=dumps_text(made.cost),
        needs_approval=needs,
        created_by=created_by,
        owner_id=owner_id,
    )
    is_held = bool(needs or asked.get("hold"))
    now = datetime.now(UTC)
    steps = {}
    for n, step in enumerate(made.steps, 1):
        steps[step.name] = Step(
            uid=secrets.token_hex(8),
            calculation=calculation,
            name=step.name,
            number=n,
            program=step.program,
            parameters=dumps_text(step.parameters),
            structure=None if step.structure is None else kept[step.structure.sha256],
            resources=dumps_text(step.resources),
            analyses=dumps_text(step.analyses),
            fingerprint=step.fingerprint,
            state=states.HELD if is_held else states.WAITING if step.parents else states.READY,
            reason=needs if needs else "",
            cluster=made.cluster,
            priority=calculation.priority,
            owner_id=owner_id,
            changed_at=now,
        )
    Step.objects.bulk_create(steps.values(), batch_size=200)
    links = [(steps[step.name].pk, steps[name].pk) for step in made.steps for name in step.parents]
    changed_rows.add(Parent, ("step", "parent"), links)
    with changing(calculation.pk) as change:
        for stored in steps.values():
            change.begun(stored, person(created_by))
        change.note(calculation, "submitted", person(created_by), needs)
    return change.calculations[calculation.pk]


def _kept(wanted: list[Structure | None], created_by: str, owner_id: int | None) -> dict[str, Structure]:
    """Store the structures that are not stored yet. Return all by checksum."""
    kept: dict[str, Structure] = {}
    for structure in wanted:
        if structure is None or structure.sha256 in kept:
            continue
        if structure.pk is None:
            same = Structure.objects.filter(sha256=structure.sha256).first()
            if same is None:
                structure.created_by, structure.owner_id = created_by, owner_id
                structure.save()
            structure = same or structure
        kept[structure.sha256] = structure
    return kept
