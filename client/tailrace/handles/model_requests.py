"""`ModelRequests`: requests for one model, and its stream, unit and features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.errors import Forbidden
from tailrace.handles.session import Session
from tailrace.handles.stream import Stream

__all__ = ["ModelRequests"]


class ModelRequests:
    """Sends requests for one model.

    Parameters
    ----------
    session
        Session with the server that has the model.
    name
        Name of the model.
    at
        Number of the observation after which the model is inspected. None: the current state.
    """

    def __init__(self, session: Session, name: str, at: int | None = None) -> None:
        self._session = session
        self.name = name
        self.at = at
        self._known: Mapping[str, Any] | None = None
        self._unit: str | None = None

    @property
    def stream(self) -> Stream:
        """The stream that the model learns from."""
        return Stream(self._session, self._declared()["stream"])

    @property
    def page_url(self) -> str:
        """Address of the model's page on the server."""
        return self._session.page("models", self.name)

    @property
    def unit(self) -> str:
        """The target's unit, such as ``s``. Empty if it has none, or if the token may not read it."""
        if self._unit is None:
            try:
                self._unit = self.stream.unit
            except Forbidden:
                self._unit = ""
        return self._unit

    @property
    def features(self) -> dict[str, str]:
        """Kinds of the features that `predict` takes, by name. See `Stream.features`."""
        return self.stream.features

    def _declared(self) -> Mapping[str, Any]:
        if self._known is None:
            self._known = self._session.send("GET", self._path(""))
        return self._known

    def _stream_name(self) -> str | None:
        # Unknown before the first request. Later, it lets a router send requests to the process that has the replica.
        return None if self._known is None else self._known["stream"]

    def _path(self, below: str) -> str:
        return self._session.path("models", self.name) + below

    def _query(self, **parameters: Any) -> dict[str, Any]:
        return {name: value for name, value in parameters.items() if value is not None}

    def _send(self, method: str, below: str, body: Any = None, **query: Any) -> Any:
        path, query = self._path(below), self._query(**query)
        return self._session.send(method, path, body, query=query, stream=self._stream_name())
