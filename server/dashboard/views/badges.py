"""Badges of models for other pages, and the page on which its owner chooses who may see one."""

import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.crypto import constant_time_compare

from server.accounts import sessions
from server.core.errors import Invalid, NotFound
from server.dashboard import access, badge_pictures, parameters
from server.dashboard.recent_results import RecentResults
from server.dashboard.rendering import is_open, page, to
from server.learning import badges, registry
from server.learning.badges import Reading
from server.learning.models import Badge, Model
from server.learning.records import reading

MAX_AGE = 60
"""Seconds for which a cache may keep a badge."""

CURVES: RecentResults[bytes] = RecentResults(64)

SAID = {
    badges.PUBLISH: "Everybody may see the badge now.",
    badges.HIDE: "Only people who may read the model see the badge now, and whoever knows its own address.",
    badges.RENEW: "The badge has a new address of its own. An earlier one has ended.",
    badges.WITHDRAW: "The badge has no address of its own any more.",
}


def svg(request: HttpRequest, name: str, key: str = "") -> HttpResponseBase:
    """GET: the badge as SVG, to whoever may see it."""
    return _picture(request, name, key, badge_pictures.svg, "image/svg+xml")


def png(request: HttpRequest, name: str, key: str = "") -> HttpResponseBase:
    """GET: the curve of the error as PNG, to whoever may see it."""
    return _picture(request, name, key, _curve, "image/png")


def _curve(model: Model, found: Reading) -> bytes:
    key = (model.pk, model.created_at, model.generation, found, reading.extent(model).last)
    return CURVES.get(key, lambda: badge_pictures.png(model, found))


def _picture(
    request: HttpRequest, name: str, key: str, draw: Callable[[Model, Reading], bytes], kind: str
) -> HttpResponseBase:
    if "token" in request.GET:
        raise Invalid(
            "a token never goes into an address, where others read it: give the badge an address of its own, on the page "
            f"/models/{quote(name)}/badge/",
            field="token",
        )
    model, is_shared = _visible(request, name, key)
    data = draw(model, badges.reading(model))
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    response = HttpResponse(data, content_type=kind)
    response["ETag"] = etag
    response["Cache-Control"] = f"{'public' if is_shared else 'private'}, max-age={MAX_AGE}"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    found = get_conditional_response(request, etag=etag, response=response)
    assert found is not None
    return found


def _visible(request: HttpRequest, name: str, key: str) -> tuple[Model, bool]:
    """Return the model, and whether its badge may be seen without signing in.

    Raises
    ------
    NotFound
        If the badge isn't there for this caller. The message is the same whether there is such a model or not.
    """
    refused = NotFound(
        "there is no badge at this address, or you may not see it: sign in, or ask the model's owner for it"
    )
    try:
        model = registry.find(name)
    except NotFound:
        raise refused from None
    badge = badges.of(model)
    if key:
        if badge.key and constant_time_compare(key, badge.key):
            return model, True
        raise refused
    if badge.is_public or is_open():
        return model, True
    caller = sessions.caller_of(request)
    if caller is None or not caller.may("read") or not caller.reaches(model.stream.name):
        raise refused
    return model, False


def settings(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page of a model's badge; POST: change who may see it."""
    model = parameters.find_model(request, name)
    if request.method == "POST":
        access.check_may_change(request, model)
        what = request.POST.get("change", "")
        if what not in badges.CHANGES:
            raise Invalid(f"change is {what[:50]!r}: expected one of {', '.join(badges.CHANGES)}", field="change")
        badges.change(model, what)
        messages.success(request, SAID[what])
        return to(f"/models/{quote(model.name)}/badge/")
    badge = badges.of(model)
    return page(
        request,
        "model_badge",
        model=model,
        badge=badge,
        addresses=_addresses(request, model, badge),
        may_change=access.may_change(request, model),
    )


def _addresses(request: HttpRequest, model: Model, badge: Badge) -> list[dict[str, Any]]:
    """The addresses that may be embedded elsewhere, with Markdown."""
    name, found = quote(model.name), []
    owner_only = (
        [(f"/badge/{name}/{badge.key}", "Whoever has this address")]
        if badge.key and access.may_change(request, model)
        else []
    )
    everybody = [(f"/badge/{name}", "Everybody")] if badge.is_public or is_open() else []
    link = request.build_absolute_uri(f"/models/{name}/")
    for path, who in (*everybody, *owner_only):
        for ending, what in (("svg", "badge"), ("png", "curve")):
            url = request.build_absolute_uri(f"{path}.{ending}")
            found.append({"who": who, "what": what, "url": url, "markdown": f"[![{model.name}]({url})]({link})"})
    return found
