"""Completion of model and stream names in IPython and Jupyter, inside ``c.model("``."""

from __future__ import annotations

import re
import sys
from typing import Any
from weakref import WeakSet

__all__ = ["complete_names"]

CALL = re.compile(
    r"""(?:^|[^\w.])                    # so that the variable is not an attribute of something else
        (?P<variable>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
        \.(?P<method>model|stream|post|post_frame)
        \(\s*(?:(?:name|stream)\s*=\s*)?
        ['"](?P<prefix>[\w.-]*)\Z""",
    re.VERBOSE,
)
INSIDE_CALL = r".*\.(?:model|stream|post|post_frame)\(\s*(?:\w+\s*=\s*)?['\"][\w.-]*\Z"

_shells: WeakSet[Any] = WeakSet()
_clients: set[type] = set()


def complete_names(client: type) -> None:
    """Make the running IPython shell, if any, complete names for variables of a client class.

    It does not import IPython.
    """
    _clients.add(client)
    running = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if running is None else running()
    if shell is not None and hasattr(shell, "set_hook") and shell not in _shells:
        _shells.add(shell)
        shell.set_hook("complete_command", _completions, re_key=INSIDE_CALL)


def _completions(shell: Any, event: Any) -> list[str]:
    """Returns the matching names on the server of the client before the cursor; none if it does not answer soon."""
    found = CALL.search(event.text_until_cursor)
    if found is None:
        return []
    first, *attributes = found["variable"].split(".")
    thing: Any = shell.user_ns.get(first)
    for name in attributes:
        # Read stored attributes only. A property may run any code, and the user has only pressed Tab.
        thing = getattr(thing, "__dict__", {}).get(name)
    if not any(isinstance(thing, client) for client in _clients):
        return []
    catalog = thing.models if found["method"] == "model" else thing.streams
    return [name for name in catalog._ipython_key_completions_() if name.startswith(found["prefix"])]
