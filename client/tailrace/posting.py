"""Posting one observation so that it never hurts the job that posts it: delivered, or kept on disk."""

from __future__ import annotations

from tailrace.errors import Refused, SpoolError, TailraceError, Unreachable, Unusable
from tailrace.keys import key_for
from tailrace.pending import Pending
from tailrace.plain import plain_point, plain_value
from tailrace.server import DEADLINE, Server, address_of, observations_path
from tailrace.spool import SIZE_MB, Spool
from tailrace.written import unlike, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

__all__ = ["Posted", "deliver", "observation", "post", "post_made", "told", "warning_in"]


class Posted:
    """What became of an observation.

    Attributes
    ----------
    stream, key
        Which one it was.
    answer
        The server's answer, if it has it; it says the observation's number (``last``).
    kept
        The spool's file, if it is kept there; None if it was delivered, or could not even be kept.
    reason
        Why it was not delivered, in one line; None if it was. Holds the whole observation, if nothing else does.
    error
        The same as an exception.
    """

    __slots__ = ("answer", "error", "kept", "key", "reason", "stream")

    def __init__(
        self,
        stream: str,
        key: str,
        answer: Mapping[str, Any] | None = None,
        kept: Path | None = None,
        reason: str | None = None,
        error: TailraceError | None = None,
    ) -> None:
        self.stream = stream
        self.key = key
        self.answer = answer
        self.kept = kept
        self.reason = reason
        self.error = error

    @property
    def delivered(self) -> bool:
        """Whether the server has it."""
        return self.answer is not None

    @property
    def number(self) -> int | None:
        """Its number in the stream; None if it was not delivered."""
        return None if self.answer is None else int(self.answer["last"])

    @property
    def known_before(self) -> bool:
        """Whether the server had an observation of this key already, and changed nothing."""
        return self.answer is not None and bool(self.answer.get("duplicates"))

    @property
    def skipped(self) -> dict[str, str]:
        """Models that could not learn it, with their reasons; it is in the stream all the same."""
        models = {} if self.answer is None else self.answer.get("models") or {}
        return {name: told["error"] for name, told in models.items() if "error" in told}

    @property
    def warning(self) -> str | None:
        """What the server says of a stream that this observation made: no model learns from it. None otherwise."""
        return warning_in(self.answer)

    @property
    def refused(self) -> bool:
        """Whether the server will never take it; it is set aside then, with the reason beside it."""
        return isinstance(self.error, Refused) and self.error.for_good

    def __repr__(self) -> str:
        if self.answer is None:
            where = f", kept as {self.kept}" if self.kept is not None else ""
            return f"<not delivered to {self.stream}: {self.reason}{where}>"
        notes = ", known before" if self.known_before else ""
        notes += f", skipped by {', '.join(self.skipped)}" if self.skipped else ""
        notes += f"; {self.warning}" if self.warning else ""
        return f"<observation {self.number} of {self.stream}{notes}>"


def warning_in(answer: Any) -> str | None:
    """What a server says with its answer of a stream that was made by posting to it; None where none was."""
    new = answer.get("new_stream") if isinstance(answer, dict) else None
    return str(new.get("message", "")) or None if isinstance(new, dict) else None


def observation(
    x: Mapping[str, float | bool | str],
    y: Any,
    key: str | None = None,
    source: Mapping[str, Any] | None = None,
    step: str | None = None,
    y_text: str | None = None,
) -> dict[str, Any]:
    """An observation as it goes over the wire; its key is made where none is given (`tailrace.keys.key_for`).

    Features that were read from text (`tailrace.written.Given`) and a target that was (`y_text`) go with it.

    Raises
    ------
    Unusable
        If a value can't be sent; the message names its field.
    """
    features, y = plain_point(x), plain_value(y, "y")
    texts = written(x, y_text)
    of_x = texts.get("x", {})
    content = [{name: unlike(value, of_x.get(name)) for name, value in features.items()}, unlike(y, y_text)]
    made: dict[str, Any] = {"x": features, "y": y, "key": key or key_for(step, content=content)}
    if texts:
        made["written"] = texts
    if source:
        made["source"] = dict(source)
    return made


def post(
    stream: str,
    x: Mapping[str, float | bool | str],
    y: Any,
    *,
    key: str | None = None,
    source: Mapping[str, Any] | None = None,
    deadline: float = DEADLINE,
    server: Server | None = None,
    spool: Spool | str | os.PathLike[str] | None = None,
) -> Posted:
    """Post one observation, or keep it in the spool. Nothing that settings, network, server or disk do raises.

    Parameters
    ----------
    stream
        The stream's name.
    x, y
        Features by name, and the target.
    key
        The idempotency key. None: made from the job that this runs in.
    source
        Where it came from: job, host, program …
    deadline
        Seconds for everything, retries included.
    server, spool
        None: what the environment names.

    Raises
    ------
    Unusable
        If the observation can't be sent as JSON: nothing was sent.
    """
    made = observation(x, y, key, source)
    return told(post_made(stream, made, server=server, spool=spool, deadline=deadline))


def told(posted: Posted) -> Posted:
    """Say it by the logger ``tailrace`` where it was not delivered: a script that looks at nothing would not know."""
    if posted.error is not None:
        import logging

        logging.getLogger("tailrace").warning("tailrace: %s", repr(posted).strip("<>"))
    return posted


def post_made(
    stream: str,
    made: Mapping[str, Any],
    *,
    server: Server | str | None,
    spool: Spool | str | os.PathLike[str] | None,
    deadline: float = DEADLINE,
) -> Posted:
    """The same for an observation that is made already, and a server whose address may turn out to be unusable."""
    if not isinstance(spool, Spool):
        spool = _spool(spool)
    if not isinstance(server, Server):
        url = server
        try:
            server = Server(url)
        except Unusable as error:
            pending = Pending(spool, stream, made, address_of(url))
            return _keep(pending, Posted(stream, made["key"]), error, made)
    return deliver(stream, made, server=server, spool=spool, deadline=deadline)


def deliver(
    stream: str, made: Mapping[str, Any], *, server: Server, spool: Spool, deadline: float = DEADLINE
) -> Posted:
    """The same for a server that is known."""
    posted = Posted(stream, made["key"])
    pending = Pending(spool, stream, made, server.address)
    try:
        answer = server.request("POST", observations_path(stream), dict(made), deadline=deadline)
        if not isinstance(answer, dict) or "last" not in answer:
            raise Unreachable(f"{server.url}: it answered {answer!r:.100}: is this a Tailrace server?")
    except (Unreachable, Refused, Unusable) as error:
        return _keep(pending, posted, error, made)
    pending.delivered()
    posted.answer = answer
    return posted


def _keep(pending: Pending, posted: Posted, error: TailraceError, made: Mapping[str, Any]) -> Posted:
    from pathlib import Path

    posted.error, posted.reason = error, str(error)
    try:
        posted.kept = pending.refuse(posted.reason) if posted.refused else Path(pending.keep())
    except SpoolError as trouble:
        import json

        # The job's own output is the last place left.
        line = json.dumps({"stream": posted.stream, "observation": dict(made)})
        posted.error, posted.reason = trouble, f"{error}; not kept either ({trouble}): {line}"
    return posted


def _spool(directory: str | os.PathLike[str] | None) -> Spool:
    try:
        return Spool(directory)
    except Unusable:
        # A limit that can't be read is no reason to lose what it limits; `tailrace flush` complains of it.
        return Spool(directory, SIZE_MB)
