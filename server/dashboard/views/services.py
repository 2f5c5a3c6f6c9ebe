"""Pages of services: the list, and one with its health, what can be done with it, and a form that asks it."""

import json
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.core.errors import Forbidden, Invalid, TailraceError
from server.core.json_codec import dumps_text
from server.dashboard import live
from server.dashboard.rendering import caller_key, page, refused, to
from server.dashboard.views.calculations import check_reach, may
from server.dashboard.views.experiments import may_change
from server.services import proxying, services
from server.services.models import Service

HERE = "/services/"
LONGEST_ANSWER = 200_000
"""Characters of an answer that the page shows."""

TONES = {
    "healthy": "good",
    "unhealthy": "bad",
    "backing off": "bad",
    "refused": "bad",
    "waiting": "busy",
    "starting": "busy",
}
ACTIONS = {"run": "Run", "stop": "Stop", "restart": "Restart"}


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the services."""
    check_reach(request)
    found = services.listing()
    for one in found:
        one["tone"] = TONES.get(one["state"], "")
    version = live.version(found)
    same = live.unchanged(request, version)
    return same or page(
        request, "services_part" if live.is_part(request) else "services", services=found, version=version
    )


def service(request: HttpRequest, name: str) -> HttpResponse:
    """GET: a service."""
    check_reach(request)
    shown = _shown(request, services.find(name))
    same = live.unchanged(request, shown["version"])
    return same or page(request, "service_part" if live.is_part(request) else "service", **shown)


def change(request: HttpRequest, name: str) -> HttpResponse:
    """POST: run, stop or restart a service."""
    check_reach(request)
    found = _own(request, name)
    action = request.POST.get("action", "")
    if action not in ACTIONS:
        raise Invalid(f"action is {action[:50]!r}: expected one of {', '.join(ACTIONS)}", field="action")
    try:
        if action == "restart":
            services.restart(found)
        else:
            services.want(found, Service.RUNNING if action == "run" else Service.STOPPED)
    except TailraceError as exc:
        return refused(request, "service", exc, **_shown(request, found))
    messages.success(request, f"{ACTIONS[action]} is asked for. The agent does it at its next sync.")
    return to(_path(found))


def delete(request: HttpRequest, name: str) -> HttpResponse:
    """POST: delete a service whose name was typed."""
    check_reach(request)
    found = _own(request, name)
    if request.POST.get("confirm", "").strip() != found.name:
        exc = Invalid(f"this can't be undone: type the service's name, {found.name}, to confirm it", field="confirm")
        return refused(request, "service", exc, **_shown(request, found))
    services.want(found, Service.DELETED)
    messages.success(request, f"Service {found.name} is deleted. Its agent removes the container at its next sync.")
    return to(HERE)


def ask(request: HttpRequest, name: str) -> HttpResponse:
    """POST: ask a service, and show its answer."""
    check_reach(request)
    found = services.find(name)
    text = request.POST.get("body", "").replace("\r\n", "\n")
    try:
        content = text.encode()
        proxying.check_json(content)
        answer = proxying.invoke(found.name, content, "application/json", caller_key(request))
    except TailraceError as exc:
        return refused(request, "service", exc, **_shown(request, found))
    shown = {"is_refusal": answer.status != 200, "text": _readable(answer)}
    return page(request, "service", given={"body": text}, answer=shown, **_shown(request, found))


def _readable(answer: proxying.Answer) -> str:
    """Return an answer as text: JSON with one value a line, anything else as it came."""
    text = answer.content.decode("utf-8", "replace").replace("\x00", "�")
    if answer.content_type == "application/json":
        try:
            text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # it is shown as it came
    cut = len(text) - LONGEST_ANSWER
    return text if cut <= 0 else f"{text[:LONGEST_ANSWER]}\n… {cut:,} characters more"


def _own(request: HttpRequest, name: str) -> Service:
    found = services.find(name)
    if not may_change(request, found):
        raise Forbidden(
            f"service {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    return found


def _path(found: Service) -> str:
    return f"{HERE}{quote(found.name)}/"


def _shown(request: HttpRequest, found: Service) -> dict[str, Any]:
    (one,) = services.described([found])
    allowed = []
    if may_change(request, found):
        allowed = ["stop", "restart"] if found.wanted == Service.RUNNING else ["run"]
    sample = one["sample"]
    return {
        "one": one,
        "tone": TONES.get(one["state"], ""),
        "allowed": [(action, ACTIONS[action]) for action in allowed],
        "may_ask": may(request, "predict"),
        "is_usable": one["state"] == "healthy" and one["contact"] == "ok" and found.wanted == Service.RUNNING,
        "sample": dumps_text(sample.get("body", {})),
        "expected": dumps_text(sample.get("expected")),
        "here": _path(found),
        "version": live.version(one),
    }
