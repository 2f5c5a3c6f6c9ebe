"""`Settings`: the site's file ``model-agent.toml``, which says which images a model agent may run, and within which limits."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tailrace.errors import Unusable

__all__ = ["EXAMPLE", "Settings", "read_settings"]

IMAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/-]{0,350}@)?sha256:[0-9a-f]{64}")

EXAMPLE = """\
# What this machine's model agent may run. `tailrace model-agent check --config FILE` tries it.
server = "https://tailrace.example.org"
token_file = "agent.token"      # a cluster's token (`tailrace cluster add`), readable by you alone (chmod 600)
socket = "unix:///run/user/1000/podman/podman.sock"     # of a rootless Podman (`systemctl --user start podman.socket`) or Docker
bind = "127.0.0.1:9470"         # where the server sends requests for services; "" for none. The server must allow this address

# Images by digest: `podman image inspect --format '{{.Id}} {{.RepoDigests}}' IMAGE`. Nothing else is ever run, and nothing is pulled.
images = []

[limits]                        # the most that a service may ask for
services = 8
memory_mb = 2048
cpus = 2.0
pids = 256
"""


@dataclass(frozen=True)
class Settings:
    """The site's file.

    Attributes
    ----------
    server, token_file
        Address of the server, and the file with the cluster's token.
    socket
        Address of Podman's or Docker's socket.
    host, port
        Where it listens for requests to services. Port 0: it doesn't.
    images
        The images that may run, by digest.
    services, memory_mb, cpus, pids
        The most services, and the most that one may ask for.
    """

    server: str
    token_file: Path
    socket: str
    host: str
    port: int
    images: tuple[str, ...]
    services: int = 8
    memory_mb: int = 2048
    cpus: float = 2.0
    pids: int = 256

    @property
    def address(self) -> str:
        """The address that the server is told; empty if there is none."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}" if self.port else ""


def read_settings(path: Path) -> Settings:
    """Read a site's file.

    Raises
    ------
    Unusable
        If it can't be read, or has a wrong or an unknown entry. The message names it.
    """
    found = _table(path)
    known = ("server", "token_file", "socket", "bind", "images", "limits")
    for name in found:
        if name not in known:
            raise Unusable(f"{path} has {name!r}: expected {', '.join(known)}")
    for name in ("server", "token_file", "socket"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise Unusable(f"{path}: {name} is {found.get(name)!r}: expected a text")
    if not found["socket"].startswith("unix://"):
        raise Unusable(
            f"{path}: socket is {found['socket']!r}: expected unix://PATH, since only this program may reach it"
        )
    images = found.get("images", [])
    if not isinstance(images, list):
        raise Unusable(f"{path}: images is {images!r}: expected a list")
    for image in images:
        if not isinstance(image, str) or not IMAGE.fullmatch(image):
            raise Unusable(f"{path}: images has {image!r}: expected NAME@sha256:… or sha256:…, an image by its digest")
    host, port = _bind(path, found.get("bind", ""))
    token_file = (path.parent / Path(found["token_file"]).expanduser()).resolve()
    limits = _limits(path, found.get("limits", {}))
    return Settings(found["server"], token_file, found["socket"], host, port, tuple(images), **limits)


def _table(path: Path) -> dict[str, Any]:
    try:
        tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise Unusable(
            "the model agent needs Python 3.11 or the package tomli: pip install 'tailrace[model-agent]'"
        ) from None
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} is not TOML: {error}") from error


def _bind(path: Path, text: Any) -> tuple[str, int]:
    if text == "":
        return "", 0
    host, _, port = str(text).rpartition(":")
    host = host.strip("[]")
    try:
        ip = ipaddress.ip_address(host)
        number = int(port)
        if not 1 <= number <= 65535 or ip.is_unspecified:
            raise ValueError
    except ValueError:
        raise Unusable(
            f"{path}: bind is {text!r}: expected IP:PORT, with an address of this machine at which the server reaches it"
        ) from None
    return host, number


def _limits(path: Path, table: Any) -> dict[str, Any]:
    kinds: Mapping[str, Any] = {"services": int, "memory_mb": int, "cpus": float, "pids": int}
    if not isinstance(table, dict):
        raise Unusable(f"{path}: limits is {table!r}: expected a table")
    for name, value in table.items():
        if name not in kinds:
            raise Unusable(f"{path}: limits has {name!r}: expected {', '.join(kinds)}")
        if isinstance(value, bool) or not isinstance(value, (int, kinds[name])) or value <= 0:
            raise Unusable(f"{path}: limits.{name} is {value!r}: expected a number above 0")
    return dict(table)
