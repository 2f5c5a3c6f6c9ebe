"""A spool delivers each observation exactly once, in order, to a real server, whoever flushes it and however often."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tailrace.errors import Refused, SpoolError
from tailrace.spool.delivery import LARGEST_FILE
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server

from tests import serving
from tests.client.listeners import answer, listening, replies
from tests.client.running import NOBODY, environment, logged

NUMBERS = itertools.count(1)


class World:
    """A spool, a real server, and a stream of its own on it."""

    def __init__(self, served: serving.Server, directory: Path) -> None:
        self.served = served
        self.server = Server(served.url)
        self.spool = Spool(directory)
        self.stream = f"s{next(NUMBERS)}"
        target = {"name": "t", "unit": "s", "kind": "number"}
        assert served.post("/api/v1/streams/", {"name": self.stream, "target": target})[0] == 201

    def fill(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            self.put(float(n), f"k{n}")

    def put(self, y: Any, key: str) -> None:
        self.spool.put(self.stream, {"x": {"a": 1}, "y": y, "key": key})

    def flush(self) -> list[Any]:
        return list(self.spool.flush(self.server, deadline=60, moved=[NOBODY]))

    @property
    def targets(self) -> list[float]:
        return [one["y"] for one in logged(self.served, self.stream)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    with serving.fresh_database("spool") as database:
        server = serving.Server(tmp_path_factory.mktemp("spool") / "var", database, workers=2, threads=4).start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def world(served, tmp_path):
    return World(served, tmp_path / "spool")


def test_it_is_delivered_in_order_and_once(world):
    world.fill(range(520))
    assert len(world.flush()) == 520
    assert world.spool.waiting() == []
    assert world.targets == [float(n) for n in range(520)]
    assert world.flush() == []


def test_flushes_at_once_on_several_nodes_deliver_each_once(world):
    world.fill(range(200))
    given = ["flush", "--spool", world.spool.place, "--url", world.served.url]
    nodes = [
        subprocess.Popen([sys.executable, "-m", "tailrace", *given], env=environment(), stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [node.wait(60) for node in nodes] == [0, 0, 0]
    assert sorted(world.targets) == [float(n) for n in range(200)]
    assert list(world.spool.directory.iterdir()) == []


def test_one_bad_observation_is_set_aside_and_the_others_are_delivered(world):
    world.fill(range(40))
    world.put("slow", "bad")
    world.fill(range(40, 80))
    assert [one.path.parent.name for one in world.flush() if one.refused] == ["refused"]
    assert world.targets == [float(n) for n in range(80)]
    assert "slow" in world.spool.refusal(world.stream, "bad").read_text()


def test_only_bad_ones_are_all_set_aside(world):
    for n in range(20):
        world.put("slow", f"bad{n}")
    assert all(one.refused for one in world.flush())
    assert len(list((world.spool.directory / "refused").glob("*.json"))) == 20
    assert (world.spool.waiting(), world.targets) == ([], [])


def test_the_one_that_the_server_names_is_found_with_few_requests(world):
    world.fill(range(50))
    world.put("slow", "bad")
    world.fill(range(50, 99))
    asked = []

    class Counting(Server):
        def request(self, method, path, body=None, **options):
            asked.append(path)
            return super().request(method, path, body, **options)

    world.server = Counting(world.served.url)
    world.flush()
    assert world.targets == [float(n) for n in range(99)]
    assert len(asked) == 4


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 100_000, b'{"stream": "s", "observ', b"[]", b'{"stream": "s", "observation": {"x": {}}}', b"\xff\xfe"],
)
def test_a_file_cut_short_is_set_aside_with_the_reason(world, content):
    world.fill([1])
    (world.spool.directory / "00000000000000000001-9-cut.json").write_bytes(content)
    assert [one.refused is None for one in world.flush()] == [False, True]
    assert world.targets == [1.0]
    refused = world.spool.directory / "refused"
    assert (refused / "cut.json").read_bytes() == content
    assert "cut short" in (refused / "cut.reason").read_text()


def test_clocks_an_hour_apart_keep_the_order(world):
    """Nodes disagree about the time; the file system that they share does not."""
    program = "import sys, time; now, ahead = time.time, float(sys.argv.pop(1)); time.time = lambda: now() + ahead; "
    program += "time.time_ns = lambda: int(time.time() * 1e9); from tailrace.cli import main; sys.exit(main())"
    for n, ahead in enumerate((0, 3600, -3600, 0)):
        given = ["post", world.stream, "a=1", "--y", str(n), "--url", NOBODY, "--spool", world.spool.place]
        node = [sys.executable, "-c", program, str(ahead), *given]
        subprocess.run(node, env=environment(), stderr=subprocess.DEVNULL, timeout=60, check=True)
    assert len(world.flush()) == 4
    assert world.targets == [0, 1, 2, 3]


def test_a_kill_between_delivery_and_clearing_delivers_no_second_time(world):
    world.fill(range(5))
    flushing = world.spool.flush(world.server, deadline=60)
    next(flushing)  # the request is done, one file is gone: here the process dies
    flushing.close()
    assert len(world.spool.waiting()) == 4
    assert len(world.flush()) == 4
    assert world.targets == [float(n) for n in range(5)]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "odd", ["a directory", "a loop of links", "a link to nothing", "a pipe", "a device", "a large file"]
)
def test_one_file_that_can_not_be_read_holds_no_other_up_and_is_named(world, odd):
    world.fill(range(2))
    path = world.spool.directory / f"{'0' * 19}-1-{'0' * 8}.json"
    if odd == "a directory":
        path.mkdir()
    elif odd == "a pipe":
        os.mkfifo(path)
    elif odd == "a device":
        path.symlink_to("/dev/zero")
    elif odd == "a large file":
        with path.open("wb") as file:
            file.truncate(LARGEST_FILE + 1)
    else:
        path.symlink_to(path if odd == "a loop of links" else world.spool.directory / "nothing")
    world.fill(range(2, 4))
    if odd == "a link to nothing":
        world.flush()
    else:
        with pytest.raises(SpoolError, match=r"it can't be read|it has more than 64 MB") as found:
            world.flush()
        assert found.value.filename == str(path)
    assert world.targets == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.one_database
@pytest.mark.parametrize("number", ["1e400", "-1e999", "NaN", "Infinity"])
def test_files_with_numbers_that_can_not_be_sent_stay_are_named_and_hold_no_other_up(world, number):
    world.fill(range(2))
    paths = [world.spool.directory / f"{'0' * 19}{n}-1-{str(n) * 8}.json" for n in range(2)]
    for path in paths:
        path.write_text(
            f'{{"stream": "{world.stream}", "observation": {{"x": {{"a": {number}}}, "y": 1, "key": "k"}}}}'
        )
    world.fill(range(2, 4))
    with pytest.raises(SpoolError, match="can't be sent: correct it there, or delete the file") as found:
        world.flush()
    assert all(str(path) in str(found.value) for path in paths)
    assert f"holds the number {number}," in str(found.value)
    assert world.targets == [0.0, 1.0, 2.0, 3.0]
    assert world.spool.waiting() == paths
    assert world.spool.elsewhere(world.server) == {}


def test_a_file_that_is_skipped_is_named_with_the_stream_that_is_refused(world):
    world.put(1, "k")
    path = world.spool.directory / "odd.json"
    path.mkdir()
    said = b'{"error": {"code": "not_found", "message": "no stream named s", "request_id": "r1"}}'
    with (
        listening(replies(answer("404 Not Found", said, "Content-Type: application/json"))) as listener,
        pytest.raises(Refused, match=r"no stream.*odd\.json: it can't be read: it is not a regular file"),
    ):
        list(world.spool.flush(Server(listener.url), deadline=60))
