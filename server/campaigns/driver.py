"""The driver: takes campaigns on, a little at a time, in a background thread of every process.

One process at a time works on a campaign, under a lease in the database. Each step of the work can be repeated: after a kill at any
moment, the next process goes on where this one was.
"""

import logging
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.db.models import Q

from server.calculations import sessions, states
from server.calculations.models import Calculation, Cluster, Step
from server.campaigns import campaigns, costs, deciding, failed_cells, ingesting, leases, proposals, stages
from server.campaigns.models import Campaign, Decision, Run, RunAttempt
from server.campaigns.situations import NOT_RUN
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, TailraceError, Unavailable
from server.core.json_codec import loads

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the campaigns, in each process."""

SLOW = 10.0
"""Seconds of one campaign after which the others are looked at anew, those of the owners who have used the least time first."""

HALF_LIFE = 3600.0
"""Seconds after which half of the time that an owner's campaigns have used is forgotten."""

AFTER_ERROR = 60.0
"""Seconds until a campaign is taken on again after an error of ours."""

_NOT_BEGUN = (Calculation.NEEDS_APPROVAL, states.HELD, states.WAITING)


class _Last:
    """What this process remembers of its last looks.

    Attributes
    ----------
    looked
        When it last looked at the campaigns.
    used
        Owner to the seconds that their campaigns have used lately.
    failed
        Campaign to the time of its last error of ours.
    """

    looked = 0.0
    used: "dict[int | None, float]" = defaultdict(float)
    failed: "dict[int, float]" = {}


def drive_if_due() -> None:
    """Take all campaigns on that no other process works on, every second."""
    now = time.monotonic()
    if now - _Last.looked >= EVERY:
        share = 0.5 ** ((now - _Last.looked) / HALF_LIFE)
        for owner in list(_Last.used):
            _Last.used[owner] *= share
        _Last.looked = now
        drive_all()


def drive_all() -> None:
    """Take on all campaigns that are active, or have runs that have not ended.

    After one that takes longer than :data:`SLOW`, the others wait for the next look, so that those of other owners come first.
    """
    is_open = Q(runs__attempts__state__in=stages.OPEN)
    rows = Campaign.objects.filter(is_open | Q(state=Campaign.ACTIVE)).distinct().values_list("pk", "owner_id")
    for pk, owner in sorted(rows, key=lambda row: (_Last.used[row[1]], row[0])):
        began = time.monotonic()
        if began - _Last.failed.get(pk, -AFTER_ERROR) < AFTER_ERROR:
            continue
        with leases.held(pk) as is_held:
            if is_held:
                _drive_alone(pk)
        took = time.monotonic() - began
        _Last.used[owner] += took
        if took > SLOW:
            return


def _drive_alone(pk: int) -> None:
    """Take a campaign on. Whatever goes wrong in it is its own fault: it pauses, and the others go on."""
    try:
        drive(Campaign.objects.select_related("stream").get(pk=pk))
        _Last.failed.pop(pk, None)
    except Unavailable as exc:
        logger.warning("campaign %s waits: %s", pk, exc)
    except Campaign.DoesNotExist:
        pass
    except (OperationalError, InterfaceError):
        raise  # the database is not there, for none of the campaigns
    except Exception as exc:
        logger.exception("campaign %s failed, and pauses", pk)
        _Last.failed[pk] = time.monotonic()
        pause(
            Campaign(pk=pk),
            f"an error of the server ({type(exc).__name__}), which its log describes: tell its operator, change what the campaign "
            "asks for, and resume it",
        )


def drive(campaign: Campaign) -> None:
    """Take a campaign on: settle what has ended, submit what is due, close its round, and decide the next one."""
    attempts = RunAttempt.objects.filter(run__campaign=campaign, state__in=stages.OPEN)
    related = attempts.select_related(
        "run__campaign__stream", "run__decision", "run__composition", "calculation__cluster"
    )
    first_open: dict[int, RunAttempt] = {}
    for attempt in related.order_by("pk"):
        if attempt.calculation_number is None:
            _begin(campaign, attempt)
            continue
        earlier = first_open.get(attempt.run.decision_id)
        _settle(campaign, attempt, earlier)
        if earlier is None and attempt.state in stages.OPEN and not _waits_for(attempt.calculation):
            first_open[attempt.run.decision_id] = attempt
    if attempts.exists():
        return
    _close_rounds(campaign)
    if campaign.state == Campaign.ACTIVE:
        _decide(campaign)


def _begin(campaign: Campaign, attempt: RunAttempt) -> None:
    """Submit an attempt, unless the campaign is paused, or has ended, or its budget is used up."""
    if campaign.state in (Campaign.STOPPED, Campaign.FINISHED):
        _end(attempt, Run.FAILED, cause=NOT_RUN, reason=f"not started, because the campaign is {campaign.state}")
    elif (why := _over_budget(campaign)) and not attempt.started_by:
        _end(attempt, Run.FAILED, cause=NOT_RUN, reason=why)
    elif campaign.state == Campaign.ACTIVE:
        stages.submit(attempt)
        if attempt.state == Run.FAILED:
            _end(attempt, Run.FAILED, cause=attempt.cause, reason=attempt.reason)


def _over_budget(campaign: Campaign) -> str:
    most = loads(campaign.budget)["node_hours"]
    if most is None:
        return ""
    used = sum(RunAttempt.objects.filter(run__campaign=campaign).values_list("hours", flat=True))
    return (
        ""
        if used < most
        else f"not started: {used:.4g} of {most:.4g} node-hours are used; raise the budget and restart it"
    )


