"""What can go wrong, in one tree; the API turns each into its answer.

TailraceError
├── Invalid          400
├── Unauthenticated  401
├── Forbidden        403, and QuotaExceeded of server.streams.quotas
├── NotFound         404
├── Conflict         409
├── Gone             410
├── TooLarge         413
├── Unsupported      415
├── TooMany          429
└── Unavailable      503
"""

from server.streams.printable import encodable

LONGEST_MESSAGE, LONGEST_FIELD = 4_000, 1_000


class TailraceError(Exception):
    """A request that can't be done, with a message that a person can act on.

    Parameters
    ----------
    message
        What is wrong, with which value, what was expected and what to do. It may hold what others sent: it is cut after
        :data:`LONGEST_MESSAGE` characters, and what can't be encoded is escaped.
    field
        The path of the part of the request that is wrong, such as ``observations[3].x.y``.
    code
        A stable code for programs; each class has its own default.
    """

    status = 400
    code = "invalid"
    for_anyone: str | None = None
    """The message for callers who may neither read models nor ask them, where :attr:`message` names some."""

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        self.message = encodable(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.field = None if field is None else encodable(field, LONGEST_FIELD)
        if code is not None:
            self.code = code


class Invalid(TailraceError):
    """The request says something that can't be."""


class Unauthenticated(TailraceError):
    """The caller didn't show who they are."""

    status = 401
    code = "unauthenticated"


class Forbidden(TailraceError):
    """The caller may not do this."""

    status = 403
    code = "forbidden"


class NotFound(TailraceError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class Conflict(TailraceError):
    """It contradicts what is already there."""

    status = 409
    code = "conflict"


class Gone(TailraceError):
    """It was there once."""

    status = 410
    code = "gone"


class TooLarge(TailraceError):
    """More than the limits allow."""

    status = 413
    code = "too_large"


class Unsupported(TailraceError):
    """A media type that isn't understood."""

    status = 415
    code = "unsupported_media_type"


class TooMany(TailraceError):
    """More often than the limits allow; nothing was changed and the request may be repeated after ``retry_after`` seconds."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(TailraceError):
    """The database can't be reached or can't store now; nothing was changed and the request may be repeated."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
