"""A `run` command that LAMMPS echoes, and whether the Loop times after it are all of it."""

from __future__ import annotations

import re

__all__ = ["EchoedRun"]

_NESTED = re.compile(rb"\b(?:run|rerun|minimize|include|jump|next|python|quit)\b")


class EchoedRun:
    """An echoed `run`: what it must do, as far as its options say that beforehand.

    Attributes
    ----------
    command
        As it was echoed.
    steps, upto
        Steps to do, or the step to reach; None where neither is known.
    every
        Steps after which it prints a Loop time and goes on; 0 for one that prints a single one.
    done
        Steps of the Loop times so far.
    """

    def __init__(self, command: bytes) -> None:
        self.command = command.decode("utf-8", "replace").strip()
        self.steps: int | None = None
        self.upto: int | None = None
        self.every = self.done = 0
        words = command.split()
        number, words, is_upto, every = int(words[1]), words[2:], False, 0
        while words:
            option, value = words[0], words[1] if len(words) > 1 else b""
            if option == b"upto":
                is_upto, words = True, words[1:]
            elif option == b"every" and value.isdigit() and not _NESTED.search(b" ".join(words[2:])):
                every, words = int(value), []
            elif (option in (b"pre", b"post") and value in (b"yes", b"no", b"on", b"off")) or (
                option in (b"start", b"stop") and value.isdigit()
            ):
                words = words[2:]
            else:
                return
        self.every = every
        if is_upto:
            self.upto = number
        else:
            self.steps = number

    def stopped_early(self, steps: int, at: int | None) -> str | None:
        """Count a Loop time, after `steps` at step `at`; what it did, if that is less than it had to."""
        self.done += steps
        if self.steps is not None:
            due = self.steps if not self.every else min(self.every, self.steps - self.done + steps)
            return None if steps == due else f"did {self.done} steps"
        if self.upto is None or at is None or at == self.upto or (self.every and steps == self.every):
            return None
        return f"ended at step {at}"

    def goes_on(self, at: int | None) -> bool:
        """Whether another Loop time of it is to come."""
        if not self.every:
            return False
        return self.done < self.steps if self.steps is not None else at is not None and at != self.upto
