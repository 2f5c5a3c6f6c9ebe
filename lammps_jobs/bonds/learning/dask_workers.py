"""Dask workers for the pieces of a large cell: threads or processes of this machine, or workers of a scheduler."""

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
LOCAL_DASHBOARD = "127.0.0.1:0"
"""Address of Dask's dashboard, which can't be turned off: this machine only, any port."""
PATIENCE = 10.0
"""Seconds to wait for a scheduler to answer."""
QUEUE = 600.0
"""Seconds to wait for a scheduler's first worker, which may be in the queue of a batch system."""


@contextmanager
def workers(scheduler: str, count: int | None = None) -> Iterator[Any]:
    """Yield a `distributed.Client` of the workers. At the end, close it and stop the workers that it started.

    Parameters
    ----------
    scheduler
        ``threads`` or ``processes`` of this machine, or the address of a Dask scheduler (``tcp://HOST:PORT``).
    count
        Number of workers of this machine; None: one for each processor that this process may use.

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
            # Anyone who can connect to the workers can run code in them, and this machine may have other users.
            security=None if threads else True,
            # With None, Dask would use port 8787 on all of the machine's addresses.
            dashboard_address=LOCAL_DASHBOARD,
            worker_dashboard_address=LOCAL_DASHBOARD,
            scheduler_kwargs={"dashboard": False},
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        )
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            with suppress(AssertionError):  # raised for a worker that was about to be restarted
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
    """Yield ``function(item, *common)`` of every item, in the order in which they finish.

    At any time, at most twice as many items as there are threads are in progress, so that memory stays bounded. Each
    worker gets `common` once.

    Raises
    ------
    Refused
        If an item kills its workers, or a worker can't load what it gets.
    Exception
        Any error that the function raises.
    """
    from distributed import KilledWorker, as_completed

    shared = [client.scatter(one, broadcast=True, hash=False) for one in common]
    waiting = iter(items)
    running = as_completed(loop=client.loop)

    under_way = 0

    def fill() -> None:
        nonlocal under_way
        # Counted each time, because a batch system may start some workers later.
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
                f"Dask's workers died several times ({error}): is there enough memory? Smaller pieces need less"
            ) from error
        except ModuleNotFoundError as error:
            raise Refused(
                f"a Dask worker has no module {error.name}: start workers with this repository and its client/ on their "
                "PYTHONPATH, and with the same packages"
            ) from error
        future.release()
        under_way -= 1
        fill()
