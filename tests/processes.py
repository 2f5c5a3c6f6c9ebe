"""What runs below a process, asked while it changes."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")


def below(pid: int, question: Callable[[psutil.Process], Answer]) -> dict[psutil.Process, Answer]:
    """What the processes that one has started, and they in turn, answer; one that ends meanwhile is left out."""
    answers: dict[psutil.Process, Answer] = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            answers[process] = question(process)
    return answers
