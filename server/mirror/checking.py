"""Checks a mirrored version: the log is replayed to its position, and the states are compared bit for bit."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from server.core.errors import NotFound
from server.learning.fold import replay, snapshots
from server.learning.models import Model
from server.mirror import state_text, versions
from server.mirror.downloads import Mirrored
from server.mirror.fingerprints import Fingerprint
from server.streams.models import Stream


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes
    ----------
    difference
        What differs; empty if the state is that of the replay.
    stale
        Which of its observations were retracted since; empty if none was.
    observations
        How many observations were replayed.
    after
        The observation of the snapshot that the replay began with, 0 for the initial state.
    """

    difference: str
    stale: str
    observations: int
    after: int


def check(found: Mirrored, progress: Callable[[int], None] | None = None) -> Verdict:
    """Replay the log to the position of a version and compare its state.

    Observations that were retracted after the version was made are learned, as they were then.

    Raises
    ------
    NotFound
        If this server has no such model.
    Gone
        If the log no longer has what is needed.
    """
    name, at = found.frozen.name, found.frozen.at
    model = Model.objects.select_related("stream").filter(name=name, stream__name=found.frozen.stream["name"]).first()
    if model is None:
        raise NotFound(
            f"{found.name} is of model {name} of stream {found.frozen.stream['name']}, which this server doesn't have"
        )
    stale = versions.why_stale(model, at, found.about["retraction"])
    then = copy.copy(model)
    then.retraction = found.about["retraction"]
    wrong = _of_another_log(model.stream, found)
    if wrong:
        return Verdict(wrong, stale, 0, 0)
    after = model.stream.whole_after if model.since < model.stream.whole_after else 0
    segment = model.stream.segment
    replica = snapshots.load(model, segment, after) if after else replay.initial_replica(model, segment)
    began = replica.n
    replay.fold_log(replica, then, replay.exclusions_of(then), at, progress=progress)
    return Verdict(_difference(found.frozen.state, replay.dump(replica)), stale, at - began, after)


def _of_another_log(stream: Stream, found: Mirrored) -> str:
    """Return how the log differs from the one that a version was made from; empty if it doesn't, as far as is known."""
    at, expected = found.frozen.at, found.about.get("fingerprint")
    if at > stream.head:
        return f"it has learned {at} observations, and stream {stream.name} has {stream.head}"
    if not expected or stream.whole_after:
        return ""
    own = Fingerprint()
    own.read(stream, at)
    if own.digest == expected:
        return ""
    return f"observations 1 to {at} of stream {stream.name} are not those that it was made from: the fingerprint of the log differs"


def _difference(theirs: bytes, ours: bytes) -> str:
    """Return what differs between two stored states; empty if they are equal bit for bit."""
    if theirs == ours:
        return ""
    number = 0
    mine = state_text.lines(ours)
    for number, line in enumerate(state_text.lines(theirs), 1):
        own = next(mine, "(end)")
        if line != own:
            return f"its state has {line[:100]!r} where the replay has {own[:100]!r} (line {number})"
    rest = next(mine, None)
    return "" if rest is None else f"its state ends where the replay has {rest[:100]!r} (line {number + 1})"
