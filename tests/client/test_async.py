"""The asynchronous client: all that the plain one does, awaited, while the event loop goes on."""

import asyncio
import copy
import inspect
import json
import pickle
import re
import threading
import warnings

import pytest
import tailrace
from tailrace import (
    AsyncCalculation,
    AsyncCampaign,
    AsyncClient,
    AsyncModel,
    AsyncService,
    AsyncStream,
    AsyncTrackedExperiment,
    AsyncTrackedRun,
    Calculation,
    Campaign,
    Client,
    Model,
    NotFound,
    Refused,
    Service,
    Stream,
    TailraceError,
    TrackedExperiment,
    TrackedRun,
)
from tailrace.asynchronous.delegation import Deferred
from tailrace.asynchronous.handles import AsyncPredictor
from tailrace.errors import PredictionWarning, Unreachable, Unusable
from tailrace.handles.catalog import Catalog
from tailrace.handles.model import ModelFailed, StillLearning
from tailrace.handles.predictor import Predictor

from tests.client.conftest import POINTS, STREAM
from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import NOBODY, body_of, kept, receipt
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

SECRET = "tr_0123456789abcdefghij"
JOB = {"x": 8, "y": 16, "z": 8}
SECONDS = 60
"""How long a test waits for what would otherwise never come."""

NEVER_ASK = {
    "Client.model",
    "Client.stream",
    "Client.calculation",
    "Client.campaign",
    "Client.service",
    "Client.experiment",
    "Client.run",
    "Client.path",
    "Client.page",
    "Model.as_of",
    "TrackedExperiment.feed",
} | {f"{name}.page_url" for name in ("Model", "Stream", "Calculation", "Campaign")}
SHOW = {"Client.shown", "Client.shown_html"}
"""How a plain handle shows itself, which asks the server; an asynchronous one shows what it is without asking."""
TWINS = [
    (Client, AsyncClient),
    (Model, AsyncModel),
    (Stream, AsyncStream),
    (Calculation, AsyncCalculation),
    (Campaign, AsyncCampaign),
    (Service, AsyncService),
    (TrackedExperiment, AsyncTrackedExperiment),
    (TrackedRun, AsyncTrackedRun),
]
PUBLIC = [
    (plain, twin, name)
    for plain, twin in TWINS
    for name in dir(plain)
    if not name.startswith("_") and f"{plain.__name__}.{name}" not in SHOW
]


def running(work):
    """The result of a coroutine, in a loop of its own."""
    return asyncio.run(asyncio.wait_for(work, SECONDS))


def done(event):
    """Until a thread has set an event."""
    return asyncio.to_thread(event.wait, SECONDS)


def told(body, status="200 OK"):
    return answer(status, json.dumps(body).encode(), "Content-Type: application/json")


def parameters(found):
    return [one.replace(annotation=inspect.Parameter.empty) for one in inspect.signature(found).parameters.values()]


@pytest.mark.parametrize(("plain", "twin", "name"), PUBLIC, ids=lambda one: getattr(one, "__name__", one))
def test_all_that_asks_the_server_has_a_twin_of_the_same_parameters(plain, twin, name):
    ours, its = inspect.getattr_static(plain, name), inspect.getattr_static(twin, name)
    if isinstance(ours, property):
        assert isinstance(its, property)
        handle = twin(AsyncClient(NOBODY, ""), 1 if plain is Calculation else "s")
        assert isinstance(getattr(handle, name), Deferred) == (f"{plain.__name__}.{name}" not in NEVER_ASK)
    else:
        assert parameters(its) == parameters(ours)
        asks = inspect.iscoroutinefunction(its) or inspect.isasyncgenfunction(its)
        assert asks == (f"{plain.__name__}.{name}" not in NEVER_ASK)
        assert (its.__module__, its.__qualname__) == (twin.__module__, f"{twin.__name__}.{name}")
    assert its.__doc__


def test_so_has_what_is_called_and_what_lists():
    assert parameters(AsyncPredictor.__call__) == parameters(Predictor.__call__)
    assert AsyncPredictor.__call__.__doc__ == Predictor.__call__.__doc__
    assert parameters(AsyncClient)[:3] == parameters(Client)
    client, plain = AsyncClient(NOBODY, ""), Client(NOBODY, "")
    for name in (name for name, value in vars(plain).items() if isinstance(value, Catalog)):
        catalog = getattr(client, name)
        assert {one for one in dir(Catalog) if not one.startswith("_")} <= {*dir(catalog), "table"}
    with pytest.raises(TypeError):
        "runtime" in client.models  # noqa: B015
    with pytest.raises(TypeError):
        iter(client.models)


