"""Uploads the output of a job. Of a long output the server gets the beginning and the end; while the job runs, the latest lines."""

from __future__ import annotations

import os

from tailrace.agent.held_step import HeldStep
from tailrace.agent.job_script import OUTPUT
from tailrace.agent.server_calls import ServerCalls, Superseded

__all__ = ["send_log"]

PIECE = 1 << 20
PIECES = 8
"""Most requests for one step before others have their turn."""

LATEST = 1 << 18
"""Bytes of the end of a long output that are sent while the job runs."""


def send_log(calls: ServerCalls, held: HeldStep, limit: int, *, ended: bool) -> bool:
    """Send what is new in a job's output. Returns whether the server has all of it that it takes.

    The first half of `limit` bytes is sent as it comes. Beyond it, a job that runs has its latest lines sent, and at its
    end the last half is. What lies between is left out, and the server knows how much. An output of any size takes the
    memory of one piece.

    Raises
    ------
    TailraceError
        If the server can't be reached or refuses.
    """
    try:
        descriptor = os.open(held.folder / OUTPUT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True  # the job has not begun, or something that is not a file is in its place
    try:
        for _ in range(PIECES):
            offset, size = _next_part(held, os.fstat(descriptor).st_size, max(1, limit // 2), ended)
            piece = os.pread(descriptor, size, offset) if size > 0 else b""
            if not piece:
                return True
            begins_anew = offset != held.log_sent
            try:
                following = calls.put_log(held.step, held.fence, offset, piece, held.log_sent if begins_anew else None)
            except Superseded:
                return True  # the attempt is no longer this agent's
            if following == held.log_sent:
                return True  # the server takes no more
            if following != offset + len(piece):
                held.log_from = (
                    following  # it has another part already, of which this agent does not know where it begins
                )
            elif begins_anew:
                held.log_from = offset
            held.log_sent = following
        return False
    finally:
        os.close(descriptor)


def _next_part(held: HeldStep, size: int, half: int, ended: bool) -> tuple[int, int]:
    """Returns where the next part begins and how long it is; 0 bytes: nothing is to be sent."""
    sent = held.log_sent
    if sent < half:
        return sent, min(PIECE, min(size, half) - sent)
    if ended:
        begin = max(half, size - half)
        # What the server has of the end must begin early enough, and without a gap.
        if held.log_from > begin or sent < begin:
            return begin, min(PIECE, size - begin)
    elif size - sent > LATEST:
        return size - LATEST, LATEST
    return sent, min(PIECE, size - sent)
