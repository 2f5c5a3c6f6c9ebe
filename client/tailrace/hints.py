"""What was probably meant, where a server has nothing of that name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tailrace.errors import Refused, TailraceError
from tailrace.names import did_you_mean, listed

if TYPE_CHECKING:
    from tailrace.client import Client

__all__ = ["hint"]


def hint(client: Client, error: Refused, path: str, body: Any) -> str:
    """A hint to add to a refusal: the nearest name, or the names that there are; empty where neither helps.

    Asks the server once more, for what it has.
    """
    field = error.field or ""
    parts = [unquote(part) for part in path.split("/")]
    try:
        if error.status == 404 and field in ("model", "stream"):
            plural = f"{field}s"
            asked = body[field] if isinstance(body, dict) and field in body else parts[parts.index(plural) + 1]
            return _nearest(asked, client.models if field == "model" else client.streams, plural)
        if error.status == 400 and field.startswith("x") and "." in field and "models" in parts:
            feature, known = field.partition(".")[2], client.model(parts[parts.index("models") + 1]).features
            return "" if feature in known else did_you_mean(feature, known)
    except (TailraceError, ValueError, IndexError):
        # The hint is a courtesy: the refusal itself is what the caller has to hear.
        return ""
    return ""


def _nearest(name: str, known: Iterable[str], plural: str) -> str:
    names = list(known)
    return did_you_mean(str(name), names) or f" ({plural}: {listed(names)})"
