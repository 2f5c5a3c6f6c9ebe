"""The list of calculations: filters, and what is done with several at once."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.calculations import acting, clusters, reading, structures
from server.calculations.models import Calculation, Cluster
from server.core.errors import Forbidden, Invalid, TailraceError
from server.dashboard import access, chain_pictures, live, parameters
from server.dashboard.rendering import caller_of, page, to

HERE = "/calculations/"
PAGE = 100
MOST_AT_ONCE = 200
LONGEST_TEXT = 200
FILTERS = ("state", "owner", "cluster", "program", "structure", "text")
ACTIONS = {
    "hold": ("Hold", acting.hold),
    "release": ("Release", acting.release),
    "cancel": ("Cancel", acting.cancel),
    "retry": ("Run again", acting.retry),
    "approve": ("Approve", acting.approve),
    "reject": ("Reject", acting.reject),
}
"""What can be done with a calculation: its button, and the function."""

OF_MODERATORS = ("approve", "reject")


def check_reach(request: HttpRequest) -> None:
    """Check that the person may see the whole server, as calculations belong to no stream.

    Raises
    ------
    Forbidden
        If they may see some streams only.
    """
    if access.only_streams(request) is not None:
        raise Forbidden("calculations are about the whole server, and you may see some of its streams only")


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the person has a permission. With ``AUTH=open``, everyone has all."""
    caller = caller_of(request)
    return caller is None or permission in caller.permissions


def may_change(request: HttpRequest, calculation: Calculation) -> bool:
    """Whether the person may change a calculation: their own, or anybody's with the permission ``change_any``."""
    caller = caller_of(request)
    if caller is None or "change_any" in caller.permissions:
        return True
    return "change_own" in caller.permissions and caller.user_id == calculation.owner_id


def name_of(request: HttpRequest) -> str:
    """Return the name of the person; empty with ``AUTH=open``."""
    caller = caller_of(request)
    return "" if caller is None else caller.username


def act(request: HttpRequest, number: str, action: str, reason: str = "") -> None:
    """Do something with a calculation.

    Raises
    ------
    Invalid
        If there is no such action.
    Forbidden
        If the person may not.
    """
    if action not in ACTIONS:
        raise Invalid(f"action is {action[:50]!r}: expected one of {', '.join(ACTIONS)}", field="action")
    found = acting.find(number)
    if action in OF_MODERATORS:
        if not may(request, "approve"):
            raise Forbidden("approving takes the permission “approve”, which moderators have")
    elif not may_change(request, found):
        raise Forbidden(
            f"calculation {found.pk} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    ACTIONS[action][1](found.pk, name_of(request), reason)


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the list. POST: do something with those that are marked."""
    check_reach(request)
    if request.method == "POST":
        return _act_on_several(request)
    wanted = {name: request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST_TEXT] for name in FILTERS}
    if wanted["state"] and wanted["state"] not in Calculation.STATES:
        raise Invalid(
            f"state is {wanted['state'][:50]!r}: expected one of {', '.join(Calculation.STATES)}", field="state"
        )
    before = parameters.whole(request, "before")
    filters: dict[str, Any] = {name: value or None for name, value in wanted.items()}
    if filters["cluster"] is not None:
        filters["cluster"] = clusters.find(filters["cluster"]).pk
    if filters["structure"] is not None:
        filters["structure"] = structures.find(filters["structure"]).pk
    found, more = reading.page(**filters, before=before, limit=PAGE)
    for one in found:
        one["tone"] = chain_pictures.tone(one["state"])
    query = urlencode({name: value for name, value in wanted.items() if value})
    version = live.version(found, more)
    same = live.unchanged(request, version)
    return same or page(
        request,
        "calculations_part" if live.is_part(request) else "calculations",
        calculations=found,
        wanted=wanted,
        states=Calculation.STATES,
        clusters=list(Cluster.objects.order_by("name").values_list("name", flat=True)),
        here=request.get_full_path(),
        older="" if more is None else f"?{query}{'&' if query else ''}before={more}",
        is_filtered=bool(query),
        actions=[
            (name, words)
            for name, (words, _) in ACTIONS.items()
            if name not in OF_MODERATORS or may(request, "approve")
        ],
        may_create=may(request, "create"),
        version=version,
    )


def _act_on_several(request: HttpRequest) -> HttpResponse:
    action, numbers = request.POST.get("action", ""), request.POST.getlist("calculation")
    if not numbers:
        raise Invalid("no calculation is marked: mark some in the list first", field="calculation")
    if len(numbers) > MOST_AT_ONCE:
        raise Invalid(f"{len(numbers)} calculations are marked: expected at most {MOST_AT_ONCE}", field="calculation")
    done = []
    for number in numbers:
        try:
            act(request, number, action, request.POST.get("reason", "")[:1000])
        except TailraceError as exc:
            if len(numbers) == 1 or action not in ACTIONS:
                raise
            messages.error(request, exc.message)
        else:
            done.append(number)
    if done:
        messages.success(request, f"{ACTIONS[action][0]}: {', '.join(done)}")
    back = request.POST.get("here", "")
    return to(back if back.startswith(HERE) else HERE)
