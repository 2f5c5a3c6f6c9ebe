"""Copies a store of django-river-ml, a shelve or a Redis database, into one file, without unpickling anything.

It needs nothing but Python 3.7 or later, so copy it alone to the machine where the store is, and run it there::

    python3 dump_store.py /path/to/store > store.jsonl
    REDISCLI_AUTH=password python3 dump_store.py redis://localhost:6379/0 > store.jsonl

Then ``manage.py import_river_ml store.jsonl`` imports the file on the server. Python's dbm formats differ between machines; this file
has one form: a line of JSON with ``"format"``, and one line with ``"key"`` and ``"value"`` (base64) for each entry.
"""

from __future__ import annotations

import base64
import dbm
import json
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "django-river-ml-store"
PREFIXES = ("models/", "flavor/", "metrics/", "stats/", "#")
SUFFIXES = ("", ".db", ".dat", ".dir", ".pag", ".bak")
LARGEST = 2**29
TIMEOUT = 30.0


class StoreError(Exception):
    """A store can't be read. The message says why and what to do."""


def rows(place: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the key and the value of each entry, as bytes, for a path or a ``redis://`` or ``rediss://`` address."""
    if place.startswith(("redis://", "rediss://")):
        return _of_redis(place)
    return _of_shelve(place)


def _of_shelve(path: str) -> Iterator[tuple[bytes, bytes]]:
    base, ending = os.path.splitext(path)
    if ending in SUFFIXES[1:] and not dbm.whichdb(path) and dbm.whichdb(base):
        path = base
    kind = dbm.whichdb(path)
    if kind is None and any(os.path.exists(path + suffix) for suffix in (".db", ".pag")):
        raise _elsewhere(path, "dbm.ndbm")
    if kind is None:
        raise StoreError(f"{path}: there is no shelve, or it can't be read")
    if not kind:
        raise StoreError(f"{path} is not a shelve: Python's dbm doesn't recognize its format")
    try:
        store = dbm.open(path, "r")  # noqa: SIM115  # closed below
    except ImportError:
        raise _elsewhere(path, kind) from None
    except Exception as exc:  # each kind of dbm has errors of its own
        raise StoreError(f"{path} can't be opened: {type(exc).__name__}: {exc}") from None
    try:
        try:
            keys = [key.encode() if isinstance(key, str) else key for key in store.keys()]  # noqa: SIM118  # not all are iterable
        except Exception as exc:
            raise StoreError(f"{path} can't be read: {type(exc).__name__}: {exc}") from None
        for key in sorted(keys):
            try:
                value = store[key]
            except Exception as exc:
                raise StoreError(f"{path} can't be read at {key!r}: {type(exc).__name__}: {exc}") from None
            yield key, value
    finally:
        store.close()


def _elsewhere(path: str, kind: str) -> StoreError:
    return StoreError(
        f"{path} is a shelve of Python's module {kind}, which this Python does not have: copy {__file__} to the machine where it "
        f"was written, run `python3 dump_store.py {path} > store.jsonl` there, and import that file"
    )


class _Redis:
    """As much of Redis' protocol as reading keys takes."""

    def __init__(self, host: str, port: int, is_encrypted: bool) -> None:
        self._socket: socket.socket = socket.create_connection((host, port), TIMEOUT)
        if is_encrypted:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
        self._file = self._socket.makefile("rb")

    def ask(self, *words: str | bytes | int) -> Any:
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(request)
        return self._read(0)

    def _read(self, depth: int) -> Any:
        line = self._file.readline(65536)
        if not line.endswith(b"\r\n") or depth > 4:
            raise StoreError(f"the answer is not of a Redis server: it has {line[:40]!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise StoreError(f"the Redis server refuses: {rest.decode(errors='replace')}")
        if kind == b"+":
            return rest
        try:
            number = int(rest)
        except ValueError:
            raise StoreError(f"the answer is not of a Redis server: it has {line[:40]!r}") from None
        if kind == b":":
            return number
        if kind == b"$" and -1 <= number <= LARGEST:
            if number == -1:
                return None
            data = self._file.read(number + 2)
            if len(data) != number + 2:
                raise StoreError("the Redis server closed the connection")
            return data[:-2]
        if kind == b"*" and 0 <= number <= 10**6:
            return [self._read(depth + 1) for _ in range(number)]
        raise StoreError(f"the answer is not of a Redis server, or larger than {LARGEST} bytes: it has {line[:40]!r}")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _of_redis(url: str) -> Iterator[tuple[bytes, bytes]]:
    parts = urlsplit(url)
    if parts.password or parts.username:
        raise StoreError(
            "don't put a password into the address: set REDISCLI_AUTH (and REDISCLI_USER) in the environment"
        )
    try:
        port, database = parts.port or 6379, int(parts.path.strip("/") or 0)
    except ValueError:
        raise StoreError(f"{url}: expected redis://HOST:PORT/NUMBER") from None
    try:
        server = _Redis(parts.hostname or "localhost", port, parts.scheme == "rediss")
    except OSError as exc:
        raise StoreError(f"{url}: {exc}") from None
    try:
        password = os.environ.get("REDISCLI_AUTH")
        if password:
            user = os.environ.get("REDISCLI_USER")
            server.ask("AUTH", *((user, password) if user else (password,)))
        server.ask("SELECT", database)
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            answer = server.ask("SCAN", cursor, "COUNT", 1000, "TYPE", "string")
            if not (isinstance(answer, list) and len(answer) == 2 and isinstance(answer[1], list)):
                raise StoreError(f"{url}: the answer to SCAN is not of a Redis server")
            cursor = answer[0]
            found.update(key for key in answer[1] if isinstance(key, bytes))
            if cursor == b"0":
                break
        for key in sorted(found):
            value = server.ask("GET", key)
            if isinstance(value, bytes):
                yield key, value
    except OSError as exc:
        raise StoreError(f"{url}: {exc}") from None
    finally:
        server.close()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(json.dumps({"format": FORMAT, "version": 1}))
        for key, value in rows(sys.argv[1]):
            text = key.decode(errors="surrogateescape")
            if text.startswith(PREFIXES):
                print(json.dumps({"key": text, "value": base64.b64encode(value).decode()}))
    except StoreError as exc:
        print(f"dump_store: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
