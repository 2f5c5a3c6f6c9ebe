"""A frozen copy of a model: a file that a server predicts with and nothing else, without the log that made it.

The file's first line is JSON (``head -1`` shows it) and says what it is; behind it stand the model's initial estimator and its
state, as the server stores them, whose lengths and SHA-256 the line has. It is read as the database is: take it from nobody who
couldn't be trusted with that.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.streams.codec import dumps, loads

FORMAT = "tailrace-frozen-model"
VERSION = 1
LONGEST_HEADER = 2**20

_STREAM = ("name", "description", "target_name", "target_unit", "target_kind", "features", "segment", "descriptor")
_MODEL = ("name", "flavor", "recipe", "parameters", "window")


class FrozenError(Exception):
    """A frozen model can't be used; the message says why, and what was expected."""


@dataclass(frozen=True)
class Frozen:
    """What a file holds.

    Attributes
    ----------
    stream, model
        What was declared of them.
    at
        The last observation that the model had learned.
    versions
        What it was frozen with.
    initial, state
        The estimators, pickled.
    summary
        What the stream has seen (:mod:`server.streams.summary`); empty where it declares its features.
    """

    stream: dict[str, Any]
    model: dict[str, Any]
    at: int
    versions: str
    initial: bytes
    state: bytes
    summary: bytes = b""

    @property
    def name(self) -> str:
        """The model's."""
        return str(self.model["name"])

    def to_bytes(self) -> bytes:
        """The file."""
        parts = {part: getattr(self, part) for part in ("initial", "state", "summary")}
        header = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "stream": self.stream,
            "at": self.at,
            "versions": self.versions,
            "parts": [[part, len(data), hashlib.sha256(data).hexdigest()] for part, data in parts.items()],
        }
        return dumps(header) + b"\n" + b"".join(parts.values())


def freeze(name: str) -> Frozen:
    """A model as it is now.

    Raises
    ------
    NotFound, Conflict, Unavailable, Gone
        If there is none, or it can't be had now.
    """
    from server.learning import asking, familiarity, registry, replay, snapshots
    from server.learning.replicaset import SETS

    model = registry.find(name)
    place = asking.find(name)
    replicas = SETS.of(place.stream_id)
    with replicas.lock:
        replica = asking.current(replicas, place)
        at, state = replica.n, replay.dump(replica)
    seen = familiarity.whole(model.stream, at)
    return Frozen(
        {field: getattr(model.stream, field) for field in _STREAM},
        {field: getattr(model, field) for field in _MODEL},
        at,
        snapshots.VERSIONS,
        bytes(model.initial),
        state,
        b"" if seen is None else seen.dumped().encode(),
    )


def read(path: Path) -> Frozen:
    """What a file holds.

    Raises
    ------
    FrozenError
        If it can't be read, is no such file, was cut short or altered, or is of a newer version.
    """
    try:
        with path.open("rb") as file:
            line, rest = file.readline(LONGEST_HEADER), file.read()
    except OSError as exc:
        raise FrozenError(f"{path}: {exc.strerror}") from exc
    try:
        header = loads(line)
        if header["format"] != FORMAT:
            raise ValueError
    except (ValueError, TypeError, KeyError) as exc:
        raise FrozenError(f"{path} is no frozen model: `manage.py freeze MODEL FILE` makes one") from exc
    if header["version"] != VERSION:
        raise FrozenError(
            f"{path} has format {header['version']}, and this version knows {VERSION}: use a newer server"
        )
    found, offset = {}, 0
    for part, length, digest in header["parts"]:
        found[part] = rest[offset : offset + length]
        offset += length
        if hashlib.sha256(found[part]).hexdigest() != digest:
            raise FrozenError(f"{path} was cut short or altered: its {part} isn't what was written")
    if offset != len(rest):
        raise FrozenError(f"{path} was altered: {len(rest) - offset} bytes too many")
    return Frozen(header["stream"], header["model"], header["at"], header["versions"], **found)


def install(frozen: Frozen) -> None:
    """Put it into the database, where no model of that name is; one that is the same already may stay.

    Raises
    ------
    FrozenError
        If there is another model or stream of the name, or the state can't be read by this version.
    """
    from server.learning import snapshots
    from server.learning.models import Model, Snapshot
    from server.streams.locks import transaction_for_writing
    from server.streams.models import Stream, StreamSummary

    with transaction_for_writing():
        model = Model.objects.select_related("stream").filter(name=frozen.name).first()
        if model is None:
            if Stream.objects.filter(name=frozen.stream["name"]).exists():
                raise _taken("stream", frozen.stream["name"])
            gone = {"head": frozen.at, "whole_after": frozen.at, "dropped": frozen.at}  # there is no log here
            stream = Stream.objects.create(**frozen.stream, **gone, epoch=1)
            model = Model.objects.create(
                **frozen.model, stream=stream, initial=frozen.initial, progress=frozen.at, live_since=frozen.at
            )
            snapshots.add(model.pk, model.generation, frozen.at, frozen.state)
            if frozen.summary:
                StreamSummary.objects.create(stream=stream, upto=frozen.at, summary=frozen.summary.decode())
        stored = Snapshot.objects.filter(model=model, seq=model.stream.head).first()
        if stored is None or bytes(stored.state) != frozen.state or model.stream.head != frozen.at:
            raise _taken("model", frozen.name)
        _check_readable(model, frozen)


def _check_readable(model: Any, frozen: Frozen) -> None:
    from server.learning import snapshots
    from server.streams.errors import TailraceError

    try:
        snapshots.load(model, model.stream.segment, frozen.at)
    except TailraceError as exc:  # there is no log to make it from instead
        raise FrozenError(
            f"model {frozen.name} was frozen with {frozen.versions}, and can't be read with {snapshots.VERSIONS}: "
            "serve it with the version that froze it"
        ) from exc


def _taken(what: str, name: str) -> FrozenError:
    return FrozenError(
        f"the database has another {what} named {name}: a frozen model needs a database of its own, such as an empty "
        "TAILRACE_VAR_DIR"
    )
