"""When a calculation needs approval. Only a person approves, never a time-out."""

from collections.abc import Collection

from django.conf import settings

from server.calculations.models import ProgramRule
from server.core.json_codec import loads


def needed(programs: Collection[str], cost: float) -> str:
    """Return why a calculation needs approval; empty if it does not.

    Parameters
    ----------
    cost
        Process hours that its steps ask for together.
    """
    if settings.TAILRACE.approval == "always":
        return "this server asks for approval of every calculation"
    for rule in ProgramRule.objects.filter(name__in=programs).order_by("name"):
        if rule.requires_approval:
            return f"program {rule.name} requires approval"
        limit = loads(rule.cost_limit)
        if limit is not None and cost > limit:
            return f"it asks for {cost:g} process hours, and program {rule.name} requires approval above {limit:g}"
    return ""
