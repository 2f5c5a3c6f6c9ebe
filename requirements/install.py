"""``python install.py FILE DIRECTORY``: install a file of pinned requirements, and a package as it is being developed.

uv takes a fifth of pip's time. It looks where pip is told to look (``pip config list``); what uv can't do here, pip does.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
PLACES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
"""Where packages come from: the name of pip's setting, and of uv's."""


def settings() -> dict[str, str]:
    """What pip is told: later files, and at last the environment, count for more."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        if value.startswith(("'", '"')):  # what pip only mentions is no setting
            found[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return found


def environment(told: dict[str, str]) -> dict[str, str]:
    """The same for uv, without directories that aren't there, which pip passes over; what uv itself is told counts for more."""
    made = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # as pip chooses: whichever index has the pinned version
    for pips, uvs in PLACES.items():
        places = [place for place in told.get(pips, "").split() if is_there(place)]
        if places:
            made[uvs] = ("," if uvs == "UV_FIND_LINKS" else " ").join(places)
    if "cert" in told:
        made["SSL_CERT_FILE"] = told["cert"]
    return {**made, **os.environ}


def is_there(place: str) -> bool:
    url = urlparse(place)
    if url.scheme == "file":
        return Path(unquote(url.path)).exists()
    return bool(url.scheme) or Path(place).exists()


def with_uv(requirements: str, package: str) -> bool:
    """Whether uv could."""
    pinned = next(line for line in Path(requirements).read_text().splitlines() if line.startswith("uv=="))
    if subprocess.run([*PIP, "install", "--quiet", pinned.split()[0]]).returncode:
        return False
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    environ = environment(settings())
    return all(
        subprocess.run([*uv, *what], env=environ).returncode == 0
        for what in (["--requirement", requirements], ["--no-deps", "--editable", package])
    )


def main() -> None:
    requirements, package = sys.argv[1:]
    if with_uv(requirements, package):
        return
    print("uv could not; pip does it, which takes a minute or two ...", file=sys.stderr, flush=True)
    for what in (["-r", requirements], ["--no-deps", "--editable", package]):
        ended = subprocess.run([*PIP, "install", "--quiet", *what])
        if ended.returncode:
            sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
