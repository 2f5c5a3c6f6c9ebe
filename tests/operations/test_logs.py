"""Log lines as JSON, whatever is in them; and nothing of OpenTelemetry where no endpoint is set."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from server.accounts import current_request
from server.config import ConfigError, load
from server.runtime.logs import JsonLine, RequestIdFilter, line
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

SECRET = "trc_" + "0a" * 32


@pytest.fixture
def logged():
    """A logger, and what it wrote last."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLine())
    handler.addFilter(RequestIdFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, lambda: json.loads(stream.getvalue().splitlines()[-1])


@pytest.mark.parametrize(
    "text", ["plain", 'with "quotes" and \\ and {braces}', "two\nlines\r\n", "\x00\x1b[31m", "é ∑ 🚀", "100 % of it"]
)
def test_any_message_makes_one_line_of_json(logged, text):
    logger, last = logged
    logger.info(text)
    assert last()["message"] == text


def test_a_traceback_is_in_its_line(logged):
    logger, last = logged
    try:
        raise ValueError(f"a failure with {SECRET}")
    except ValueError:
        logger.exception("it failed")
    assert "ValueError: a failure with trc_…" in last()["exception"]
    assert last()["level"] == "ERROR"


@pytest.mark.parametrize(
    "message, arguments", [(f"token {SECRET}", ()), ("token %s", (SECRET,)), ("%r", ({"t": SECRET},))]
)
def test_credentials_are_taken_out_before_a_line_is_encoded(logged, message, arguments):
    logger, last = logged
    logger.warning(message, *arguments, extra={"said": {"path": f"/{SECRET}"}})
    assert "trc_…" in last()["message"]
    assert last()["path"] == "/trc_…"
    assert SECRET not in json.dumps(last())


def test_a_line_bears_the_id_of_the_request_that_its_thread_answers_and_else_none(logged, rf):
    logger, last = logged
    request = rf.get("/")
    request.request_id = "r1"
    token = current_request.request.set(request)
    logger.info("inside")
    assert last()["request_id"] == "r1"
    current_request.request.reset(token)
    logger.info("outside")
    assert "request_id" not in last()


def test_what_a_start_says_is_in_the_form_of_the_log(monkeypatch):
    assert line("serves 100 %") == "serves 100 %"
    monkeypatch.setenv("TAILRACE_LOG_FORMAT", "json")
    assert json.loads(line("serves 100 %"))["message"] == "serves 100 %"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "server.settings", **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_without_an_endpoint_and_a_bucket_not_a_module_of_opentelemetry_or_boto3_is_loaded():
    code = (
        "from django.core.wsgi import get_wsgi_application; get_wsgi_application()\n"
        "import sys; print(sorted(name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf', 'boto', 'storages'))))"
    )
    done = python(code)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://collector/?key=1"])
def test_an_endpoint_that_can_not_be_one_is_refused_with_what_was_expected(endpoint):
    with pytest.raises(ConfigError) as refused:
        load({"TAILRACE_OTLP_ENDPOINT": endpoint})
    assert str(refused.value).startswith(f"TAILRACE_OTLP_ENDPOINT={endpoint}: expected the http:// or https:// URL")


def test_an_endpoint_without_opentelemetry_stops_the_start_and_says_what_to_install():
    code = (
        "import importlib.util as u, sys\n"
        "import server.__main__ as m\n"
        "m.find_spec = lambda name: None if name == 'opentelemetry' else u.find_spec(name)\n"
        "m.main()"
    )
    done = python(code, TAILRACE_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert done.returncode == 1
    assert "OpenTelemetry is not installed: run `pip install -r requirements/tracing.txt`" in done.stderr