def _settle(campaign: Campaign, attempt: RunAttempt, earlier: RunAttempt | None) -> None:
    """Derive the state of an attempt from its calculation, and learn its cell if that is done.

    ``earlier`` is a run of the same round that goes on. Its cell is learned first, so that the order of the log, and with it the
    models, do not depend on which calculation ends first. A run that waits for a person or a silent cluster holds no other up.
    """
    calculation = attempt.calculation
    if calculation is None:
        reason = f"calculation {attempt.calculation_number} was deleted: restart the run"
        _end(attempt, Run.FAILED, cause="calculation deleted", reason=reason)
        return
    if campaign.state == Campaign.STOPPED and calculation.state not in states.ENDED:
        stages.cancel(attempt, f"campaign {campaign.name} was stopped")
    if calculation.state == states.DONE and earlier is not None:
        _note(attempt, Run.RUNNING, f"calculated; its cell is learned after that of run {earlier.run.number}")
    elif calculation.state == states.DONE:
        _ingest(attempt, calculation)
    elif calculation.state in states.ENDED:
        cause, reason = stages.failed_step(calculation)
        failed_cells.record(attempt, calculation, reason)
        _end(attempt, Run.FAILED, calculation, cause=cause, reason=reason)
    else:
        has_begun = calculation.state not in _NOT_BEGUN or calculation.steps.filter(state=states.DONE).exists()
        _note(attempt, Run.RUNNING if has_begun else Run.SCHEDULED, _waits_for(calculation))


def _ingest(attempt: RunAttempt, calculation: Calculation) -> None:
    try:
        cell = ingesting.ingest(attempt, calculation)
    except ingesting.NotYet as exc:
        _note(attempt, Run.RUNNING, str(exc))
    except ingesting.Unusable as exc:
        _end(attempt, Run.FAILED, calculation, cause=exc.cause, reason=str(exc))
    else:
        attempt.first, attempt.last = cell.first, cell.last
        _end(attempt, Run.DONE, calculation)


def _waits_for(calculation: Calculation | None) -> str:
    """Return what a calculation waits for, if a person should know."""
    if calculation is None:
        return ""
    number = calculation.pk
    if calculation.state == Calculation.NEEDS_APPROVAL:
        return f"calculation {number} needs approval: {calculation.needs_approval}"
    if calculation.state == states.HELD:
        return f"a person holds calculation {number}: release it"
    if calculation.state == Calculation.UNDECIDED:
        return f"the agent of cluster {calculation.cluster} lost a step of calculation {number}: decide on its page what becomes of it"
    clusters = Cluster.objects.filter(pk__in=Step.objects.filter(calculation=calculation).values("cluster"))
    silent = [one for one in clusters if sessions.is_silent(one)]
    if silent:
        one = silent[0]
        since = "it registered" if one.seen_at is None else f"{one.seen_at:%Y-%m-%d %H:%M} UTC"
        return (
            f"cluster {one.name} has been silent since {since}: calculation {number} keeps its state until its agent is back; start "
            "the agent, or cancel the calculation"
        )
    return ""


def _note(attempt: RunAttempt, state: str, reason: str) -> None:
    if (attempt.state, attempt.reason) != (state, reason):
        attempt.state, attempt.reason = state, reason
        attempt.save(update_fields=["state", "reason"])


def _end(
    attempt: RunAttempt, state: str, calculation: Calculation | None = None, *, cause: str = "", reason: str = ""
) -> None:
    attempt.state, attempt.cause, attempt.reason, attempt.ended_at = state, cause[:40], reason, datetime.now(UTC)
    attempt.hours = 0.0 if calculation is None else costs.of_calculation(calculation)
    attempt.save()


def _close_rounds(campaign: Campaign) -> None:
    """Note the end of rounds of which no run goes on, and when the next one may begin."""
    ended = Decision.objects.filter(campaign=campaign, state=Decision.APPROVED, ended_at=None)
    if ended.exists():
        now = datetime.now(UTC)
        with transaction_for_writing():
            ended.update(ended_at=now)
            campaign.next_at = now + timedelta(seconds=campaign.pause_between_rounds)
            Campaign.objects.filter(pk=campaign.pk).update(next_at=campaign.next_at)


def _decide(campaign: Campaign) -> None:
    """Make the next decision, if it is time. Whatever makes it impossible pauses the campaign, with the reason."""
    if campaign.stream is None:
        pause(campaign, f"stream {campaign.stream_name} was deleted: create another campaign")
        return
    waiting = deciding.open_proposal(campaign)
    if waiting is not None and proposals.is_outdated(campaign, waiting):
        with transaction_for_writing():
            campaigns.supersede(campaigns.locked(campaign), "observations were retracted after it was made")
        waiting = None
    if waiting is not None:
        return
    if campaign.next_at is not None and campaign.next_at > datetime.now(UTC):
        return
    try:
        deciding.decide(campaign)
    except Unavailable:
        raise
    except Conflict as exc:
        if exc.code in ("stream_deleted", "model_deleted") or exc.code not in ("busy", "wrong_state"):
            pause(campaign, exc.message)
    except TailraceError as exc:
        pause(campaign, exc.message)


def pause(campaign: Campaign, reason: str) -> None:
    """Pause a campaign that can't go on by itself."""
    with transaction_for_writing():
        campaign = campaigns.locked(campaign)
        if campaign.state == Campaign.ACTIVE:
            campaigns.supersede(campaign, reason)
            campaigns.move(campaign, Campaign.PAUSED, reason)
