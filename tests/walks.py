"""The walks in docs/: pages whose commands a test runs as they stand.

A page in :data:`PAGES` knows two kinds of blocks with commands, and no third:

```sh
    is run: all of a page's, in order, in one bash session (``set -euo pipefail``) in a copy of the checkout, with an empty
    home, no settings but those below, and no terminal. What a block starts with ``&`` goes on until the page ends.
```output
    right after one of those: what it prints on standard output. A line stands for itself, however its blanks run; ``…`` in
    it stands for anything, and alone on a line for any number of lines.
```sh not-run-here
    is run by nobody: the paragraph right before it has a sentence "Not run here: …" that says why.

Files and settings that are only shown have other names (```yaml, ```ini, …).

Port 8080 may be taken where tests run, so ``127.0.0.1:8080`` stands for another address, which the server and the client
have by ``TAILRACE_BIND`` and ``TAILRACE_URL``. A page is walked by one line of a test, in ``tests/test_walks.py`` or, where it
needs containers, in ``tests/containers/``:

    walk("upgrading", tmp_path)
    walk("disaster-recovery", tmp_path, replace={"postgresql://…": url})
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.serving import ROOT, free_port

PAGES = (
    "first-model",
    "one-machine",
    "kind",
    "usernetes",
    "production",
    "upgrading",
    "disaster-recovery",
    "monitoring",
    "scaling",
    "sagemaker",
)
"""Pages in docs/ that are walks."""

ADDRESS = "127.0.0.1:8080"
PATIENCE = 280
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ ]*$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its info string, its text, the paragraph before it, and the line it begins on."""

    info: str
    text: str
    before: str
    line: int

    @property
    def is_run(self) -> bool:
        return self.info == "sh"


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n")
        found.append(
            Block(
                info=match["info"].strip(),
                text=match["text"],
                before=before.rpartition("\n\n")[2],
                line=text.count("\n", 0, match.start()) + 1,
            )
        )
    return found


def page(name: str) -> Path:
    """The file of a page, in whichever directory of docs/ it is."""
    (found,) = (ROOT / "docs").glob(f"*/{name}.md")
    return found


def says(expected: str, printed: str) -> bool:
    """Whether what was printed is what an ``output`` block shows."""
    pattern = ""
    for line in expected.strip().splitlines():
        words = " ".join(line.split())
        pattern += r"(?:.*\n)*?" if words == "…" else re.escape(words).replace("…", ".*") + r"\n"
    lines = "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, lines) is not None


def copy_of_checkout(directory: Path) -> Path:
    """The checkout as a clone has it, with what was changed since and the packages of this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    copy = directory / "tailrace"
    for name in filter(None, listed.split("\0")):
        if name != ".venv" and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy


def walk(name: str, directory: Path, *, replace: Mapping[str, str] | None = None, **environment: str) -> None:
    """Run the commands of a page, and hold what they print against what it shows.

    Parameters
    ----------
    name
        Of the page, without its ending.
    directory
        An empty one, for the copy of the checkout and the home.
    replace
        What stands in the page, and what stands for it in this run, such as the URL of a database.
    environment
        More variables.

    Raises
    ------
    AssertionError
        If a command fails or prints something else; it says which block, and what was printed.
    """
    found = blocks(page(name).read_text())
    address = f"127.0.0.1:{free_port()}"
    stands_for = {ADDRESS: address, **(replace or {})}
    home, said = directory / "home", directory / "said"
    home.mkdir(parents=True)
    said.mkdir()
    script = ["set -euo pipefail"]
    for number, block in enumerate(found):
        if block.is_run:
            text = block.text
            for old, new in stands_for.items():
                text = text.replace(old, new)
            script.append(f'exec >"{said}/{number}.out" 2>"{said}/{number}.err"\n{text}')
    variables = {
        key: value for key, value in os.environ.items() if not key.startswith(("TAILRACE_", "VIRTUAL_ENV", "MAKE"))
    }
    variables |= {"HOME": str(home), "TAILRACE_BIND": address, "TAILRACE_URL": f"http://{address}", **environment}
    # `make setup` finds its work done, however old the copies of the requirements look.
    variables["MAKEFLAGS"] = "--old-file=.venv/.installed"
    session = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=copy_of_checkout(directory), env=variables, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        code: int | str = session.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        code = f"nothing after {PATIENCE} s"
    finally:
        _end(session)
    for number, block in enumerate(found):
        if not block.is_run:
            continue
        out, err = said / f"{number}.out", said / f"{number}.err"
        where = f"{name}.md:{block.line}"
        assert out.exists(), f"{where} was not reached"
        printed = out.read_text(errors="replace")
        report = f"{printed[-3000:]}\n{err.read_text(errors='replace')[-3000:]}"
        following = found[number + 1] if number + 1 < len(found) else None
        if code != 0 and not (said / f"{_next_run(found, number)}.out").exists():
            raise AssertionError(f"{where} ended with {code}:\n{block.text}\n{report}")
        if following is not None and following.info == "output":
            shown = following.text
            for old, new in stands_for.items():
                shown = shown.replace(old, new)
            assert says(shown, printed), f"{name}.md:{following.line} shows\n{shown}\nbut was\n{report}"


def _next_run(found: list[Block], number: int) -> int | None:
    """The block that is run after this one."""
    return next((later for later in range(number + 1, len(found)) if found[later].is_run), None)


def _end(session: subprocess.Popen[bytes]) -> None:
    """End what a walk left running: kindly, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                os.killpg(session.pid, number)
            except ProcessLookupError:
                break
            session.poll()
            threading.Event().wait(0.1)
    session.wait()
