"""Notifications of calculations and clusters, written inside the transaction of the change."""

from urllib.parse import quote

from django.contrib.auth.models import User

from server.calculations import states
from server.calculations.models import Calculation, Cluster
from server.core.json_codec import loads
from server.notifications import outbox

_EVENTS = {
    states.DONE: ("calculation.done", "is done", "Its results are on its page."),
    states.FAILED: (
        "calculation.failed",
        "failed",
        "Its page says which step failed, and why. You can run it again there.",
    ),
    states.UNCONVERGED: (
        "calculation.unconverged",
        "did not converge",
        "Steps that need the unconverged one are held back. Change its parameters and run it again, or give it up.",
    ),
    Calculation.UNDECIDED: (
        "calculation.undecided",
        "needs a decision",
        "The cluster's agent does not know what became of a job. Look at the cluster, then decide on the calculation's page "
        "whether the step runs again.",
    ),
    Calculation.NEEDS_APPROVAL: ("calculation.needs_approval", "needs approval", "Approve or reject it on its page."),
}


def state_changed(calculation: Calculation, before: str) -> None:
    """Tell people of the new state of a calculation: its owner and those it names, or those who may approve it."""
    if calculation.state not in _EVENTS:
        return
    event, words, text = _EVENTS[calculation.state]
    if calculation.state == Calculation.NEEDS_APPROVAL:
        people = _who_may("approve")
        text = f"{calculation.needs_approval[:1].upper()}{calculation.needs_approval[1:]}. {text}"
    else:
        people = list(User.objects.filter(username__in=loads(calculation.notify)).values_list("pk", flat=True))
        people += [] if calculation.owner_id is None else [calculation.owner_id]
    outbox.publish(
        event, people, f"Calculation {calculation.pk}, {calculation.name}, {words}", text,
        path=f"/calculations/{calculation.pk}/", group=f"calculation {calculation.pk}",
    )  # fmt: skip


def contact_changed(cluster: Cluster) -> None:
    """Tell those who manage clusters that the agent of a cluster is silent, or back."""
    path, group = f"/clusters/{quote(cluster.name)}/", f"cluster {cluster.pk}"
    if cluster.silent:
        outbox.publish(
            "cluster.silent", _who_may("manage_clusters"), f"The agent of cluster {cluster.name} is silent",
            "It has not synced for 90 s. Jobs on the cluster keep their state. See whether the agent runs there.",
            path=path, group=group,
        )  # fmt: skip
    else:
        outbox.publish(
            "cluster.back", _who_may("manage_clusters"), f"The agent of cluster {cluster.name} is back",
            "It syncs again.", path=path, group=group,
        )  # fmt: skip


def _who_may(permission: str) -> list[int]:
    found = User.objects.filter(groups__permissions__codename=permission, is_active=True)
    return list(found.distinct().values_list("pk", flat=True))
