"""Descriptors and cells on a real server with several processes, asked many things at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import pytest

from tests.cell_examples import DEFINITION, bond, new_cell
from tests.promises.neighbours import ask

pytestmark = pytest.mark.django_db(transaction=True)

DESCRIPTORS, CELLS = "/api/v1/descriptors/", "/api/v1/streams/bonds/cells/"


def test_many_that_define_the_same_name_at_once_come_to_one_definition(server):
    def define(r_cut: float) -> int:
        status: int = server.post(DESCRIPTORS, {"name": "soap", "content": {"r_cut": r_cut}})[0]
        return status

    with ThreadPoolExecutor(8) as threads:
        statuses = Counter(threads.map(define, [1.0, 2.0] * 8))
    assert statuses == {201: 1, 200: 7, 409: 8}
    assert len(server.get(DESCRIPTORS)[1]["descriptors"]) == 1


def test_many_that_post_the_same_cells_at_once_store_each_once(server):
    """Twelve cells from six workers each, over and over: every answer is that of the one time that it was learned."""
    assert server.post(DESCRIPTORS, {"name": "soap", "content": DEFINITION})[0] == 201
    stream = {"name": "bonds", "target": {"name": "-ICOHP", "unit": "eV"}, "segment": "bond", "descriptor": "soap"}
    assert server.post("/api/v1/streams/", stream)[0] == 201
    assert server.post("/api/v1/models/", {"name": "avg", "stream": "bonds", "recipe": "mean"})[0] == 201
    cells = [new_cell(f"c{n}", [bond("Zr-Cu", 2.5 + n / 10 + k / 100) for k in range(20 + n)]) for n in range(12)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda cell: ask(server, "POST", CELLS, cell), cells * 6))
    assert Counter(status for status, _ in answers) == {201: 12, 200: 60}
    by_name: dict[str, list[Any]] = {}
    for _, body in answers:
        by_name.setdefault(body["name"], []).append(body)
    assert all(body == bodies[0] for bodies in by_name.values() for body in bodies)
    ranges = sorted((bodies[0]["first"], bodies[0]["last"]) for bodies in by_name.values())
    assert [first for first, _ in ranges] == [1, *(last + 1 for _, last in ranges[:-1])]
    assert ranges[-1][1] == sum(20 + n for n in range(12))
    metrics = server.get("/api/v1/models/avg/metrics/")[1]
    assert (metrics["at"], metrics["learned"]) == (ranges[-1][1], ranges[-1][1])


def test_of_two_cells_with_one_name_at_once_one_is_taken(server):
    assert server.post("/api/v1/streams/", {"name": "bonds", "target": {"name": "-ICOHP", "unit": "eV"}})[0] == 201
    cells = [new_cell("c", [bond("Zr-Cu", 2.5 + k / 100)], descriptor=None) for k in range(8)]
    with ThreadPoolExecutor(8) as threads:
        statuses = Counter(threads.map(lambda cell: ask(server, "POST", CELLS, cell)[0], cells * 2))
    assert statuses == {201: 1, 200: 1, 409: 14}
    assert server.get("/api/v1/streams/bonds/")[1]["head"] == 1


def test_a_server_killed_while_cells_come_in_keeps_whole_cells_only(serve):
    server = serve(workers=2, threads=8)
    assert server.post("/api/v1/streams/", {"name": "bonds", "target": {"name": "-ICOHP", "unit": "eV"}})[0] == 201
    cells = [new_cell(f"c{n}", [bond("Zr-Cu", 2.5 + k / 1000) for k in range(300)], descriptor=None) for n in range(60)]
    acknowledged: list[str] = []

    def post(cell: Any) -> None:
        try:
            status, body = server.post(CELLS, cell)
        except (OSError, HTTPException, ValueError):
            return
        if status == 201:
            acknowledged.append(body["name"])
            if len(acknowledged) == 15:
                server.kill()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(post, cells))
    server.start()
    found = {cell["name"]: cell for cell in server.get(f"{CELLS}?limit=1000")[1]["cells"]}
    assert set(acknowledged) <= set(found)
    ranges = sorted((cell["first"], cell["last"]) for cell in found.values())
    assert all(last - first == 299 for first, last in ranges)
    assert server.get("/api/v1/streams/bonds/")[1]["head"] == 300 * len(found)
    assert [first for first, _ in ranges] == [1 + 300 * n for n in range(len(found))]
    statuses = {cell["name"]: server.post(CELLS, cell)[0] for cell in cells}
    assert {name for name, status in statuses.items() if status == 200} == set(found)
    assert set(statuses.values()) == {200, 201}
