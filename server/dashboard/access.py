"""What the person on a page may see."""

from django.http import HttpRequest

from server.accounts import sessions
from server.accounts.caller import Caller
from server.cells.models import Database
from server.core.errors import Forbidden
from server.dashboard.rendering import caller_of, is_open
from server.learning.models import Model
from server.streams.models import Stream


def reader(request: HttpRequest) -> Caller | None:
    """Return who looks at a public page; None with ``AUTH=open``, and where nobody is signed in."""
    if is_open():
        return None
    known = caller_of(request)
    if known is None:
        known = request.caller = sessions.caller_of(request)  # type: ignore[attr-defined]
    return known


def may_read(request: HttpRequest) -> bool:
    """Whether the person may read streams and models."""
    if is_open():
        return True
    caller = reader(request)
    return caller is not None and caller.may("read")


def may_change(request: HttpRequest, thing: Stream | Model | Database) -> bool:
    """Whether the person may change something: their own, or as a moderator anybody's."""
    caller = caller_of(request)
    if caller is None or caller.may("change_any"):
        return True
    return caller.may("change_own") and thing.owner_id is not None and thing.owner_id == caller.user_id


def check_may_change(request: HttpRequest, thing: Stream | Model | Database) -> None:
    """Refuse to change what belongs to somebody else.

    Raises
    ------
    Forbidden
        If the person neither owns it nor may change everybody's.
    """
    if not may_change(request, thing):
        kind = type(thing).__name__.lower()
        raise Forbidden(f"{kind} {thing.name} belongs to somebody else: its owner and moderators may change it")


def only_streams(request: HttpRequest) -> frozenset[str] | None:
    """Return the names of the only streams that the person may see; None for all."""
    caller = reader(request)
    return None if caller is None else caller.streams
