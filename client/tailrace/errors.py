"""What can go wrong between a job and a server. Each message says what happened and what to do about it.

::

    TailraceError
    ├── Unusable            an argument, an option or a setting can't be used as it is given
    ├── Unreachable         no answer in time, or none that says whether the request was done: it may be sent again
    ├── Refused             the server understood the request and said no
    │   ├── Unauthorized    401  no token, or one that doesn't hold
    │   ├── Forbidden       403  the token may not do this
    │   │   └── QuotaExceeded    its owner, or the token, keeps as much on the server as they may
    │   ├── NotFound        404
    │   ├── Conflict        409
    │   └── TooMany         429  after all retries that fitted into the deadline
    └── SpoolError          an undelivered observation can't be kept on disk
        └── SpoolFull       the spool has reached its size limit

`QuotaWarning` is no error: something was made, and a quota is nearly used up by it. Nor is `PredictionWarning`: a model was asked
about a point unlike those that its stream has seen, and has answered.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Conflict",
    "Forbidden",
    "NotFound",
    "PredictionWarning",
    "QuotaExceeded",
    "QuotaWarning",
    "Refused",
    "SpoolError",
    "SpoolFull",
    "TailraceError",
    "TooMany",
    "Unauthorized",
    "Unreachable",
    "Unusable",
]


ABOUT_THE_REQUEST = {
    400: ("empty", "invalid", "missing", "not_an_object", "not_json", "refused", "unknown_field"),
    409: ("conflict",),
    410: ("gone",),
    413: ("too_large",),
    415: ("unsupported_media_type",),
}
"""By status: the codes with which a Tailrace server says that a request itself is at fault. With another one, or none, it is the
address, a setting of the server, or a proxy that answered in its place."""


class TailraceError(Exception):
    """Anything that the client raises on purpose."""


class Unusable(TailraceError, ValueError):
    """An argument, an option or a setting can't be used as it is given; the message names it, its value and what was
    expected.
    """


class Unreachable(TailraceError, ConnectionError):
    """The server could not be reached, or could not answer in time: the same request may succeed later."""


class Refused(TailraceError):
    """The server understood the request and said no; the message is the server's own.

    Attributes
    ----------
    status
        The HTTP status, 300 to 499.
    code
        The server's stable code for the reason, such as ``no_such_address``; empty where it sent none.
    field
        What was wrong in the request, such as ``x.a``; None where the server names nothing.
    request_id
        Under which the server's log tells more; empty where it sent none.
    """

    def __init__(
        self, message: str, status: int, code: str = "", field: str | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status, self.code, self.field, self.request_id)

    @property
    def for_good(self) -> bool:
        """Whether the request itself is at fault, so that sending it again can't help.

        A missing token, a stream not made yet, a host name that the server doesn't know or a proxy's own page can be put right
        without touching the request.
        """
        return self.code in ABOUT_THE_REQUEST.get(self.status, ())


class Unauthorized(Refused):
    """The server wants to know who is calling: set TAILRACE_TOKEN to a token that holds."""


class Forbidden(Refused):
    """The token may not do this: it lacks the scope, or its owner the role."""


class QuotaExceeded(Forbidden):
    """The user, or the token, keeps as much on the server as they may. The message names the quota, what is used of it and what
    to do: delete something, or ask an admin to raise the limit. What `tailrace post` sends stays in the spool until then.
    """


class QuotaWarning(UserWarning):
    """Something was made, and at least 80 % of a quota is used now; the message names it."""


class PredictionWarning(UserWarning):
    """A model was asked about points unlike those that its stream has seen; the predictions' `warnings` say more."""


class NotFound(Refused):
    """There is nothing of that name, or nothing that this token may know of."""


class Conflict(Refused):
    """What is there stands against it: a name that is taken, another label for the same prediction."""


class TooMany(Refused):
    """The server has had too many requests, for longer than the deadline lasted."""


class SpoolError(TailraceError, OSError):
    """An undelivered observation can't be kept on disk: the directory is full, read-only or not there."""


class SpoolFull(SpoolError):
    """The spool has reached its size limit: run `tailrace flush`, or raise TAILRACE_SPOOL_MB."""


BY_CODE = {"quota_exceeded": QuotaExceeded}
BY_STATUS = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 429: TooMany}
