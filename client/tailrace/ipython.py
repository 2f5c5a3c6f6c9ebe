"""Names of a server's models and streams, completed by IPython and Jupyter inside ``c.model("``."""

from __future__ import annotations

import re
import sys
from typing import Any
from weakref import WeakSet

__all__ = ["complete_names"]

CALL = re.compile(
    r"""(?:^|[^\w.])                    # nothing that the variable would be an attribute of
        (?P<variable>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
        \.(?P<method>model|stream|post|post_frame)
        \(\s*(?:(?:name|stream)\s*=\s*)?
        ['"](?P<begun>[\w.-]*)\Z""",
    re.VERBOSE,
)
BEHIND_CALL = r".*\.(?:model|stream|post|post_frame)\(\s*(?:\w+\s*=\s*)?['\"][\w.-]*\Z"

_shells: WeakSet[Any] = WeakSet()


def complete_names() -> None:
    """Have the running shell complete names, if there is one; IPython is not imported for it."""
    running = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if running is None else running()
    if shell is not None and hasattr(shell, "set_hook") and shell not in _shells:
        _shells.add(shell)
        shell.set_hook("complete_command", _offered, re_key=BEHIND_CALL)


def _offered(shell: Any, event: Any) -> list[str]:
    """What the server of the client before the cursor has; nothing where it doesn't say so at once."""
    from tailrace.client import Client

    found = CALL.search(event.text_until_cursor)
    if found is None:
        return []
    first, *attributes = found["variable"].split(".")
    thing = shell.user_ns.get(first)
    for name in attributes:
        # Only what is stored: a property, which may do anything, is not asked because somebody presses Tab.
        thing = getattr(thing, "__dict__", {}).get(name)
    asynchronous = sys.modules.get("tailrace.async_client")
    if not isinstance(thing, Client) and (asynchronous is None or not isinstance(thing, asynchronous.AsyncClient)):
        return []
    catalog = thing.models if found["method"] == "model" else thing.streams
    return [name for name in catalog._ipython_key_completions_() if name.startswith(found["begun"])]
