"""Logs of attempts, as agents send them: by offset, so that nothing is lost or doubled.

A log keeps its beginning and its end, each half of ``TAILRACE_LOG_LIMIT_MB``. What lies between is dropped, or was never sent,
and is said to be. An agent sends the end of a long log anew where it is: so the end of a log of any size is seen while it grows.
"""

from typing import Any

from django.conf import settings

from server.calculations.models import Attempt, LogChunk, Step
from server.calculations.settling import find
from server.core.db.locks import transaction_for_writing
from server.core.errors import TooLarge

LARGEST_CHUNK = 2**20
DEFAULT_READ, LARGEST_READ = 64 * 2**10, 2**20


class WrongOffset(Exception):
    """The offset is not where the log ends."""

    def __init__(self, offset: int, expected: int, why: str = "") -> None:
        said = why or f"expected {expected}, where the log that the server has ends"
        super().__init__(f"the offset is {offset}: {said}")
        self.next = expected


def append(cluster_id: int | None, uid: str, fence: int, offset: int, data: bytes, after: int | None = None) -> int:
    """Append to an attempt's log. Return the next offset.

    Parameters
    ----------
    after
        Where the log that the server has ends, if this part does not follow on it: the part begins the end of the log anew, and
        takes the place of the end that the server has. The beginning must be complete.

    Raises
    ------
    NotFound
        If the cluster has no such attempt.
    TooLarge
        If it is more than 1 MB.
    WrongOffset
        If the log doesn't end at ``offset`` or ``after``: a repeated or delayed part.
    """
    if len(data) > LARGEST_CHUNK:
        raise TooLarge(f"the part of the log has {len(data)} bytes: the most allowed is {LARGEST_CHUNK}")
    number = find(cluster_id, uid, fence).pk
    half = settings.TAILRACE.log_limit_mb * 2**20 // 2
    with transaction_for_writing():
        attempt = Attempt.objects.select_for_update().get(pk=number)
        if (offset if after is None else after) != attempt.log_next:
            raise WrongOffset(offset if after is None else after, attempt.log_next)
        if data:
            if after is not None:
                _begin_end(attempt, offset, half)
            LogChunk.objects.create(attempt=attempt, offset=offset, data=data)
            attempt.log_next = offset + len(data)
            _drop_middle(attempt, half)
            attempt.save(update_fields=["log_next", "log_head", "log_tail"])
    return attempt.log_next


def _begin_end(attempt: Attempt, offset: int, half: int) -> None:
    """Drop the end of the log, and begin it anew at ``offset``."""
    head = attempt.log_head if attempt.log_tail else _head_end(attempt, half)
    if head < half or offset < head:
        raise WrongOffset(
            offset,
            attempt.log_next,
            f"the end can begin anew from {max(head, half)} on, once the beginning was sent, of which the server has {head}",
        )
    LogChunk.objects.filter(attempt=attempt, offset__gte=head).delete()
    attempt.log_head, attempt.log_tail = (head, offset) if offset > head else (0, 0)


def _drop_middle(attempt: Attempt, half: int) -> None:
    """Drop the parts that end before the last half, and begin after the first half."""
    border = attempt.log_next - half - LARGEST_CHUNK
    head = attempt.log_head if attempt.log_tail else half
    middle = LogChunk.objects.filter(attempt=attempt, offset__gte=head, offset__lt=border)
    if border <= head or not middle.exists():
        return
    if not attempt.log_tail:
        attempt.log_head = _head_end(attempt, half)
    middle.delete()
    tail = LogChunk.objects.filter(attempt=attempt, offset__gte=border).order_by("offset").first()
    attempt.log_tail = attempt.log_next if tail is None else tail.offset


def _head_end(attempt: Attempt, half: int) -> int:
    """Return where the parts end that begin in the first half. They follow on each other."""
    last = LogChunk.objects.filter(attempt=attempt, offset__lt=half).order_by("offset").last()
    return 0 if last is None else last.offset + len(bytes(last.data))


def attempt_of(step: Step, fence: int | None) -> Attempt | None:
    """Return the attempt with this fence, or the last one that has a log; None if there is none."""
    found = Attempt.objects.filter(step=step)
    if fence is not None:
        return found.filter(fence=fence).first()
    return found.filter(log_next__gt=0).order_by("-fence").first() or found.order_by("-fence").first()


def read(attempt: Attempt, offset: int, limit: int) -> dict[str, Any]:
    """Return a part of a log as text, and what is left out.

    Returns
    -------
    dict
        ``offset`` and ``next``: the bytes that ``text`` covers; ``size``: the bytes of the whole log; ``dropped``: the range
        that is no longer kept, or null.
    """
    offset = max(0, min(offset, attempt.log_next))
    chunks = LogChunk.objects.filter(attempt=attempt)
    dropped = [attempt.log_head, attempt.log_tail] if attempt.log_tail else None
    if dropped is not None and dropped[0] <= offset < dropped[1]:
        offset = dropped[1]
    data, reached = b"", offset
    first = chunks.filter(offset__lte=offset).order_by("-offset").values_list("offset", flat=True).first() or 0
    found = chunks.filter(offset__gte=first, offset__lt=offset + limit).order_by("offset")
    for begin, part in found.values_list("offset", "data").iterator(chunk_size=2):
        if begin > reached or len(data) >= limit:
            break
        piece = bytes(part)[reached - begin :][: limit - len(data)]
        data += piece
        reached += len(piece)
    return {
        "fence": attempt.fence,
        "offset": offset,
        "next": reached,
        "size": attempt.log_next,
        "dropped": dropped,
        "text": data.decode("utf-8", "replace"),
    }
