"""The client of the server that an Airflow connection names."""

from __future__ import annotations

from airflow.sdk import BaseHook
from tailrace import Client

__all__ = ["DEFAULT", "client"]

DEFAULT = "tailrace_default"


def client(conn_id: str) -> Client:
    """Return a client of the server of a connection.

    Its host is the server's address with its scheme, such as ``https://tailrace.example.org``, and its password a token of
    someone who may approve.

    Raises
    ------
    ValueError
        If the connection has no such host.
    """
    connection = BaseHook.get_connection(conn_id)
    host = connection.host or ""
    if not host.startswith(("http://", "https://")):
        raise ValueError(
            f"the host of connection {conn_id} is {host!r}: expected the server's address with its scheme, such as "
            "https://tailrace.example.org"
        )
    url = host if connection.port is None else f"{host}:{connection.port}"
    return Client(url, connection.password or "")
