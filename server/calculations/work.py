"""Steps as agents get them."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Coalesce, Length

from server.calculations.models import Attempt, Parent, Structure
from server.core.json_codec import dumps_text, loads

MOST_TABLES = 2**17
"""Most bytes of the tables of all parents of a step. Larger ones are left out, and named."""

MOST_VALUES = 2**22
"""Most characters of the values and reports of all parents of a step. Those of further parents are left out, and this is said."""

MOST_BYTES = 16 * 2**20
"""Most characters of JSON and structures in one answer to an agent. The steps that do not fit are told with a later sync."""


def described(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Return claimed attempts as the wire has them, with their structures and the results of their parents.

    Only the first ones, if they are larger than :data:`MOST_BYTES`.
    """
    attempts = _fitting(list(attempts))
    if not attempts:
        return []
    steps = [attempt.step for attempt in attempts]
    wanted = {step.structure_id for step in steps if step.structure_id is not None}
    structures = dict(Structure.objects.filter(pk__in=wanted).values_list("pk", "content"))
    parents: dict[int, list[dict[str, Any]]] = {}
    handed: dict[int, _Room] = {}
    links = Parent.objects.filter(step__in=steps).select_related("parent__result__attempt").order_by("parent__number")
    links = links.defer("parent__result__analyses").prefetch_related("parent__result__files")
    for link in links.iterator(chunk_size=10):  # a result may have 16 MiB, and a step a thousand parents
        one = _parent(link, handed.setdefault(link.step_id, _Room()))
        parents.setdefault(link.step_id, []).append(one)
    return [
        {
            "step": attempt.step.uid,
            "fence": attempt.fence,
            "attempt": attempt.step.attempts.filter(fence__lt=attempt.fence, permitted_at__isnull=False).count() + 1
            if attempt.fence > 1
            else 1,
            "name": attempt.step.name,
            "calculation": str(attempt.step.calculation_id),
            "program": attempt.step.program,
            "parameters": loads(attempt.step.parameters),
            "structure": structures.get(attempt.step.structure_id or 0),
            "parents": parents.get(attempt.step_id, []),
            "resources": loads(attempt.step.resources),
            "analyses": loads(attempt.step.analyses),
            "corrections": loads(attempt.step.corrections),
            "folder_key": attempt.step.uid,
        }
        for attempt in attempts
    ]


def _fitting(attempts: list[Attempt]) -> list[Attempt]:
    """Return the first attempts whose texts fit into an answer, at least one."""
    links = Parent.objects.filter(step__in=[attempt.step_id for attempt in attempts]).annotate(
        size=Length("parent__parameters")
        + Coalesce(Length("parent__result__values") + Length("parent__result__kept"), 0)
    )
    of_parents = dict(links.order_by().values_list("step").annotate(together=Sum("size")))
    structures: dict[int | None, int] = {None: 0}
    known = Structure.objects.annotate(size=Length("content"))
    together = 0
    for number, attempt in enumerate(attempts):
        step = attempt.step
        if step.structure_id not in structures:  # one by one, as the length of a text is found by reading it
            structures[step.structure_id] = known.values_list("size", flat=True).get(pk=step.structure_id or 0)
        together += len(step.parameters) + structures[step.structure_id] + of_parents.get(step.pk, 0)
        if together > MOST_BYTES and number:
            return attempts[:number]
    return attempts


class _Room:
    """How much of the results of its parents a step is still told."""

    def __init__(self) -> None:
        self.tables, self.values = MOST_TABLES, MOST_VALUES


def _parent(link: Parent, room: _Room) -> dict[str, Any]:
    """Return a parent with those of its results that there is room for."""
    parent, result = link.parent, link.parent.result
    results: dict[str, Any] = {"values": {}, "values_left_out": False, "tables": {}, "tables_left_out": [], "report": "",
                               "files": [], "kept": []}  # fmt: skip
    if result is not None:
        results["kept"] = loads(result.kept)
        size = len(result.values) + len(result.report)
        if size <= room.values:
            results["values"], results["report"] = loads(result.values), result.report
            room.values -= size
        else:
            results["values_left_out"] = True
        for name, table in loads(result.tables).items():
            size = len(dumps_text(table))
            if size > room.tables:
                results["tables_left_out"].append(name)
                continue
            results["tables"][name] = table
            room.tables -= size
        results["files"] = [
            {"name": file.name, "size": file.size, "sha256": file.sha256} for file in result.files.all()
        ]
    return {
        "name": parent.name,
        "step": parent.uid,
        "fence": parent.fence if result is None else result.attempt.fence,
        "parameters": loads(parent.parameters) | loads(parent.corrections),
        "results": results,
    }
