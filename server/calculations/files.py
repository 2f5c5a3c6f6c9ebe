"""Files of results: what an agent sends, and what people download.

:mod:`server.contents.contents` says where their contents are.
"""

import contextlib
import logging
from typing import BinaryIO

from django.conf import settings
from django.db.models import F, Sum

from server.calculations import cleaning
from server.calculations.models import Calculation, StoredFile
from server.calculations.settling import find
from server.contents import contents, storage
from server.contents.contents import Received
from server.core.errors import Conflict, Invalid, NotFound, TooLarge
from server.core.validation import format_value

log = logging.getLogger(__name__)
MOST_TOGETHER = 256 * 2**20
"""Most bytes of files in one download, which keeps a thread busy while it is packed."""


def check_size(size: int, name: str) -> None:
    """Check the size of a file against ``TAILRACE_FILE_LIMIT_MB``.

    Raises
    ------
    TooLarge
        If it is larger.
    """
    most: int = settings.TAILRACE.file_limit_mb * 2**20
    if size > most:
        raise TooLarge(
            f"file {format_value(name)} has {size} bytes: the most allowed is {most} (TAILRACE_FILE_LIMIT_MB); keep it on the "
            "cluster, and declare it under kept",
            field="files",
        )


def check_together(calculation: Calculation) -> None:
    """Check that the files of a calculation fit into one download.

    Raises
    ------
    TooLarge
        If they don't.
    """
    stored = StoredFile.objects.filter(result__attempt__step__calculation=calculation, stored=True)
    size = stored.filter(result=F("result__attempt__step__result")).aggregate(together=Sum("size"))["together"] or 0
    if size > MOST_TOGETHER:
        raise TooLarge(
            f"the files of calculation {calculation.pk} have {size} bytes: the most allowed in one download is {MOST_TOGETHER}; "
            "download them one by one"
        )


def put(cluster_id: int | None, uid: str, fence: int, name: str, received: Received, said: str) -> dict[str, object]:
    """Store a file that a result declares. Repeated, nothing changes.

    Parameters
    ----------
    received
        The content, as it arrived.
    said
        The SHA-256 that the agent sent with it, in hex; empty: none.

    Raises
    ------
    NotFound, Conflict
        If there is no such attempt, or no result of it that declares the file.
    Invalid
        If the content isn't what was declared.
    Unavailable
        If it can't be stored now.
    """
    attempt = find(cluster_id, uid, fence)
    declared = StoredFile.objects.filter(result__attempt=attempt, name=name).first() if "\x00" not in name else None
    if declared is None:
        raise Conflict(
            f"the result of attempt {fence} of step {uid} declares no file {format_value(name)}: post the result first",
            field="name",
            code="not_declared",
        )
    sha256 = received.sha256
    if sha256 != declared.sha256 or received.size != declared.size or said.lower() not in ("", sha256):
        raise Invalid(
            f"file {format_value(name)} has {received.size} bytes with SHA-256 {sha256}: expected {declared.size} bytes with "
            f"{declared.sha256}, as declared",
            field="name",
            code="wrong_checksum",
        )
    cleaning.check_not_going(sha256)
    place = storage.store()
    if place.size(sha256) != received.size:
        place.put(received)
    StoredFile.objects.filter(sha256=sha256, size=received.size).update(stored=True)
    return {"name": name, "size": received.size, "sha256": sha256}


def open_file(file: StoredFile) -> BinaryIO:
    """Open the content of a file for reading. Its checksum has been compared.

    Raises
    ------
    NotFound
        If it was not stored yet, is missing, or has another checksum.
    Unavailable
        If the place of contents can't be reached.
    """
    why = "the agent has not sent it yet"
    if file.stored:
        place = storage.store()
        why = f"its content is missing in the server's {place.where}"
        with contextlib.suppress(FileNotFoundError):
            found = place.open(file.sha256)
            if contents.is_intact(found, file.sha256):
                return found
            found.close()
            why = "its content on the server was altered: its SHA-256 is not the declared one"
        log.error("file %s of result %s, SHA-256 %s: %s", file.name, file.result_id, file.sha256, why)
    raise NotFound(f"file {format_value(file.name)} is not here: {why}", field="name")


def read(file: StoredFile) -> bytes:
    """Return the content of a small file. Raises as :func:`open_file`."""
    with open_file(file) as found:
        return found.read()
