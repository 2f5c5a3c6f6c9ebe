"""The pages of cells in a real browser: 3D by painted pixels, one selection in all, and the slider of n."""

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.canvas import painted
from tests.cell_examples import DEFINITION
from tests.serving import PATIENCE, Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

LIST = "/streams/glass/cells/"
CELL = f"{LIST}Cu45Zr55-2-00/"
SIDE, TIMES = 3.1, 2
LONGEST = 3.1


def glass(seed: int) -> tuple[str, list[dict[str, Any]]]:
    """A disturbed crystal of 16 atoms as extended XYZ, and its bonds with labels that depend on type and length."""
    rng = random.Random(seed)
    edge = SIDE * TIMES
    atoms = [
        (element, *(SIDE * (place + offset) + rng.gauss(0, 0.06) for place in places))
        for places in itertools.product(range(TIMES), repeat=3)
        for element, offset in (("Cu", 0.0), ("Zr", 0.5))
    ]
    lines = "".join(f"{element} {x:.6f} {y:.6f} {z:.6f}\n" for element, x, y, z in atoms)
    head = f'Lattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    bonds = []
    for (i, one), (j, other) in itertools.product(enumerate(atoms), repeat=2):
        if i >= j:
            continue
        rounded = [[float(f"{value:.6f}") for value in atom[1:]] for atom in (one, other)]
        between = [b - a - edge * round((b - a) / edge) for a, b in zip(*rounded, strict=True)]
        length = math.hypot(*between)
        if length < LONGEST:
            kind = "-".join(sorted((one[0], other[0]), reverse=True))
            y = {"Zr-Cu": 0.8, "Zr-Zr": 1.4, "Cu-Cu": 0.4}[kind] + 2.0 * (3.0 - length) + rng.gauss(0, 0.05)
            x = {"bond": kind, "distance": length, "s0": length / 5, "s1": between[0] ** 2 / 10, "s2": 1.0}
            bonds.append({"x": x, "y": y})
    return f"{len(atoms)}\n{head}\n{lines}", bonds


