"""Programs as agents advertise them."""

from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any

from server.calculations import schemas
from server.calculations.models import AdvertisedProgram, Cluster
from server.core.errors import Invalid, TooLarge
from server.core.json_codec import dumps_exact, dumps_text
from server.core.validation import check_name, check_text

MOST_ANALYSES = 100
LARGEST_TOGETHER = 2**20
"""Most bytes of JSON of all programs of a cluster. Checking so many schemas takes about a second."""


def checked(programs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Check programs as an agent sends them. It takes long, so do it before the transaction.

    Returns
    -------
    kept, refused
        The fields of those that can be stored; and name and reason of the others.

    Raises
    ------
    TooLarge
        If they are too large together.
    """
    size = len(dumps_exact(programs))
    if size > LARGEST_TOGETHER:
        raise TooLarge(
            f"the programs have {size} bytes of JSON together: the most allowed is {LARGEST_TOGETHER}", field="programs"
        )
    refused, kept = [], []
    for program in programs:
        try:
            kept.append(_checked(program))
        except Invalid as exc:
            refused.append({"name": str(program.get("name"))[:200], "reason": exc.message})
    return kept, refused


def replace(cluster: Cluster, kept: list[dict[str, Any]], now: datetime) -> None:
    """Replace the programs of a cluster by those that its agent has now, as :func:`checked` returns them."""
    names = [fields["name"] for fields in kept]
    AdvertisedProgram.objects.filter(cluster=cluster).exclude(name__in=names).delete()
    for fields in kept:
        AdvertisedProgram.objects.update_or_create(
            cluster=cluster, name=fields["name"], defaults={**fields, "seen_at": now}
        )


def _checked(program: dict[str, Any]) -> dict[str, Any]:
    name = check_name(program.get("name"), "program", "programs.name")
    needed = program.get("needs_structure")
    if needed is not None and type(needed) is not bool:
        raise Invalid(f"needs_structure of program {name} is {needed!r}: expected true, false or null")
    schema = program.get("schema")
    schemas.check_schema(schema, name)
    return {
        "name": name,
        "version": check_text(program.get("version", ""), f"version of program {name}", 200),
        "title": check_text(program.get("title", ""), f"title of program {name}", 200),
        "description": check_text(program.get("description", ""), f"description of program {name}", 10_000),
        "schema": dumps_text(schema),
        "needs_structure": needed,
        "analyses": dumps_text(_analyses(program.get("analyses", []), name)),
    }


def _analyses(analyses: Any, program: str) -> list[dict[str, Any]]:
    if type(analyses) is not list or len(analyses) > MOST_ANALYSES:
        raise Invalid(f"analyses of program {program}: expected a list of at most {MOST_ANALYSES}")
    found: list[dict[str, Any]] = []
    for one in analyses:
        if type(one) is not dict:
            raise Invalid(f"an analysis of program {program} is {one!r}: expected an object with name, title, requires")
        name = check_name(one.get("name"), "analysis", "analyses.name")
        requires = one.get("requires", [])
        if not isinstance(requires, (list, tuple)) or not all(isinstance(other, str) for other in requires):
            raise Invalid(f"requires of analysis {name} of program {program}: expected a list of names")
        found.append(
            {
                "name": name,
                "title": check_text(one.get("title", ""), f"title of analysis {name}", 200),
                "description": check_text(one.get("description", ""), f"description of analysis {name}", 10_000),
                "requires": list(requires),
            }
        )
    known = {one["name"] for one in found}
    for one in found:
        missing = [name for name in one["requires"] if name not in known]
        if missing:
            raise Invalid(f"analysis {one['name']} of program {program} requires {', '.join(missing)}, which it lacks")
    try:
        TopologicalSorter({one["name"]: one["requires"] for one in found}).prepare()
    except CycleError as exc:
        circle = " requires ".join(reversed(exc.args[1]))
        raise Invalid(
            f"analyses of program {program} require each other in a circle: {circle}; expected one that requires no other"
        ) from exc
    return found
