"""Errors of estimators: what a replica raises when its estimator fails, and an estimator's error as text."""

from server.core.printable import encodable

FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Errors that never come from an estimator. Any other error may: a panic in river's Rust code is a BaseException."""


class DeadlineExceeded(Exception):
    """Learning took longer than allowed.

    Attributes
    ----------
    done
        Number of points that the replica has learned.
    """

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


class BrokenReplica(Exception):
    """The estimator raised an error after it may have changed. The replica must be rebuilt without this point.

    Parameters
    ----------
    offset
        Offset of the point among those given to :meth:`server.learning.fold.replica.Replica.advance`.
    reason
        The estimator's error.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def reason(exc: BaseException) -> str:
    """Return an estimator's error as one line: class, colon, text."""
    try:
        text = " ".join(encodable(str(exc), 5_000).replace("\x00", "\\x00").split())
    except Exception as own:  # the error's class may define its own __str__
        text = f"({type(own).__name__} while reading its text)"
    return encodable(f"{type(exc).__name__}: {text}", 500)
