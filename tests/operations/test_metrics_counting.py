"""Counting in memory that processes share: nothing is lost between them, and nothing piles up."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from server.core.metrics import declarations, shared_counters
from server.core.metrics.declarations import Counter, Gauge, Histogram
from server.core.metrics.shared_counters import Slots
from server.operations import process_gauges, process_metrics

pytestmark = pytest.mark.one_database


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch):
    """Each test begins as a new process does, and what others of this process count on is put back afterwards."""
    before = declarations._Shared.slots, declarations._Shared.directory
    known, series = dict(declarations.METRICS), list(declarations._series)
    declarations._Shared.slots, declarations._Shared.directory = Slots(), None
    for one in series:
        one.place()
    yield
    declarations._Shared.slots, declarations._Shared.directory = before
    declarations.METRICS.clear()
    declarations.METRICS.update(known)
    declarations._series[:] = series
    for one in series:
        one.place()


def sums(directory: Path) -> dict[str, float]:
    total: dict[str, float] = {}
    for numbers in shared_counters.read_all(directory):
        for name, value in numbers.items():
            total[name] = total.get(name, 0.0) + value
    return total


def live(directory: Path, times: int, end: str = "") -> None:
    """One process's life: it counts, and ends as it should or is killed."""

    def run() -> None:
        declarations.use_directory(directory)
        for _ in range(times):
            declarations.observations.labels().add()
        if end == "killed":
            os.kill(os.getpid(), 9)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == (-9 if end == "killed" else 0)


def test_what_ended_or_killed_processes_counted_stays_and_their_files_are_gone_on_with(tmp_path):
    for number in range(12):
        live(tmp_path, 10, "killed" if number % 2 else "")
    assert sums(tmp_path)["tailrace_observations"] == 120
    assert len(list(tmp_path.iterdir())) == 1


def test_processes_that_live_at_the_same_time_have_a_file_each(tmp_path):
    both = [Slots(tmp_path), Slots(tmp_path)]
    for own in both:
        own.values[own.slot("a")] += 1
    assert sums(tmp_path) == {"a": 2.0}
    assert len(list(tmp_path.iterdir())) == 2


def test_no_count_is_lost_between_threads(tmp_path):
    declarations.use_directory(tmp_path)
    many, times = declarations.commit_requests.labels(), 5000

    def count() -> None:
        for _ in range(times):
            many.observe(3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums(tmp_path)["tailrace_commit_requests\t4"] == 4 * times


def test_what_was_counted_before_the_files_were_opened_is_taken_along(tmp_path):
    counter = Counter("early", "counted before", ("kind",)).labels("x")
    counter.add(3)
    declarations.use_directory(tmp_path)
    counter.add()
    assert sums(tmp_path)["early\tx"] == 4


def test_a_gauge_is_of_the_processes_that_live(tmp_path):
    gauge = Gauge("level", "of each process")
    declarations.use_directory(tmp_path)
    gauge.set(7)
    declarations.alive_at.set(1.0)  # as one that ended long ago left it
    assert families()["level"].samples[0].value == 0
    process_gauges.update()
    assert families()["level"].samples[0].value == 7


def test_a_gauge_of_a_process_that_is_gone_is_not_gone_on_with(tmp_path):
    left = Slots(tmp_path)
    left.values[left.slot("level")] = 9
    left.file.close()
    Gauge("level", "of each process")
    declarations.use_directory(tmp_path)
    process_gauges.update()
    assert families()["level"].samples[0].value == 0


def families():
    return {family.name: family for family in process_metrics.families()}


def test_a_histogram_counts_each_value_at_its_bound_and_above(tmp_path):
    histogram = Histogram("sizes", "of things", (1, 2.5), ("kind",))
    for value in (0, 1, 1.1, 2.5, 3):
        histogram.labels("a").observe(value)
    found = {tuple(sample.labels.items()): sample.value for sample in families()["sizes"].samples}
    assert found[("kind", "a"), ("le", "1.0")] == 2
    assert found[("kind", "a"), ("le", "2.5")] == 4
    assert found[("kind", "a"), ("le", "+Inf")] == 5
    assert [s.value for s in families()["sizes"].samples if s.name == "sizes_sum"] == [pytest.approx(7.6)]


def test_what_has_no_room_is_not_counted_and_harms_nothing(tmp_path, caplog):
    own = Slots(tmp_path)
    first = own.slot("first")
    for number in range(shared_counters.MAX_NAMES + 5):
        own.values[own.slot(f"more {number}")] += 1
    own.values[own.slot("x" * (shared_counters.NAME_BYTES + 1))] += 1
    own.values[first] += 1
    found = sums(tmp_path)
    assert found["first"] == 1
    assert len(found) == shared_counters.MAX_NAMES - 1
    assert set(found.values()) == {1.0}
    assert "no room for the metric" in caplog.text


def test_a_file_of_another_layout_is_begun_anew(tmp_path):
    (tmp_path / f"1-old.{shared_counters.SUFFIX}").write_bytes(b"tailrace numbers 0" + b"x" * shared_counters._LENGTH)
    own = Slots(tmp_path)
    own.values[own.slot("a")] += 1
    assert sums(tmp_path) == {"a": 1.0}


def test_files_that_are_cut_short_or_strange_are_passed_over(tmp_path):
    (tmp_path / f"1-cut.{shared_counters.SUFFIX}").write_bytes(shared_counters.HEADER)
    (tmp_path / f"2-odd.{shared_counters.SUFFIX}").write_bytes(os.urandom(shared_counters._LENGTH))
    assert sums(tmp_path) == {}


def test_without_room_on_disk_a_process_counts_for_itself_alone(tmp_path, caplog):
    (tmp_path / "file").write_text("no directory")
    declarations.use_directory(tmp_path / "file")
    declarations.observations.labels().add()
    assert families()["tailrace_observations"].samples[0].value >= 1
    assert "metrics of this process are not shared" in caplog.text


def test_every_metric_has_a_help_and_no_two_share_a_name():
    found = [family.name for family in process_metrics.families()]
    assert len(found) == len(set(found))
    assert all(metric.help for metric in declarations.METRICS.values())
    assert all(name.startswith("tailrace_") for name in found)
