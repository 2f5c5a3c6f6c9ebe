"""Webhooks: signed POST requests, after https://www.standardwebhooks.com, and to public addresses only.

The host is resolved once, every address is checked, and the connection goes to a checked address, so a name that
resolves differently the second time can't reach a private one. Redirects are not followed.
"""

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection

from server.core.errors import Invalid
from server.core.json_codec import dumps
from server.core.validation import format_value
from server.notifications import links
from server.notifications.models import Delivery, Notification, Webhook

SECONDS = 10.0
"""Longest time of each part of a request, s: to connect, to agree on TLS, and from then on to the end of the answer."""

MOST_ANSWER = 1_000
"""Bytes of a response that are read."""

MOST_OF_PERSON = 20
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All addresses of the Internet are among these. Outside of them are site-local ones, and ones that gateways translate to IPv4."""
SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))
PREFIX = "whsec_"


class WebhookFailed(Exception):
    """The receiver did not take the request. The message says why; ``is_gone``: it wants no more (410)."""

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


def new_secret() -> str:
    """Return a new key for signatures."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def check_url(url: str) -> str:
    """Return the URL if webhooks may have it.

    Raises
    ------
    Invalid
        If it is not an HTTP URL, contains a user or password, or its host is a private address.
    """
    expected = "expected an address such as https://example.org/hook"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid(f"url is {format_value(url)}: {expected}", field="url") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or not url.isascii() or " " in url:
        raise Invalid(f"url is {format_value(url)}: {expected}", field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("url contains a user or a password: give the receiver the webhook's secret instead", field="url")
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return url
    if not _is_allowed(address):
        raise Invalid(f"url is {format_value(url)}: {_private(str(address))}", field="url")
    return url


def body_of(hook: Webhook, notification: Notification) -> bytes:
    """Return the JSON body in the webhook's shape."""
    link = links.absolute(notification.path) if notification.path else ""
    text = "\n".join(
        part for part in (f"{notification.level}: {notification.subject}", notification.text, link) if part
    )
    content: dict[str, Any]
    if hook.shape == "slack":
        content = {"text": text}
    elif hook.shape == "matrix":
        content = {"text": text, "username": "Tailrace"}
    else:
        content = {
            "type": notification.event,
            "timestamp": notification.created_at.isoformat(),
            "data": {
                "level": notification.level,
                "subject": notification.subject,
                "text": notification.text,
                "url": link,
            },
        }
    return dumps(content)


def signature(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``: HMAC-SHA256 over identifier, time and body."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{identifier}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def send(delivery: Delivery) -> None:
    """Send a delivery's notification to its webhook.

    Raises
    ------
    WebhookFailed
        If the receiver did not answer with a status of success.
    """
    hook = delivery.webhook
    assert hook is not None
    parts = urlsplit(hook.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = resolve(host, port)
    body, now, identifier = body_of(hook, delivery.notification), int(time.time()), f"tailrace-{delivery.pk}"
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "Tailrace",
        "webhook-id": identifier,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(hook.secret, identifier, now, body),
    }
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = HTTPConnection(address, port, timeout=SECONDS)
    if parts.scheme == "https":
        connection = HTTPSConnection(
            address, port, timeout=SECONDS, ca_certs=certifi.where(), server_hostname=host, assert_hostname=host
        )
    timer = threading.Timer(SECONDS, _shut, (connection,))
    try:
        connection.connect()
        # The timeout is that of each read. A receiver that sends a byte now and then is shut out by the timer. It starts here:
        # until the handshake is done, the connection has a socket that can't be shut.
        timer.start()
        connection.request("POST", path, body, headers, preload_content=False)
        answer = connection.getresponse()
        said = answer.read(MOST_ANSWER).decode(errors="replace")
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as exc:
        raise WebhookFailed(f"{host} can't be reached, or did not answer within {SECONDS:g} s: {exc}") from None
    finally:
        timer.cancel()
        connection.close()
    if not 200 <= answer.status < 300:
        raise WebhookFailed(f"{host} answered {answer.status}: {said[:200].strip()}", is_gone=answer.status == 410)


def _shut(connection: HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def resolve(host: str, port: int) -> str:
    """Return an address of the host.

    Raises
    ------
    WebhookFailed
        If it has none, or one that is private.
    """
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as exc:
        raise WebhookFailed(f"the name {host} can't be resolved: {exc}") from None
    addresses = sorted((ipaddress.ip_address(str(one).partition("%")[0]) for one in found), key=lambda one: one.version)
    for address in addresses:
        if not _is_allowed(address):
            raise WebhookFailed(_private(f"{host} ({address})" if host != str(address) else host))
    return str(addresses[0])


def _is_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    address = _embedded(address) or address
    if address.is_global and not address.is_multicast and not _is_special(address):
        return True
    return any(
        address in ipaddress.ip_network(network)
        for network in settings.TAILRACE.webhook_networks.replace(",", " ").split()
    )


def _is_special(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address is none of a host of the Internet, whatever its own network makes of it."""
    if isinstance(address, ipaddress.IPv6Address):
        return address not in GLOBAL_UNICAST
    return any(address in network for network in SPECIAL)


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a gateway would connect to for an IPv6 address, if it contains one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _private(what: str) -> str:
    return (
        f"{what} is a private address, and webhooks go to public ones: an operator may allow its network "
        "by TAILRACE_WEBHOOK_NETWORKS"
    )
