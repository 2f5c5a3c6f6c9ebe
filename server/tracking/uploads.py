"""Uploads of artifacts' contents in chunks, which go on where they were cut off.

What has arrived of a content is a file beside the contents, for each run. It is forgotten after a day without a chunk
(:func:`server.contents.contents.abandoned`). Several servers that share a database need not share it: one that has less
says so, and the sender goes on from there.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.contents import contents
from server.contents.contents import Received
from server.core.errors import Conflict, Invalid, NotFound, Unavailable
from server.tracking import artifacts, unneeded
from server.tracking.models import Artifact, Run

LARGEST_CHUNK = 64 * 2**20


class State(NamedTuple):
    """How much of a content has arrived, bytes; all of it, if it is ``stored``."""

    stored: bool
    received: int
    size: int


class WrongOffset(Conflict):
    """A chunk doesn't begin where what has arrived ends."""

    code = "offset"

    def __init__(self, state: State, offset: int) -> None:
        super().__init__(
            f"the chunk begins at byte {offset}, but {state.received} bytes have arrived: send from there",
            field="offset",
        )
        self.state = state


def state(run: Run, sha256: str) -> State:
    """Return how much of a content has arrived.

    Raises
    ------
    Invalid, NotFound
        If it isn't a SHA-256, or no artifact of the run has it.
    Unavailable
        If the place of contents can't be reached.
    """
    size = _announced(run, sha256)
    if artifacts.is_stored(sha256, size):
        return State(True, size, size)
    if size == 0:
        with contents.receiving(()) as received:
            _check(received, sha256)
            artifacts.keep(received)
        return State(True, 0, 0)
    with contextlib.suppress(FileNotFoundError):
        return State(False, unneeded.partial(run.uid, sha256).stat().st_size, size)
    return State(False, 0, size)


def _announced(run: Run, sha256: str) -> int:
    """Return the size that was announced for a content."""
    artifacts.check_sha256(sha256)
    sizes = Artifact.objects.filter(run=run, sha256=sha256).order_by("-pk").values_list("size", flat=True)
    size = sizes.first()
    if size is None:
        raise NotFound(f"no artifact of run {run.uid} has SHA-256 {sha256}: announce it first", field="sha256")
    return size


def append(run: Run, sha256: str, offset: int, chunks: Iterable[bytes]) -> State:
    """Append a chunk. What arrives of it is kept, even if its end does not arrive.

    Parameters
    ----------
    offset
        Where it begins, bytes.

    Raises
    ------
    WrongOffset
        If what has arrived does not end there.
    Invalid
        If more arrives than was announced, or all of it has another SHA-256. What had arrived is thrown away then.
    NotFound
        If no artifact of the run has this SHA-256.
    Conflict
        If another request is sending the same.
    Unavailable
        If it can't be stored now.
    """
    found = state(run, sha256)
    if found.stored:
        return found
    path = unneeded.partial(run.uid, sha256)
    with _held(path) as file:
        received = file.seek(0, os.SEEK_END)
        if received != offset:
            raise WrongOffset(State(False, received, found.size), offset)
        try:
            for part in chunks:
                received += len(part)
                if received > found.size:
                    path.unlink(missing_ok=True)
                    raise Invalid(
                        f"the content has more than the {found.size} bytes that were announced: it was thrown away; announce it "
                        "again",
                        field="sha256",
                        code="wrong_size",
                    )
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        except OSError as exc:
            raise Unavailable(f"the server can't store files now ({exc.strerror}); try again", retry_after=30) from exc
        if received < found.size:
            return State(False, received, found.size)
        _finish(file, path, sha256, received)
    return State(True, received, received)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """Open a file to append to, which no other request has."""
    try:
        contents.folder().mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as exc:
        raise Unavailable(f"the server can't store files now ({exc.strerror}); try again", retry_after=30) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held, named = os.fstat(file.fileno()), path.stat()
            is_ours = (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
        except (BlockingIOError, FileNotFoundError):
            is_ours = False  # or another request has just finished it, and it is a content now
        if not is_ours:
            raise Conflict("another request is sending this content: wait for it", field="sha256", code="busy")
        yield file


def _finish(file: BinaryIO, path: Path, sha256: str, size: int) -> None:
    """Check a content that has arrived as a whole, and move it to where contents are."""
    file.seek(0)
    if not contents.is_intact(file, sha256):
        path.unlink(missing_ok=True)
        raise Invalid(
            f"all {size} bytes have arrived, but their SHA-256 is not {sha256}: they were thrown away; send them again",
            field="sha256",
            code="wrong_checksum",
        )
    artifacts.keep(Received(path, size, sha256))
    path.unlink(missing_ok=True)


def _check(received: Received, sha256: str) -> None:
    if received.sha256 != sha256:
        raise Invalid(
            f"no content of {received.size} bytes has SHA-256 {sha256}", field="sha256", code="wrong_checksum"
        )
