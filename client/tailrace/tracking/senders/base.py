"""`Sender`: the interface of senders."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tailrace.tracking.backends import Backend

__all__ = ["Sender", "Sent", "Upload", "token_of"]


@dataclass
class Upload:
    """An artifact whose content is to be sent.

    Attributes
    ----------
    path
        Path among the run's artifacts.
    source
        The file.
    size, sha256
        Of its content.
    """

    path: str
    source: str
    size: int
    sha256: str


@dataclass
class Sent:
    """What became of lines.

    Attributes
    ----------
    next
        Number of the next line that the back end expects.
    refused
        Why things were refused for good.
    uploads
        Artifacts that these lines announced.
    """

    next: int
    refused: list[str] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)


class Sender(ABC):
    """Sends the lines of one file to one back end.

    Parameters
    ----------
    backend
        The back end.
    header
        First line of the file: what the run is.
    state
        What the sender keeps between processes. It changes it; the caller stores it.
    fresh
        Whether no other process can have sent lines of the file before.
    directory
        The directory of the run in the spool.
    """

    most_lines = 1000
    most_bytes = 2**20

    def __init__(
        self, backend: Backend, header: Mapping[str, Any], state: dict[str, Any], fresh: bool, directory: str
    ) -> None:
        self.backend = backend
        self.header = header
        self.state = state
        self.fresh = fresh
        self.directory = directory

    @abstractmethod
    def start(self) -> None:
        """Make the run at the back end, or find it.

        Raises
        ------
        TailraceError
            If that is not possible now.
        """

    @abstractmethod
    def send(self, first: int, lines: list[bytes]) -> Sent:
        """Send lines. If it raises an error, the same lines are sent again later.

        Raises
        ------
        TailraceError
            If that is not possible now.
        """

    def upload(self, one: Upload) -> bool:
        """Send a part of an artifact's content. Returns whether it is complete.

        Raises
        ------
        TailraceError
            If that is not possible now. `Refused` with ``for_good``: never.
        """
        return True

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """Called when everything was sent and the file has ended."""

    def where(self) -> str:
        """Returns where a person finds the run; empty if that is not known."""
        return ""


def token_of(backend: Backend, variable: str) -> str:
    """Returns the token for a request. A file is read each time, because tokens expire during long trainings.

    An argument counts first, then the file, then the environment.
    """
    given = backend.secrets.get("token")
    if callable(given):
        given = given()
    if isinstance(given, str):
        return given.strip()
    if path := backend.options.get("token_file"):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read(100_000).strip()
        except (OSError, ValueError):
            pass
    return os.environ.get(variable, "").strip()