def test_a_real_server_answers_both_alike(served, tmp_path):
    plain, model, stream = Client(served.url, ""), Client(served.url, "").model("runtime"), STREAM

    async def main():
        async with AsyncClient(served.url, "") as c:
            m, s = c.model("runtime"), c.stream(stream)
            assert await m.predict(**JOB) == model.predict(**JOB)
            assert (await m.predict([JOB, JOB], level=0.8)).values == model.predict([JOB, JOB], level=0.8).values
            for name in ("info", "metrics", "history"):
                assert repr(await getattr(m, name)()) == repr(getattr(model, name)())
            assert repr(await m.as_of(50).metrics()) == repr(model.as_of(50).metrics())
            assert (await m.stats())["predict"]["n_calls"] >= 4
            assert (await m.unit, await m.features, await m.stream) == (model.unit, model.features, s)
            assert (await m.wait(SECONDS)) is m
            assert (await m.download()).predict_one(JOB) == model.download().predict_one(JOB)
            assert (await m.plot(tmp_path / "drift.png"))._repr_png_() == model.plot()._repr_png_()
            await m.scatter(path=tmp_path / "fit.png")
            same = plain.stream(stream)
            assert repr(await s.info()) == repr(same.info())
            assert (await s.head, await s.unit, await s.models) == (POINTS, "s", same.models)
            assert await s.features == same.features
            assert (await s.to_frame()).equals(same.to_frame())
            assert repr(await s.tail(3)) == repr(same.tail(3))
            assert [one async for one in s.observations(after=20, limit=60)] == list(same.observations(20, 60))
            assert await s.export(tmp_path / "a.csv") == tmp_path / "a.csv"
            assert (tmp_path / "a.csv").read_bytes() == same.export(tmp_path / "b.csv").read_bytes()
            log = c.path("streams", stream, "observations")
            assert (
                b"".join([one async for one in c.pieces(log, accept="text/csv")]) == (tmp_path / "a.csv").read_bytes()
            )
            assert await c.send("GET", c.path("models", "mean")) == plain.model("mean").info().data
            assert json.loads(await c.receive(c.path("streams")))["streams"] == plain.streams.data
            assert repr(await c.models) == repr(plain.models)
            assert await c.models.keys() == [name async for name in c.models] == list(plain.models)
            assert [one.name for one in await c.models.values()] == list(plain.models)
            assert [name for name, _ in await c.streams.items()] == list(plain.streams)
            assert (await c.models["mean"]).name == (await c.models.get("mean")).name == "mean"
            assert await c.models.get("none", 5) == 5
            assert repr(await c.recipes["runtime"]) == repr(plain.recipes["runtime"])
            with pytest.raises(TailraceError, match="did you mean 'runtime'"):
                await c.models["runtme"]

    running(main())


def test_the_example_of_the_documentation_runs(served, monkeypatch, capsys):
    monkeypatch.setenv("TAILRACE_URL", served.url)
    section = (ROOT / "docs" / "how-to" / "client.md").read_text().partition("## With asyncio")[2]
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "s"]


def test_what_changes_the_server_is_done_once_and_gives_the_asynchronous_things(served):
    import pandas

    async def main():
        async with AsyncClient(served.url, "") as c:
            made = await c.create_stream("made", "y", features=["a"])
            assert isinstance(made, AsyncStream)
            assert made == c.stream("made")
            model = await c.create("made", "made", "mean")
            assert isinstance(model, AsyncModel)
            assert (await c.post("made", {"a": 1}, 1.0, strict=True)).number == 1
            assert (await made.post({"a": 2}, 2.0, key="k")).number == 2
            assert (await c.post_frame("made", pandas.DataFrame({"a": [3, 4], "y": [3.0, 4.0]})))["posted"] == 2
            kept_one = await model.predict(a=5, track=True)
            assert (await c.label(kept_one, 5.0))["last"] == 5
            assert (await made.retract(1, "wrong"))["seq"] == 1
            await made.expect("1d")
            assert (await made.info())["expected"]["every"] == 86_400
            with pytest.raises(Refused, match="quarantine") as refused:
                await model.release()
            assert refused.value.status == 409
            await model.delete()
            await made.delete("made")
            with pytest.raises(NotFound, match="made"):
                await made.info()

    running(main())


def test_calls_overlap():
    together = threading.Barrier(8)

    def behave(connection, number):
        together.wait(SECONDS)  # nobody is answered before all have asked
        connection.sendall(told({"prediction": number, "at": 1, "stream": "s", "target": {"unit": "s"}}))
        connection.close()

    async def main(url):
        async with AsyncClient(url, "", connections=8) as c:
            model = c.model("m")
            model._plain._unit = "s"
            found = await asyncio.gather(*(model.predict(x=x) for x in range(8)))
            assert sorted(one.value for one in found) == list(range(1, 9))

    with listening(behave) as listener:
        running(main(listener.url))


