"""Preferences of a person: address and its confirmation, level, events that are turned off, digest, webhooks."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from server.core import audit_signals
from server.core.errors import Conflict, Invalid, NotFound, TooMany, Unavailable
from server.core.validation import check_text, format_value
from server.notifications import links, mail, webhooks
from server.notifications.events import CHOSEN, LEVELS
from server.notifications.models import Preference, Webhook

LEVEL_CHOICES = (*LEVELS, "NONE")
LONGEST_DIGEST = 1_440
SPACING = timedelta(minutes=1)
"""Least time between two confirmations of one person."""


def of(user: User) -> Preference:
    """Return the person's preferences; the defaults if they never set any."""
    return Preference.objects.filter(user=user).first() or Preference(user=user)


def change(
    user: User, *, level: str | None = None, muted: Iterable[str] | None = None, digest_minutes: int | None = None
) -> Preference:
    """Change what a person is told.

    Parameters
    ----------
    level
        ``INFO``, ``ERROR`` or ``NONE``.
    muted
        Names of events that the person doesn't want.
    digest_minutes
        After a mail, later notifications are collected for so long, minutes; 0: each is sent at once.

    Raises
    ------
    Invalid
        If a value is invalid.
    """
    changes: dict[str, object] = {}
    if level is not None:
        changes["level"] = check_level(level)
    if muted is not None:
        changes["muted"] = check_muted(muted)
    if digest_minutes is not None:
        if type(digest_minutes) is not int or not 0 <= digest_minutes <= LONGEST_DIGEST:
            raise Invalid(
                f"digest_minutes is {format_value(digest_minutes)}: expected whole minutes from 0 to {LONGEST_DIGEST}",
                field="digest_minutes",
            )
        changes["digest_minutes"] = digest_minutes
    return Preference.objects.update_or_create(user=user, defaults=changes)[0]


def check_level(level: object) -> str:
    if level not in LEVEL_CHOICES:
        raise Invalid(f"level is {format_value(level)}: expected one of {', '.join(LEVEL_CHOICES)}", field="level")
    return str(level)


def check_muted(muted: Iterable[str]) -> list[str]:
    names = list(muted)
    for name in names:
        if name not in CHOSEN:
            raise Invalid(f"muted contains {format_value(name)}: expected names of {', '.join(CHOSEN)}", field="muted")
    return [name for name in CHOSEN if name in names]


def set_address(user: User, address: str) -> Preference:
    """Set the person's address for e-mail; empty: none. A new one must be confirmed by the link that is sent to it.

    Raises
    ------
    Invalid
        If it is not an address, or the mail server refuses it.
    Conflict
        If no mail server is set.
    TooMany
        If a confirmation was sent within the last minute.
    Unavailable
        If the mail server doesn't take the message now.
    """
    address = check_text(address, "address", 254).strip()
    if not address:
        return Preference.objects.update_or_create(user=user, defaults={"address": "", "unconfirmed": ""})[0]
    try:
        validate_email(address)
    except ValidationError:
        raise Invalid(
            f"address is {format_value(address)}: expected one such as ada@example.org", field="address"
        ) from None
    if not mail.is_on():
        raise Conflict("this server sends no e-mail: an operator sets TAILRACE_MAIL_HOST")
    now = datetime.now(UTC)
    with transaction.atomic():
        found, _ = Preference.objects.select_for_update().get_or_create(user=user)
        if found.address == address:
            return found
        if found.asked_at is not None and found.asked_at + SPACING > now:
            raise TooMany("a confirmation was sent less than a minute ago: look into the mailbox first", retry_after=60)
        found.unconfirmed, found.asked_at = address, now
        found.save()
    try:
        mail.send_confirmation(address, links.confirm(found), user.username)
    except mail.MailRefused as exc:
        raise Invalid(f"address is {format_value(address)}: {exc}", field="address") from None
    except mail.MailFailed as exc:
        raise Unavailable(f"the confirmation was not sent: {exc}; try again later", retry_after=60) from None
    return found


def confirm(token: str) -> Preference:
    """Confirm the address of a link.

    Raises
    ------
    Invalid
        If the link is invalid or has expired, or another address was entered since.
    """
    user_id, address = links.read(token, links.CONFIRM, links.CONFIRM_SECONDS)
    found = Preference.objects.filter(user=user_id).first()
    if found is None or address not in (found.unconfirmed, found.address):
        raise Invalid("another address was entered since: use the link of the latest message")
    Preference.objects.filter(pk=found.pk).update(address=address, unconfirmed="")
    found.address, found.unconfirmed = address, ""
    return found


def unsubscribe(token: str) -> Preference:
    """End all e-mail to the person of a link.

    Raises
    ------
    Invalid
        If the link is invalid.
    """
    user_id, address = links.read(token, links.UNSUBSCRIBE)
    found = Preference.objects.filter(user=user_id).first()
    if found is None:
        raise Invalid("the person of this link is not known any more")
    if found.address == address:
        Preference.objects.filter(pk=found.pk).update(address="")
        found.address = ""
    return found


def add_webhook(
    user: User, name: str, url: str, *, shape: str = "plain", level: str = "INFO", muted: Iterable[str] = ()
) -> Webhook:
    """Add a webhook of a person. It has a new secret.

    Raises
    ------
    Invalid
        If a value is invalid, or the URL's host is a private address.
    Conflict
        If the person has one with this name, or too many.
    """
    name = check_text(name, "name", 100).strip()
    if not name:
        raise Invalid("name is empty: expected what the webhook is for", field="name")
    if shape not in Webhook.SHAPES:
        raise Invalid(f"shape is {format_value(shape)}: expected one of {', '.join(Webhook.SHAPES)}", field="shape")
    url = webhooks.check_url(check_text(url, "url", 2_000).strip())
    checked = {"level": check_level(level), "muted": check_muted(muted)}
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        names = list(Webhook.objects.filter(user=user).values_list("name", flat=True))
        if name in names:
            raise Conflict(f"you have a webhook {name!r} already: choose another name, or delete it first")
        if len(names) >= webhooks.MOST_OF_PERSON:
            raise Conflict(f"you have {len(names)} webhooks, the most that are allowed: delete one first")
        made = Webhook.objects.create(
            user=user, name=name, url=url, shape=shape, secret=webhooks.new_secret(), **checked
        )
        audit_signals.send("webhook.create", f"{user.username}/{name}", after={"url": url, "shape": shape})
    return made


def delete_webhook(user: User, number: int) -> None:
    """Delete a webhook of a person.

    Raises
    ------
    NotFound
        If the person has none with this number.
    """
    found = webhook(user, number)
    with transaction.atomic():
        audit_signals.send("webhook.delete", f"{user.username}/{found.name}", before={"url": found.url})
        found.delete()


def webhook(user: User, number: int) -> Webhook:
    """Return a webhook of a person.

    Raises
    ------
    NotFound
        If the person has none with this number.
    """
    found = Webhook.objects.filter(user=user, pk=number).first()
    if found is None:
        raise NotFound(f"you have no webhook with the number {number}")
    return found
