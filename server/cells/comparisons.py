"""Slots for requests that compare what models have learned with cells: each may take seconds."""

from django.conf import settings

from server.core.slots import Slots


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 12)
    return most, max(1, most // 2)


COMPUTING = Slots(
    _limits,
    process_full="this process computes what {limit} models cover already, the most allowed at once; try again",
    caller_full="this token or person is asking what {limit} models cover in this process, the most allowed: "
    "wait until one has ended",
)
"""Each holds observations of up to :data:`server.cells.reference.MAX_BYTES`."""