def test_no_more_of_them_than_connections():
    here, most, lock = set(), [], threading.Lock()

    def behave(connection, number):
        with lock:
            here.add(number)
            most.append(len(here))
        pause.wait(0.01)
        with lock:
            here.discard(number)
        connection.sendall(told({"models": []}))
        connection.close()

    async def main(url):
        async with AsyncClient(url, "", connections=3) as c:
            await asyncio.gather(*(c.models.keys() for _ in range(20)))

    pause = threading.Event()
    with listening(behave) as listener:
        running(main(listener.url))
    assert (len(most), max(most)) == (20, 3)


def test_the_loop_goes_on_while_a_server_keeps_silent():
    async def main(listener):
        async with AsyncClient(listener.url, "", deadline=SECONDS) as c:
            asking = asyncio.create_task(c.model("m").info())
            await done(listener.heard)
            turns = 0
            while turns < 1000:
                await asyncio.sleep(0)
                turns += 1
            assert not asking.done()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    with listening(silent) as listener:
        running(main(listener))


def test_who_is_cancelled_waits_no_longer_and_the_worker_is_free_for_the_next():
    ended = threading.Event()

    def behave(connection, number):
        if number == 1:
            connection.settimeout(SECONDS)
            if connection.recv(1) == b"":
                ended.set()
            return
        connection.sendall(told({"models": [{"name": "a"}]}))
        connection.close()

    async def main(listener):
        async with AsyncClient(listener.url, "", deadline=10 * SECONDS, connections=1) as c:
            asking = asyncio.create_task(c.model("m").info())
            await done(listener.heard)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await c.models.keys() == ["a"]
            assert await done(ended)

    with listening(behave) as listener:
        running(main(listener))
        asked = [one.split()[1] for one in listener.requests if one]
    assert asked == [b"/api/v1/models/m/", b"/api/v1/models/"]  # the one broken off isn't asked again


def test_a_post_under_way_is_delivered_although_its_caller_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path))
    go_on = threading.Event()

    def behave(connection, number):
        if number == 1:
            go_on.wait(SECONDS)
        connection.sendall(receipt() if number == 1 else told({"models": []}))
        connection.close()

    async def main(listener):
        async with AsyncClient(listener.url, "", connections=1) as c:
            posting = asyncio.create_task(c.post("s", {"x": 1}, 2.0, deadline=SECONDS))
            await done(listener.heard)
            waiting = asyncio.create_task(c.post("s", {"x": 2}, 3.0))  # has no worker, so nothing of it is begun
            await asyncio.sleep(0)
            for one in (posting, waiting):
                one.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await one
            assert list(tmp_path.glob(".*.part"))
            go_on.set()
            await c.models.keys()  # the same worker, so that it is over

    with listening(behave) as listener:
        running(main(listener))
        posted = [body_of(one) for one in listener.requests if one.startswith(b"POST")]
    assert [one["y"] for one in posted] == [2.0]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_delivered_is_kept_in_the_spool(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path))

    async def main():
        async with AsyncClient(NOBODY, "") as c:
            found = await asyncio.gather(*(c.post("s", {"x": x}, 1.0) for x in range(20)))
            assert not any(one.delivered for one in found)
            with pytest.raises(Unreachable):
                await c.post("s", {"x": 20}, 1.0, strict=True)
            with pytest.raises(Unusable, match="y"):
                await c.post("s", {"x": 1}, float("nan"))

    running(main())
    assert sorted(one["x"]["x"] for one in kept(tmp_path)) == list(range(21))


def test_an_export_that_is_cancelled_leaves_no_file(tmp_path):
    begun = threading.Event()

    def behave(connection, number):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nseq,y\n1,2\n")  # ends where the connection does
        begun.set()

    async def main(url):
        async with AsyncClient(url, "", connections=1) as c:
            saving = asyncio.create_task(c.stream("s").export(tmp_path / "log.csv"))
            await done(begun)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
            c._workers._pool.shutdown(wait=True)

    with listening(behave) as listener:
        running(main(listener.url))
    assert list(tmp_path.iterdir()) == []


def test_who_leaves_an_iteration_closes_the_connection():
    ended = threading.Event()

    def behave(connection, number):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        connection.settimeout(SECONDS)
        if connection.recv(1) == b"":
            ended.set()

    async def main(url):
        async with AsyncClient(url, "") as c:
            pieces = c.pieces("/log", accept="text/csv")
            assert await pieces.__anext__() == b"abc"
            await pieces.aclose()
            assert await done(ended)

    with listening(behave) as listener:
        running(main(listener.url))


