"""How far each fold is mirrored, in a file for each, in ``VAR_DIR/mirror``.

A file that is lost does no harm: the target is asked how far it has come.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from server.mirror.fingerprints import Fingerprint


@dataclass
class Position:
    """How far one fold is mirrored into one target.

    Attributes
    ----------
    at
        The last observation whose metrics the target has; None if that is to be asked.
    lines
        Number of lines of metrics that were sent.
    version_at
        The observation of the newest version that was registered; None if that is to be asked.
    owed
        An observation whose state is still to be registered as a version.
    live
        Number of the version that was made ``live`` last.
    checked
        ID of the newest retraction that all versions were held against.
    digest_at, digest
        Fingerprint of the log (:class:`Fingerprint`).
    state
        What the sender keeps, such as the identifier of the run.
    """

    at: int | None = None
    lines: int = 0
    version_at: int | None = None
    owed: int | None = None
    live: str = ""
    checked: int = -1
    digest_at: int = 0
    digest: str = ""
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.digest_at, self.digest)

    @fingerprint.setter
    def fingerprint(self, value: Fingerprint) -> None:
        self.digest_at, self.digest = value.at, value.digest


class Store:
    """The positions of one target.

    Parameters
    ----------
    folder
        Their folder. It is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def folder_of(self, uid: str) -> Path:
        """Return the folder of a run's sender, which notes there which run it made. It is made."""
        found = self.folder / uid
        found.mkdir(exist_ok=True)
        return found

    def load(self, uid: str) -> Position:
        """Return the position of a fold; a new one if it isn't known, or its file is damaged."""
        try:
            found = Position(**json.loads((self.folder / f"{uid}.json").read_text()))
            counts = (found.at or 0, found.lines, found.version_at or 0, found.owed or 0, found.digest_at)
            bytes.fromhex(found.digest)
            if all(type(one) is int and one >= 0 for one in counts) and isinstance(found.state, dict):
                return found
        except (OSError, ValueError, TypeError):
            pass
        return Position()

    def save(self, uid: str, position: Position) -> None:
        """Store a position. If the disk is full, more is compared with the target the next time."""
        path = self.folder / f"{uid}.json"
        part = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            try:
                part.write_text(json.dumps(asdict(position)))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
