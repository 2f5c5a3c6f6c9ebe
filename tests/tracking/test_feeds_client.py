"""The client and the command for feeds, on a real server whose background thread posts the runs."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading

import pytest
from tailrace import AsyncClient, Client, NotFound, Refused, Unusable

from tests.serving import PATIENCE, ROOT, Server, fresh_database
from tests.tracking.served import metrics

pytestmark = pytest.mark.one_database


def finish(client, number, **params):
    path = f"/api/v1/runs/{number:032x}/"
    client.send("PUT", path, {"experiment": "darcy flow", "params": params, "started_ms": 1_700_000_000_000})
    lines = [metrics(0, loss=1.0), metrics(1, loss=float(number)), metrics(2, loss=2.0 * number)]
    lines.append({"kind": "status", "status": "FINISHED", "time_ms": 1_700_000_000_000 + 1000 * number})
    client.send("POST", f"{path}lines/", {"writer": "w", "first": 0, "lines": lines})


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with an experiment of finished runs, one of which lacks a param, and a stream with a model."""
    with fresh_database("feeds_client") as database:
        server = Server(tmp_path_factory.mktemp("feeds") / "var", database, workers=1, threads=8).start()
        try:
            client = Client(server.url, "")
            client.create_stream("losses", "loss")
            client.create("mean", "losses", "mean")
            for number in range(1, 6):
                finish(client, number, lr=str(number / 10), operator="FNO")
            finish(client, 6, lr="0.6")
            yield server
        finally:
            server.kill()


def settled(feed):
    """What the feed posted and left out, once nothing is due."""
    while feed.info()["runs"]["due"]:
        threading.Event().wait(0.05)
    counts = feed.info()["runs"]
    return counts["posted"], counts["left_out"]


def test_a_feed_is_made_followed_and_deleted_and_predicts_the_next_run(served):
    client = Client(served.url, "")
    experiment = client.experiment("darcy flow")
    with pytest.raises(NotFound, match="make one"):
        experiment.predict({"lr": 0.1})
    feed = experiment.create_feed("losses", {"lr": "number", "operator": "category"}, metric="loss", value="max")
    assert settled(feed) == (5, 1)
    (left_out,) = feed.runs("left_out")
    assert (left_out["run"], left_out["reason"]) == (f"{6:032x}", "param 'operator' missing")
    assert "param 'operator' missing" in repr(feed.runs("left_out"))
    client.run(f"{6:032x}")._session.send("PATCH", f"/api/v1/runs/{6:032x}/", {"params": {"operator": "FNO"}})
    assert settled(feed) == (6, 0)
    assert [one["seq"] for one in feed.runs()] == [1, 2, 3, 4, 5, 6]
    assert feed.backfill() == 0
    (by_feed,) = experiment.predict({"lr": 0.35, "operator": "FNO"})
    (by_model,) = by_feed["models"]
    assert by_model["prediction"] == pytest.approx(2 * 3.5)
    assert "max loss" in repr(experiment.predict({"lr": 0.35, "operator": "FNO"}))
    with pytest.raises(Refused, match="'operator' missing"):
        experiment.predict({"lr": 0.35})
    with pytest.raises(Unusable, match="expected a list of names"):
        experiment.create_feed("losses", "lr")
    assert "max loss" in repr(experiment.feeds())
    assert "lr, operator (category)" in repr(feed)
    feed.delete()
    assert len(experiment.feeds()) == 0
    assert len(list(client.stream("losses").observations())) == 6


def test_the_asynchronous_client_does_the_same(served):
    Client(served.url, "").create_stream("times", "time", "s")

    async def ask():
        async with AsyncClient(served.url, "") as client:
            experiment = client.experiment("darcy flow")
            feed = await experiment.create_feed("times", ["lr"], backfill=False)
            assert feed.stream == "times" and await feed.backfill() == 6
            while (await feed.info())["runs"]["due"]:
                await asyncio.sleep(0.05)
            found = [one["state"] for one in await feed.runs()]
            predicted = await experiment.predict({"lr": 1})
            copy = pickle.loads(pickle.dumps(feed))
            assert copy.stream == "times"
            await feed.delete()
            return found, predicted[0]["models"], len(await experiment.feeds())

    assert asyncio.run(ask()) == (["posted"] * 6, [], 0)


def test_the_command_does_the_same(served, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": served.url}

    def feed(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", "feed", *arguments], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    Client(served.url, "").create_stream("least", "loss")
    Client(served.url, "").create("least-mean", "least", "mean")
    made = feed(
        "create", "darcy flow", "least", "--param", "lr", "--metric", "loss", "--value", "min", "--only-new", "--json"
    )
    assert json.loads(made)["runs"]["due"] == 0
    assert "least" in feed("list", "darcy flow") and "min loss" in feed("show", "darcy flow", "least")
    assert "6 runs are looked at now" in feed("backfill", "darcy flow", "least")
    assert settled(Client(served.url, "").experiment("darcy flow").feed("least")) == (6, 0)
    runs = json.loads(feed("runs", "darcy flow", "least", "--state", "posted", "--json"))["runs"]
    assert len(runs) == 6
    found = json.loads(feed("predict", "darcy flow", "lr=0.3", "--json"))["predictions"]
    assert found[0]["models"][0]["prediction"] == 1.0
    assert "least-mean" in feed("predict", "darcy flow", "lr=0.3")
    assert "what was posted stays" in feed("delete", "darcy flow", "least")
    for wrong in (
        ("create", "darcy flow", "least"), ("show", "darcy flow"), ("predict", "darcy flow", "lr"), ("predict", "darcy flow"),
        ("list", "darcy flow", "least"), ("create", "darcy flow", "least", "--param", "lr", "--category", "lr"),
    ):  # fmt: skip
        feed(*wrong, code=2)
