"""The page of one campaign: what it is to reach, how far it is, why, and what it proposes."""

from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.campaigns import campaigns, compositions, deciding, proposals, reading, stages
from server.campaigns.models import Campaign
from server.core.errors import Forbidden, Invalid, TailraceError
from server.dashboard import campaign_pictures, live
from server.dashboard.rendering import caller_key, caller_of, page, refused, to
from server.dashboard.views.calculations import check_reach, may, name_of

MOST_RUNS = 500
LONGEST_REASON = 2000
ACTIONS = {"pause": campaigns.pause, "resume": campaigns.resume, "stop": campaigns.stop}
POSSIBLE = {"pause": (Campaign.ACTIVE,), "resume": (Campaign.PAUSED,), "stop": (Campaign.ACTIVE, Campaign.PAUSED)}
WORDS = {"pause": "Pause", "resume": "Resume", "stop": "Stop"}
DONE = {"approve": "Approved.", "reject": "Rejected.", "propose": "Decided.", "restart": "The run starts again, if the campaign is not paused."} | {
    "pause": "The campaign is paused.", "resume": "The campaign goes on.", "stop": "The campaign is stopped.",
}  # fmt: skip


def campaign(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page, or the part of it that is live."""
    check_reach(request)
    shown = _shown(request, campaigns.find(name))
    same = live.unchanged(request, shown["version"])
    return same or page(request, "campaign_part" if live.is_part(request) else "campaign", **shown)


def change(request: HttpRequest, name: str) -> HttpResponse:
    """POST: decide about the proposal, pause, resume or stop, ask for a decision, or start a run again."""
    check_reach(request)
    found = campaigns.find(name)
    action = request.POST.get("action", "")
    try:
        _act(request, found, action)
    except TailraceError as exc:
        if isinstance(exc, Forbidden):
            raise
        return refused(request, "campaign", exc, **_shown(request, campaigns.find(name)))
    messages.success(request, DONE[action])
    return to(f"/campaigns/{quote(found.name)}/")


def decision(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """GET: one round: the decision, and all numbers that it was made from."""
    check_reach(request)
    found = campaigns.find(name)
    return page(
        request,
        "campaign_decision",
        one=reading.described(found),
        round=reading.decision(proposals.find(found, number), whole=True),
    )


def _act(request: HttpRequest, found: Campaign, action: str) -> None:
    who = name_of(request)
    reason = request.POST.get("reason", "").strip()[:LONGEST_REASON]
    if action in ("approve", "reject"):
        if not may(request, "approve"):
            raise Forbidden("deciding takes the permission “approve”, which moderators have")
        proposal = proposals.find(found, request.POST.get("round", ""))
        if action == "reject":
            deciding.reject(proposal, reason, who)
        else:
            picks = [
                int(one) for one in request.POST.getlist("pick") if one.isascii() and one.isdigit() and len(one) < 7
            ]
            if not picks:
                raise Invalid("no calculation is marked: mark those to make, or reject the proposal", field="picks")
            deciding.approve(proposal, picks, who, reason)
        return
    if not may_change(request, found):
        raise Forbidden(
            f"campaign {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    if action == "propose":
        deciding.decide_now(found, caller_key(request))
    elif action == "restart":
        stages.restart(found, stages.find(found, request.POST.get("run", "")), request.POST.get("stage") or None, who)
    elif action in ACTIONS:
        ACTIONS[action](found, reason)
    else:
        raise Invalid(f"action is {action[:40]!r}: expected one of {', '.join(DONE)}", field="action")


def may_change(request: HttpRequest, found: Campaign) -> bool:
    """Whether the person may change a campaign: their own, or anybody's with the permission ``change_any``."""
    caller = caller_of(request)
    if caller is None or "change_any" in caller.permissions:
        return True
    return "change_own" in caller.permissions and caller.user_id == found.owner_id


def _shown(request: HttpRequest, found: Campaign) -> dict[str, Any]:
    one = reading.described(found)
    one["tone"] = campaign_pictures.STATES.get(one["state"], "")
    for status in one["types"]:
        status["tone"] = campaign_pictures.TONES[status["verdict"]]
    history, decisions, runs = reading.history(found), reading.decisions(found), reading.runs(found)
    costs = {past["round"]: past for past in history}
    for past in decisions:
        past["tone"] = campaign_pictures.STATES.get(past["state"], "")
        past["after"] = costs.get(past["round"])
    for run in runs:
        run["tone"] = campaign_pictures.STATES.get(run["state"], "")
    changes = may_change(request, found)
    wanted = set(one["compositions"])
    return {
        "one": one,
        "plots": campaign_pictures.errors(history, one["targets"]),
        "map": campaign_pictures.map_of([row for row in compositions.listing() if row["name"] in wanted], one["types"]),
        "decisions": list(reversed(decisions)),
        "runs": list(reversed(runs))[:MOST_RUNS],
        "left_out": max(0, len(runs) - MOST_RUNS),
        "allowed": [(name, WORDS[name]) for name, states in POSSIBLE.items() if changes and one["state"] in states],
        "changes": changes,
        "decides": may(request, "approve"),
        "version": live.version(one, decisions, runs),
    }
