"""The entries of a store of django-river-ml, from a shelve, a Redis database or a dump of one. Nothing is unpickled here."""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from server.core.errors import Invalid
from server.core.validation import format_value
from server.operations.river_ml import dump_store

LONGEST_LINE = dump_store.LARGEST * 2


@dataclass
class Stored:
    """What a store has of one model, each as a pickle; None if it is missing."""

    model: bytes | None = None
    flavor: bytes | None = None
    metrics: bytes | None = None
    stats: bytes | None = None


@dataclass
class Store:
    """The entries of a store.

    Attributes
    ----------
    models
        By name.
    predictions
        Predictions that wait for their labels: a pickle by identifier.
    others
        Number of entries that aren't django-river-ml's.
    """

    models: dict[str, Stored] = field(default_factory=dict)
    predictions: dict[str, bytes] = field(default_factory=dict)
    others: int = 0


def read(place: str) -> Store:
    """Read a store.

    Raises
    ------
    Invalid
        If it can't be read. The message says why and what to do.
    """
    found = Store()
    for key, value in _rows(place):
        try:
            text = key.decode()
        except UnicodeDecodeError:
            found.others += 1
            continue
        part, slash, name = text.partition("/")
        if text.startswith("#"):
            found.predictions[text[1:]] = value
        elif slash and part in ("models", "flavor", "metrics", "stats"):
            stored = found.models.setdefault(name, Stored())
            setattr(stored, "model" if part == "models" else part, value)
        else:
            found.others += 1
    if not found.models and not found.predictions:
        raise Invalid(f"{place} has no model of django-river-ml: none of its {found.others} entries is one")
    return found


def _rows(place: str) -> Iterator[tuple[bytes, bytes]]:
    try:
        if not place.startswith(("redis://", "rediss://")) and _is_dump(Path(place)):
            yield from _dumped(Path(place))
        else:
            yield from dump_store.rows(place)
    except dump_store.StoreError as exc:
        raise Invalid(str(exc)) from exc
    except OSError as exc:
        raise Invalid(f"{exc.filename or place}: {exc.strerror or exc}") from exc


def _is_dump(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"format": "' + dump_store.FORMAT.encode())


def _dumped(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        version = json.loads(file.readline(1000)).get("version")
        if version != 1:
            raise Invalid(f"{path} is a dump of version {format_value(version)}: this server knows version 1")
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 2):
            try:
                row = json.loads(line)
                yield row["key"].encode(errors="surrogateescape"), base64.b64decode(row["value"], validate=True)
            except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as exc:
                raise Invalid(f"{path}, line {number}: it has no key and value ({exc}); make the dump again") from exc
