"""The caller of a request: their name, permissions, streams and quotas. The views of both APIs use it."""

from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from server.accounts import last_used, limits
from server.accounts.caller import Caller
from server.api import auth
from server.calculations.models import Calculation, Structure
from server.campaigns.models import Campaign, Composition
from server.cells.models import Database
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Forbidden, NotFound, TailraceError
from server.core.validation import format_value
from server.learning import inspection, quarantine
from server.learning import registry as models
from server.learning.models import Model
from server.learning.predictions import predict_points
from server.learning.predictions.predict_points import ModelLocation
from server.services.models import Service
from server.streams import registry
from server.streams.models import Stream
from server.streams.quotas.limits import Owner
from server.tracking.models import Experiment, LoggedModel, RegisteredModel, Run
from server.tracking.writing import LockedRun

QUOTA_HEADER = "X-Tailrace-Quota"
"""Header of a response to a caller who created something and is near the limit of a quota."""

R = TypeVar("R", bound=HttpResponseBase)
Tracked = Experiment | Run | LockedRun | RegisteredModel | LoggedModel
Owned = Stream | Model | Database | Structure | Calculation | Composition | Campaign | Service | Tracked
_SERVER_WIDE = (
    Structure,
    Calculation,
    Composition,
    Campaign,
    Experiment,
    Run,
    LockedRun,
    RegisteredModel,
    LoggedModel,
    Service,
)


def identity(request: HttpRequest) -> Caller | None:
    """Return the caller; None if the server requires no authentication."""
    found: Caller | None = getattr(request, "caller", None)
    return found


def key(request: HttpRequest) -> int | None:
    """Return the key under which the caller's shares of slots are counted; None if the server requires no authentication."""
    who = identity(request)
    return None if who is None else limits.key(who)


def name(request: HttpRequest) -> str:
    """Return the caller's user name; empty if the server requires no authentication."""
    who = identity(request)
    return "" if who is None else who.username


def made_by(request: HttpRequest) -> dict[str, Any]:
    """Return the fields that record the caller as the owner of what they create."""
    who = identity(request)
    return (
        {"created_by": "", "owner_id": None} if who is None else {"created_by": who.username, "owner_id": who.user_id}
    )


def owner(request: HttpRequest) -> Owner | None:
    """Return the owner whose quotas count what the request creates; None if the server requires no authentication.

    Each call for the same request returns the same object, which collects the warnings.
    """
    found: Owner | None = getattr(request, "owner", None)
    who = identity(request)
    if found is None and who is not None:
        found = request.owner = Owner(who.user_id, who.username, who.token_id)  # type: ignore[attr-defined]
    return found


def warned(request: HttpRequest, response: R) -> R:
    """Return the response with a header that names the quotas that are near their limits."""
    found: Owner | None = getattr(request, "owner", None)
    if found is not None and found.warnings:
        said = "; ".join(dict.fromkeys(use.sentence(found.username) for use in found.warnings))
        response[QUOTA_HEADER] = said.encode("ascii", "replace").decode()
    return response


def confirm(request: HttpRequest, generation: int | None) -> None:
    """Check a cached caller against the current generation of the permissions. If it differs, read them from the database.

    Raises
    ------
    Challenge, Forbidden
        If they may no longer do this.
    """
    who = identity(request)
    if who is None:
        return
    if generation is None or who.generation != generation:
        request.caller = auth.admit(request, request.needed)  # type: ignore[attr-defined]
    else:
        last_used.mark(who)


class Admission:
    """Checks whether the caller of a long request still has access. It reads the database only if anybody's permissions changed."""

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
    """Return whether the caller has a permission. If the server requires no authentication, every caller has all."""
    who = identity(request)
    return who is None or permission in who.permissions


def reaches(request: HttpRequest, stream: str) -> bool:
    """Return whether the caller's token is valid for a stream. Other streams are reported as missing."""
    who = identity(request)
    return who is None or who.streams is None or stream in who.streams


def only_streams(request: HttpRequest) -> frozenset[str] | None:
    """Return the names of the streams that the caller's token is limited to; None for all streams."""
    who = identity(request)
    return None if who is None else who.streams


def place(request: HttpRequest, model: Any) -> ModelLocation:
    """Find a model and confirm the caller, with one read, for a hot view.

    A caller who has lost access does not see these errors: :func:`server.api.hot_views.post` checks the access first.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable
        As :func:`server.learning.predictions.predict_points.find` does; NotFound also if the token is not
        valid for the model's stream.
    Challenge, Forbidden
        If the caller may no longer do this.
    """
    try:
        found = predict_points.find(model)
    except Conflict:
        check_model(request, model)  # if the token is not valid for its stream, the model must seem missing
        raise
    confirm(request, found.generation)
    if not reaches(request, found.stream):
        raise no_model(model)
    return found


def position(request: HttpRequest, stream: str) -> tuple[int, int, int] | None:
    """Return id, head and epoch of a stream, for a hot view; None if it does not exist. Confirm the caller with the same read.

    Raises
    ------
    NotFound
        If the token is not valid for that stream, whether it exists or not.
    Challenge, Forbidden
        If the caller may no longer do this.
    """
    found = registry.position(stream)
    confirm(request, None if found is None else found[3])
    if not reaches(request, stream):
        raise no_stream(stream)
    return None if found is None else found[:3]


