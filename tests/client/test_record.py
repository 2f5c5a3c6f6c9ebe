"""A model's record in a frame, as a table and in files."""

import asyncio
import json
import os
import subprocess
import sys
import time

import pandas
import pytest
from tailrace import AsyncClient
from tailrace.errors import NotFound, Unusable
from tailrace.handles.client import Client
from tailrace.handles.record_reader import export, extent
from tailrace.results.records import Record
from tailrace.similar_names import UnknownName

from tests.client.conftest import POINTS, run_times
from tests.serving import PATIENCE, ROOT

pytestmark = pytest.mark.one_database

JOB = {"x": 8, "y": 16, "z": 8}


@pytest.fixture(scope="module")
def client(served):
    """A client of a server that has recorded everything."""
    client = Client(served.url, "")
    give_up = time.monotonic() + PATIENCE
    while any(extent(client, name)["behind"] for name in ("runtime", "linear", "mean")):
        assert time.monotonic() < give_up, "the records are not written"
    return client


@pytest.fixture(scope="module")
def tailrace(served, client, tmp_path_factory):
    directory = tmp_path_factory.mktemp("commands")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": served.url}

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tailrace", "record", *arguments], cwd=directory, env=environment,
            capture_output=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    run.directory = directory
    return run


def test_a_record_is_a_frame(client):
    frame = client.model("runtime").record()
    assert list(frame.index) == list(range(1, POINTS + 1)) and frame.index.name == "n"
    bands = ["lower", "upper", "q50", "q80", "q90", "q95", "q99"]
    assert list(frame.columns) == ["at", "y", "prediction", "scored", "skipped", *bands]
    assert str(frame["at"].dt.tz) == "UTC"
    assert frame.y.tolist() == [one["y"] for one in run_times()]
    assert (frame.lower <= frame.upper).sum() == POINTS - 1  # the first prediction is of a model that knows nothing
    assert frame.attrs["behind"] == 0
    log = client.model("runtime").stream.to_frame()
    assert frame.prediction.tolist() == log["prediction.runtime"].tolist()
    assert list(client.model("linear").record(10, 19).columns) == ["at", "y", "prediction", "scored", "skipped"]


def test_a_range_is_asked_for(client):
    model = client.model("runtime")
    assert list(model.record(101, 103).index) == [101, 102, 103]
    assert list(model.record(last=2).index) == [1, 2]
    assert list(model.record(POINTS).index) == [POINTS]
    assert len(model.record(POINTS + 1)) == 0
    with pytest.raises(Unusable, match=r"first\('a'\): expected the number"):
        model.record("a")
    with pytest.raises(NotFound):
        client.model("nonsense").record()


def test_without_pandas_it_is_a_table(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("tailrace.optional_dependencies.import_module", _without_pandas)
    record = client.model("runtime").record(1, 30)
    assert isinstance(record, Record)
    assert len(record) == 30
    assert record.column("y") == [one["y"] for one in run_times()[:30]]
    assert repr(record).splitlines()[0] == "record of runtime"
    assert "prediction (s)" in repr(record) and "…" in repr(record)
    assert "<table" in record._repr_html_()
    with pytest.raises(UnknownName, match=r"no column 'upperr' .did you mean 'upper'"):
        record.column("upperr")
    assert "3 observations are not recorded yet" in repr(Record("m", {"n": [1]}, 3))


def _without_pandas(name):
    from importlib import import_module

    if name == "pandas":
        raise ModuleNotFoundError(name="pandas")
    return import_module(name)


def test_the_asynchronous_client_gives_the_same(served, client):
    async def main():
        async with AsyncClient(served.url, "") as c:
            return await c.model("runtime").record(5, 50)

    assert asyncio.run(main()).equals(client.model("runtime").record(5, 50))


def test_the_command_prints_the_latest_rows_as_a_table(tailrace):
    done = tailrace("runtime")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[0] == "record of runtime"
    assert [int(line.split()[0]) for line in lines[2:]] == list(range(POINTS - 19, POINTS + 1))
    few = tailrace("runtime", "--from", "3", "--to", "5", "--format", "table")
    assert len(few.stdout.splitlines()) == 5


def test_the_command_writes_files(tailrace, client):
    frame = client.model("runtime").record()
    done = tailrace("runtime", "--output", "all.parquet", "--json")
    path = tailrace.directory / "all.parquet"
    assert json.loads(done.stdout) == {
        "model": "runtime", "path": "all.parquet", "bytes": path.stat().st_size, "behind": 0,
    }  # fmt: skip
    assert pandas.read_parquet(path)["prediction"].tolist() == frame.prediction.tolist()
    assert b"wrote some.csv" in tailrace("runtime", "--from", "7", "--output", "some.csv").stdout
    assert pandas.read_csv(tailrace.directory / "some.csv")["n"].tolist() == list(range(7, POINTS + 1))
    lines = tailrace("runtime", "--to", "4", "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("runtime", "--json"), b"--json needs --output"), (("runtime", "--output", "a.xlsx"), b"no known ending"),
        (("runtime", "--format", "table", "--output", "a.csv"), b"leave --output out"), (("runtime", "--safe", "excel"), b"--format csv"),
        (("runtime", "--safe", "excel", "--format", "ndjson"), b"safe is for CSV"), (("runtim",), b"no model named"),
        (("runtime", "--from", "9", "--to", "3"), b"first to be at most last"), (("runtime", "--from", "0"), b"first is 0"),
    ],
)  # fmt: skip
def test_the_command_says_what_is_wrong(tailrace, arguments, said):
    done = tailrace(*arguments)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_file_that_fails_changes_nothing(client, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(NotFound):
        export(client, "nonsense", path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
