"""``python -m tools.page_picture FILE``: the picture of a model's page in the README.

It starts a server with an empty database, lets a model learn run times of which those on one cluster suddenly grow by 80 %, and takes a
picture of the page in Chromium. The run times are made up, and the same each time.
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.serving import Server

JOBS, SLOW_FROM = 1500, 1250
WIDTH, HEIGHT = 1000, 930


def jobs() -> list[dict[str, Any]]:
    """Run times in s of jobs that grow with their size and shrink with their processes."""
    rng = random.Random(7)
    found = []
    for n in range(JOBS):
        x = {"atoms": rng.randint(500, 20_000), "processes": rng.choice([1, 2, 4, 8])}
        cluster = rng.choice(["A", "B"])
        y = (4 + 0.012 * x["atoms"] / x["processes"]) * rng.lognormvariate(0, 0.06)
        slow = 1.8 if n >= SLOW_FROM and cluster == "B" else 1
        found.append({"x": x, "y": round(slow * y, 3), "source": {"cluster": cluster, "job": f"job-{n}"}})
    return found


def take(server: Server, file: Path) -> None:
    assert server.post("/api/v1/streams/", {"name": "lammps", "target": {"name": "time", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "runtime", "stream": "lammps", "recipe": "runtime"})[0] == 201
    made = jobs()
    for low in range(0, JOBS, 100):
        status, _ = server.post("/api/v1/streams/lammps/observations/", {"observations": made[low : low + 100]})
        assert status == 201
    while server.get("/api/v1/models/runtime/record/")[1]["behind"]:
        time.sleep(0.5)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(f"{server.url}/models/runtime/?show=drift")
        page.wait_for_selector("#error .u-over")
        page.wait_for_selector("#values .u-over")
        page.screenshot(path=str(file), clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
        browser.close()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.page_picture FILE.png")
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "var").start()
        try:
            take(server, Path(sys.argv[1]))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
