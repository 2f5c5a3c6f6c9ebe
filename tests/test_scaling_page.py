"""The tables of docs/explanation/scaling.md: each has its place there, and what is planned by them is arithmetic."""

import pytest

from bench.cluster import Cost
from bench.errors import BenchError
from bench.scaling import PAGE, TABLES, limits, lines, plan, with_table

pytestmark = pytest.mark.one_database

COST = Cost(1234, 5, 9, {"server": 100, "postgresql": 50, "load": 10}, group=2, log_bytes=40, wal_bytes=80)
COSTS = dict.fromkeys(TABLES["batches"].cases, COST)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", [*TABLES, "plan", "limits", "machine"])
def test_the_page_has_a_place_for_what_is_measured(name: str):
    page = PAGE.read_text()
    written = with_table(page, name, ["| new |"])
    assert "| new |" in written
    assert with_table(written, name, ["| newer |"]) == with_table(page, name, ["| newer |"])
    with pytest.raises(BenchError, match="no <!-- measured: nowhere -->"):
        with_table(page, "nowhere", [])


def test_a_table_shows_each_case_in_a_line_of_its_own():
    head, rule, *rows = lines(TABLES["batches"], COSTS)
    assert len(rows) == len(COSTS)
    assert len({len(cells(line)) for line in (head, rule, *rows)}) == 1
    assert cells(rows[0])[:2] == ["1", "1,200"]


def test_a_plan_is_the_rate_times_what_a_point_costs():
    _, _, *rows = plan(COSTS)
    assert cells(rows[0]) == ["10", "1", "10", "0.00", "0.00", "0.035", "< 0.01"]
    assert cells(rows[-1]) == ["100,000", "1,000", "100", "10.0", "5.0", "350", "8"]


def test_a_limit_is_what_keeps_a_database_as_busy_as_it_may_be():
    _, _, first, *_ = limits(COSTS)
    assert cells(first) == ["1", "28,000", "110,000", "450,000", "36"]


def test_more_servers_than_streams_are_no_case():
    assert all(case.instances <= case.streams for table in TABLES.values() for case in table.cases.values())
