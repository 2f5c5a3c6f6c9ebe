"""Exceptions of the server, and the HTTP status that the API answers for each.

TailraceError
├── Invalid          400
├── Unauthenticated  401
├── Forbidden        403, and QuotaExceeded of server.streams.quotas.limits
├── NotFound         404
├── Conflict         409
├── Gone             410
├── TooLarge         413
├── Unsupported      415
├── TooMany          429
└── Unavailable      503
"""

from server.core.printable import encodable

LONGEST_MESSAGE, LONGEST_FIELD = 4_000, 1_000


class TailraceError(Exception):
    """A request that can't be carried out, with a message that a person can act on.

    Parameters
    ----------
    message
        What is wrong, with which value, what was expected and what to do. It may contain text from a request, so it is cut
        after :data:`LONGEST_MESSAGE` characters, and characters that can't be encoded are escaped.
    field
        The path of the part of the request that is wrong, such as ``observations[3].x.y``.
    code
        A stable code for programs. Each class has its own default.
    """

    status = 400
    code = "invalid"
    for_anyone: str | None = None
    """The message for callers who may neither read models nor predict, where :attr:`message` names models."""

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        self.message = encodable(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.field = None if field is None else encodable(field, LONGEST_FIELD)
        if code is not None:
            self.code = code


class Invalid(TailraceError):
    """The request contains an invalid value."""


class Unauthenticated(TailraceError):
    """The request has no valid credential."""

    status = 401
    code = "unauthenticated"


class Forbidden(TailraceError):
    """The caller may not do this."""

    status = 403
    code = "forbidden"


class NotFound(TailraceError):
    """The requested object doesn't exist."""

    status = 404
    code = "not_found"


class Conflict(TailraceError):
    """The request conflicts with what is stored."""

    status = 409
    code = "conflict"


class Gone(TailraceError):
    """The requested object existed once and is no longer kept."""

    status = 410
    code = "gone"


class TooLarge(TailraceError):
    """The request is larger than the limits allow."""

    status = 413
    code = "too_large"


class Unsupported(TailraceError):
    """The media type isn't supported."""

    status = 415
    code = "unsupported_media_type"


class TooMany(TailraceError):
    """Too many requests. Nothing was changed; the request may be repeated after ``retry_after`` seconds."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(TailraceError):
    """The database can't be reached or can't store now. Nothing was changed; the request may be repeated."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
