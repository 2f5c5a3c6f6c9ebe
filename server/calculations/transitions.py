"""How steps change their state: every change is in the log of transitions, and children and calculations follow.

Whoever changes a step holds the lock of its calculation. :func:`changing` takes the locks, in the order of the numbers.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import Count, Q

from server.calculations import announcements, states
from server.calculations.models import Calculation, Parent, Step, Transition
from server.core.db import changed_rows
from server.core.db.locks import transaction_for_writing
from server.core.json_codec import dumps_text

LONGEST_REASON = 2_000
_STORED = ("state", "reason", "changed_at", "fence", "cluster", "cancel_wanted", "lost", "corrections", "resources",
           "result", "priority")  # fmt: skip

_MOVED = ("state", "reason", "lost", "cancel_wanted")
"""Columns that a move changes, besides the time. Steps that have the same are stored by one statement."""

NEEDED = ("uid", "calculation", "state", "fence", "lost", "cancel_wanted")
"""Columns of steps that are needed to move them. Others may be large."""

_OF_TRANSITION = ("calculation", "step", "fence", "at", "before", "after", "who", "name", "reason")
MOST_AT_ONCE = 500
"""Most steps that one statement names."""

_OF_CALCULATION = (
    "name",
    "description",
    "cluster",
    "priority",
    "state",
    "counts",
    "ended_at",
    "approved_by",
    "approved_at",
)


class Actor(NamedTuple):
    """Who changes something: one of :data:`server.calculations.states.WHO`, and the name of the cluster or user."""

    who: str
    name: str


SERVER = Actor(states.SERVER, "")


def person(name: str) -> Actor:
    """Return a user as an actor."""
    return Actor(states.PERSON, name)


def agent(cluster: str) -> Actor:
    """Return the agent of a cluster as an actor."""
    return Actor(states.AGENT, cluster)


class Change:
    """Changes of steps in one transaction. :meth:`finish` lets children follow, and stores everything.

    Attributes
    ----------
    calculations
        The locked calculations, by number.
    at
        The time of the change, by the server's clock.
    """

    def __init__(self, calculations: dict[int, Calculation]) -> None:
        self.calculations = calculations
        self.at = datetime.now(UTC)
        self._steps: dict[int, Step] = {}
        self._only_moved: set[int] = set()
        self._ended: dict[int, Step] = {}
        self._waiting: dict[int, set[int]] = {}
        self._transitions: list[tuple[Any, ...]] = []

    def move(self, step: Step, after: str, actor: Actor, reason: str = "", *, state_only: bool = False) -> None:
        """Move a step to another state.

        Parameters
        ----------
        state_only
            Whether nothing else of the step was changed. Many such steps are stored much faster.

        Raises
        ------
        Conflict
            If the table of states does not allow it.
        """
        states.check(step.uid, step.state, after, actor.who)
        before, step.state = step.state, after
        step.reason, step.changed_at = reason[:LONGEST_REASON], self.at
        if after not in states.SUBMITTED:
            step.lost = False
        if after in (states.READY, states.WAITING, states.HELD, *states.ENDED):
            step.cancel_wanted = False
        if state_only and (step.pk not in self._steps or step.pk in self._only_moved):
            self._steps[step.pk] = step
            self._only_moved.add(step.pk)
        else:
            self.keep(step)
        if before in states.ENDED or after in states.ENDED:  # all others are the same to its children
            self._ended[step.pk] = step
        self._note(step.calculation_id, step, before, after, actor, reason)

    def begun(self, step: Step, actor: Actor) -> None:
        """Log the first state of a new step."""
        self._transitions.append((step.calculation_id, step.pk, None, self.at, "", step.state, *actor, ""))

    def note(self, calculation: Calculation, after: str, actor: Actor, reason: str = "") -> None:
        """Log a change of a whole calculation, such as its approval."""
        self._note(calculation.pk, None, "", after, actor, reason)

    def keep(self, step: Step) -> None:
        """Store a step at the end, whatever was changed of it."""
        self._only_moved.discard(step.pk)
        self._steps[step.pk] = step

    def _note(self, calculation: int, step: Step | None, before: str, after: str, actor: Actor, reason: str) -> None:
        of_step = (None, None) if step is None else (step.pk, step.fence)
        self._transitions.append((calculation, *of_step, self.at, before, after, *actor, reason[:LONGEST_REASON]))

    def unpin(self, calculation: Calculation) -> None:
        """Let any cluster run a calculation from the start, if it was submitted so and nothing of it runs or is done."""
        busy = {*states.ACTIVE, states.DONE}
        steps = {step.pk: step for step in calculation.steps.all()} | self._steps
        own = [step for step in steps.values() if step.calculation_id == calculation.pk]
        if calculation.wanted_cluster_id is None and not any(step.state in busy for step in own):
            calculation.cluster = None
            for step in own:
                step.cluster = None
                self.keep(step)

    def after_release(self, step: Step) -> str:
        """Return the state of a held step, or one to be run again, once it is released: ready, or waiting for its parents."""
        number = step.calculation_id
        if number not in self._waiting:
            links = Parent.objects.filter(Q(step__calculation=number) & ~Q(parent__state=states.DONE))
            self._waiting[number] = set(links.values_list("step", flat=True))
        return states.WAITING if step.pk in self._waiting[number] else states.READY

    def finish(self) -> None:
        """Let children follow their parents, store everything, and derive the states of the calculations."""
        if self._ended:
            self._follow()
        changed_rows.store((step for pk, step in self._steps.items() if pk not in self._only_moved), _STORED)
        self._store_moved()
        changed_rows.add(Transition, _OF_TRANSITION, self._transitions)
        if self.calculations:
            self._derive()

    def _store_moved(self) -> None:
        """Store the steps of which nothing but the state was changed, those of the same state together."""
        alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for pk in self._only_moved:
            alike[tuple(getattr(self._steps[pk], name) for name in _MOVED)].append(pk)
        for values, pks in alike.items():
            fields = dict(zip(_MOVED, values, strict=True))
            for low in range(0, len(pks), MOST_AT_ONCE):
                Step.objects.filter(pk__in=pks[low : low + MOST_AT_ONCE]).update(**fields, changed_at=self.at)

    def _follow(self) -> None:
        """Move the descendants of steps that ended, or no longer are at an end.

        The graph is read once: a chain may have as many levels as steps.
        """
        numbers = {step.calculation_id for step in self._ended.values()}
        parents, children = defaultdict(list), defaultdict(list)
        for parent, child in Parent.objects.filter(step__calculation__in=numbers).values_list("parent", "step"):
            parents[child].append(parent)
            children[parent].append(child)
        if not parents:
            return
        state = dict(Step.objects.filter(calculation__in=numbers).values_list("pk", "state"))
        state |= {pk: step.state for pk, step in self._steps.items()}
        moves: list[tuple[int, str, str]] = []
        moved = list(self._ended)
        blocked = _before_blocked(numbers) if states.BLOCKED in state.values() else {}
        while moved:
            reached = dict.fromkeys(child for pk in moved for child in children[pk])
            moved = []
            for pk in reached:
                wanted, reason = _wanted(state[pk], [state[parent] for parent in parents[pk]])
                if state[pk] == states.BLOCKED != wanted and blocked.get(pk) == states.HELD:
                    wanted, reason = states.HELD, "it was held back before a parent ended without a valid result"
                if wanted != state[pk]:
                    state[pk] = wanted
                    moves.append((pk, wanted, reason))
                    moved.append(pk)
        steps = Step.objects.only(*NEEDED).in_bulk({pk for pk, _, _ in moves} - set(self._steps)) | self._steps
        for pk, wanted, reason in moves:
            self.move(steps[pk], wanted, SERVER, reason, state_only=True)

    def _derive(self) -> None:
        counted: dict[int, Counter[str]] = {pk: Counter() for pk in self.calculations}
        lost: set[int] = set()
        rows = Step.objects.filter(calculation__in=counted).order_by().values_list("calculation", "state", "lost")
        for pk, state, is_lost, number in rows.annotate(number=Count("pk")):
            counted[pk][state] += number
            if is_lost:
                lost.add(pk)
        stored: list[Calculation] = []
        told: list[tuple[Calculation, str]] = []
        for pk, counts in counted.items():
            calculation = self.calculations[pk]
            before, after = calculation.state, derived(calculation, counts, is_undecided=pk in lost)
            has_ended = after in states.ENDED
            calculation.state, calculation.counts = after, dumps_text(counts)
            calculation.ended_at = (calculation.ended_at or self.at) if has_ended else None
            _unpin(calculation, counts)
            stored.append(calculation)
            if after != before:
                told.append((calculation, before))
        changed_rows.store(stored, _OF_CALCULATION)
        for calculation, before in told:
            announcements.state_changed(calculation, before)


def _wanted(state: str, parents: Collection[str]) -> tuple[str, str]:
    """Return the state that a step must have because of its parents' states, and why."""
    if state not in (*states.IDLE, states.BLOCKED):
        return state, ""
    bad = next((parent for parent in parents if parent in states.ENDED and parent != states.DONE), None)
    if bad is not None:
        return states.BLOCKED, f"a parent is {bad}"
    if state == states.HELD:
        return state, ""
    if all(parent == states.DONE for parent in parents):
        return states.READY, "all parents are done"
    return states.WAITING, "a parent is not done yet"


