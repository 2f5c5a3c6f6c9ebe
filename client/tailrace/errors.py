"""Errors and warnings of the client. Each message says what happened and what to do about it.

::

    TailraceError
    ├── Unusable            an argument, an option or a setting is not valid
    ├── Unreachable         there is no valid response in time: the request can be sent again
    ├── Refused             the server refused the request
    │   ├── Unauthorized    401  there is no token, or it is not valid
    │   ├── Forbidden       403  the token may not do this
    │   │   └── QuotaExceeded    a quota of the token or of its owner is used up
    │   ├── NotFound        404
    │   ├── Conflict        409
    │   └── TooMany         429  after all retries within the deadline
    └── SpoolError          an undelivered observation cannot be stored on disk
        └── SpoolFull       the spool has reached its size limit

`QuotaWarning`: something was created, and a quota is nearly used up. `PredictionWarning`: a predicted point differs
from all observations of the model's stream.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
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
"""Codes of a Tailrace server for requests that are invalid in themselves, by status.

Any other code, or none, has another cause: a wrong address, a setting of the server, or a proxy that answered instead.
"""


class TailraceError(Exception):
    """Base class of all errors of the client."""


class Unusable(TailraceError, ValueError):
    """An argument, an option or a setting is not valid. The message names it, its value and what was expected."""


class Unreachable(TailraceError, ConnectionError):
    """The server could not be reached, or did not answer in time. The same request may succeed later."""


class Refused(TailraceError):
    """The server refused the request. The message is the server's.

    Attributes
    ----------
    status
        The HTTP status, 300 to 499.
    code
        The server's code for the reason, such as ``no_such_address``, which does not change between versions. Empty if
        the server sent none.
    field
        The field of the request that is wrong, such as ``x.a``. None if the server names none.
    request_id
        Identifier of the request in the server's log. Empty if the server sent none.
    answer
        The whole answer, if it was a JSON object; otherwise empty.
    """

    answer: Mapping[str, Any] = {}

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
        """Whether the request itself is invalid, so that sending it again cannot succeed.

        It is False if the cause can be removed without changing the request, such as a missing token, a missing stream,
        a host name that the server does not accept, or a proxy's page.
        """
        return self.code in ABOUT_THE_REQUEST.get(self.status, ())


class Unauthorized(Refused):
    """The server requires a valid token: set TAILRACE_TOKEN."""


class Forbidden(Refused):
    """The token may not do this: it lacks the scope, or its owner the role."""


class QuotaExceeded(Forbidden):
    """A quota of the user or of the token is used up.

    The message names the quota and its use. Delete something, or ask an admin to raise the limit. Until then,
    observations of `tailrace post` stay in the spool.
    """


class QuotaWarning(UserWarning):
    """Something was created, and at least 80 % of a quota is used now. The message names the quota."""


class PredictionWarning(UserWarning):
    """Predicted points differ from all observations of the model's stream. See the predictions' `warnings`."""


class NotFound(Refused):
    """The named resource does not exist, or this token may not see it."""


class Conflict(Refused):
    """The request conflicts with what exists: the name is taken, or the prediction has another label."""


class TooMany(Refused):
    """The server had too many requests, and still had after all retries within the deadline."""


class SpoolError(TailraceError, OSError):
    """An undelivered observation cannot be stored: the disk is full, or the directory is read-only or missing."""


class SpoolFull(SpoolError):
    """The spool has reached its size limit: run `tailrace flush`, or raise TAILRACE_SPOOL_MB."""


BY_CODE = {"quota_exceeded": QuotaExceeded}
BY_STATUS = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 429: TooMany}
