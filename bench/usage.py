"""How much CPU time the processes that take part have used: what a point costs each of them, on a busy machine as on an idle one."""

import contextlib
import resource
from collections.abc import Mapping
from pathlib import Path

import psutil

LOAD = "load"


class Usage:
    """CPU seconds, user and system, of trees of processes; ``load`` is what this process waited for, and itself.

    Parameters
    ----------
    trees
        Name to the roots of the trees.
    """

    def __init__(self, trees: Mapping[str, list[int]]) -> None:
        self._trees = dict(trees)

    def read(self) -> dict[str, float]:
        """Seconds since each process began."""
        seconds = {name: sum(map(_tree, roots)) for name, roots in self._trees.items()}
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return seconds | {LOAD: sum(used.ru_utime + used.ru_stime for used in own)}


def _tree(root: int) -> float:
    process = psutil.Process(root)
    ended = process.cpu_times()
    seconds = ended.user + ended.system + ended.children_user + ended.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            seconds += used.user + used.system
    return seconds


def postmaster(directory: Path) -> int:
    """The number of the process whose PostgreSQL keeps its data there."""
    return int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
