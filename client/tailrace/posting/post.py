"""Posting one observation from a job: it is delivered or stored on disk, and never fails or delays the job."""

from __future__ import annotations

from tailrace.errors import Refused, SpoolError, TailraceError, Unreachable, Unusable
from tailrace.observations.idempotency_keys import key_for
from tailrace.observations.json_values import json_point, json_value, plain_number
from tailrace.observations.text_values import texts_of, value_or_text
from tailrace.spool.directory import SIZE_MB, SpoolDirectory
from tailrace.spool.in_flight import InFlight
from tailrace.transport.endpoint import address_of
from tailrace.transport.observation_requests import check_stream, post_observations, receipt_warning
from tailrace.transport.server import DEADLINE, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

__all__ = [
    "Posted",
    "deliver",
    "log_undelivered",
    "log_warning",
    "make_observation",
    "post",
    "post_observation",
    "post_or_raise",
]


class Posted:
    """Result of posting an observation.

    Attributes
    ----------
    stream, key
        Stream and idempotency key of the observation.
    answer
        The server's response, with the observation's number as ``last``. None if it was not delivered.
    kept
        File in the spool that keeps the observation. None if it was delivered, or could not be kept.
    reason
        Why it was not delivered, in one line; None if it was. Contains the observation if it could not be kept, either.
    error
        The error that prevented the delivery. None if it was delivered.
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
        """Whether the server has the observation."""
        return self.answer is not None

    @property
    def number(self) -> int | None:
        """The observation's number in the stream. None if it was not delivered."""
        return None if self.answer is None else int(self.answer["last"])

    @property
    def known_before(self) -> bool:
        """Whether the server already had an observation with this key. It then changed nothing."""
        return self.answer is not None and bool(self.answer.get("duplicates"))

    @property
    def skipped(self) -> dict[str, str]:
        """Models that could not learn the observation, with the errors. The observation is in the stream anyway."""
        models = {} if self.answer is None else self.answer.get("models") or {}
        return {name: model["error"] for name, model in models.items() if "error" in model}

    @property
    def warning(self) -> str | None:
        """What the server warns of: the observation created the stream, or is unlike the earlier ones. None otherwise."""
        return receipt_warning(self.answer)

    @property
    def refused(self) -> bool:
        """Whether the server refused it for good. It is then in the spool's ``refused/``, with the reason in a file."""
        return isinstance(self.error, Refused) and self.error.for_good

    def __repr__(self) -> str:
        if self.answer is None:
            where = f", kept as {self.kept}" if self.kept is not None else ""
            return f"<not delivered to {self.stream}: {self.reason}{where}>"
        notes = ", known before" if self.known_before else ""
        notes += f", skipped by {', '.join(self.skipped)}" if self.skipped else ""
        notes += f"; {self.warning}" if self.warning else ""
        return f"<observation {self.number} of {self.stream}{notes}>"


def make_observation(
    x: Mapping[str, float | bool | str],
    y: Any,
    key: str | None = None,
    source: Mapping[str, Any] | None = None,
    step: str | None = None,
    y_text: str | None = None,
) -> dict[str, Any]:
    """Returns an observation as the API expects it.

    It includes the texts from which features (`tailrace.observations.text_values.TextFeatures`) and the target
    (`y_text`) were read, if any. If `key` is None, `tailrace.observations.idempotency_keys.key_for` makes a key.

    Raises
    ------
    Unusable
        If a value cannot be sent. The message names its field.
    """
    if not isinstance(key, (str, type(None))):
        raise Unusable(f"key is {key!r}: expected text")
    if key == "":
        raise Unusable("key is empty: expected text (is a variable not set?); leave it out, and the job makes one")
    if not isinstance(source, (dict, type(None))) and not hasattr(source, "items"):
        raise Unusable(f"source is {source!r}: expected a mapping, such as {{'job': 'melt-7'}}")
    features, y = json_point(x), json_value(y, "y")
    texts = texts_of(x, y_text)
    of_x = texts.get("x", {})
    content = [
        {name: value_or_text(value, of_x.get(name)) for name, value in features.items()},
        value_or_text(y, y_text),
    ]
    made: dict[str, Any] = {"x": features, "y": y, "key": key or key_for(step, content=content)}
    if texts:
        made["written"] = texts
    if source:
        made["source"] = {name: plain_number(value) for name, value in source.items()}
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
    spool: SpoolDirectory | str | os.PathLike[str] | None = None,
) -> Posted:
    """Post one observation. If it cannot be delivered, keep it in the spool.

    Problems with settings, network, server or disk raise no error. The result tells of them, and the logger
    ``tailrace`` logs a warning.

    Parameters
    ----------
    stream
        Name of the stream.
    x, y
        Features by name, and the target.
    key
        The idempotency key. None: made from the job that this runs in.
    source
        Where the observation comes from, such as job, host and program.
    deadline
        Seconds for the whole call, including retries.
    server, spool
        None: as the environment variables say.

    Raises
    ------
    Unusable
        If no stream can have that name, or the observation cannot be sent as JSON. Nothing was sent or kept.
    """
    made = make_observation(x, y, key, source)
    return log_undelivered(post_observation(stream, made, server=server, spool=spool, deadline=deadline))


