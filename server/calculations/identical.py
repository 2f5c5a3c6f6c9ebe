"""Calculations with identical input that are done already, which are offered instead of running again."""

from collections.abc import Collection
from typing import Any

from server.calculations import states
from server.calculations.models import AdvertisedProgram, Attempt, Calculation, Cluster

MOST = 5


def found(fingerprint: str, programs: Collection[str], cluster: Cluster | None) -> list[dict[str, Any]]:
    """Return done calculations with the same programs, parameters, structures and parents.

    The versions of the programs with which they ran must be among those that the wanted cluster, or any, offers now.

    Parameters
    ----------
    fingerprint
        As in :class:`server.calculations.models.Calculation`.
    """
    offered: dict[str, set[str]] = {}
    rows = AdvertisedProgram.objects.filter(name__in=programs)
    for name, version in (rows if cluster is None else rows.filter(cluster=cluster)).values_list("name", "version"):
        offered.setdefault(name, set()).add(version)
    same = []
    for calculation in Calculation.objects.filter(fingerprint=fingerprint, state=states.DONE).order_by("-pk")[:100]:
        attempts = Attempt.objects.filter(step__calculation=calculation, state=states.DONE)
        versions = set(attempts.values_list("step__program", "version"))
        if all(version in offered.get(name, ()) for name, version in versions):
            same.append(
                {
                    "id": calculation.pk,
                    "name": calculation.name,
                    "created_by": calculation.created_by,
                    "ended_at": calculation.ended_at,
                    "versions": dict(sorted(versions)),
                }
            )
            if len(same) == MOST:
                break
    return same
