"""Views of the native API for the caller's notifications: preferences, webhooks, and the log of deliveries."""

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import token_checks
from server.api.v1.view import View, operation
from server.core.errors import Conflict
from server.notifications import log, outbox, preferences
from server.notifications.events import CHOSEN, EVENTS, LEVELS
from server.notifications.models import Webhook

LEVEL = fields.Choice(preferences.LEVEL_CHOICES, "Least level of events; NONE: nothing")
MUTED = fields.Items(fields.Choice(CHOSEN), "Events that you don't want", max_length=99)


class PreferenceSerializer(Serializer):
    address = fields.Text("Confirmed address for e-mail; empty: none")
    unconfirmed = fields.Text("Address whose confirmation is awaited")
    level, muted = LEVEL, MUTED
    digest_minutes = fields.Whole("After a mail, later notifications are collected for so long, minutes")


class PreferenceChangeSerializer(RequestSerializer):
    address = fields.Text("Empty: no e-mail. A new one gets a link that confirms it", max_length=254, required=False)
    level = fields.Choice(preferences.LEVEL_CHOICES, required=False)
    muted = fields.Items(fields.Choice(CHOSEN), "Events that you don't want", max_length=99, required=False)
    digest_minutes = fields.Whole(min_value=0, max_value=preferences.LONGEST_DIGEST, required=False)


class WebhookSerializer(Serializer):
    id = fields.Whole()
    name, url = fields.Text(), fields.Text()
    shape, level, muted = fields.Choice(Webhook.SHAPES), LEVEL, MUTED
    created_at = fields.Time()
    ended_at = fields.Time("When its receiver answered that it wants no more", allow_null=True)


class WebhookSecretSerializer(WebhookSerializer):
    secret = fields.Text("Key of the signatures. It is shown only here")


class NewWebhookSerializer(RequestSerializer):
    name = fields.Text(max_length=100)
    url = fields.Text("Where notifications are posted to", max_length=2_000)
    shape = fields.Choice(Webhook.SHAPES, "Form of the body", default="plain")
    level = fields.Choice(preferences.LEVEL_CHOICES, default="INFO")
    muted = fields.Items(fields.Choice(CHOSEN), max_length=99, default=[])


class DeliverySerializer(Serializer):
    id = fields.Whole()
    at = fields.Time("When the event happened")
    event, level = fields.Choice(tuple(EVENTS)), fields.Choice(LEVELS)
    subject, text, path = fields.Text(), fields.Text(), fields.Text()
    by = fields.Text("`e-mail`, or the name of a webhook")
    state = fields.Choice(("waiting", "sent", "failed", "replaced"))
    attempts = fields.Count()
    error = fields.Text("Why the last attempt failed")
    sent_at = fields.Time(allow_null=True)


class DeliveriesSerializer(Serializer):
    deliveries = fields.Items(DeliverySerializer())


class WebhooksSerializer(Serializer):
    webhooks = fields.Items(WebhookSerializer())


class DeliveryQuery(QuerySerializer):
    before = fields.Whole("Only those with smaller numbers", min_value=1, max_value=fields.LARGEST, required=False)
    limit = fields.Whole("Most notifications to list", min_value=1, max_value=1_000, default=100)


def _person(request: Request, what: str) -> User:
    """Return the person who signed in. Tokens can't change where notifications go."""
    token_checks.check_is_person(request._request, what)
    user = token_checks.person(request._request)
    if user is None:
        raise Conflict("nobody is asked who they are here (TAILRACE_AUTH=open), so there are no notifications")
    return user


class Preferences(View):
    """What the caller is told."""

    tag = "notifications"

    @operation("getNotificationPreferences", answers={200: PreferenceSerializer}, errors=(409,))
    def get(self, request: Request) -> Response:
        """Show what you are told, and where."""
        return Response(PreferenceSerializer(preferences.of(_person(request, "reading preferences"))).data)

    @operation(
        "changeNotificationPreferences", PreferenceChangeSerializer, answers={200: PreferenceSerializer}, errors=(409,)
    )
    def patch(self, request: Request) -> Response:
        """Change what you are told, and where.

        A new address gets a message with a link that confirms it. Until then, nothing else is sent to it.
        """
        user = _person(request, "changing preferences")
        given = self.body(request)
        address = given.pop("address", None)
        found = preferences.change(user, **given)
        if address is not None:
            found = preferences.set_address(user, address)
        return Response(PreferenceSerializer(found).data)


class Deliveries(View):
    """The caller's notifications."""

    tag = "notifications"

    @operation("listNotifications", answers={200: DeliveriesSerializer}, query=DeliveryQuery, errors=(409,))
    def get(self, request: Request) -> Response:
        """List your notifications, newest first, with what became of each."""
        user = _person(request, "reading notifications")
        asked = self.query
        found = log.deliveries_of(user, before=asked.get("before"), limit=asked["limit"])
        return Response({"deliveries": [log.described(one) for one in found]})


class Test(View):
    """A test message."""

    tag = "notifications"

    @operation("testMail", answers={202: None}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Send a test message to your address."""
        user = _person(request, "sending a test message")
        if not preferences.of(user).address:
            raise Conflict("you have no confirmed address: set one first")
        with transaction.atomic():
            outbox.publish_test(user.pk)
        return Response(status=202)


class Webhooks(View):
    """The caller's webhooks."""

    tag = "notifications"

    @operation("listWebhooks", answers={200: WebhooksSerializer}, errors=(409,))
    def get(self, request: Request) -> Response:
        """List your webhooks."""
        user = _person(request, "reading webhooks")
        found = Webhook.objects.filter(user=user).order_by("pk")
        return Response({"webhooks": [WebhookSerializer(one).data for one in found]})

    @operation("createWebhook", NewWebhookSerializer, answers={201: WebhookSecretSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Add a webhook.

        Requests are signed after the Standard Webhooks specification (headers `webhook-id`, `webhook-timestamp`,
        `webhook-signature`). They go to public addresses, and to private networks that the operator allows.
        """
        user = _person(request, "adding a webhook")
        given: dict[str, Any] = self.body(request)
        made = preferences.add_webhook(user, given.pop("name"), given.pop("url"), **given)
        return Response(WebhookSecretSerializer(made).data, status=201)


class OneWebhook(View):
    """One webhook of the caller."""

    tag = "notifications"

    @operation("deleteWebhook", answers={204: None}, errors=(404, 409))
    def delete(self, request: Request, number: int) -> Response:
        """Delete a webhook."""
        preferences.delete_webhook(_person(request, "deleting a webhook"), number)
        return Response(status=204)


class TestWebhook(View):
    """A test message to a webhook."""

    tag = "notifications"

    @operation("testWebhook", answers={202: None}, errors=(404, 409))
    def post(self, request: Request, number: int) -> Response:
        """Send a test message to a webhook."""
        user = _person(request, "sending a test message")
        hook = preferences.webhook(user, number)
        if hook.ended_at is not None:
            raise Conflict(
                f"the receiver of {hook.name} answered that it wants no more: delete the webhook and add it again"
            )
        with transaction.atomic():
            outbox.publish_test(user.pk, hook)
        return Response(status=202)
