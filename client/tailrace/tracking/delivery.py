"""`Delivery`: sends the lines of one spool file to one back end, from where its cursor is."""

from __future__ import annotations

import os
import time
from dataclasses import asdict

from tailrace.errors import Refused, TailraceError
from tailrace.tracking.cursor import Cursor
from tailrace.tracking.files import ArtifactLost
from tailrace.tracking.senders.base import Upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from tailrace.tracking.backends import Backend
    from tailrace.tracking.senders.base import Sender

    class Source(Protocol):
        """Bytes of lines."""

        @property
        def size(self) -> int: ...

        def read(self, offset: int, size: int) -> bytes: ...


__all__ = ["Delivery", "DiskFile", "split_lines"]

LONGEST_LINE = 16 * 2**20
AT_ONCE = 100
"""Lines that are looked at without a pause. Python's global lock is free in the pauses, so that the training goes on."""

PAUSE = 0.00005


class DiskFile:
    """A spool file that no process appends to any more."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.size = os.path.getsize(path)

    def read(self, offset: int, size: int) -> bytes:
        """Returns bytes from an offset on. Empty at the end."""
        with open(self._path, "rb") as file:
            file.seek(offset)
            return file.read(size)


class Delivery:
    """Sends the lines of one file to one back end.

    Parameters
    ----------
    source
        The file.
    header
        Its first line.
    header_size
        Bytes of that line.
    backend
        The back end.
    cursor_path
        Where the cursor is kept.
    fresh
        Whether this process made the file, so that nobody can have sent lines of it.
    """

    def __init__(
        self,
        source: Source,
        header: Mapping[str, Any],
        header_size: int,
        backend: Backend,
        cursor_path: str,
        fresh: bool,
    ) -> None:
        self.source = source
        self.backend = backend
        self.trouble = ""
        self._path = cursor_path
        self._header = header
        self._header_size = header_size
        found = None if fresh else Cursor.load(cursor_path)
        self.cursor = found or Cursor()
        if found is not None and backend.kind == "wandb" and not found.state.get("finished"):
            self.cursor = Cursor(state=found.state)  # its library loses the end when a process is killed
        self._make: Callable[[], Sender] = lambda: _sender(
            backend, header, self.cursor.state, fresh, os.path.dirname(cursor_path)
        )
        self._sender: Sender | None = None
        self._started = False
        self._idle = False
        self.finished = False

    @property
    def done(self) -> bool:
        """Whether the back end had all that was in the file when `step` last looked."""
        return self._started and self._idle and not self.cursor.uploads

    @property
    def waiting_bytes(self) -> int:
        """Bytes of lines that the back end does not have yet."""
        return max(0, self.source.size - max(self.cursor.offset, self._header_size))

    def where(self) -> str:
        """Returns where a person finds the run at the back end; empty if that is not known yet."""
        return "" if self._sender is None else self._sender.where()

    def step(self) -> bool:
        """Send one batch, or one part of an artifact. Returns whether there was anything to send.

        Raises
        ------
        TailraceError
            If that is not possible now. The same is sent again by the next call.
        """
        if self._sender is None:
            self._sender = self._make()
        sender = self._sender
        if not self._started:
            sender.start()
            self.cursor.offset = max(self.cursor.offset, self._header_size)
            self._started = True
            self.cursor.save(self._path)
        self._idle = not self._step_lines(sender)
        return not self._idle or self._step_upload(sender)

    def finish(self) -> None:
        """Tell the sender that the file has ended, after all was sent."""
        if self._sender is not None and not self.finished:
            self._sender.finish()
            self.finished = True
            self.cursor.save(self._path)

    def _step_lines(self, sender: Sender) -> bool:
        cursor = self.cursor
        if cursor.offset >= self.source.size:
            return False
        data = self.source.read(cursor.offset, sender.most_bytes)
        if data and b"\n" not in data:
            data = self.source.read(cursor.offset, LONGEST_LINE)
            if b"\n" not in data and len(data) < LONGEST_LINE:
                return False  # the process was killed in the middle of this line, or is writing it
        lines, sizes, skipped = split_lines(data, sender.most_lines)
        if not sizes:
            return False
        if skipped:
            cursor.refuse(f"{skipped} damaged lines of the spool were left out")
        if not lines:
            self._advance(len(sizes), sizes, 0)
            return True
        sent = sender.send(cursor.next, lines)
        if not cursor.next <= sent.next <= cursor.next + len(lines):
            self._rewind(sent.next)
            return True
        for why in sent.refused:
            cursor.refuse(why)
        cursor.uploads += [asdict(one) for one in sent.uploads]
        self._advance(sent.next - cursor.next, sizes, len(lines))
        return True

    def _advance(self, count: int, sizes: list[int], lines: int) -> None:
        """Move the cursor over the first lines of a batch; all sizes, if these are all its lines."""
        cursor = self.cursor
        if lines == 0 or count == lines:
            cursor.offset += sum(sizes)
            count = lines
        else:
            cursor.offset, _ = self._offset_of(cursor.next + count)
        cursor.next += count
        cursor.sent += count
        cursor.save(self._path)

    def _rewind(self, number: int) -> None:
        """Go to the line that the back end expects, because it lost some, as after a restore, or has more."""
        offset, number = self._offset_of(number)
        self.cursor.offset, self.cursor.next = offset, number
        self.cursor.save(self._path)

    def _offset_of(self, number: int) -> tuple[int, int]:
        """Returns the offset of a line, and its number; those of the end, if there are fewer lines."""
        offset, at = self._header_size, 0
        while at < number:
            data = self.source.read(offset, LONGEST_LINE)
            lines, sizes, _ = split_lines(data, number - at)
            if not sizes:
                break
            offset += sum(sizes)
            at += len(lines)
        return offset, at

    def _step_upload(self, sender: Sender) -> bool:
        cursor = self.cursor
        if not cursor.uploads:
            return False
        one = Upload(**cursor.uploads[0])
        try:
            if not sender.upload(one):
                return True
        except ArtifactLost as error:
            cursor.refuse(f"artifact {one.path}: {error}")
        except Refused as error:
            if not error.for_good:
                raise
            cursor.refuse(f"artifact {one.path}: {error}")
        del cursor.uploads[0]
        cursor.save(self._path)
        return True


def split_lines(data: bytes, most: int) -> tuple[list[bytes], list[int], int]:
    """Split bytes into whole lines.

    Returns
    -------
    The lines, at most `most`, without their line breaks; the bytes of each, and of each damaged line that was left out;
    the number of damaged ones.
    """
    lines: list[bytes] = []
    sizes: list[int] = []
    start = 0
    while len(lines) < most:
        end = data.find(b"\n", start)
        if end < 0:
            break
        line = data[start:end]
        sizes.append(end + 1 - start)
        start = end + 1
        if line.startswith(b'{"kind":"') and line.endswith(b"}"):
            lines.append(line)
        if len(sizes) % AT_ONCE == 0:
            time.sleep(PAUSE)
    if not sizes and len(data) >= LONGEST_LINE:
        return [], [len(data)], 1
    return lines, sizes, len(sizes) - len(lines)


def _sender(backend: Backend, header: Mapping[str, Any], state: dict[str, Any], fresh: bool, directory: str) -> Sender:
    if backend.kind == "tailrace":
        from tailrace.tracking.senders.tailrace import TailraceSender

        return TailraceSender(backend, header, state, fresh, directory)
    if backend.kind == "mlflow":
        from tailrace.tracking.senders.mlflow import MLflowSender

        return MLflowSender(backend, header, state, fresh, directory)
    if backend.kind == "wandb":
        from tailrace.tracking.senders.wandb import WandbSender

        return WandbSender(backend, header, state, fresh, directory)
    raise TailraceError(f"there is no sender for {backend.kind}")
