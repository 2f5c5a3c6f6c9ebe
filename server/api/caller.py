"""Who is calling, as the views of both APIs ask it."""

from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import uses
from server.accounts.identity import Identity
from server.api import auth
from server.cells.models import Database
from server.learning import asking, inspection, quarantine
from server.learning import registry as models
from server.learning.asking import Place
from server.learning.models import Model
from server.streams import changes, registry
from server.streams.errors import Conflict, Forbidden, NotFound, TailraceError
from server.streams.locks import transaction_for_writing
from server.streams.models import Stream
from server.streams.quotas import Owner
from server.streams.validation import shown

QUOTA_HEADER = "X-Tailrace-Quota"
"""Header of an answer to whoever made something and is near a quota's limit by it."""

R = TypeVar("R", bound=HttpResponseBase)


def identity(request: HttpRequest) -> Identity | None:
    """The caller; None where the server asks nobody who they are."""
    found: Identity | None = getattr(request, "identity", None)
    return found


def name(request: HttpRequest) -> str:
    """The caller's user name, as what they make remembers it; empty where nobody is asked."""
    who = identity(request)
    return "" if who is None else who.username


def made_by(request: HttpRequest) -> dict[str, Any]:
    """The caller as the owner of what they make."""
    who = identity(request)
    return (
        {"created_by": "", "owner_id": None} if who is None else {"created_by": who.username, "owner_id": who.user_id}
    )


def owner(request: HttpRequest) -> Owner | None:
    """Whose quotas count what the request makes: the same at each call; None where nobody is asked."""
    found: Owner | None = getattr(request, "owner", None)
    who = identity(request)
    if found is None and who is not None:
        found = request.owner = Owner(who.user_id, who.username, who.token_id)  # type: ignore[attr-defined]
    return found


def warned(request: HttpRequest, response: R) -> R:
    """The answer, with a header that says which quotas what was made brought near their limits."""
    found: Owner | None = getattr(request, "owner", None)
    if found is not None and found.warnings:
        said = "; ".join(dict.fromkeys(use.sentence(found.username) for use in found.warnings))
        response[QUOTA_HEADER] = said.encode("ascii", "replace").decode()
    return response


def confirm(request: HttpRequest, generation: int | None) -> None:
    """Hold a caller whom this process remembered against the present generation; if it differs, ask the database.

    Raises
    ------
    Challenge, Forbidden
        If they may no longer do this.
    """
    who = identity(request)
    if who is None:
        return
    if generation is None or who.generation != generation:
        request.identity = auth.admit(request, request.needed)  # type: ignore[attr-defined]
    else:
        uses.note(who)


class Admission:
    """Whether a caller who was let in long ago still may: asked anew whenever anybody's rights changed."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def holds(self) -> bool:
        who = identity(self._request)
        if who is None:
            return True
        try:
            confirm(self._request, None if who.has_ended else registry.generation())
        except TailraceError:
            return False
        return True


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the caller has a permission; everybody has all where nobody is asked."""
    who = identity(request)
    return who is None or permission in who.permissions


def reaches(request: HttpRequest, stream: str) -> bool:
    """Whether the caller's token works for a stream; for others it is as if they were not there."""
    who = identity(request)
    return who is None or who.streams is None or stream in who.streams


def only_streams(request: HttpRequest) -> frozenset[str] | None:
    """Names of the only streams that the caller's token works for; None for all."""
    who = identity(request)
    return None if who is None else who.streams


def place(request: HttpRequest, model: Any) -> Place:
    """Where a model is, for a hot view: found, and the caller confirmed, with one read.

    What it raises, :func:`server.api.hot.post` holds back from a caller who may no longer do this.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`server.learning.asking.find` does; NotFound also for a model on a stream that the token isn't for.
    Challenge, Forbidden
        If the caller may no longer do this.
    """
    try:
        found = asking.find(model)
    except Conflict:
        check_model(request, model)  # where the token isn't for it, it isn't told that it is there and backfilling
        raise
    confirm(request, found.generation)
    if not reaches(request, found.stream):
        raise no_model(model)
    return found


def position(request: HttpRequest, stream: str) -> tuple[int, int, int] | None:
    """Id, head and epoch of a stream, for a hot view; None if there is none. The caller is confirmed with the same read.

    Raises
    ------
    NotFound
        If the token isn't for that stream, whether it is there or not.
    Challenge, Forbidden
        If the caller may no longer do this.
    """
    found = registry.position(stream)
    confirm(request, None if found is None else found[3])
    if not reaches(request, stream):
        raise no_stream(stream)
    return None if found is None else found[:3]


