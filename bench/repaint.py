"""How long a browser takes to draw a large chart anew, in a real Chromium."""

import math
import shutil
from typing import Any

from bench.errors import BenchError

POINTS = 100_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

_REDRAWN = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  const began = performance.now();
  document.dispatchEvent(new CustomEvent("tailrace:theme")); // as if the theme had changed: every chart is made anew
  await Promise.resolve(); // uPlot paints in a microtask
  const canvas = document.querySelector("#error canvas");
  canvas.getContext("2d").getImageData(0, 0, 1, 1); // so that all of it is painted
  return performance.now() - began;
}"""


def repainted(url: str, model: str, times: int) -> list[float]:
    """Return how long a chart of :data:`POINTS` points took to be painted anew, in ms; the first time doesn't count.

    Raises
    ------
    BenchError
        If there is no Chromium, or no chart.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise BenchError("chromium, which draws charts, is not installed: run `apt-get install chromium` (Debian)")
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.route("**/charts/error/*", lambda route: route.fulfill(json=_chart()))
            page.route("**/charts/values/*", lambda route: route.abort())
            page.goto(f"{url}/models/{model}/")
            page.wait_for_selector("#error .u-over", timeout=60_000)
            taken = [float(page.evaluate(_REDRAWN)) for _ in range(times + 1)]
            browser.close()
    except Error as exc:
        raise BenchError(f"the chart was not drawn: {str(exc)[:400]}") from exc
    return taken[1:]


def _chart() -> dict[str, Any]:
    """Return the data of a chart as the server sends them: a curve and a band."""
    values = [math.sin(n / 500) + 0.3 * math.sin(n * 7.3) for n in range(POINTS)]
    series = [
        {"label": "lowest error", "values": [one - 0.5 for one in values], "style": "low", "tone": 1},
        {"label": "highest error", "values": [one + 0.5 for one in values], "style": "high", "tone": 1},
        {"label": "RMSE", "values": values, "style": "line", "tone": 0},
    ]
    return {
        "name": "error", "title": "Error", "sentence": "", "kind": "line", "x_label": "observation", "y_label": "error",
        "x": list(range(1, POINTS + 1)), "series": series, "stands_for": 1, "live": False, "diagonal": False,
        "is_time": False, "y_range": None, "texts": {},
    }  # fmt: skip
