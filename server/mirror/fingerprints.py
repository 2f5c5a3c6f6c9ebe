"""Fingerprint of a log: a chain of SHA-256 over its observations, so that it can be continued from any of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.core.json_codec import dumps_exact
from server.learning.fold import replay
from server.streams.models import Stream


@dataclass
class Fingerprint:
    """Fingerprint of the observations ``1 … at`` of a stream.

    Each link is the SHA-256 of the one before, and of the observation's features and target as JSON.
    """

    at: int = 0
    digest: str = ""

    def add(self, first: int, xs: Sequence[Any], ys: Sequence[Any]) -> None:
        """Continue with observations from number ``first`` on. Those that it has are passed over."""
        link = bytes.fromhex(self.digest)
        for number, x, y in zip(range(first, first + len(xs)), xs, ys, strict=True):
            if number == self.at + 1:
                link = hashlib.sha256(link + dumps_exact([x, y])).digest()
                self.at = number
        self.digest = link.hex()

    def read(self, stream: Stream, upto: int) -> None:
        """Continue from the log up to an observation.

        Raises
        ------
        Gone
            If the log no longer has one of them.
        """
        for span in replay.complete_spans(stream.pk, self.at, upto):
            self.add(span.first, span.xs, span.ys)