def post_or_raise(
    server: Server,
    stream: str,
    x: Mapping[str, Any],
    y: Any,
    *,
    key: str | None = None,
    source: Mapping[str, Any] | None = None,
    deadline: float = DEADLINE,
    strict: bool = False,
) -> Posted:
    """Post one observation, or keep it in the spool. See `Client.post`."""
    posted = post_observation(stream, make_observation(x, y, key, source), server=server, spool=None, deadline=deadline)
    if strict and posted.error is not None:
        raise posted.error
    return log_undelivered(posted)


def log_undelivered(posted: Posted) -> Posted:
    """Log a warning if the observation was not delivered, for scripts that ignore the result. Returns `posted`."""
    if posted.error is not None:
        log_warning(repr(posted).strip("<>"))
    return posted


def log_warning(text: str) -> None:
    """Log a warning with the logger ``tailrace``. Python prints it if the program sets up no logging."""
    import logging

    logging.getLogger("tailrace").warning("tailrace: %s", text)


def post_observation(
    stream: str,
    made: Mapping[str, Any],
    *,
    server: Server | str | None,
    spool: SpoolDirectory | str | os.PathLike[str] | None,
    deadline: float = DEADLINE,
) -> Posted:
    """Post an observation from `make_observation`, or keep it in the spool. The server's address may be invalid.

    Raises
    ------
    Unusable
        If no stream can have that name, or the observation cannot be sent as JSON. Nothing was sent or kept.
    """
    check_stream(stream)
    if isinstance(deadline, (bool, str)) or not hasattr(deadline, "__float__") or deadline != deadline:
        raise Unusable(f"deadline is {deadline!r}: expected seconds, such as 5")
    if not isinstance(spool, SpoolDirectory):
        spool = _spool(spool)
    if not isinstance(server, Server):
        url = server
        try:
            server = Server(url)
        except Unusable as error:
            in_flight = InFlight(spool, stream, made, address_of(url))
            return _keep(in_flight, Posted(stream, made["key"]), error, made)
    return deliver(stream, made, server=server, spool=spool, deadline=deadline)


def deliver(
    stream: str, made: Mapping[str, Any], *, server: Server, spool: SpoolDirectory, deadline: float = DEADLINE
) -> Posted:
    """Post an observation to a server, or keep it in the spool."""
    posted = Posted(stream, made["key"])
    in_flight = InFlight(spool, stream, made, server.address)
    try:
        answer = post_observations(server, stream, dict(made), deadline=deadline)
    except (Unreachable, Refused, Unusable) as error:
        return _keep(in_flight, posted, error, made)
    in_flight.delivered()
    posted.answer = answer
    return posted


def _keep(in_flight: InFlight, posted: Posted, error: TailraceError, made: Mapping[str, Any]) -> Posted:
    from pathlib import Path

    posted.error, posted.reason = error, str(error)
    try:
        posted.kept = in_flight.refuse(posted.reason) if posted.refused else Path(in_flight.keep())
    except SpoolError as trouble:
        import json

        # The reason, which the job prints, is the last place that can keep the observation.
        line = json.dumps({"stream": posted.stream, "observation": dict(made)})
        posted.error, posted.reason = trouble, f"{error}; not kept either ({trouble}): {line}"
    return posted


def _spool(directory: str | os.PathLike[str] | None) -> SpoolDirectory:
    try:
        return SpoolDirectory(directory)
    except Unusable:
        # The size limit is invalid. Use the default rather than lose the observation. `tailrace flush` reports it.
        return SpoolDirectory(directory, SIZE_MB)
