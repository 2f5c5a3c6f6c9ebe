"""Artifacts: files of runs and of logged models. They are announced first, and their contents arrive later."""

import contextlib
import logging
import re
from typing import Any, BinaryIO
from urllib.parse import unquote

from django.conf import settings
from django.db.models import QuerySet

from server.calculations import cleaning
from server.contents import storage
from server.contents.contents import Received
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound, TooLarge
from server.core.validation import check_text, format_value
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import RUN_ARTIFACT_BYTES, Owner
from server.streams.quotas.quota_usage import Freed
from server.tracking import checks, unneeded
from server.tracking.clock import now_ms
from server.tracking.models import Artifact, LoggedModel, Run
from server.tracking.models.artifacts import LONGEST_PATH
from server.tracking.models.names import DELETED

log = logging.getLogger(__name__)

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
LONGEST_PATH_BYTES = 2_000
"""Most bytes of a path, which is part of an index."""


def check_path(path: Any, field: str = "path") -> str:
    """Return the path of an artifact: parts divided by ``/``, none of which leads elsewhere, however it is encoded.

    Raises
    ------
    Invalid
        If it is absolute, too long, or has an empty part, ``.``, ``..``, a backslash or a control character.
    """
    check_text(path, field, LONGEST_PATH)
    plain, before = path, ""
    for _ in range(8):  # %25252e%25252e is ..
        if plain == before:
            break
        before, plain = plain, unquote(plain)
    is_unsafe = plain != before or "\\" in plain or any(ord(one) < 32 for one in plain)
    if is_unsafe or any(part in ("", ".", "..") for part in [*path.split("/"), *plain.split("/")]):
        raise Invalid(
            f"{field} is {format_value(path)}: expected a path below the artifacts, such as plots/loss.png, without a / at its "
            "beginning or end, and without .. or \\",
            field=field,
        )
    if len(path.encode()) > LONGEST_PATH_BYTES:
        raise Invalid(
            f"{field} has {len(path.encode())} bytes: the longest allowed is {LONGEST_PATH_BYTES}", field=field
        )
    return str(path)


def check_sha256(sha256: Any, field: str = "sha256") -> str:
    """Return a SHA-256 in hexadecimal digits.

    Raises
    ------
    Invalid
        If it isn't one.
    """
    if not isinstance(sha256, str) or not SHA256.match(sha256):
        raise Invalid(f"{field} is {format_value(sha256)}: expected a SHA-256, 64 digits 0-9 and a-f", field=field)
    return sha256


def check_size(size: Any, field: str = "size") -> int:
    """Return the size of an artifact, bytes.

    Raises
    ------
    Invalid, TooLarge
        If it isn't one, or exceeds ``TAILRACE_ARTIFACT_LIMIT_MB``.
    """
    if checks.whole(size, field) < 0:
        raise Invalid(f"{field} is {format_value(size)}: expected a number of bytes", field=field)
    most: int = settings.TAILRACE.artifact_limit_mb * 2**20
    if size > most:
        raise TooLarge(
            f"{field} is {int(size)} bytes: the most allowed is {most} (TAILRACE_ARTIFACT_LIMIT_MB)", field=field
        )
    return int(size)


def announce(
    path: Any,
    sha256: Any,
    size: Any,
    *,
    run_id: int | None = None,
    model_id: int | None = None,
    owner: Owner | None = None,
    stored: bool = False,
    dropped: list[str] | None = None,
) -> Artifact:
    """Add an artifact to a run, or to a logged model, whose row this transaction holds. A path has its last content.

    Parameters
    ----------
    owner
        Whose quota counts it.
    stored
        Whether its content is there.
    dropped
        Gets the SHA-256 that the path had before.

    Raises
    ------
    Invalid, TooLarge
        If a value is not valid, or the size exceeds the limit.
    QuotaExceeded
        If it exceeds the owner's quota.
    """
    path, sha256, size = check_path(path), check_sha256(sha256), check_size(size)
    found = _of(run_id, model_id).filter(path=path).first()
    if found is not None and (found.sha256, found.size) == (sha256, size):
        if stored and not found.stored:
            found.stored = True
            found.save(update_fields=["stored"])
        return found
    freed = [] if found is None else [_freed(found)]
    if found is not None and dropped is not None and found.sha256 != sha256:
        dropped.append(found.sha256)
    made = found or Artifact(run_id=run_id, model_id=model_id, path=path)
    made.sha256, made.size, made.made_ms, made.stored = sha256, size, now_ms(), stored
    made.owner_id, made.token_id = (None, None) if owner is None else (owner.user_id, owner.token_id or None)
    charged = quota_usage.charge(owner, {RUN_ARTIFACT_BYTES: size}, freed)
    made.save()
    charged.report()
    return made


def put(
    path: Any,
    received: Received,
    *,
    run_id: int | None = None,
    model_id: int | None = None,
    owner: Owner | None = None,
) -> Artifact:
    """Store an artifact whose content has arrived as a whole. Raises as :func:`announce` and :func:`keep`."""
    check_path(path)
    check_size(received.size)
    dropped: list[str] = []
    with transaction_for_writing():
        uid = _hold(run_id, model_id)
        announce(path, received.sha256, received.size, run_id=run_id, model_id=model_id, owner=owner, dropped=dropped)
    keep(received)
    unneeded.forget((uid, sha256) for sha256 in dropped)
    return find(_of(run_id, model_id), path)


