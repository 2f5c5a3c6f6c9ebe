"""Where contents of files are: a folder of this machine, or an S3 bucket. Each is stored once, named by its SHA-256.

A content is complete or not there. It is never held in memory as a whole: it comes and goes by way of files below
``TAILRACE_VAR_DIR/files``.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from django.conf import settings

from server.core.errors import Unavailable

CHUNK = 2**18
NEW = ".new-"
"""How the names of files begin that are not complete yet."""

ABANDONED = 24 * 3600.0
"""Age at which such a file is what a process left behind that was killed, s."""

_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")


class Kept(NamedTuple):
    """A content as it is stored: its SHA-256, its size in bytes, and when it was stored (Unix time)."""

    sha256: str
    size: int
    at: float


class Received(NamedTuple):
    """A content that has arrived: the file it is in, its size in bytes and its SHA-256."""

    path: Path
    size: int
    sha256: str


class Store(Protocol):
    """Where contents are kept.

    Every method raises :class:`server.core.errors.Unavailable` if the place can't be reached or can't store.
    """

    where: str
    """What it is, for messages."""

    def size(self, sha256: str) -> int | None:
        """Return the size of a content; None if it isn't there."""

    def put(self, received: Received) -> None:
        """Store a content that isn't there. Afterwards it is durable."""

    def open(self, sha256: str) -> BinaryIO:
        """Open a content for reading. It raises :class:`FileNotFoundError` if it isn't there."""

    def delete(self, sha256: str) -> None:
        """Delete a content, if it is there."""

    def listed(self) -> Iterator[Kept]:
        """Yield all contents. Other files are left out."""


def place(sha256: str) -> str:
    """Return the name of a content in its folder or bucket."""
    return f"{sha256[:2]}/{sha256}"


def is_content(name: str) -> bool:
    """Whether a name is that of a content."""
    return _NAME.fullmatch(name) is not None and name[:2] == name[3:5]


def folder() -> Path:
    """Return the folder of contents, and of files that are on their way."""
    found: Path = settings.TAILRACE.var_dir / "files"
    return found


@contextlib.contextmanager
def receiving(chunks: Iterable[bytes]) -> Iterator[Received]:
    """Write a content to a file, which is deleted after the block unless a store has taken it."""
    digest, size = hashlib.sha256(), 0
    with _as_unavailable():
        path = _new_file()
    try:
        with _as_unavailable(), path.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        yield Received(path, size, digest.hexdigest())
    finally:
        path.unlink(missing_ok=True)


def _new_file() -> Path:
    folder().mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder(), prefix=NEW)
    os.close(handle)
    return Path(name)


@contextlib.contextmanager
def temporary() -> Iterator[BinaryIO]:
    """Open a file without a name, on the disk of the contents, for what is too large for memory."""
    with _as_unavailable():
        file = unnamed()
    with file:
        yield file


def unnamed() -> BinaryIO:
    """Return a file without a name, which vanishes when it is closed."""
    folder().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder())  # type: ignore[return-value]  # it is a BufferedRandom


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable(f"the server can't store files now ({exc.strerror}); try again", retry_after=30) from exc


def is_intact(file: BinaryIO, sha256: str) -> bool:
    """Whether an open file has this content. It is at its beginning afterwards."""
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BinaryIO has no readinto
    file.seek(0)
    return found == sha256


class Folder:
    """A folder on this machine.

    Parameters
    ----------
    root
        The folder. It need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = f"folder {root}"

    def path(self, sha256: str) -> Path:
        """Return where a content is, or would be."""
        return self.root / place(sha256)

    def size(self, sha256: str) -> int | None:
        with contextlib.suppress(FileNotFoundError), _as_unavailable_but_missing():
            return self.path(sha256).stat().st_size
        return None

    def put(self, received: Received) -> None:
        with _as_unavailable():
            target = self.path(received.sha256)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(received.path, target)
            sync_folder(target.parent)

    def open(self, sha256: str) -> BinaryIO:
        with _as_unavailable_but_missing():
            return self.path(sha256).open("rb")

    def delete(self, sha256: str) -> None:
        with _as_unavailable():
            self.path(sha256).unlink(missing_ok=True)

    def listed(self) -> Iterator[Kept]:
        for path in sorted(self.root.glob("??/*")):
            if is_content(f"{path.parent.name}/{path.name}"):
                with contextlib.suppress(FileNotFoundError):
                    found = path.stat()
                    yield Kept(path.name, found.st_size, found.st_mtime)


@contextlib.contextmanager
def _as_unavailable_but_missing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise Unavailable(f"the server can't read files now ({exc.strerror}); try again", retry_after=30) from exc


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def abandoned(clock: Callable[[], float] = time.time) -> list[Path]:
    """Return incomplete files that processes left behind."""
    border = clock() - ABANDONED
    found = []
    for path in [*folder().glob(f"{NEW}*"), *folder().glob(f"??/{NEW}*")]:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < border:
                found.append(path)
    return found
