"""A process that starts others can be interrupted at any moment: no interruption and no process is lost."""

import os
import signal
from subprocess import Popen
from typing import Any

import psutil
import pytest

from lammps_jobs.runs import processes
from tests.processes import below

pytestmark = pytest.mark.one_database


def interrupt(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("end_with_parent", [False, True], ids=["alone", "with the parent"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interruption_while_a_process_starts_ends_both(moment, end_with_parent, tmp_path, monkeypatch):
    class Interrupted(Popen):
        def _execute_child(self, *arguments: Any) -> None:
            if moment == "before":
                interrupt()
            super()._execute_child(*arguments)
            if moment == "after":
                interrupt()

    monkeypatch.setattr(processes.subprocess, "Popen", Interrupted)
    with open(tmp_path / "output", "wb") as output, pytest.raises(KeyboardInterrupt):
        processes.start(["sleep", "300"], output, cwd=tmp_path, environment={}, end_with_parent=end_with_parent)
    assert "sleep" not in below(os.getpid(), psutil.Process.name).values()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
