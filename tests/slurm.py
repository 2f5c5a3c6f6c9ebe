"""A real Slurm cluster of one node for the tests: a controller, a node and an authenticator, all in one directory.

Needs the programs of `PACKAGES`, which no wheel brings; started by whoever runs the tests, it never touches a Slurm that
the machine may have. ``python -m tests.slurm`` says what is missing and how to get it; ``python -m tests.slurm run DIRECTORY``
runs a cluster there until it is stopped, to try things out.
"""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import free_port

PACKAGES = (
    "slurmctld",
    "slurmd",
    "slurm-client",
    "munge",
    "charliecloud-runtime",
    "lammps-examples",
    "quantum-espresso",
)
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
INSTALL = f"sudo apt-get install --no-install-recommends {' '.join(PACKAGES)}"
PATIENCE = 150
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def missing(*programs: str) -> list[str]:
    """The programs that are not installed."""
    return [name for name in programs if shutil.which(name, path=SEARCH) is None]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where a program isn't installed, and says how to get it; where ``CI`` is set, nothing is skipped."""
    absent = missing(*programs)
    skipped = bool(absent) and not os.environ.get("CI")
    return pytest.mark.skipif(skipped, reason=f"no {', '.join(absent)}: {INSTALL}")


def until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for something that another process brings about; an AssertionError with `what` if it never does."""
    ends = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < ends, what()
        threading.Event().wait(0.05)


class Slurm:
    """One cluster.

    Parameters
    ----------
    directory
        Its configuration, state and logs.
    cpus
        How many its node claims to have.
    memory
        How many MB its node claims to have; 0: memory is not managed.
    settings
        More lines of ``slurm.conf``, such as ``TaskEpilog="/path"``.
    """

    def __init__(self, directory: Path, *, cpus: int = 4, memory: int = 0, **settings: object) -> None:
        self.directory = directory
        self.conf = directory / "slurm.conf"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        self.environment |= {"SLURM_CONF": str(self.conf), "PATH": SEARCH}
        self._processes: list[subprocess.Popen[bytes]] = []
        directory.mkdir(parents=True)
        # munged insists on a socket's directory that every user may look into, and on a short path to it.
        os.chmod(directory, 0o755)
        self._socket = directory / "munge.socket"
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        self.conf.write_text(
            "\n".join(
                f"{name}={value}"
                for name, value in {
                    "ClusterName": "testbed",
                    "SlurmctldHost": f"{host}(127.0.0.1)",
                    "SlurmctldPort": free_port(),
                    "SlurmdPort": free_port(),
                    "SlurmUser": user,
                    "SlurmdUser": user,
                    "AuthType": "auth/munge",
                    "AuthInfo": f"socket={self._socket}",
                    "StateSaveLocation": directory / "state",
                    "SlurmdSpoolDir": directory / "spool",
                    "SlurmctldPidFile": directory / "slurmctld.pid",
                    "SlurmdPidFile": directory / "slurmd.pid",
                    "SlurmctldLogFile": directory / "slurmctld.log",
                    "SlurmdLogFile": directory / "slurmd.log",
                    "JobCompType": "jobcomp/filetxt",
                    "JobCompLoc": directory / "completed.txt",
                    "ProctrackType": "proctrack/linuxproc",
                    "TaskPlugin": "task/none",
                    "SwitchType": "switch/none",
                    "SelectType": "select/cons_tres",
                    "SelectTypeParameters": "CR_Core",
                    "JobAcctGatherType": "jobacct_gather/none",
                    "AccountingStorageType": "accounting_storage/none",
                    "MpiDefault": "none",
                    "ReturnToService": 2,
                    "KillWait": 2,
                    "OverTimeLimit": 0,
                    # Without it a node that claims more processors than there are is never used.
                    "SlurmdParameters": "config_overrides",
                    "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0",
                    **settings,
                    "NodeName": f"{host} NodeAddr=127.0.0.1 CPUs={cpus}{f' RealMemory={memory}' if memory else ''} State=UNKNOWN",
                    "PartitionName": f"all Nodes={host} Default=YES MaxTime=INFINITE State=UP",
                }.items()
            )
            + "\n"
        )

    def start(self) -> "Slurm":
        """Start it and wait until its node takes jobs."""
        for name in ("state", "spool"):
            (self.directory / name).mkdir()
        key = self.directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        own = [f"--{name}-file={self.directory / f'munge.{name}'}" for name in ("key", "log", "pid", "seed")]
        self._start("munged", "--force", "--foreground", f"--socket={self._socket}", *own)
        until(self._socket.exists, lambda: self.said("munged"))
        self._start("slurmctld", "-D", "-f", str(self.conf))
        self._start("slurmd", "-D", "-f", str(self.conf))
        until(lambda: "idle" in self.call("sinfo", "--noheader", "--format=%T"), self.logs)
        return self

    def stop(self) -> None:
        """End the jobs, then the cluster."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", f"--user={getpass.getuser()}")
            until(lambda: not self.call("squeue", "--noheader"), self.logs)
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, *command: str, **environment: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        done = subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
        done.check_returncode()
        return done.stdout.strip()

    def submit(self, *options: str, **environment: str) -> str:
        """``sbatch`` with these options; the job's number."""
        return self.call("sbatch", "--parsable", *options, **environment).partition(";")[0]

    def facts(self, job: str) -> dict[str, str]:
        """What ``scontrol show job`` says of a job, or of one task of an array (``12_3``)."""
        said = self.call("scontrol", "--oneliner", "show", "job", job).splitlines()[0]
        return dict(re.findall(r"(\S+?)=(\S*)", said))

    def state(self, job: str) -> str:
        """Such as RUNNING."""
        return self.facts(job)["JobState"]

    def requeue(self, job: str) -> None:
        """Stop a job and start it again, in seconds; of itself Slurm would wait two minutes."""
        self.call("scontrol", "requeue", job)
        until(lambda: self.state(job) == "PENDING", self.logs)
        # Not at once: a node refuses a job whose credential was revoked in the same second.
        self.call("scontrol", "update", f"JobId={job}", "StartTime=now+2")

    def wait(self, job: str, state: str = "") -> str:
        """Wait until a job, and every task of an array, has ended, or is in that state; the state of each, by name."""

        def reached() -> bool:
            states = re.findall(r"JobState=(\S+)", self.call("scontrol", "--oneliner", "show", "job", job))
            ended = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
            return all(one == state if state else one in ended for one in states)

        until(reached, lambda: self.call("scontrol", "show", "job", job) + self.logs())
        return self.state(job)

    def logs(self) -> str:
        """The ends of all logs, for a test that failed."""
        return "\n".join(self.said(name) for name in ("munged", "slurmctld", "slurmd"))

    def said(self, name: str) -> str:
        """The end of what one of its programs said."""
        found = [path for path in (self.directory / f"{name}.out", self.directory / f"{name}.log") if path.exists()]
        return f"{name}: " + "".join(path.read_text(errors="replace")[-3000:] for path in found)

    def _start(self, *command: str) -> None:
        with open(self.directory / f"{command[0]}.out", "ab") as output:
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)


@contextlib.contextmanager
def running(directory: Path, *, cpus: int = 4, memory: int = 0, **settings: object) -> Iterator[Slurm]:
    """A cluster for as long as the context lasts."""
    cluster = Slurm(directory, cpus=cpus, memory=memory, **settings)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def main() -> None:
    absent = missing(*PROGRAMS, "ch-run")
    absent += [] if Path("/usr/share/lammps/examples").exists() else ["LAMMPS's examples"]
    if sys.argv[1:2] == ["run"] and len(sys.argv) == 3:
        if os.path.lexists(sys.argv[2]):
            sys.exit(f"{sys.argv[2]} is there already: name a folder that isn't, or remove it")
        if missing(*PROGRAMS):
            sys.exit(f"{', '.join(missing(*PROGRAMS))} can't be found: {INSTALL}")
        with (
            running(Path(sys.argv[2]).resolve(), cpus=os.cpu_count() or 1) as cluster,
            contextlib.suppress(KeyboardInterrupt),
        ):
            print(f"export SLURM_CONF={cluster.conf}", flush=True)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
    elif absent:
        print(f"Tests that need {', '.join(absent)} are skipped. To run them, too:\n  {INSTALL}")


if __name__ == "__main__":
    main()
