"""`make test-airflow`: the provider against real Airflows, a real server, LAMMPS and tblite. It takes minutes, and needs an index.

Each version of Airflow gets an environment of its own in ``var/airflow``, with pip's client of this checkout. A DAG starts
stages of a campaign and waits for them; at the end its cells must be learned and its evaluation done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tailrace.handles.client import Client

from lammps_jobs.campaign_demo.campaign import GLASS, LABELS, PROGRAMS, DemoCampaign
from lammps_jobs.demo_support.clusters import add_cluster, wait_for_programs
from lammps_jobs.demo_support.local_agent import LocalAgent
from lammps_jobs.demo_support.local_server import LocalServer
from lammps_jobs.demo_support.tokens import Credentials
from lammps_jobs.runs.lammps_job import ROOT

HERE = Path(__file__).resolve().parent
VERSIONS = ("3.3.2",)
"""What is tested without being asked. An earlier version needs its constraints, since it fails with later libraries."""
PORT = 8090
ASKED = {
    "compositions": ["Cu50Zr50"], "targets": {"Zr-Cu": 0.01}, "thresholds": {"batch": 1}, "budget": {"calculations": 4},
    "programs": {"explore": {"parameters": GLASS}, "label": {"parameters": LABELS}},
}  # fmt: skip


def environment(version: str, constraints: str | None) -> Path:
    """Make the environment of a version of Airflow, unless it is there, and return its Python."""
    place = Path(os.environ.get("TAILRACE_VAR_DIR") or ROOT / "var") / "airflow" / version
    python = place / "bin" / "python"
    if not (place / "made").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
        wanted = [f"apache-airflow=={version}", *(["--constraint", constraints] if constraints else [])]
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *wanted], check=True)
        (place / "made").touch()
    return python


def run(python: Path, home: Path, url: str, token: str, campaign: str) -> dict[str, Any]:
    """Run the DAG in an Airflow, and return what its tasks found."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "TAILRACE"))}
    own |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE),
        "AIRFLOW_CONN_TAILRACE_DEFAULT": json.dumps({"conn_type": "http", "host": url, "password": token}),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(ROOT / "client")]),
    }
    subprocess.run([str(python), "-m", "airflow", "db", "migrate"], env=own, check=True, capture_output=True)
    done = subprocess.run(
        [str(python), str(HERE / "run_dag.py"), campaign],
        env=own,
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not said:
        raise SystemExit(f"the DAG failed:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    found: dict[str, Any] = json.loads(said[-1].removeprefix("RESULT "))
    return found


def check(found: dict[str, Any], campaign: DemoCampaign) -> None:
    """Check what the tasks found against the server."""
    explored, exploited = (found["found"][f"{name}_ended"] for name in ("explore", "exploit"))
    runs = campaign.listed("runs")
    assert [one["cell"] for one in runs if one["state"] == "DONE"] == explored["cells"] + exploited["cells"], runs
    assert (explored["done"], exploited["done"]) == (1, 1), found
    assert found["found"]["evaluate_ended"]["families"] == 2, found
    info = campaign.info()
    assert info["used"]["calculations"] == 2, info


def main() -> int:
    """Run the test with each version. Return 0."""
    parser = argparse.ArgumentParser(prog="make test-airflow", description=__doc__)
    parser.add_argument("versions", nargs="*", default=list(VERSIONS), help="versions of Airflow")
    parser.add_argument(
        "--constraints", help="file or address of the constraints of that version, as Airflow publishes them"
    )
    options = parser.parse_args()
    versions = options.versions
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with LocalServer(ROOT, PORT, place / "server.log", place / "server") as server:
            credentials = Credentials(place / "tokens.json", server)
            owner, admin = Client(server.url, credentials.owner()), Client(server.url, credentials.admin())
            cluster, token = add_cluster(admin, "here", "This machine", ())
            with LocalAgent(place / "agent", server.url, token, "local", 2, PROGRAMS, sync_seconds=2) as agent:
                wait_for_programs(owner, cluster, PROGRAMS, lambda: agent.last_words() if agent.ended else None)
                for version in versions:
                    python = environment(version, options.constraints)
                    campaign = DemoCampaign.create(owner, admin, cluster, ASKED)
                    check(run(python, place / version, server.url, credentials.admin(), campaign.name), campaign)
                    print(
                        f"Airflow {version}: a round of new cells, a round of the policy and an evaluation, each waited for"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