def model(status, progress):
    return told({"status": status, "progress": progress, "head": 9, "error": "it is too slow"})


def test_waiting_for_a_model_ends_as_it_does_for_the_plain_one():
    async def main(url, timeout=None):
        async with AsyncClient(url, "") as c:
            return (await c.model("m").wait(timeout)).name

    with listening(replies(model("backfilling", 3), model("ready", 9))) as listener:
        assert running(main(listener.url)) == "m"
    with listening(replies(model("quarantined", 3))) as listener, pytest.raises(ModelFailed, match="too slow"):
        running(main(listener.url))
    with listening(replies(model("backfilling", 3))) as listener, pytest.raises(StillLearning, match="3 of 9"):
        running(main(listener.url, 0.01))


def test_after_the_end_it_says_so_and_what_was_awaited_has_come(tmp_path):
    go_on = threading.Event()

    def behave(connection, number):
        go_on.wait(SECONDS)
        connection.sendall(told({"models": [{"name": "a"}]}))
        connection.close()

    async def main(listener):
        c = AsyncClient(listener.url, "")
        asking = asyncio.create_task(c.models.keys())
        await done(listener.heard)
        closing = asyncio.create_task(c.aclose())
        await asyncio.sleep(0)
        assert not closing.done()
        go_on.set()
        await closing
        assert await asking == ["a"]
        await c.aclose()
        for call in (c.model("m").info, c.models.keys, lambda: c.post("s", {"x": 1}, 1.0), c.model("m").wait):
            with pytest.raises(TailraceError, match="closed"):
                await call()

    with listening(behave) as listener:
        running(main(listener))


def test_one_client_serves_one_loop_after_the_other():
    client = AsyncClient(NOBODY, "")
    with listening(replies(told({"models": []}))) as listener:
        client = AsyncClient(listener.url, "")
        for _ in range(2):
            assert running(client.models.keys()) == []


def test_warnings_name_the_line_that_awaits():
    warned = {"code": "unknown_feature", "feature": "x", "message": "m"}
    found = told({"prediction": 1.0, "at": 1, "warnings": [warned]})

    async def main(url):
        async with AsyncClient(url, "") as c:
            handle = c.model("m")
            handle._plain._unit = ""
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                here = inspect.currentframe().f_lineno + 1
                await handle.predict(x=1)
            assert [(one.filename, one.lineno, one.category) for one in said] == [(__file__, here, PredictionWarning)]

    with listening(replies(found)) as listener:
        running(main(listener.url))


def test_it_shows_itself_without_its_token_and_without_asking():
    with listening(silent) as listener:
        client = AsyncClient(listener.url, SECRET)
        handles = (client, client.model("m"), client.model("m").as_of(3), client.stream("s"), client.model("m").predict)
        for one in (*handles, client.models, client.models["m"], client.stream("s").head, client.server):
            assert SECRET not in repr(one)
            assert "await" in repr(one) or one is client.server
        inspect.signature(client.model("m").predict)
        assert listener.requests == []


def test_it_goes_to_other_processes_as_the_plain_one_does(monkeypatch):
    client = AsyncClient(NOBODY, SECRET, deadline=1, connections=3)
    client.server.ca_file = "/authority.pem"
    for again in (pickle.loads(pickle.dumps(client)), copy.copy(client)):
        assert (again.server.url, again.server.token, again.deadline) == (NOBODY, SECRET, 1)
        assert (again.server.ca_file, again._workers.connections) == ("/authority.pem", 3)
    assert pickle.loads(pickle.dumps(client.model("m").as_of(2))).at == 2
    assert pickle.loads(pickle.dumps(client.stream("s"))).name == "s"


@pytest.mark.parametrize("connections", [0, -1, 1.5, "16", None, True])
def test_a_number_of_connections_that_cannot_be_is_refused(connections):
    with pytest.raises(Unusable, match="connections="):
        AsyncClient(NOBODY, connections=connections)


def test_a_wrong_call_is_a_type_error_and_a_wrong_address_is_said_at_once():
    async def main():
        async with AsyncClient(NOBODY, "") as c:
            with pytest.raises(TypeError, match="nonsense"):
                await c.post("s", {}, 1, nonsense=1)
            with pytest.raises(Unusable, match="as_of"):
                c.model("m").as_of("x")

    running(main())
    with pytest.raises(Unusable, match="not a server's address"):
        AsyncClient("nowhere")
    assert tailrace.AsyncClient is AsyncClient
