"""E-mail: one message for all notifications of a person that are due, with a link that ends them."""

from collections.abc import Sequence
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.core.mail import EmailMessage

from server.notifications import links
from server.notifications.models import Notification, Preference

MOST_IN_FULL = 5
"""Notifications of one mail that are told in full. Of the others, the mail has the subjects."""

MOST_LISTED = 100
"""Notifications of one mail whose subjects it lists."""


class MailRefused(Exception):
    """The mail server refuses the message or the address for good. The message says why."""


class MailFailed(Exception):
    """The mail server did not take the message, and may take it later. The message says why."""


def is_on() -> bool:
    """Return whether a mail server is set."""
    return bool(settings.TAILRACE.mail_host)


def send(preference: Preference, notifications: Sequence[Notification]) -> None:
    """Send the notifications to the person's address, as one message.

    Raises
    ------
    MailRefused
        If it is refused for good.
    MailFailed
        If it may be taken later.
    """
    first = notifications[0]
    more = len(notifications) - 1
    subject = first.subject if not more else f"{first.subject} (and {more} more)"
    parts = [_told(one) for one in notifications[:MOST_IN_FULL]]
    rest = notifications[MOST_IN_FULL:]
    if rest:
        listed = "\n".join(f"- {one.subject}" for one in rest[:MOST_LISTED])
        parts.append(f"Also:\n{listed}")
        if len(rest) > MOST_LISTED:
            parts.append(f"and {len(rest) - MOST_LISTED} more: {links.absolute('/account/notifications/')}")
    unsubscribe = links.unsubscribe(preference)
    parts.append(
        f"--\nChoose what you are told: {links.absolute('/account/notifications/')}\nNo more mail: {unsubscribe}"
    )
    headers = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Auto-Submitted": "auto-generated"}
    if "://" in unsubscribe:
        headers["List-Unsubscribe"] = f"<{unsubscribe}>"
    _send(preference.address, subject, "\n\n".join(parts), headers)


def send_confirmation(address: str, link: str, username: str) -> None:
    """Send the link by which a person confirms that an address is theirs.

    Raises
    ------
    MailRefused, MailFailed
        If the mail server did not take it.
    """
    text = (
        f"{username} wants notifications of a Tailrace server at this address.\n\nIf this is you, open this link within "
        f"a day:\n{link}\n\nIf not, ignore this message: nothing more will come."
    )
    _send(address, "Confirm your address for notifications", text, {"Auto-Submitted": "auto-generated"})


def _told(one: Notification) -> str:
    link = f"\n{links.absolute(one.path)}" if one.path else ""
    return f"{one.subject}\n{one.text}{link}"


def _send(address: str, subject: str, text: str, headers: dict[str, str]) -> None:
    try:
        EmailMessage(f"[Tailrace] {subject}", text, to=[address], headers=headers).send()
    except SMTPRecipientsRefused as exc:
        code, said = next(iter(exc.recipients.values()), (0, b""))
        raise (MailRefused if code >= 500 else MailFailed)(
            f"the mail server refuses the address: {code} {_text(said)}"
        ) from None
    except SMTPResponseException as exc:
        # The server refuses the sign-in or the sender. An operator may correct this, so the message waits.
        raise MailFailed(f"the mail server answered {exc.smtp_code} {_text(exc.smtp_error)}") from None
    except (SMTPException, OSError) as exc:
        raise MailFailed(f"the mail server can't be reached: {exc}") from None


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
