"""Where the pieces of a large cell are worked at: Dask's threads or processes here, or its workers elsewhere."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lammps_jobs.bonds.errors import Refused

__all__ = ["LOCAL", "each", "workers"]

LOCAL = ("threads", "processes")
NOWHERE = "127.0.0.1:0"
"""Where Dask puts the pages that nobody asked for: on this machine only, at any port."""
PATIENCE = 10.0
"""Seconds to wait for a scheduler's answer."""
QUEUE = 600.0
"""Seconds to wait for a scheduler's first worker, which may stand in a batch system's queue."""


@contextmanager
def workers(scheduler: str, count: int | None = None) -> Iterator[Any]:
    """A `distributed.Client` of the workers, closed in the end; workers that it started end with it.

    Parameters
    ----------
    scheduler
        ``threads`` or ``processes`` of this machine, or the address of a Dask scheduler (``tcp://HOST:PORT``).
    count
        How many of this machine's; None for as many as this process may use processors.

    Raises
    ------
    Refused
        If no scheduler answers there, or it has no worker after a while.
    """
    from distributed import Client, LocalCluster

    if scheduler in LOCAL:
        count = count or len(os.sched_getaffinity(0))
        threads = scheduler == "threads"
        cluster = LocalCluster(
            n_workers=1 if threads else count,
            threads_per_worker=count if threads else 1,
            processes=not threads,
            # Who can talk to processes can run things in them, and others are on this machine too.
            security=None if threads else True,
            # Of None, Dask makes port 8787 of all of the machine's addresses.
            dashboard_address=NOWHERE,
            worker_dashboard_address=NOWHERE,
            scheduler_kwargs={"dashboard": False},
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        )
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            with suppress(AssertionError):  # of a worker that it was about to start again
                cluster.close()
        return
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Refused(
            f"no Dask scheduler answers at {scheduler} ({error}): expected threads, processes, or the address that "
            "`dask scheduler` prints, such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=QUEUE)
        except TimeoutError:
            raise Refused(f"the scheduler at {scheduler} has had no worker for {QUEUE / 60:.0f} minutes") from None
        yield client


def each(client: Any, function: Callable[..., Any], items: Iterable[Any], *common: Any) -> Iterator[Any]:
    """``function(item, *common)`` of every item, as they are done, in no order.

    Only twice as many items as there are threads are under way at a time, so that memory stays bounded: further ones
    are made once there is room. `common` goes to each worker once.

    Raises
    ------
    Refused
        If workers die of an item, or can't load what they are sent.
    Exception
        Whatever the function raises.
    """
    from distributed import KilledWorker, as_completed

    shared = [client.scatter(one, broadcast=True, hash=False) for one in common]
    waiting = iter(items)
    running = as_completed(loop=client.loop)

    under_way = 0

    def fill() -> None:
        nonlocal under_way
        # Asked each time: of the workers that a batch system starts, some come later.
        room = 2 * max(1, sum(client.nthreads().values())) - under_way
        for item in itertools.islice(waiting, max(0, room)):
            running.add(client.submit(function, item, *shared, pure=False))
            under_way += 1

    fill()
    for future in running:
        try:
            yield future.result()
        except KilledWorker as error:
            raise Refused(
                f"Dask's workers died of it, several times ({error}): is there enough memory? Smaller pieces need less"
            ) from error
        except ModuleNotFoundError as error:
            raise Refused(
                f"a Dask worker has no module {error.name}: start workers with this repository and its client/ on their "
                "PYTHONPATH, and with the same packages"
            ) from error
        future.release()
        under_way -= 1
        fill()
