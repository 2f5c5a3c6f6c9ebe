"""The states of a step, which state may follow which, and who may move it."""

from typing import NamedTuple

from server.core.errors import Conflict

HELD, WAITING, READY = "held", "waiting", "ready"
CLAIMED, PERMITTED, QUEUED, RUNNING, SETTLING = "claimed", "permitted", "queued", "running", "settling"
DONE, UNCONVERGED, FAILED, CANCELLED, BLOCKED = "done", "unconverged", "failed", "cancelled", "blocked"

STATES = {
    HELD: "needs approval, or a person holds it back",
    WAITING: "waits for its parents",
    READY: "may be claimed by an agent",
    CLAIMED: "an agent has it, and may not submit it yet",
    PERMITTED: "the agent may submit it, and may have done so",
    QUEUED: "in the queue of the cluster's scheduler",
    RUNNING: "its job runs",
    SETTLING: "its job has ended, and the agent validates it and extracts results",
    DONE: "has a valid result",
    UNCONVERGED: "finished, but did not converge",
    FAILED: "ended without a result",
    CANCELLED: "cancelled by a person or by the site",
    BLOCKED: "can't run, because a parent ended without a valid result",
}
"""Every state and what it means."""

SERVER, AGENT, PERSON = "server", "agent", "person"
WHO = (SERVER, AGENT, PERSON)

IDLE = (HELD, WAITING, READY)
"""Nothing runs yet."""

SUBMITTED = (PERMITTED, QUEUED, RUNNING, SETTLING)
"""A job may exist. Only the cluster's agent or a person moves a step on from these."""

ACTIVE = (CLAIMED, *SUBMITTED)
"""An agent has it."""

ENDED = (DONE, UNCONVERGED, FAILED, CANCELLED, BLOCKED)
RETRIED = (UNCONVERGED, FAILED, CANCELLED)
"""A person may run these again."""


class Move(NamedTuple):
    """One allowed move: from which state to which, who may make it, and when."""

    before: str
    after: str
    who: str
    when: str


def _moves() -> list[Move]:
    moves = [
        Move(HELD, WAITING, PERSON, "approved or released, and a parent is not done"),
        Move(HELD, READY, PERSON, "approved or released"),
        Move(WAITING, READY, SERVER, "all parents are done"),
        Move(READY, CLAIMED, AGENT, "claimed"),
        Move(CLAIMED, READY, SERVER, "the agent is silent, or its next session does not have it"),
        Move(CLAIMED, READY, AGENT, "given back"),
        Move(CLAIMED, PERMITTED, AGENT, "asked for permission to submit"),
        Move(UNCONVERGED, READY, SERVER, "a handler corrects it: the next attempt"),
        Move(FAILED, READY, SERVER, "a handler corrects it: the next attempt"),
        Move(BLOCKED, WAITING, SERVER, "a parent runs again or is done"),
        Move(BLOCKED, READY, SERVER, "its last parent is done"),
        Move(BLOCKED, HELD, SERVER, "a parent runs again or is done, and it was held back before"),
    ]
    moves += [Move(before, HELD, PERSON, "held back") for before in (WAITING, READY, CLAIMED)]
    moves += [Move(before, BLOCKED, SERVER, "a parent ended without a valid result") for before in IDLE]
    moves += [Move(before, CANCELLED, PERSON, "cancelled") for before in (*IDLE, CLAIMED, BLOCKED)]
    moves += [Move(before, FAILED, AGENT, "it can't be run") for before in (CLAIMED, *SUBMITTED)]
    moves += [Move(before, CANCELLED, AGENT, "its job was cancelled") for before in (CLAIMED, *SUBMITTED)]
    for n, before in enumerate(SUBMITTED):
        moves += [Move(before, after, AGENT, "progress of its job") for after in SUBMITTED[n + 1 :]]
        moves.append(Move(before, UNCONVERGED, AGENT, "validated: not converged"))
        moves.append(Move(before, READY, PERSON, "undecided: run it again"))
        moves.append(Move(before, FAILED, PERSON, "undecided: given up"))
    moves += [Move(before, READY, PERSON, "run again") for before in RETRIED]
    moves += [Move(before, WAITING, PERSON, "run again, and a parent is not done") for before in RETRIED]
    moves += [
        Move(before, DONE, AGENT, "a valid result" if before in SUBMITTED else "a valid result that came late")
        for before in STATES
        if before != DONE
    ]
    return moves


MOVES = tuple(_moves())
_WHO: dict[tuple[str, str], frozenset[str]] = {}
for _move in MOVES:
    _WHO[_move[:2]] = _WHO.get(_move[:2], frozenset()) | {_move.who}


def may(before: str, after: str, who: str) -> bool:
    """Whether somebody may move a step from one state to another."""
    return who in _WHO.get((before, after), frozenset())


def check(step: str, before: str, after: str, who: str) -> None:
    """Refuse a move that isn't in the table.

    Raises
    ------
    Conflict
        Then. The message names both states and what may follow.
    """
    if may(before, after, who):
        return
    follow = [state for state in STATES if may(before, state, who)]
    expected = f"expected {', '.join(follow)}" if follow else "nothing"
    raise Conflict(
        f"step {step} is {before}, and the {who} can't make it {after}: {expected} may follow", code="wrong_state"
    )
