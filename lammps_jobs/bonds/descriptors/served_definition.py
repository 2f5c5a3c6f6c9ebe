"""The descriptor definition for a model on a server, taken from its stream."""

from __future__ import annotations

from urllib.parse import quote

from tailrace.transport.server import Server

from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition
from lammps_jobs.bonds.errors import Refused

__all__ = ["definition_of_model"]

DEADLINE = 30.0
"""Seconds for one request with all its retries."""


def definition_of_model(server: Server, model: str, chosen: Definition | None = None) -> Definition:
    """Return the definition that describes bonds for a model on a server.

    Parameters
    ----------
    server
        The server.
    model
        Name of the model.
    chosen
        The definition that the user chose, if any.

    Returns
    -------
    Definition
        The definition of the model's stream. If the stream has none: `chosen`, or else the default.

    Raises
    ------
    Refused
        If the stream has another definition than `chosen`, or a descriptor that is not a SOAP definition of this
        package.
    tailrace.errors.TailraceError
        If the model does not exist, or the server can't be reached or refuses.
    """
    stream = server.request("GET", f"/api/v1/models/{_part(model)}/", deadline=DEADLINE)["stream"]
    name = server.request("GET", f"/api/v1/streams/{_part(stream)}/", deadline=DEADLINE)["descriptor"]
    if name is None:
        return DEFAULT if chosen is None else chosen
    found = server.request("GET", f"/api/v1/descriptors/{_part(name)}/", deadline=DEADLINE)
    try:
        served = Definition.from_json({**found["content"], "name": name})
    except Refused as refused:
        raise Refused(
            f"model {model} learned features of the descriptor {name}, which can't be computed here: {refused.reason}"
        ) from refused
    if chosen is not None and chosen.fingerprint != served.fingerprint:
        raise Refused(
            f"model {model} learned features of the descriptor {name} (fingerprint {served.fingerprint[:12]}…), and "
            f"--definition is another one, {chosen.name} ({chosen.fingerprint[:12]}…): predictions would be meaningless; "
            "leave --definition out"
        )
    return served


def _part(name: str) -> str:
    """Return a name quoted for a URL."""
    return quote(name, safe="")
