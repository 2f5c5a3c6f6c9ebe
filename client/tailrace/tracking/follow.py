"""Sends one file of lines until it has ended and all is sent: ``python -m tailrace.tracking.follow FILE BACKEND…``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from tailrace.errors import TailraceError
from tailrace.tracking.claims import Claim
from tailrace.tracking.delivery import Delivery
from tailrace.tracking.spool_directory import SpooledFile, orphans, read_header, remove_if_sent

__all__ = ["GrowingFile", "follow", "main"]

PATIENCE = 600.0
"""Seconds after the end of the file in which sending is tried again. Then the rest is left to `tailrace flush`."""

INTERVAL, LONGEST_PAUSE = 0.5, 30.0


class GrowingFile:
    """A spool file that another process appends to."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """Its size now, in bytes."""
        return os.path.getsize(self._path)

    def read(self, offset: int, size: int) -> bytes:
        """Returns bytes from an offset on. Empty at the end."""
        with open(self._path, "rb") as file:
            file.seek(offset)
            return file.read(size)


def follow(found: SpooledFile, keys: Sequence[str], patience: float = PATIENCE) -> bool:
    """Send a file to some of its back ends until it has ended and all is sent. Returns whether all is.

    Parameters
    ----------
    keys
        Keys of the back ends.
    patience
        Seconds after its end in which to try again.
    """
    deliveries: list[tuple[Delivery, Claim]] = []
    for backend in found.backends:
        claim = found.claim_of(backend)
        if backend.key in keys and claim.take():
            delivery = Delivery(
                GrowingFile(found.path),
                found.header,
                found.header_size,
                backend,
                found.cursor_path(backend),
                fresh=False,
            )
            deliveries.append((delivery, claim))
    try:
        return _follow(found, deliveries, patience)
    finally:
        for _, claim in deliveries:
            claim.give_up()


def _follow(found: SpooledFile, deliveries: list[tuple[Delivery, Claim]], patience: float) -> bool:
    ended_at = 0.0
    pause = INTERVAL
    while True:
        ended = not found.writer()
        left = False
        for delivery, claim in deliveries:
            if delivery.finished or not claim.renew():
                continue
            try:
                while delivery.step():
                    pass
                delivery.trouble, pause = "", INTERVAL
                if ended:
                    delivery.finish()
                    remove_if_sent(found)
            except TailraceError as error:
                delivery.trouble = str(error)
                pause = min(2 * pause, LONGEST_PAUSE)
            left = left or not delivery.finished
        if not left:
            return True
        if ended:
            ended_at = ended_at or time.monotonic()
            if time.monotonic() - ended_at > patience:
                return False
        time.sleep(pause)


def main(argv: Sequence[str]) -> int:
    """Follow the file that the arguments name, and then those of processes of the run that ended. Returns the exit code."""
    complete = True
    directory = os.path.dirname(argv[0])
    found = read_header(argv[0]) if os.path.exists(argv[0]) else None
    if found is not None:
        complete = follow(found, argv[1:])
    for one in orphans(directory, argv[0]):
        complete = follow(one, [backend.key for backend in one.backends]) and complete
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
