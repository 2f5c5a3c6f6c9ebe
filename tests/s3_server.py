"""A real S3 server: ``rclone serve s3``, whose buckets are folders, with signatures of version 4."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.serving import free_port

ACCESS, SECRET, BUCKET = "tailrace-tests", "0nly-for-tests-s3cret", "results"


class S3Server:
    """The server's program, which can be stopped and started.

    Parameters
    ----------
    root
        The folder in which each bucket is a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.bucket = root / BUCKET
        self.bucket.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of Tailrace, without their prefix."""
        return {
            "files_bucket": BUCKET, "files_prefix": "tailrace/files", "files_endpoint": f"http://127.0.0.1:{self.port}",
            "files_region": "garage", "files_addressing": "path", "files_access_key": ACCESS, "files_secret_key": SECRET,
        }  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {f"TAILRACE_{name.upper()}": value for name, value in self.settings.items()}

    def start(self) -> None:
        found = find_spec("rclone_api")
        assert found is not None
        assert found.origin is not None
        program = Path(found.origin).parent / "bin" / "rclone"
        self._process = subprocess.Popen(
            [program, "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{ACCESS},{SECRET}",
             "--config", "", "--dir-cache-time", "0s", self.root],
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"Starting s3 server" in line:
                return
        raise AssertionError("rclone did not start")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=30)


@contextmanager
def serving(root: Path) -> Iterator[S3Server]:
    server = S3Server(root)
    server.start()
    try:
        yield server
    finally:
        server.stop()
