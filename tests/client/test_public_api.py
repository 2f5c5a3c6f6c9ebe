"""The public names of the package and their signatures: who changes them, means it."""

import inspect
import subprocess
import sys

import pytest
import tailrace

from tests.client.running import environment

pytestmark = pytest.mark.one_database

ERRORS = """
TailraceError(Exception)
Unusable(TailraceError, ValueError)
Unreachable(TailraceError, ConnectionError)
Refused(TailraceError)
Unauthorized(Refused)
Forbidden(Refused)
QuotaExceeded(Forbidden)
NotFound(Refused)
Conflict(Refused)
TooMany(Refused)
SpoolError(TailraceError, OSError)
SpoolFull(SpoolError)
QuotaWarning(UserWarning)
PredictionWarning(UserWarning)
MissingExtra(TailraceError, ImportError)
"""

SIGNATURES = """
AsyncClient(url=None, token=None, *, deadline=30.0, connections=16)
AsyncClient.aclose()
Client(url=None, token=None, *, deadline=30.0)
Client.calculate(program, /, structure=None, *, name=None, description=None, parameters=None, scan=None, chained=True, steps=None, cluster=None, priority=None, resources=None, analyses=None, notify=None, hold=None, again=None, **more)
Client.calculation(number)
Client.calculations(**filters)
Client.campaign(name)
Client.campaigns()
Client.compositions()
Client.create(name, stream, recipe=None, *, parameters=None, estimator=None, flavor=None, backfill=True)
Client.create_campaign(name, stream, models, compositions, targets, *, calculations=None, node_hours=None, approval=None, policy=None, thresholds=None, clusters=None, programs=None, seed=None)
Client.create_composition(formula, *, aliases=(), notes='')
Client.create_experiment(name, *, description='', tags=None)
Client.create_stream(name, target, unit='', *, kind=None, features=None, segment=None, description='')
Client.experiment(name)
Client.experiments()
Client.label(identifier, y, source=None, *, model=None, y_text=None)
Client.model(name)
Client.post(stream, x, y, *, key=None, source=None, deadline=5.0, strict=False)
Client.post_frame(stream, frame, y='y', *, key=None, source=None)
Client.run(uid)
Client.runs(*, experiments=None, filter=None, order=None, columns=None, statuses=None, name=None, parent=None, created_by=None, lifecycle='active', limit=None)
Client.stream(name)
Server(url=None, token=None, ca_file=None)
Server.ask(method, path, body=None, *, deadline=5.0, headers=None)
Server.request(method, path, body=None, *, deadline=5.0, headers=None)
Server.stream(path, *, deadline=5.0, headers=None)
Spool(directory=None, size_mb=None)
Spool.elsewhere(server, moved=())
Spool.flush(server, *, deadline=5.0, moved=())
Spool.put(stream, observation, server=None)
Spool.refusal(stream, key)
Spool.refuse(stream, observation, reason, server=None)
Spool.refused()
Spool.set_aside(path, reason)
Spool.waiting()
post(stream, x, y, *, key=None, source=None, deadline=5.0, server=None, spool=None)
"""


def listed(text):
    return text.strip().splitlines()


def signature(name):
    """As a caller sees it: without types and without self."""
    found = tailrace
    for part in name.split("."):
        found = getattr(found, part)
    given = inspect.signature(found)
    own = "." in name
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in given.parameters.values()][own:]
    return f"{name}{given.replace(parameters=parameters, return_annotation=inspect.Signature.empty)}"


def test_the_public_names_are_these():
    things = ["Client", "Model", "PointWarning", "Posted", "Prediction", "Predictions", "Server", "Spool", "Stream"]
    things += ["AsyncCalculation", "AsyncClient", "AsyncModel", "AsyncStream", "Calculation"]
    things += ["AsyncCampaign", "Campaign", "AsyncService", "Service"]
    things += [
        "AsyncTrackedExperiment",
        "AsyncTrackedRun",
        "TrackedExperiment",
        "TrackedRun",
        "AsyncRunFeed",
        "RunFeed",
    ]
    errors = [line.partition("(")[0] for line in listed(ERRORS)]
    assert tailrace.__all__ == sorted([*things, *errors, "__version__", "post"])
    for name in tailrace.__all__:
        assert getattr(tailrace, name) is not None
    assert set(tailrace.__all__) <= set(dir(tailrace))


def test_their_signatures_are_these():
    names = [line.partition("(")[0] for line in listed(SIGNATURES)]
    assert [signature(name) for name in names] == listed(SIGNATURES)


def test_the_errors_are_one_tree_each_with_a_message_for_its_docstring():
    for line in listed(ERRORS):
        name, _, bases = line.rstrip(")").partition("(")
        found = getattr(tailrace, name)
        assert [base.__name__ for base in found.__bases__] == bases.split(", ")
        assert found.__doc__.strip().partition("\n\n")[0].endswith(".")


def test_every_public_thing_says_what_it_is():
    for name in tailrace.__all__:
        found = getattr(tailrace, name)
        assert found.__doc__
        if inspect.isclass(found) and found.__module__.startswith("tailrace"):
            for part, value in vars(found).items():
                if not part.startswith("_") and callable(value):
                    assert value.__doc__, f"{name}.{part}"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Cleint"):
        tailrace.Cleint  # noqa: B018


def test_whoever_checks_types_sees_them(tmp_path):
    """The package says that it is typed, and lazy names have types, too."""
    (tmp_path / "job.py").write_text(
        "from tailrace import AsyncClient, Client, post\n"
        "posted = Client('http://head').post('s', {'x': 8, 'pair': 'Cu-Zr'}, 1.5, strict=True)\n"
        "number: int | None = posted.number\n"
        "wrong: str = posted.number\n"
        "post(5, {}, 1)\n"
        "async def ask(c: AsyncClient) -> float:\n"
        "    await c.post(5, {}, 1)\n"
        "    return await c.model('m').predict(x=8)\n"
        "async def good(c: AsyncClient) -> float:\n"
        "    number: int | None = (await c.stream('s').post({'x': 8}, 1)).number\n"
        "    return float(await (await c.create('m', 's')).predict(x=8))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports", "silent", "job.py"],
        cwd=tmp_path, env=environment(MYPYPATH=environment()["PYTHONPATH"]), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    errors = [line.partition(": error: ")[0] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == ["job.py:4", "job.py:5", "job.py:7", "job.py:8"], done.stdout
