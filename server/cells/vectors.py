"""The vectors of a stream's observations as a file of numbers: a million are read in a second, from the log's JSON in twenty.

The file is made from the log and follows it. It can be thrown away: it is made again, as it is when the log is no longer the one
that it was made from, or when observations are no longer kept (:mod:`server.streams.retention`).
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from django.conf import settings

from server.cells import reference
from server.streams import log
from server.streams.models import Batch, Stream

VERSION = 1
ROWS = 4096
"""Rows that are read at once."""


class VectorFile:
    """The vectors of a stream with a descriptor, up to the end of its log.

    Row ``n - 1`` has the numbers of observation ``n``: 0 where it lacks one, and NaN in all of them where its features are no
    longer kept. Features that are a text in any observation are left out.

    Parameters
    ----------
    stream
        The stream.

    Attributes
    ----------
    names
        The features, sorted.
    upto
        Number of the last observation.
    """

    def __init__(self, stream: Stream) -> None:
        folder: Path = settings.TAILRACE.var_dir / "vectors"
        folder.mkdir(parents=True, exist_ok=True)
        self._about, self._rows = folder / f"{stream.pk}.json", folder / f"{stream.pk}.rows"
        with _locked(folder / f"{stream.pk}.lock"):
            found = self._read(stream)
            if found is None:
                _remove_orphans(folder)
            if found is None or not self._follow(stream, found):
                names = _all_names(stream)
                found = {"names": names, "texts": [], "upto": 0}
                if not self._follow(stream, found):
                    raise AssertionError("a file that is made anew has all features")
            self.names: list[str] = found["names"]
            self.upto: int = found["upto"]
            self._kept = np.array([name not in found["texts"] for name in self.names], dtype=bool)
            self._file = self._rows.open("rb")  # what it holds now is never changed; a file made anew is another one

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def blocks(self, upto: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the vectors up to observation ``upto``: the number of the first, and an array of shape (n, P)."""
        for first in range(1, upto + 1, ROWS):
            yield first, self._at(first, min(ROWS, upto + 1 - first))

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return the vectors of some observations, shape (n, P)."""
        return np.vstack([self._at(number, 1) for number in numbers.tolist()]) if len(numbers) else self._at(1, 0)

    def _at(self, first: int, count: int) -> np.ndarray:
        width = 8 * len(self.names)
        data = os.pread(self._file.fileno(), count * width, (first - 1) * width)
        found = np.frombuffer(data, dtype="<f8").reshape(count, len(self.names))
        return found if self._kept.all() else found[:, self._kept]

    def _read(self, stream: Stream) -> dict[str, Any] | None:
        """Return what is known of the file; None if there is none, or if it isn't of this log."""
        try:
            found: dict[str, Any] = json.loads(self._about.read_bytes())
            size = self._rows.stat().st_size
        except (OSError, ValueError):
            return None
        if (
            found.get("version") != VERSION
            or found["of"] != _of(stream)
            or size < 8 * len(found["names"]) * found["upto"]
        ):
            return None
        return found if _mark(stream, found["upto"]) == found["mark"] else None

    def _follow(self, stream: Stream, found: dict[str, Any]) -> bool:
        """Append what the log has grown by. Return False if it has features that the file has no column for."""
        if found["upto"] >= stream.head:
            return True
        columns = {name: place for place, name in enumerate(found["names"])}
        part = self._rows.with_suffix(".part") if not found["upto"] else self._rows
        texts, upto = set(found["texts"]), found["upto"]
        with part.open("wb" if not upto else "r+b") as file:
            file.truncate(8 * len(columns) * upto)
            file.seek(0, os.SEEK_END)
            for _, xs in log.features(stream.pk, upto, stream.head):
                block = np.zeros((len(xs), len(columns)))
                for row, x in zip(block, xs, strict=True):
                    if x is None:
                        row[:] = np.nan
                        continue
                    for name, value in x.items():
                        place = columns.get(name)
                        if place is None:
                            if reference.is_of_descriptor(name):
                                return False
                        elif isinstance(value, (int, float)):
                            row[place] = value
                        else:
                            texts.add(name)
                file.write(block.astype("<f8").tobytes())
                upto += len(xs)
            _kept_on_disk(file)
        if part != self._rows:
            part.replace(self._rows)
        found |= {
            "version": VERSION,
            "of": _of(stream),
            "texts": sorted(texts),
            "upto": upto,
            "mark": _mark(stream, upto),
        }
        about = self._about.with_suffix(".part.json")
        about.write_text(json.dumps(found))
        about.replace(self._about)
        return True


def remove(stream_pk: int) -> None:
    """Remove the file of a stream that was deleted, if this machine has one."""
    folder: Path = settings.TAILRACE.var_dir / "vectors"
    for path in folder.glob(f"{stream_pk}.*"):
        path.unlink(missing_ok=True)


def _remove_orphans(folder: Path) -> None:
    """Remove the files of deleted streams: those that another machine deleted, or this one before it was killed."""
    found = {int(path.stem) for path in folder.glob("*.lock") if path.stem.isdigit()}
    for pk in found - set(Stream.objects.filter(pk__in=found).values_list("pk", flat=True)):
        remove(pk)


def _all_names(stream: Stream) -> list[str]:
    names: set[str] = set()
    for _, xs in log.features(stream.pk, 0, stream.head):
        for x in xs:
            names.update(name for name in x or () if reference.is_of_descriptor(name))
    return sorted(names)


def _of(stream: Stream) -> list[Any]:
    """What a file is of: it is made again when any of this has changed."""
    return [stream.name, stream.created_at.isoformat(), stream.descriptor, stream.whole_after, stream.dropped]


def _mark(stream: Stream, upto: int) -> list[Any] | None:
    """The end of the log that a file was made from, to notice that another database was restored."""
    found = Batch.objects.filter(stream=stream, last=upto).values_list("checksum", "at").first()
    return None if found is None else [found[0], found[1].isoformat()]


def _kept_on_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