def _before_blocked(calculations: Collection[int]) -> dict[int, str]:
    """Return the state that each blocked step of these calculations had before."""
    found = Transition.objects.filter(calculation__in=calculations, after=states.BLOCKED, step__isnull=False)
    return dict(found.order_by("pk").values_list("step", "before"))


def derived(calculation: Calculation, counts: Counter[str], *, is_undecided: bool) -> str:
    """Return the state of a calculation, given how many of its steps are in each state."""
    if is_undecided:
        return Calculation.UNDECIDED
    if any(counts[state] for state in states.ACTIVE):
        return states.RUNNING
    if counts[states.HELD] and calculation.needs_approval and calculation.approved_at is None:
        return Calculation.NEEDS_APPROVAL
    if counts[states.READY] or counts[states.WAITING]:
        return states.WAITING
    if counts[states.HELD]:
        return states.HELD
    bad = (states.FAILED, states.UNCONVERGED, states.CANCELLED, states.BLOCKED)
    found = next((state for state in bad if counts[state]), states.DONE)
    return states.CANCELLED if found == states.BLOCKED else found


def _unpin(calculation: Calculation, counts: Counter[str]) -> None:
    """Let any cluster take a calculation again that was claimed, but of which nothing was ever submitted."""
    if calculation.wanted_cluster_id is not None or calculation.cluster_id is None:
        return
    if any(counts[state] for state in (*states.ACTIVE, states.DONE, *states.RETRIED)):
        return
    if calculation.steps.filter(attempts__permitted_at__isnull=False).exists():
        return
    calculation.cluster_id = None
    calculation.steps.update(cluster=None)


@contextlib.contextmanager
def changing(*numbers: int) -> Iterator[Change]:
    """Run the block in a transaction that holds the locks of these calculations."""
    with transaction_for_writing():
        change = Change(locked(numbers))
        yield change
        change.finish()


def locked(numbers: Collection[int], *, skip: bool = False) -> dict[int, Calculation]:
    """Lock calculations, and return them by number. With ``skip``, leave out those that others have locked."""
    if not numbers:
        return {}
    rows = Calculation.objects.select_for_update(skip_locked=skip, of=("self",)).filter(pk__in=set(numbers))
    rows = rows.defer("asked")  # megabytes, of up to hundreds of calculations
    return {row.pk: row for row in rows.order_by("pk")}
