"""`AsyncSession`: the server, synchronous session and worker threads of an asynchronous client and its handles."""

from __future__ import annotations

from tailrace.asynchronous.delegation import AsyncDelegate
from tailrace.asynchronous.worker_threads import Workers, WorkerServer
from tailrace.handles.session import Session

__all__ = ["AsyncSession"]


class AsyncSession(AsyncDelegate):
    """Runs the calls of a synchronous session in worker threads.

    Parameters
    ----------
    session
        The synchronous session. Its requests go to `server`.
    workers
        The threads that run its calls.
    server
        The server.
    """

    def __init__(self, session: Session, workers: Workers, server: WorkerServer) -> None:
        super().__init__(session, workers)
        self.server = server
        session.server = server
