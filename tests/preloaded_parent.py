"""A Python process that has imported the libraries of the server, and forks a process for each request.

:mod:`tests.preloaded` starts it and sends the requests. It imports nothing of Tailrace but what chooses the arithmetic, because
the settings of each process are its own. Of the modules of Tailrace, and of those that need settings, it has the code at hand, which
each process runs anew.
"""

import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parent.parent

LIBRARIES = (
    "scipy.stats", "scipy.sparse.csgraph", "scipy.spatial", "scipy.integrate", "pandas", "sklearn", "pydantic.types",
    "psycopg2.extras", "yaml", "jinja2", "docutils.core", "docutils.parsers.rst", "cryptography.x509", "jwt", "requests",
    "orjson", "pygments.formatters.html", "pygments.lexers.special", "uritemplate", "django.core.management",
    "django.db.models.sql.compiler", "django.db.migrations.loader", "django.db.backends.sqlite3.base",
    "django.db.backends.postgresql.psycopg_any", "django.http", "django.template", "django.forms", "django.urls",
    "django.utils.log", "django.views.generic", "django.views.debug", "django.middleware.csrf", "django.test.testcases",
    "rest_framework.fields", "rest_framework.utils.encoders",
    "gunicorn.app.wsgiapp", "gunicorn.glogging", "granian.server", "granian.cli",
    "attrs", "dj_database_url", "django.contrib.auth.hashers", "jsonschema", "packaging.version", "pickletools",
    "prometheus_client.asgi", "prometheus_client.openmetrics.exposition", "pydantic.main", "referencing.jsonschema", "smtplib",
    "whitenoise.responders",
)  # fmt: skip

NEED_SETTINGS = (
    "axes", "csp", "django.contrib.admin", "django.contrib.admindocs", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles", "django.middleware", "django.views",
    "django_htmx", "drf_spectacular", "mozilla_django_oidc", "rest_framework",
)  # fmt: skip
"""Libraries whose modules need the settings of the process that imports them."""


class AtHand(SourceFileLoader):
    """Loads a module from code that was read before: finding and reading the files takes a quarter of a start.

    It stands in :data:`sys.meta_path` as the finder of these modules, too.
    """

    specs: dict[str, ModuleSpec] = {}
    codes: dict[str, CodeType] = {}

    def get_code(self, fullname: str) -> CodeType | None:
        return self.codes[fullname]

    @classmethod
    def read(cls, package: str, directory: Path) -> None:
        """Read the code of a package's modules that aren't imported yet."""
        for path in directory.rglob("*.py"):
            *parts, last = path.relative_to(directory).with_suffix("").parts
            name = ".".join([package, *parts, *([] if last == "__init__" else [last])])
            if name in sys.modules or "templates" in parts:
                continue
            loader = cls(name, str(path))
            within = [str(path.parent)] if last == "__init__" else None
            spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=within)
            code = SourceFileLoader.get_code(loader, name)
            if spec is not None and code is not None:
                cls.specs[name], cls.codes[name] = spec, code

    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return cls.specs.get(fullname)


def load() -> None:
    """Import what takes most of the time of a start, with the arithmetic that the server chooses."""
    from tailrace.estimators import arithmetic

    arithmetic.pin()
    for name in LIBRARIES:
        importlib.import_module(name)
    river = importlib.import_module("river")
    for module in pkgutil.iter_modules(river.__path__):
        importlib.import_module(f"river.{module.name}")
    AtHand.read("server", ROOT / "server")
    AtHand.read("tailrace", ROOT / "client" / "tailrace")
    for name in NEED_SETTINGS:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.submodule_search_locations, name
        AtHand.read(name, Path(spec.submodule_search_locations[0]))
    sys.meta_path.insert(0, AtHand)
    assert "server.settings" not in sys.modules, "each process has its own settings"
    gc.collect()
    gc.freeze()


def serve(listening: socket.socket) -> Callable[[], object]:
    """Fork a process for each request until all connections are closed; return in each of them what it is to do.

    A request is JSON with four descriptors: standard input, output and error, and a pipe that receives the exit status.
    """
    ended, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: dict[int, int] = {}
    connections: set[socket.socket] = set()
    events = selectors.DefaultSelector()
    events.register(listening, selectors.EVENT_READ)
    events.register(ended, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fileobj == ended:
                os.read(ended, 4096)
                report_ended(waiting)
            elif key.fileobj is listening:
                connection, _ = listening.accept()
                connections.add(connection)
                events.register(connection, selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                requests = key.fileobj
                message, descriptors, _, _ = socket.recv_fds(requests, 2**20, 4)
                if not message:
                    events.unregister(requests)
                    connections.remove(requests)
                    requests.close()
                    continue
                pid = os.fork()
                if pid == 0:
                    for own in (listening, *connections):
                        own.detach()  # closed with all descriptors, and not again by a number that another file may have
                    return prepared(json.loads(message), descriptors)
                waiting[pid] = descriptors[3]
                for descriptor in descriptors[:3]:
                    os.close(descriptor)
                requests.send(str(pid).encode())
        if not connections:
            leave_if_unused(listening)


def leave_if_unused(listening: socket.socket) -> None:
    """End this process, unless somebody connects. Who finds nobody starts another one, one at a time."""
    place = Path(listening.getsockname())
    with contextlib.suppress(FileNotFoundError), open(f"{place}.lock", "a") as lock:  # the tests may be over
        fcntl.flock(lock, fcntl.LOCK_EX)
        if select.select([listening], [], [], 0)[0]:
            return
        place.unlink(missing_ok=True)
        sys.exit()
    sys.exit()


def report_ended(waiting: dict[int, int]) -> None:
    """Write the exit status of each process that has ended to its pipe."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pipe = waiting.pop(found[0])
            with contextlib.suppress(BrokenPipeError):
                os.write(pipe, str(os.waitstatus_to_exitcode(found[1])).encode())
            os.close(pipe)


def prepared(request: dict[str, object], descriptors: list[int]) -> Callable[[], object]:
    """Make this process what a new Python would be, and return what is to run in it."""
    import numpy

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    numpy.random.seed()
    if Path(str(request["cwd"])) != ROOT:  # another checkout, perhaps of another version
        sys.meta_path.remove(AtHand)
    sys.path[0] = str(request["cwd"])
    sys.argv = list(request["argv"])  # type: ignore[call-overload]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        return lambda: runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return lambda: runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))()
