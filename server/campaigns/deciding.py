"""Deciding: the policy chooses, the choice is stored with what it was based on, and can be made again."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as django_settings
from django.db.models import Max

from server.campaigns import announcements, campaigns, proposals, situations
from server.campaigns.models import Campaign, Decision, Run, RunAttempt
from server.campaigns.policies import deciding as policies
from server.campaigns.policies.situation import Choice, Situation, canonical
from server.core.db.locks import stream_transaction, transaction_for_writing
from server.core.errors import Conflict
from server.core.json_codec import dumps_text, loads
from server.core.slots import Slots

OPEN = (Run.SCHEDULED, Run.RUNNING)


def _limits() -> tuple[int, int]:
    most = max(2, django_settings.TAILRACE.working_threads // 12)
    return most, max(1, most // 2)


DECIDING = Slots(
    _limits,
    process_full="this process decides about {limit} campaigns already, the most allowed at once; try again",
    caller_full="this token or person is asking for {limit} decisions of campaigns in this process, the most allowed: wait until "
    "one has ended",
)
"""Requests that decide: each may take minutes."""


@dataclass(frozen=True)
class Recomputed:
    """A decision that was made again: whether the situation and the choice are those that were stored."""

    number: int
    situation_agrees: bool
    choice_agrees: bool
    why: str = ""

    @property
    def agrees(self) -> bool:
        return self.situation_agrees and self.choice_agrees


def open_proposal(campaign: Campaign) -> Decision | None:
    """Return the proposal that waits for a person; None if there is none."""
    return Decision.objects.filter(campaign=campaign, state=Decision.PROPOSED).first()


def has_open_runs(campaign: Campaign) -> bool:
    """Return whether a run of the campaign has not ended."""
    return RunAttempt.objects.filter(run__campaign=campaign, state__in=OPEN).exists()


def decide(campaign: Campaign) -> Decision:
    """Return the open proposal, or make the next decision.

    Nothing is locked while the policy works. If what it is based on has changed meanwhile, it works again.

    Raises
    ------
    Conflict
        If the campaign isn't active, its runs have not ended, its stream or its model was deleted, or its policy fails.
    """
    while True:
        present = open_proposal(campaign)
        if present is not None:
            return present
        _check_ready(campaign)
        settings = campaigns.settings_of(campaign)
        made_from = situations.now(campaign, settings)
        number = 1 + last_number(campaign)
        situation = situations.build(campaign, settings, number, made_from)
        choice = _chosen(settings["policy"], situation)
        decision = Decision(
            campaign=campaign,
            number=number,
            settings=dumps_text(settings),
            made_from=dumps_text(asdict(made_from)),
            situation=canonical(situation.to_json()),
            choice=canonical(choice.to_json()),
            policy=settings["policy"],
            action=choice.action,
        )
        decision.fingerprint = _fingerprint(decision)
        assert campaign.stream_id is not None
        with stream_transaction(campaign.stream_id, patient=True):
            campaign = campaigns.locked(campaign)
            if open_proposal(campaign) is None:
                _check_ready(campaign)
                same = campaigns.settings_of(campaign) == settings and 1 + last_number(campaign) == number
                if same and made_from.fits(situations.now(campaign, settings)):
                    _store(campaign, decision, choice)
                    return decision


def decide_now(campaign: Campaign, key: int | None) -> Decision:
    """Decide in a request: as :func:`decide`, but so many requests at a time.

    Parameters
    ----------
    key
        The caller's key (:class:`server.core.slots.Slots`).

    Raises
    ------
    TooMany, Unavailable
        If too many decide at the same time: for this caller, or for all callers of this process.
    """
    present = open_proposal(campaign)
    if present is not None:
        return present
    with DECIDING.held(key):
        return decide(campaign)


def _chosen(policy: str, situation: Situation) -> Choice:
    try:
        return policies.decide(policy, situation)
    except policies.PolicyFailed as exc:
        raise Conflict(
            f"{exc}: mend it, or change the campaign's policy, and resume the campaign", code="policy_failed"
        ) from exc


def last_number(campaign: Campaign) -> int:
    """Return the number of the newest decision; 0 if there is none."""
    return Decision.objects.filter(campaign=campaign).aggregate(last=Max("number"))["last"] or 0


def _check_ready(campaign: Campaign) -> None:
    if campaign.state != Campaign.ACTIVE:
        raise Conflict(
            f"campaign {campaign.name} is {campaign.state}{f' ({campaign.reason})' if campaign.reason else ''}: resume it first",
            code="wrong_state",
        )
    if has_open_runs(campaign):
        raise Conflict(
            f"runs of campaign {campaign.name} have not ended: the next round is decided when they have", code="busy"
        )


def _fingerprint(decision: Decision) -> str:
    return hashlib.sha256(f"{decision.situation}\n{decision.choice}".encode()).hexdigest()


def _store(campaign: Campaign, decision: Decision, choice: Choice) -> None:
    """Store a decision, and do what it says: propose, or stop, or pause. Call it with the campaign locked."""
    settled = RunAttempt.objects.filter(run__campaign=campaign, settled=None).exclude(state__in=OPEN)
    settled.update(settled=decision.number)
    if choice.action in ("stop", "pause", "ask"):
        decision.state, decision.decided_at = Decision.APPROVED, datetime.now(UTC)
        decision.ended_at = decision.decided_at
        decision.save(force_insert=True)
        state = Campaign.PAUSED
        if choice.action == "stop":
            types = Situation.from_json(loads(decision.situation)).types
            state = Campaign.FINISHED if types and all(one.verdict == "good" for one in types) else Campaign.STOPPED
        campaigns.move(campaign, state, choice.reason)
        return
    decision.save(force_insert=True)
    if not _needs_approval(campaign, choice):
        proposals.approve(campaign, decision, None, "", f"the campaign's approval rule is {campaign.approval}")
    else:
        announcements.proposed(campaign, decision, choice.reason, len(choice.picks))


def _needs_approval(campaign: Campaign, choice: Choice) -> bool:
    return campaign.approval == Campaign.EVERY or (campaign.approval == Campaign.NEW and choice.action == "compose")


def recompute(decision: Decision) -> Recomputed:
    """Make a decision again, from the log and the tables up to the same positions, and compare."""
    settings: dict[str, Any] = loads(decision.settings)
    made_from = situations.MadeFrom.from_json(loads(decision.made_from))
    try:
        situation = canonical(situations.build(decision.campaign, settings, decision.number, made_from).to_json())
        choice = canonical(_chosen(decision.policy, Situation.from_json(loads(decision.situation))).to_json())
    except Conflict as exc:
        return Recomputed(decision.number, False, False, exc.message)
    whole = _fingerprint(decision) == decision.fingerprint
    found = Recomputed(decision.number, situation == decision.situation and whole, choice == decision.choice and whole)
    return (
        found
        if found.agrees
        else Recomputed(
            decision.number, found.situation_agrees, found.choice_agrees, _differs(decision, situation, choice, whole)
        )
    )


def _differs(decision: Decision, situation: str, choice: str, whole: bool) -> str:
    if not whole:
        return "the stored decision was changed after it was made: its fingerprint differs"
    if situation != decision.situation:
        was, is_now = loads(decision.situation), loads(situation)
        names = ", ".join(name for name in was if was[name] != is_now.get(name))
        return f"these parts of the situation differ now: {names}"
    return f"policy {decision.policy} chooses {loads(choice)['action']} now, and chose {decision.action}"


def approve(decision: Decision, picks: Any, who: str, comment: str) -> Decision:
    """Approve a proposal, see :func:`server.campaigns.proposals.approve`. One person at a time decides."""
    with _deciding(decision) as (campaign, found):
        return proposals.approve(campaign, found, picks, who, comment)


def reject(decision: Decision, reason: str, who: str) -> Decision:
    """Reject a proposal, see :func:`server.campaigns.proposals.reject`. One person at a time decides."""
    with _deciding(decision) as (campaign, found):
        return proposals.reject(campaign, found, reason, who)


@contextlib.contextmanager
def _deciding(decision: Decision) -> Iterator[tuple[Campaign, Decision]]:
    """Hold the locks of the stream and the campaign, and yield both as they are now."""
    campaign = decision.campaign
    stream = campaign.stream_id
    with transaction_for_writing() if stream is None else stream_transaction(stream):
        campaign = campaigns.locked(campaign)
        yield campaign, Decision.objects.get(pk=decision.pk)
