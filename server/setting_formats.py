"""Formats of settings: checks of single values, such as addresses, host names, URLs and roles.

Each check returns the value unchanged and raises ValueError, with a message that says what is expected.
"""

import ipaddress
import re
from urllib.parse import urlsplit

ROLES = ("viewer", "researcher", "moderator", "admin")
"""The roles of :mod:`server.accounts.roles`, which can't be imported before Django is configured."""


def host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8080")
    return value


def signing_key(value: str) -> str:
    if value and len(value) < 32:
        raise ValueError("expected at least 32 characters")
    return value


def networks(value: str) -> str:
    for network in filter(None, value.split(",")):
        try:
            ipaddress.ip_network(network.strip(), strict=False)
        except ValueError:
            raise ValueError(f"{network.strip()!r} is not an address or network, such as 10.0.0.0/8") from None
    return value


def host_names(value: str) -> str:
    for name in comma_separated(value):
        bare = name[1:-1] if name[0] == "[" and name[-1] == "]" else name
        if "/" in name or (":" in name and bare == name):
            raise ValueError(f"{name!r} is not a host name: expected names and addresses without scheme, port or path")
    return value


def issuer(value: str) -> str:
    parts = urlsplit(value)
    if value and not (
        parts.hostname
        and not (parts.query or parts.fragment or parts.username)
        and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)))
    ):
        raise ValueError("expected the issuer's https:// URL, without a query")
    return value


def endpoint(value: str) -> str:
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)):
        raise ValueError("expected the http:// or https:// URL of a collector, such as http://127.0.0.1:4318")
    return value


def bucket(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ValueError("expected the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
    return value


def object_prefix(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", value):
        raise ValueError("expected names separated by slashes, such as tailrace/files, of letters, digits and ._-")
    return value


def object_store(value: str) -> str:
    try:
        parts = urlsplit(value)
        extra = parts.query or parts.fragment or "@" in parts.netloc
    except ValueError:
        parts, extra = urlsplit(""), "unreadable"
    if value and not (parts.scheme in ("http", "https") and parts.hostname and not extra):
        raise ValueError("expected the http:// or https:// URL of an S3 server, without a user, a password or a query")
    return value


def own_address(value: str) -> str:
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)):
        raise ValueError("expected the address of this server, such as https://tailrace.example.org")
    return value


def scopes(value: str) -> str:
    if "openid" not in value.split():
        raise ValueError("expected scopes separated by spaces, including openid")
    return value


def roles_of_groups(value: str) -> str:
    for entry in filter(None, value.split(",")):
        group, equals, role = entry.strip().rpartition("=")
        if not equals or not group or role not in ROLES:
            raise ValueError(f"{entry.strip()!r} is not GROUP=ROLE: expected one of the roles {', '.join(ROLES)}")
    return value


def comma_separated(value: str) -> tuple[str, ...]:
    """Return the parts of a list that is separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
