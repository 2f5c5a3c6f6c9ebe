"""Contents of artifacts: kept as they are when they are logged, as far as that takes no time."""

from __future__ import annotations

import os

from tailrace.errors import TailraceError

__all__ = ["ArtifactLost", "check_path", "keep", "sha256_of"]

COPIED_BYTES = 128 * 1024
"""A file up to this size is copied at once."""

PIECE = 2**20
FICLONE = 0x40049409


class ArtifactLost(TailraceError):
    """The content of an artifact is not there any more, or has changed since it was logged."""


def keep(source: str, directory: str, name: str) -> tuple[str, int, int]:
    """Keep the content of a file in a directory: copied if it is small, else as a clone or a link if possible.

    Returns
    -------
    The file to read it from, its size in bytes, and when it was changed, in nanoseconds.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    """
    source = os.path.abspath(source)
    with open(source, "rb") as file:
        found = os.fstat(file.fileno())
        target = os.path.join(directory, name)
        try:
            os.makedirs(directory, exist_ok=True)
            if found.st_size <= COPIED_BYTES:
                content = file.read(COPIED_BYTES + 1)
                if len(content) == found.st_size:
                    return _copied(content, target)
            elif _cloned(file.fileno(), target):
                return target, found.st_size, os.stat(target).st_mtime_ns
            else:
                os.link(source, target)
                return target, found.st_size, found.st_mtime_ns
        except OSError:
            pass
    return source, found.st_size, found.st_mtime_ns


def sha256_of(path: str, size: int, changed_ns: int) -> str:
    """Returns the checksum of a file.

    Raises
    ------
    ArtifactLost
        If it does not exist any more, or has changed.
    """
    import hashlib

    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size != size or found.st_mtime_ns != changed_ns:
                raise ArtifactLost("the file changed after it was logged: log a copy that stays as it is")
            while piece := file.read(PIECE):
                digest.update(piece)
            if os.fstat(file.fileno()).st_mtime_ns != changed_ns:
                raise ArtifactLost("the file changed while it was read: log a copy that stays as it is")
    except OSError as error:
        raise ArtifactLost(f"the file can't be read any more: {error.strerror or error}") from None
    return digest.hexdigest()


def check_path(path: str) -> str:
    """Returns a path among artifacts in its normal form. Raises ValueError if it leads out of them."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in path or len("/".join(parts)) > 500:
        raise ValueError(f"{path!r} is not a path of an artifact: expected names joined by /, at most 500 characters")
    return "/".join(parts)


def _copied(content: bytes, target: str) -> tuple[str, int, int]:
    with open(target, "wb") as file:
        file.write(content)
    return target, len(content), os.stat(target).st_mtime_ns


def _cloned(descriptor: int, target: str) -> bool:
    """Make a clone that shares its blocks until one of both changes, if the file system can."""
    try:
        import fcntl

        with open(target, "wb") as file:
            fcntl.ioctl(file.fileno(), FICLONE, descriptor)
        return True
    except (ImportError, OSError):
        try:
            os.unlink(target)
        except OSError:
            pass
        return False
