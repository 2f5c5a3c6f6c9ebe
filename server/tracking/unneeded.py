"""Files of artifacts that were replaced or deleted: they go at once, or replacing one file again and again would fill the disk.

The quota of what is gone is free again, so its bytes must be, too. Where this server can't delete them now, such as during a
backup, the clean-up at night does (:mod:`server.calculations.cleaning`).
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from django.db import connection

from server.calculations import cleaning
from server.contents import contents
from server.tracking.models import Artifact

PART = 500


def partial(uid: str, sha256: str) -> Path:
    """Return where that part of a content is that has arrived for a run."""
    return contents.folder() / f"{contents.NEW}upload-{uid}-{sha256}"


def forget(dropped: Iterable[tuple[str | None, str]]) -> None:
    """Delete contents and parts of uploads that no artifact needs any more. In a transaction, leave them to the clean-up.

    Parameters
    ----------
    dropped
        Run (None: of a logged model) and SHA-256 of what artifacts named before.
    """
    if connection.in_atomic_block:
        return
    by_run: dict[str | None, set[str]] = defaultdict(set)
    for uid, sha256 in dropped:
        by_run[uid].add(sha256)
    for uid, names in by_run.items():
        wanted = sorted(names)
        for some in (wanted[first : first + PART] for first in range(0, len(wanted), PART)):
            if uid is not None:
                rows = Artifact.objects.filter(run__uid=uid, sha256__in=some)
                for sha256 in set(some) - set(rows.values_list("sha256", flat=True)):
                    partial(uid, sha256).unlink(missing_ok=True)
            cleaning.forget(some)
