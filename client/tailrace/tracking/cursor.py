"""`Cursor`: how far the lines of a spool file have been sent to one back end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Cursor"]


@dataclass
class Cursor:
    """How far one back end has the lines of one file. It is kept in a file beside it.

    Attributes
    ----------
    offset
        Offset of the next line to send, in bytes. 0: the run has not been made there.
    next
        Number of that line, from 0.
    sent, refused
        Lines that the back end took, and things that it refused for good.
    reasons
        The last reasons for refusals, at most 20.
    uploads
        Artifacts that were announced and whose content is not there yet.
    state
        What the sender keeps, such as the identifier of the run at the back end.
    """

    offset: int = 0
    next: int = 0
    sent: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    uploads: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    MOST_REASONS = 20

    def refuse(self, why: str) -> None:
        """Count a refusal."""
        self.refused += 1
        if why not in self.reasons:
            self.reasons = [*self.reasons[1 - self.MOST_REASONS :], why]

    @classmethod
    def load(cls, path: str) -> Cursor | None:
        """Returns the cursor in a file; None if there is none, or it is damaged: then all lines are sent again."""
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
            found = cls(**data)
            if not all(type(one) is int and one >= 0 for one in (found.offset, found.next, found.sent, found.refused)):
                return None
            if not isinstance(found.uploads, list) or not isinstance(found.state, dict):
                return None
            return found
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: str) -> None:
        """Write it to a file, in place of the former one. If that fails, lines are sent again after a crash."""
        part = f"{path}.{os.getpid()}.part"
        try:
            with open(part, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file)
            os.replace(part, path)
        except OSError:
            try:
                os.unlink(part)
            except OSError:
                pass
