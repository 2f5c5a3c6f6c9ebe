"""Models of django-river-ml, from stores that its published version wrote (tests/fixtures/river_ml), and hostile stores."""

import base64
import dbm.dumb
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import dill
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from river import linear_model

from server.accounts.models import AuditEntry
from server.learning.models import ImportedModel, Model, Prediction
from server.operations.river_ml import dump_store
from server.streams.models import Stream
from tests.people import person
from tests.serving import free_port

pytestmark = pytest.mark.django_db(transaction=True)

STORES = Path(__file__).parent.parent / "fixtures" / "river_ml"
ANSWERS = json.loads((STORES / "answers.json").read_text())
DUMPER = Path(dump_store.__file__)


def run(store, *options):
    """What the command prints, and what it refuses."""
    said, refused = StringIO(), StringIO()
    try:
        call_command("import_river_ml", str(store), *options, stdout=said, stderr=refused)
    except CommandError as exc:
        refused.write(f"\n{exc}")
    return said.getvalue(), refused.getvalue()


def check_all(api, answers=ANSWERS):
    """Each model predicts what the other server predicted, and its waiting prediction takes its label."""
    for name, known in answers["models"].items():
        found = api.ok(f"/api/v1/models/{name}/")
        assert found["flavor"] == known["flavor"]
        assert found["imported"]["source"] == "django-river-ml"
        assert found["imported"]["metrics"] == pytest.approx(known["metrics"], abs=1e-12)
        assert set(found["imported"]["calls"]) == {"predict", "learn"}
        said = api.ok("/api/predict/", {"model": name, "features": answers["point"], "identifier": False})
        assert said["prediction"] == known["prediction"]
        kept = Prediction.objects.get(identifier=known["identifier"], model__name=name)
        assert json.loads(kept.x) == answers["point"]
    label = {"model": "wall-time", "identifier": "job-0", "label": 1.75}
    api.ok("/api/label/", label)
    assert Stream.objects.get(name="wall-time").head == 1


def test_a_shelve_is_imported_and_again_changes_nothing(api):
    owner = person("ada")
    assert "can be imported (regression; MAE 1.408" in run(STORES / "shelve", "--dry-run")[0]
    assert not Model.objects.exists()
    said, refused = run(STORES / "shelve", "--owner", "ada")
    assert not refused
    assert "5 waiting predictions imported" in said
    assert set(Model.objects.values_list("owner_id", flat=True)) == {owner.pk}
    assert AuditEntry.objects.filter(action="model.import").count() == 5
    check_all(api)
    said, refused = run(STORES / "shelve.dat")
    assert not refused
    assert "wall-time: imported earlier" in said
    assert (Model.objects.count(), ImportedModel.objects.count(), Prediction.objects.count()) == (5, 5, 5)


def test_a_name_that_is_taken_is_refused_and_can_be_changed(api):
    api.stream("wall-time")
    api.model("wall-time", "wall-time")
    said, refused = run(STORES / "shelve")
    assert "wall-time: refused: another model has this name" in refused
    assert "#job-0: refused: its model wall-time was not imported" in refused
    assert "4 waiting predictions imported" in said
    said, refused = run(STORES / "shelve", "--rename", "wall-time=old")
    assert not refused
    assert "1 waiting predictions imported, 4 imported earlier" in said
    assert "expected OLD=NEW" in run(STORES / "shelve", "--rename", "none=x")[1]
    assert "no user 'nobody'" in run(STORES / "shelve", "--owner", "nobody")[1]


@pytest.fixture
def redis(tmp_path):
    """A real Redis server with what django-river-ml stored in one; its port and how it answered."""
    program = shutil.which("redis-server")
    if program is None:
        assert not os.environ.get("CI"), "CI has redis-server"
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    stored = json.loads((STORES / "redis.json").read_text())
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "rosebud",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                client = dump_store._Redis("127.0.0.1", port, False)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        client.ask("AUTH", "rosebud")
        client.ask("SELECT", 3)
        for key, value in stored["rows"].items():
            client.ask("SET", key, base64.b64decode(value))
        client.ask("SET", "celery", "other")
        client.ask("RPUSH", "models/list", "not a model")
        yield port, stored["answers"], client
        client.close()
    finally:
        process.terminate()
        process.wait()


def test_redis_is_imported(api, redis, monkeypatch):
    port, answers, _ = redis
    address = f"redis://127.0.0.1:{port}/3"
    assert "Authentication required" in run(address)[1]
    monkeypatch.setenv("REDISCLI_AUTH", "rosebud")
    said, refused = run(address)
    assert not refused
    assert "1 entries are not django-river-ml's" in said
    check_all(api, answers)
    assert "has no model of django-river-ml" in run(f"redis://127.0.0.1:{port}/4")[1]
    assert "don't put a password" in run(f"redis://:rosebud@127.0.0.1:{port}/3")[1]
    assert "expected redis://" in run(f"redis://127.0.0.1:{port}/x")[1]
    assert "refused" in run(f"redis://127.0.0.1:{free_port()}/0")[1]