def stream(request: HttpRequest, stream_name: Any) -> Stream:
    """The stream of that name, if the caller's token works for it.

    Raises
    ------
    NotFound
        If it isn't there, or isn't there for them.
    """
    found = registry.find(stream_name)
    if not reaches(request, found.name):
        raise no_stream(stream_name)
    return found


def check_new_stream(request: HttpRequest, stream_name: str) -> None:
    """Refuse to make a stream that the caller's token would not work for.

    Raises
    ------
    Forbidden
        Then.
    """
    who = identity(request)
    if who is not None and not reaches(request, stream_name):
        allowed = ", ".join(sorted(who.streams or ()))
        raise Forbidden(f"token {who.token_id} works for {allowed} only, not for a stream named {shown(stream_name)}")


def check_unlimited(request: HttpRequest, things: str) -> None:
    """Refuse a token for some streams only to make what all streams share.

    Raises
    ------
    Forbidden
        Then.
    """
    who = identity(request)
    if who is not None and who.streams is not None:
        allowed = ", ".join(sorted(who.streams))
        raise Forbidden(f"token {who.token_id} works for the streams {allowed} only, and {things} are for all streams")


def check_model(request: HttpRequest, model: Any) -> None:
    """Refuse a model on a stream that the caller's token isn't for, as if it were not there.

    Raises
    ------
    NotFound
        Then.
    """
    only = only_streams(request)
    if only is None:
        return
    known = isinstance(model, str) and "\x00" not in model
    if not known or not Model.objects.filter(name=model, stream__name__in=only).exists():
        raise no_model(model)


def delete_model(request: HttpRequest, model: str) -> None:
    """Delete a model, if the caller made it or may change everybody's.

    Raises
    ------
    NotFound, Forbidden
        If it isn't there (for them), or isn't theirs.
    """
    check_model(request, model)
    check_owner(request, models.find(model))
    models.delete(model)


def release_model(request: HttpRequest, model: str) -> Model:
    """Let a model out of quarantine, if the caller made it or may change everybody's.

    Raises
    ------
    NotFound, Forbidden
        If it isn't there (for them), or isn't theirs.
    Conflict
        If it isn't in quarantine, or would have to go back at once.
    """
    check_model(request, model)
    found = models.find(model)
    check_owner(request, found)
    quarantine.release(found, made_by(request)["created_by"])
    return models.find(model)


def download(request: HttpRequest, model: str, at: int | None = None) -> bytes:
    """A model's estimator as a pickle; who took it is recorded.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`server.learning.inspection.download` does.
    """
    check_model(request, model)
    data = inspection.download(model, at)
    with transaction_for_writing():
        changes.tell("model.download", model, after={"at": at, "bytes": len(data)})
    return data


def check_owner(request: HttpRequest, thing: Stream | Model | Database) -> None:
    """Refuse to change what somebody else made.

    Raises
    ------
    Forbidden
        If the caller neither made it nor may change everybody's.
    NotFound
        Then, where the caller may not even know of it.
    """
    who = identity(request)
    if who is None or "change_any" in who.permissions or (thing.owner_id is not None and thing.owner_id == who.user_id):
        return
    if "read" not in who.permissions:
        raise no_model(thing.name) if isinstance(thing, Model) else no_stream(getattr(thing, "stream", thing).name)
    raise Forbidden(
        f"{type(thing).__name__.lower()} {thing.name} belongs to somebody else: {who.username} may change their own; "
        "moderators, everybody's"
    )


def may_create_by_posting(request: HttpRequest) -> bool:
    """Whether a post of the caller's makes a stream that isn't there (``TAILRACE_CREATE_BY_POSTING``)."""
    who, allowed = identity(request), settings.TAILRACE.create_by_posting
    if allowed == "nobody" or who is None:
        return who is None and allowed != "nobody"
    if allowed == "role":
        return "create" in who.permissions or "create_by_posting" in who.permissions
    return who.token_id != 0 and "create_by_posting" in who.permissions


def nearest_stream(request: HttpRequest, stream_name: str) -> str | None:
    """The stream of the most similar name that the caller may read; None where none is similar."""
    return registry.nearest(stream_name, only_streams(request)) if may(request, "read") else None


def no_model(model: Any) -> NotFound:
    return NotFound(f"no model named {shown(model)}", field="model")


def no_stream(stream_name: Any) -> NotFound:
    return NotFound(f"no stream named {shown(stream_name)}", field="stream")


def no_stream_to_post_to(request: HttpRequest, stream_name: str) -> NotFound:
    """That there is no such stream, and the caller's post makes none."""
    nearest = nearest_stream(request, stream_name)
    meant = "" if nearest is None else f"; did you mean {nearest}?"
    how = "" if nearest is not None else "; make it first, or post with a token of the scope create"
    return NotFound(f"no stream named {shown(stream_name)}{meant}{how}", field="stream")
