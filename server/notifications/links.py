"""Links in messages: pages of the server, and signed links to confirm an address and to unsubscribe."""

from django.conf import settings
from django.core import signing

from server.core.errors import Invalid
from server.notifications.models import Preference

UNSUBSCRIBE, CONFIRM = "notifications.unsubscribe", "notifications.confirm"
CONFIRM_SECONDS = 86_400


def absolute(path: str) -> str:
    """Return the URL of a page, by the setting ``PUBLIC_URL``. Without it, the path."""
    return f"{settings.TAILRACE.public_url.rstrip('/')}{path}"


def unsubscribe(preference: Preference) -> str:
    """Return the link by which a person ends all mail without signing in."""
    token = signing.dumps([preference.user_id, preference.address], salt=UNSUBSCRIBE)
    return absolute(f"/notifications/unsubscribe/{token}/")


def confirm(preference: Preference) -> str:
    """Return the link by which a person confirms the address that awaits it."""
    token = signing.dumps([preference.user_id, preference.unconfirmed], salt=CONFIRM)
    return absolute(f"/notifications/confirm/{token}/")


def read(token: str, salt: str, max_age: int | None = None) -> tuple[int, str]:
    """Return the user's ID and the address of a link.

    Raises
    ------
    Invalid
        If this server did not sign it, or it has expired.
    """
    try:
        user_id, address = signing.loads(token, salt=salt, max_age=max_age)
    except signing.SignatureExpired:
        raise Invalid("the link has expired: ask for a new one on the page of your notifications") from None
    except (signing.BadSignature, ValueError, TypeError):
        raise Invalid("the link is not valid: copy it whole from the message") from None
    return int(user_id), str(address)