def test_the_dumper_needs_no_other_file_and_its_dump_is_imported(api, tmp_path):
    """By another Python, on a format that this one may lack; where there is none, on the portable format by this one."""
    alone = shutil.copy(DUMPER, tmp_path / "dump_store.py")
    python, kind = _python_with_ndbm()
    write = (
        f"import {kind} as kind, dbm.dumb, sys\n"
        "with dbm.dumb.open(sys.argv[1], 'r') as old, kind.open(sys.argv[2], 'n') as new:\n"
        "    for key in old.keys(): new[key] = old[key]\n"
    )
    store = tmp_path / "store"
    subprocess.run([python, "-c", write, str(STORES / "shelve"), str(store)], check=True)
    done = subprocess.run([python, "-I", alone, str(store)], capture_output=True, check=True)
    (tmp_path / "dump.jsonl").write_bytes(done.stdout)
    _, refused = run(tmp_path / "dump.jsonl")
    assert not refused
    check_all(api)
    if kind == "dbm.ndbm" and not _has("dbm.ndbm"):
        assert "dump_store.py" in run(store)[1]


def _has(module):
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def _python_with_ndbm():
    system = Path("/usr/bin/python3")
    if system.exists() and subprocess.run([system, "-c", "import dbm.ndbm"], capture_output=True).returncode == 0:
        return str(system), "dbm.ndbm"
    return sys.executable, "dbm.dumb"


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/river-ml-was-run",)


def test_hostile_stores_are_refused_and_nothing_of_them_runs(tmp_path):
    good = dill.dumps(linear_model.LinearRegression())
    regression = b"\x80\x04\x8c\x17django_river_ml.flavors\x8c\x10RegressionFlavor\x93)\x81."
    evil = pickle.dumps(Evil())
    entries = {
        "models/evil": evil, "flavor/evil": regression,
        "models/evil-flavor": good, "flavor/evil-flavor": evil,
        "models/no-flavor": good,
        "flavor/no-model": regression,
        "models/other-flavor": good, "flavor/other-flavor": pickle.dumps(linear_model.LinearRegression),
        "models/cut": good[:-20], "flavor/cut": regression,
        "models/text": b"text", "flavor/text": b"text",
        "models/not/a name": good, "flavor/not/a name": regression,
        "models/dict": pickle.dumps({"a": 1}), "flavor/dict": regression,
        "models/evil-metrics": good, "flavor/evil-metrics": regression, "metrics/evil-metrics": evil,
        "stats/evil-metrics": pickle.dumps([1]),
        "#evil": evil,
        "#list": pickle.dumps([1]),
        "#features": pickle.dumps({"model": "evil-metrics", "features": {"a": [1]}, "prediction": 1}),
        "#nan": pickle.dumps({"model": "evil-metrics", "features": {"a": float("nan")}, "prediction": 1}),
        "#model": pickle.dumps({"model": ["x"], "features": {"a": 1}, "prediction": 1}),
        "#" + "x" * 300: pickle.dumps({"model": "evil-metrics", "features": {"a": 1}, "prediction": 1}),
        "#good": pickle.dumps({"model": "evil-metrics", "features": {"a": 1}, "prediction": float("nan")}),
    }  # fmt: skip
    with dbm.dumb.open(str(tmp_path / "store"), "n") as store:
        for key, value in entries.items():
            store[key] = value
        store[b"\xff\xfe"] = b"other"
    said, refused = run(tmp_path / "store")
    assert not Path("/tmp/river-ml-was-run").exists()
    assert list(Model.objects.values_list("name", flat=True)) == ["evil-metrics"]
    assert "evil-metrics: imported (regression; " in said
    assert list(Prediction.objects.values_list("identifier", flat=True)) == ["good"]
    for words in (
        "evil: refused: the upload refers to posix.system", "evil-flavor: refused: its flavor", "no flavor of it",
        "no state of it", "other-flavor: refused: its flavor refers to", "cut: refused: the upload is", "text: refused: its flavor",
        "not a valid name of a model", "holds a builtins.dict", "#evil: refused", "#list: refused: it has no model",
        "features.a", "finite number", "its model is", "longest allowed",
    ):  # fmt: skip
        assert words in refused, (words, refused)


def test_files_that_are_no_store_are_refused(tmp_path):
    (tmp_path / "text").write_text("text")
    (tmp_path / "dump").write_text('{"format": "django-river-ml-store", "version": 2}\n')
    (tmp_path / "broken").write_text('{"format": "django-river-ml-store", "version": 1}\n{"key": 3}\n')
    (tmp_path / "damaged.dir").write_text("'key', (0, 10)\n")
    (tmp_path / "damaged.dat").write_bytes(b"")
    for name, words in (
        ("missing", "there is no shelve"),
        ("text", "not a shelve"),
        ("dump", "version 2"),
        ("broken", "line 2"),
        ("damaged", "no model of django-river-ml"),
    ):
        assert words in run(tmp_path / name)[1], name


def test_what_answers_may_be_no_redis(monkeypatch):
    listener = socket.create_server(("127.0.0.1", 0))

    def nonsense():
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=nonsense)
    thread.start()
    assert "not of a Redis server" in run(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")[1]
    thread.join()
    listener.close()
