"""By which definition the features of a model on a server are made: the descriptor of its stream says so."""

from __future__ import annotations

from urllib.parse import quote

from tailrace.server import Server

from lammps_jobs.bonds.definition import DEFAULT, Definition
from lammps_jobs.bonds.errors import Refused

__all__ = ["definition_of_model"]

DEADLINE = 30.0
"""Seconds for one request with all its retries."""


def definition_of_model(server: Server, model: str, chosen: Definition | None = None) -> Definition:
    """The definition by which bonds have to be described for a model on a server.

    Parameters
    ----------
    server
        Where it is.
    model
        Its name.
    chosen
        The definition that was asked for, if any.

    Returns
    -------
    Definition
        The stream's own. Where its stream has none, and so nobody can say: what was asked for, or else ours.

    Raises
    ------
    Refused
        If another one was asked for than the stream's, or the stream's is none of SOAP's as these modules describe it.
    tailrace.errors.TailraceError
        If there is no such model, or the server can't be reached or won't tell.
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
            f"model {model} learned features of the descriptor {name}, which can't be made here: {refused.reason}"
        ) from refused
    if chosen is not None and chosen.fingerprint != served.fingerprint:
        raise Refused(
            f"model {model} learned features of the descriptor {name} (fingerprint {served.fingerprint[:12]}…), and "
            f"--definition is another, {chosen.name} ({chosen.fingerprint[:12]}…): its predictions would mean nothing; "
            "leave --definition out"
        )
    return served


def _part(name: str) -> str:
    """A name as a part of an address."""
    return quote(name, safe="")