def stream(request: HttpRequest, stream_name: Any) -> Stream:
    """Return the stream of that name.

    Raises
    ------
    NotFound
        If it does not exist, or the caller's token is not valid for it.
    """
    found = registry.find(stream_name)
    if not reaches(request, found.name):
        raise no_stream(stream_name)
    return found


def check_new_stream(request: HttpRequest, stream_name: str) -> None:
    """Check that the caller's token would be valid for a new stream.

    Raises
    ------
    Forbidden
        If it would not.
    """
    who = identity(request)
    if who is not None and not reaches(request, stream_name):
        allowed = ", ".join(sorted(who.streams or ()))
        raise Forbidden(
            f"token {who.token_id} is valid only for {allowed}, not for a stream named {format_value(stream_name)}"
        )


def check_unlimited(request: HttpRequest, things: str) -> None:
    """Check that the caller's token is valid for all streams, before a change that affects all streams.

    Raises
    ------
    Forbidden
        If it is not.
    """
    who = identity(request)
    if who is not None and who.streams is not None:
        allowed = ", ".join(sorted(who.streams))
        raise Forbidden(
            f"token {who.token_id} is valid only for the streams {allowed}, and {things} are for all streams"
        )


def check_model(request: HttpRequest, model: Any) -> None:
    """Check that the caller's token is valid for the stream of a model.

    Raises
    ------
    NotFound
        If it is not, or the model does not exist.
    """
    only = only_streams(request)
    if only is None:
        return
    known = isinstance(model, str) and "\x00" not in model
    if not known or not Model.objects.filter(name=model, stream__name__in=only).exists():
        raise no_model(model)


def delete_model(request: HttpRequest, model: str) -> None:
    """Delete a model. See :func:`check_model` and :func:`check_owner` for the errors."""
    check_model(request, model)
    check_owner(request, models.find(model))
    models.delete(model)


def release_model(request: HttpRequest, model: str) -> Model:
    """Release a model from quarantine. See :func:`check_model` and :func:`check_owner` for the errors.

    Raises
    ------
    Conflict
        If it is not in quarantine, or would be quarantined again at once.
    """
    check_model(request, model)
    found = models.find(model)
    check_owner(request, found)
    quarantine.release(found, made_by(request)["created_by"])
    return models.find(model)


def download(request: HttpRequest, model: str, at: int | None = None) -> bytes:
    """Return a model's estimator as a pickle, and record the download in the audit trail.

    Raises
    ------
    NotFound, Conflict, Invalid, Unavailable, TooMany, TooSlow
        As :func:`server.learning.inspection.download` does.
    """
    check_model(request, model)
    data = inspection.download(model, at, key(request))
    with transaction_for_writing():
        audit_signals.send("model.download", model, after={"at": at, "bytes": len(data)})
    return data


def check_owner(request: HttpRequest, thing: Owned) -> None:
    """Check that the caller owns something or may change what others own.

    Raises
    ------
    Forbidden
        If neither is the case.
    NotFound
        If neither is the case and the caller may not read.
    """
    who = identity(request)
    if who is None or "change_any" in who.permissions or (thing.owner_id is not None and thing.owner_id == who.user_id):
        return
    if "read" not in who.permissions and isinstance(thing, _SERVER_WIDE):
        raise NotFound(f"no {type(thing).__name__.lower()} {format_value(str(thing))}")
    if "read" not in who.permissions:
        raise no_model(thing.name) if isinstance(thing, Model) else no_stream(getattr(thing, "stream", thing).name)
    raise Forbidden(
        f"{type(thing).__name__.lower()} {thing.name} has another owner: {who.username} may change only their own; "
        "ask its owner or a moderator"
    )


def check_own(request: HttpRequest, thing: Calculation) -> None:
    """Check that the caller owns something, for what moderators may not do either.

    Raises
    ------
    Forbidden, NotFound
        As :func:`check_owner`.
    """
    who = identity(request)
    if who is not None and thing.owner_id != who.user_id and "change_any" in who.permissions:
        raise Forbidden(
            f"calculation {thing.pk} has another owner: only its owner and admins may delete it", field="calculation"
        )
    check_owner(request, thing)


def may_create_by_posting(request: HttpRequest) -> bool:
    """Return whether the caller creates a missing stream by posting to it (``TAILRACE_CREATE_BY_POSTING``)."""
    who, allowed = identity(request), settings.TAILRACE.create_by_posting
    if allowed == "nobody" or who is None:
        return who is None and allowed != "nobody"
    if allowed == "role":
        return "create" in who.permissions or "create_by_posting" in who.permissions
    return who.token_id != 0 and "create_by_posting" in who.permissions


def nearest_stream(request: HttpRequest, stream_name: str) -> str | None:
    """Return the name of the most similar stream that the caller may read; None if none is similar."""
    return registry.nearest(stream_name, only_streams(request)) if may(request, "read") else None


def no_model(model: Any) -> NotFound:
    return NotFound(f"no model named {format_value(model)}", field="model")


def no_stream(stream_name: Any) -> NotFound:
    return NotFound(f"no stream named {format_value(stream_name)}", field="stream")


def no_stream_to_post_to(request: HttpRequest, stream_name: str) -> NotFound:
    """Return the error for a stream that does not exist and that the caller may not create by posting."""
    nearest = nearest_stream(request, stream_name)
    meant = "" if nearest is None else f"; did you mean {nearest}?"
    how = "" if nearest is not None else "; create it first, or post with a token that has the scope create"
    return NotFound(f"no stream named {format_value(stream_name)}{meant}{how}", field="stream")
