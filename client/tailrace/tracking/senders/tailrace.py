"""`TailraceSender`: sends lines to a Tailrace server, which numbers them, so that each counts once."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from tailrace.errors import Conflict, NotFound, Refused, Unreachable
from tailrace.tracking.files import ArtifactLost, sha256_of
from tailrace.tracking.lines import json_line, text_value
from tailrace.tracking.senders.base import Sender, Sent, Upload, token_of
from tailrace.tracking.senders.requests import send_once

__all__ = ["TailraceSender"]

PIECE = 8 * 2**20
"""Bytes of an artifact in one request."""

NOTHING = b'{"kind":"tags","values":{}}'
"""A line that is sent in place of one that the server does not take, so that the numbers stay the same."""


class TailraceSender(Sender):
    """Sends to a Tailrace server."""

    most_lines = 5000
    most_bytes = 2**20

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._checksums: dict[str, str] = {}

    def start(self) -> None:
        header = self.header
        body = {name: header[name] for name in ("experiment", "name", "parent", "started_ms") if header.get(name)}
        if header.get("user"):
            body["user_name"] = header["user"][:500]
        self._ask("PUT", f"/api/v1/runs/{header['uid']}/", body)

    def send(self, first: int, lines: list[bytes]) -> Sent:
        lines, uploads, lost = self._with_checksums(lines)
        return self._send(first, lines, uploads, lost)

    def _send(self, first: int, lines: list[bytes], uploads: list[Upload], refused: list[str]) -> Sent:
        writer = json.dumps(self.header["writer"]).encode()
        body = b'{"writer":%b,"first":%d,"lines":[%b]}' % (writer, first, b",".join(lines))
        try:
            answer = self._ask("POST", f"/api/v1/runs/{self.header['uid']}/lines/", body)
        except Conflict as error:
            expected = error.answer.get("next", error.answer.get("error", {}).get("next"))
            if type(expected) is int and 0 <= expected < first:
                return Sent(expected)
            raise
        except Refused as error:
            if not (error.for_good or error.status == 413):
                raise
            if len(lines) == 1:
                if lines[0] == NOTHING:
                    raise
                return self._send(first, [NOTHING], [], [*refused, f"line {first}: {error}"])
            # One of them is not valid in a way that the server does not name: send the halves.
            half = len(lines) // 2
            done = self._send(first, lines[:half], uploads, refused)
            if done.next != first + half:
                return done
            rest = self._send(first + half, lines[half:], [], [])
            return Sent(rest.next, [*done.refused, *rest.refused], done.uploads)
        reached = answer.get("next")
        if type(reached) is not int or reached < 0:
            raise Unreachable(f"{self.backend.address}: it did not say which line is next: is this a Tailrace server?")
        for one in answer.get("refused") or ():
            refused = [*refused, f"line {one.get('number')}: {one.get('why')}"]
        return Sent(min(reached, first + len(lines)), refused, uploads)

    def _with_checksums(self, lines: list[bytes]) -> tuple[list[bytes], list[Upload], list[str]]:
        """Returns the lines as the server reads them: those of artifacts with checksums."""
        found, uploads, lost = [], [], []
        for line in lines:
            if line.startswith(b'{"kind":"artifact"'):
                one = json.loads(line)
                try:
                    if line.decode() not in self._checksums:
                        self._checksums[line.decode()] = sha256_of(one["source"], one["size"], one["changed_ns"])
                    digest = self._checksums[line.decode()]
                    uploads.append(Upload(one["path"], one["source"], one["size"], digest))
                    line = json_line(
                        {"kind": "artifact", "path": one["path"], "sha256": digest, "size": one["size"]}
                    ).rstrip()
                except ArtifactLost as error:
                    lost.append(f"artifact {one['path']}: {error}")
                    tag = {f"tailrace.lost.{one['path']}"[:250]: text_value(str(error))[0]}
                    line = json_line({"kind": "tags", "values": tag}).rstrip()
            found.append(line)
        return found, uploads, lost

    def upload(self, one: Upload) -> bool:
        path = f"/api/v1/runs/{self.header['uid']}/uploads/{one.sha256}/"
        known = self._ask("GET", path)
        if known.get("stored"):
            return True
        offset = known.get("received", 0)
        if type(offset) is not int or not 0 <= offset <= one.size:
            raise Unreachable(f"{self.backend.address}: it says that it received {offset!r} of {one.size} bytes")
        try:
            with open(one.source, "rb") as file:
                if os.fstat(file.fileno()).st_size != one.size:
                    raise ArtifactLost("the file changed before all of it was sent: log a copy that stays as it is")
                file.seek(offset)
                piece = file.read(PIECE)
        except OSError as error:
            raise ArtifactLost(f"the file can't be read any more: {error.strerror or error}") from None
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        try:
            answer = self._ask("PATCH", path, piece, headers=headers)
        except Conflict:
            return False  # another process sends it, too: ask again
        return bool(answer.get("stored"))

    def where(self) -> str:
        return f"{self.backend.address}/runs/{self.header['uid']}/"

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        more = headers or ({"Content-Type": "application/json"} if body is not None else {})
        try:
            return send_once(
                self.backend.address, token_of(self.backend, "TAILRACE_TOKEN"), method, path, body, headers=more
            )
        except NotFound as error:
            if error.code == "no_such_address" or not error.code:
                raise Unreachable(
                    f"{self.backend.address}: it has no {quote(path)}: a Tailrace server that tracks runs is needed there"
                ) from None
            raise