def _hold(run_id: int | None, model_id: int | None) -> str | None:
    """Hold the row of a run or a logged model, so that two files of one path take turns. Return the run's identifier.

    Raises
    ------
    NotFound
        If it is gone.
    Conflict
        If it has been deleted.
    """
    rows: QuerySet[Any] = LoggedModel.objects.filter(pk=model_id or 0)
    if run_id is not None:
        rows = Run.objects.filter(pk=run_id)
    found = rows.select_for_update(no_key=True).values_list("uid", "lifecycle").first()
    if found is None:
        raise NotFound("what the file belongs to has been removed meanwhile", field="path")
    uid, lifecycle = found
    if lifecycle == DELETED:
        raise Conflict(f"{uid} is deleted: restore it first", field="run", code="deleted")
    return None if run_id is None else str(uid)


def _of(run_id: int | None, model_id: int | None) -> QuerySet[Artifact]:
    return Artifact.objects.filter(model=model_id) if run_id is None else Artifact.objects.filter(run=run_id)


def keep(received: Received) -> None:
    """Store a content that artifacts name already.

    Raises
    ------
    Unavailable
        If it can't be stored now.
    """
    cleaning.check_not_going(received.sha256)
    place = storage.store()
    if place.size(received.sha256) != received.size:
        place.put(received)
    mark_stored(received.sha256, received.size)


def is_stored(sha256: str, size: int) -> bool:
    """Return whether a content is there. If so, the artifacts that name it are marked.

    Raises
    ------
    Unavailable
        If the place of contents can't be reached.
    """
    cleaning.check_not_going(sha256)
    if storage.store().size(sha256) != size:
        return False
    mark_stored(sha256, size)
    return True


def mark_stored(sha256: str, size: int) -> None:
    """Mark the artifacts that name a content as stored."""
    with transaction_for_writing():
        Artifact.objects.filter(sha256=sha256, size=size, stored=False).update(stored=True)


def find(rows: QuerySet[Artifact], path: Any) -> Artifact:
    """Return the artifact at a path, among those of a run or a logged model.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = rows.filter(path=path).first() if isinstance(path, str) and "\x00" not in path else None
    if found is None:
        raise NotFound(f"no artifact {format_value(path)}", field="path")
    return found


def open_content(artifact: Artifact) -> BinaryIO:
    """Open the content of an artifact for reading. Its size has been compared, and its checksum when it arrived.

    Raises
    ------
    NotFound
        If it has not arrived, or is missing.
    Unavailable
        If the place of contents can't be reached.
    """
    why = "its content has not arrived yet"
    if artifact.stored:
        place = storage.store()
        why = f"its content is missing in the server's {place.where}"
        with contextlib.suppress(FileNotFoundError):
            file = place.open(artifact.sha256)
            if file.seek(0, 2) == artifact.size:
                file.seek(0)
                return file
            file.close()
            why = "its content on the server was altered: its size is not the announced one"
        log.error("artifact %s, SHA-256 %s: %s", artifact.pk, artifact.sha256, why)
    raise NotFound(f"artifact {format_value(artifact.path)} is not here: {why}", field="path")


def listing(rows: QuerySet[Artifact], folder: str = "", *, recursive: bool = False) -> list[dict[str, Any]]:
    """Return the artifacts in a folder, by path: files, and folders unless ``recursive``.

    Parameters
    ----------
    rows
        The artifacts of a run, or of a logged model.
    folder
        Path of the folder; empty: all.
    """
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    inside = rows.filter(path__startswith=prefix) if prefix else rows
    for one in inside.order_by("path").iterator(chunk_size=2000):
        if not one.path.startswith(prefix):  # LIKE of SQLite doesn't distinguish capitals
            continue
        rest = one.path[len(prefix) :]
        if "/" in rest and not recursive:
            path = prefix + rest.partition("/")[0]
            found.setdefault(f"{path}/", {"path": path, "is_folder": True})
        else:
            found[one.path] = described(one)
    return sorted(found.values(), key=lambda one: (one["path"], one["is_folder"]))


def described(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as the API shows it."""
    return {
        "path": artifact.path,
        "is_folder": False,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "made_ms": artifact.made_ms,
        "stored": artifact.stored,
    }


def delete(rows: QuerySet[Artifact]) -> int:
    """Delete artifacts with contents that nothing else names, and release their quota. Return how many."""
    with transaction_for_writing():
        found = list(rows.select_related("run"))
        dropped = [(None if one.run is None else one.run.uid, one.sha256) for one in found]
        count = rows.delete()[0]
        if found:
            quota_usage.release([_freed(one) for one in found])
    unneeded.forget(dropped)
    return count


def _freed(artifact: Artifact) -> Freed:
    return Freed(artifact.owner_id, artifact.token_id, RUN_ARTIFACT_BYTES, artifact.size)


def usage_queries() -> list[tuple[str, str]]:
    """Return quotas with the query that recounts each: user, token and amount."""
    query = (
        "SELECT owner_id, token_id, SUM(size) FROM tracking_artifact WHERE owner_id IS NOT NULL "
        "GROUP BY owner_id, token_id"
    )
    return [(RUN_ARTIFACT_BYTES, query)]
