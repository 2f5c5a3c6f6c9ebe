"""Frozen copies: a model as a file that a server can predict with, without the stream's log.

The file's first line is a JSON header (``head -1`` shows it). After it come the model's initial estimator and its state, as the
server stores them. The header has their lengths and SHA-256. The server trusts the file like its database, so use files from
trusted sources only.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.core.json_codec import dumps, loads

FORMAT = "tailrace-frozen-model"
VERSION = 1
LONGEST_HEADER = 2**20

STREAM_FIELDS = (
    "name",
    "description",
    "target_name",
    "target_unit",
    "target_kind",
    "features",
    "segment",
    "descriptor",
)
MODEL_FIELDS = ("name", "flavor", "recipe", "parameters", "window")


class FrozenError(Exception):
    """A frozen model can't be used. The message says why and what was expected."""


@dataclass(frozen=True)
class Frozen:
    """The content of a file.

    Attributes
    ----------
    stream, model
        Their declarations.
    at
        The last observation that the model had learned.
    versions
        Versions of the libraries that it was frozen with.
    initial, state
        The initial estimator and the model's state, pickled.
    summary
        The stream's summary (:mod:`server.streams.feature_summary`); empty if the stream declares its features.
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
        """The model's name."""
        return str(self.model["name"])

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
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
    """Freeze a model as it is now.

    Raises
    ------
    NotFound, Conflict, Unavailable, Gone
        If there is no such model, or it is not available now.
    """
    from server.learning import registry
    from server.learning.fold import familiarity, replay, snapshots
    from server.learning.fold.replica_set import SETS
    from server.learning.predictions import predict_points

    model = registry.find(name)
    place = predict_points.find(name)
    replicas = SETS.of(place.stream_id)
    with replicas.lock_to_predict():
        replica = predict_points.caught_up_replica(replicas, place)
        at, state = replica.n, replay.dump(replica)
    seen = familiarity.whole(model.stream, at)
    return Frozen(
        {field: getattr(model.stream, field) for field in STREAM_FIELDS},
        {field: getattr(model, field) for field in MODEL_FIELDS},
        at,
        snapshots.VERSIONS,
        bytes(model.initial),
        state,
        b"" if seen is None else seen.to_json().encode(),
    )


def read(path: Path) -> Frozen:
    """Read a file.

    Raises
    ------
    FrozenError
        If it can't be read, is not such a file, is truncated or changed, or is of a newer version.
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
        raise FrozenError(f"{path} is not a frozen model: `manage.py freeze MODEL FILE` makes one") from exc
    if header["version"] != VERSION:
        raise FrozenError(
            f"{path} has format {header['version']}, and this version knows {VERSION}: use a newer server"
        )
    found, offset = {}, 0
    for part, length, digest in header["parts"]:
        found[part] = rest[offset : offset + length]
        offset += length
        if hashlib.sha256(found[part]).hexdigest() != digest:
            raise FrozenError(f"{path} is truncated or changed: the checksum of its {part} is wrong")
    if offset != len(rest):
        raise FrozenError(f"{path} was changed: it has {len(rest) - offset} bytes too many")
    return Frozen(header["stream"], header["model"], header["at"], header["versions"], **found)


def install(frozen: Frozen) -> None:
    """Store a frozen model in the database. If it is there already, nothing changes.

    Raises
    ------
    FrozenError
        If another model or stream has the name, or this version can't read the state.
    """
    from server.core.db.locks import transaction_for_writing
    from server.learning.fold import snapshots
    from server.learning.models import Model, Snapshot
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
    from server.core.errors import TailraceError
    from server.learning.fold import snapshots

    try:
        snapshots.load(model, model.stream.segment, frozen.at)
    except TailraceError as exc:  # there is no log to rebuild it from
        raise FrozenError(
            f"model {frozen.name} was frozen with {frozen.versions}, and can't be read with {snapshots.VERSIONS}: "
            "serve it with the version that froze it"
        ) from exc


def _taken(what: str, name: str) -> FrozenError:
    return FrozenError(
        f"the database has another {what} named {name}: a frozen model needs a database of its own, such as an empty "
        "TAILRACE_VAR_DIR"
    )