GLASSES = [glass(number) for number in range(3)]
LAST = sum(len(bonds) for _, bonds in GLASSES)
FIRST = LAST - len(GLASSES[-1][1]) + 1
"""The observations of the last cell, the one that is looked at."""
MIDDLE = (FIRST + LAST) // 2


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server with three cells of two compositions, which a Gaussian process has learned and recorded."""
    server = start_site()
    ok(server, "/api/v1/descriptors/", {"name": "soap", "content": DEFINITION})
    stream = {"name": "glass", "target": {"name": "-ICOHP", "unit": "eV"}, "segment": "bond", "descriptor": "soap"}
    ok(server, "/api/v1/streams/", stream)
    ok(server, "/api/v1/models/", {"name": "gpr", "stream": "glass", "recipe": "bond-gpr"})
    for number, composition in enumerate(("Cu50Zr50", "Cu50Zr50", "Cu45Zr55")):
        structure, bonds = GLASSES[number]
        body = {"name": f"{composition}-{number}-00", "structure": structure, "composition": composition}
        ok(
            server,
            "/api/v1/streams/glass/cells/",
            {**body, "descriptor": "soap", "observations": bonds, "provenance": {"method": "made up"}},
        )
    failed = {
        "name": "Cu50Zr50-9-00",
        "structure": GLASSES[0][0],
        "composition": "Cu50Zr50",
        "status": "failed",
        "reason": "not converged",
    }
    ok(server, "/api/v1/streams/glass/cells/", failed)
    deadline = time.monotonic() + PATIENCE
    while not recorded(server):
        assert time.monotonic() < deadline, "the record is not written"
        threading.Event().wait(0.2)
    return server


def recorded(server: Server) -> bool:
    data = server.get(f"{CELL}data/")[1]
    return sum(value is not None for value in data["uncertainty"]) > 0.9 * len(data["strength"])


def ok(server: Server, path: str, body: Any) -> Any:
    status, answer = server.post(path, body)
    assert status == 201, answer
    return answer


def test_the_list_is_accessible_and_clean(checked_in_every_look, site):
    page = checked_in_every_look(site, f"{LIST}?composition=Cu50Zr50&show=coverage")
    assert page.locator("script[src*='3Dmol']").count() == 0


def test_coverage_comes_at_a_click(open_page, checked, site):
    page = open_page(site, LIST)
    page.get_by_text("Show how far each composition is covered").click()
    page.wait_for_selector("#coverage table")
    assert page.url.endswith(LIST), "only that part was loaded"
    checked(page)


def test_a_cell_is_accessible_clean_and_painted(checked_in_every_look, site):
    page = checked_in_every_look(site, f"{CELL}?by=residual&bond={FIRST + 5}", drawn_and_painted)
    assert page.locator("#bond h2").inner_text().startswith(f"Bond {FIRST + 5}")
    assert painted(page) > 2000


def drawn_and_painted(page):
    assert painted(drawn(page)) > 2000


def test_one_selection_is_in_all(open_page, site):
    page = drawn(open_page(site, CELL))
    before = painted(page)
    page.locator(f"#bond-{FIRST + 15} a").focus()
    page.keyboard.press("Enter")
    page.locator("#bond h2", has_text=f"Bond {FIRST + 15}").wait_for()
    assert f"bond={FIRST + 15}" in page.url
    assert page.locator("tr.chosen").count() == 3, "the bond and its two atoms"
    assert painted(page) != before, "it is marked in the picture"
    assert "Nearest learned bonds" in page.locator("#bond").inner_text()
    page.locator("#atom-5 td").nth(1).click()
    assert "atom=5" in page.url
    assert "bond=" not in page.url
    bonds = int(page.locator("#atom-5 td").nth(3).inner_text())
    assert page.locator("[data-bond-table] tr.chosen").count() == bonds
    page.locator(".cell-scene").focus()
    page.keyboard.press("Escape")
    assert page.locator("tr.chosen").count() == 0
    still = painted(page)
    page.keyboard.press("ArrowLeft")
    assert painted(page) != still, "the arrow keys turn it"
    page.keyboard.press("n")
    page.locator("#bond h2", has_text=f"Bond {FIRST}").wait_for()
    selected = page.url
    box = page.locator(".cell-scene").bounding_box()
    for across, down in itertools.product((0.4, 0.5, 0.6), repeat=2):
        page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        if page.url != selected:
            break
    assert page.url != selected, "a click in the picture selects"
    assert page.locator("tr.chosen").count() > 0
    loaded = page.url
    page.reload()
    drawn(page)
    assert page.url == loaded
    assert page.locator("tr.chosen").count() > 0, "the address has the selection"


def test_the_glass_is_watched_as_it_is_learned(open_page, site):
    page = drawn(open_page(site, CELL))
    page.get_by_label("Color bonds by").select_option("residual")
    assert page.locator("[data-legend-title]").inner_text() == "Residual, prediction minus -ICOHP (eV)"
    assert "by=residual" in page.url
    whole = painted(page)
    slider = page.locator("#n")
    slider.evaluate(
        "(input, n) => { input.value = n; input.dispatchEvent(new Event('input', { bubbles: true })); }", MIDDLE
    )
    assert f"n={MIDDLE}" in page.url
    assert "later bonds have no value yet" in page.locator("[data-state]").inner_text()
    assert page.locator(f"#bond-{MIDDLE + 1} td").nth(6).inner_text() == "–"
    assert page.locator(f"#bond-{MIDDLE} td").nth(6).inner_text() != "–"
    assert painted(page) != whole
    moments = page.locator("#at option").evaluate_all("(options) => options.map((one) => Number(one.value))")
    assert moments == sorted({0, FIRST - 1, LAST, *moments})
    before = page.locator(f"#bond-{LAST} td").nth(5).inner_text()
    page.locator("#at").select_option(str(FIRST - 1))
    page.locator("[data-state]", has_text=f"Predictions of the model as of observation {FIRST - 1}").wait_for()
    assert f"at={FIRST - 1}" in page.url
    assert f"n={MIDDLE}" not in page.url
    assert page.locator(f"#bond-{LAST} td").nth(5).inner_text() not in ("–", before)
    shown = page.locator(f"#bond-{LAST} td").nth(5).inner_text()
    page.reload()
    drawn(page)
    assert page.locator(f"#bond-{LAST} td").nth(5).inner_text() == shown, "the address loads the same again"


@pytest.mark.parametrize("options", [{"java_script_enabled": False}, {}], ids=["no scripts", "no WebGL"])
def test_it_can_be_used_without(open_page, checked, site, options):
    page = open_page(site, CELL, **options)
    if not options:
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.reload()
        page.wait_for_load_state("networkidle")
    assert page.locator("svg.cell-picture").is_visible()
    assert not page.locator(".cell-scene").is_visible()
    page.get_by_label("Color bonds by").select_option("uncertainty")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**by=uncertainty**")
    page.locator("svg.cell-picture .bin-6").first.wait_for(state="attached")
    page.locator(f"#bond-{FIRST + 5} a").click()
    page.wait_for_url(f"**bond={FIRST + 5}**")
    page.locator("#bond h2").wait_for()
    if not options:
        checked(page)


def drawn(page: Any) -> Any:
    page.wait_for_selector("[data-cell][data-ready]", timeout=1000 * PATIENCE)
    return page
