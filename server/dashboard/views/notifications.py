"""The page of a person's notifications, and the pages that links in messages open."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from server.core.errors import Conflict, TailraceError
from server.dashboard.rendering import page, person, refused, to, visitor
from server.notifications import log, mail, outbox, preferences
from server.notifications.events import CHOSEN, EVENTS
from server.notifications.models import Webhook

HERE = "/account/notifications/"
LEVELS = {"INFO": "Everything", "ERROR": "Only what went wrong", "NONE": "Nothing"}
SHAPES = {"plain": "Standard Webhooks", "slack": "Slack and Mattermost", "matrix": "Matrix (hookshot)"}


def notifications(request: HttpRequest) -> HttpResponse:
    """GET: the page. POST: change the preferences."""
    if request.method != "POST":
        return page(request, "notifications", **_shown(request))
    user = person(request)
    wanted = set(request.POST.getlist("events"))
    try:
        minutes = request.POST.get("digest_minutes", "")
        preferences.change(
            user,
            level=request.POST.get("level", ""),
            muted=[name for name in CHOSEN if name not in wanted],
            digest_minutes=int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 10 else minutes,  # type: ignore[arg-type]
        )
    except TailraceError as exc:
        return refused(request, "notifications", exc, **_shown(request))
    messages.success(request, "Your choice is saved.")
    return to(HERE)


def address(request: HttpRequest) -> HttpResponse:
    """POST: set the person's address."""
    try:
        found = preferences.set_address(person(request), request.POST.get("address", ""))
    except TailraceError as exc:
        return refused(request, "notifications", exc, **_shown(request))
    if found.unconfirmed:
        messages.success(request, f"A message is on its way to {found.unconfirmed}: open its link within a day.")
    else:
        messages.success(request, "Your address is saved." if found.address else "You get no e-mail any more.")
    return to(HERE)


def test(request: HttpRequest) -> HttpResponse:
    """POST: send a test message to the person's address."""
    user = person(request)
    try:
        if not preferences.of(user).address:
            raise Conflict("you have no confirmed address: set one first")
        with transaction.atomic():
            outbox.publish_test(user.pk)
    except TailraceError as exc:
        return refused(request, "notifications", exc, **_shown(request))
    messages.success(request, "A test message is on its way. The log below says when it is sent.")
    return to(HERE)


def add_webhook(request: HttpRequest) -> HttpResponse:
    """POST: add a webhook, and show its secret once."""
    asked = request.POST
    try:
        made = preferences.add_webhook(
            person(request), asked.get("name", ""), asked.get("url", ""), shape=asked.get("shape", "plain"),
            level=asked.get("level", "INFO"),
        )  # fmt: skip
    except TailraceError as exc:
        return refused(request, "notifications", exc, **_shown(request))
    return page(request, "notifications", status=201, **_shown(request), made=made)


def delete_webhook(request: HttpRequest, number: int) -> HttpResponse:
    """POST: delete a webhook."""
    preferences.delete_webhook(person(request), number)
    messages.success(request, "The webhook is deleted.")
    return to(HERE)


def test_webhook(request: HttpRequest, number: int) -> HttpResponse:
    """POST: send a test message to a webhook."""
    user = person(request)
    hook = preferences.webhook(user, number)
    with transaction.atomic():
        outbox.publish_test(user.pk, hook)
    messages.success(request, "A test message is on its way. The log below says when it is sent.")
    return to(HERE)


@csrf_exempt  # the link itself is the credential
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """GET: ask. POST: confirm an address. Programs that look at links in mails only GET them."""
    if request.method != "POST":
        return page(
            request, "notification_link", token=token, title="Confirm your address", button="Confirm", action="confirm"
        )
    found = preferences.confirm(token)
    return page(
        request, "notification_link", title="Your address is confirmed", said=f"Notifications go to {found.address}."
    )


@csrf_exempt
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET: ask. POST: end all mail to a person. Mail programs send the POST without a page (RFC 8058)."""
    if request.method != "POST":
        return page(
            request,
            "notification_link",
            token=token,
            title="No more mail",
            button="Send me no more mail",
            action="unsubscribe",
        )
    preferences.unsubscribe(token)
    return page(request, "notification_link", title="No more mail", said="You get no more mail from this server.")


def _shown(request: HttpRequest) -> dict[str, Any]:
    user = visitor(request)
    if user is None:
        return {"user": None}
    preference = preferences.of(user)
    return {
        "user": user,
        "preference": preference,
        "levels": LEVELS,
        "shapes": SHAPES,
        "events": [(EVENTS[name], name not in preference.muted) for name in CHOSEN],
        "webhooks": Webhook.objects.filter(user=user).order_by("pk"),
        "deliveries": log.deliveries_of(user, limit=50),
        "mail_is_on": mail.is_on(),
    }
