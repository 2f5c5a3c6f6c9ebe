"""``python -m tests.mlflow.page > docs/reference/mlflow.md``: MLflow's routes, and how our answers compare with its own."""

import json
import re
from collections import Counter
from pathlib import Path

from tests.mlflow.differences import DIFFERENCES
from tests.mlflow.request_list import Request, named

RECORDED = Path(__file__).parents[1] / "fixtures" / "mlflow" / "answers.json"
BASES = {
    "2.0/mlflow-artifacts/": "/api/2.0/mlflow-artifacts/",
    "2.0/mlflow/": "/api/2.0/mlflow/",
    "3.0/mlflow/": "/api/3.0/mlflow/",
}

HEAD = """# MLflow's REST API

<!-- made by: python -m tests.mlflow.page > docs/reference/mlflow.md -->

[How to use MLflow's client with this server](../how-to/mlflow.md). This page compares our routes with those of `mlflow server` 3.17.2. *Equal*:
a test sends the same requests to both, and the answers are the same, but for identifiers, times and the texts of errors; in brackets, the number of requests.
*Differs*: on purpose, for the reason given. The requests and the recorded answers are in `tests/mlflow` and `tests/fixtures/mlflow`.

## Routes

Addresses are below `/api/2.0/mlflow/` unless they begin with a `/`.

| route | permission | compared with MLflow |
|---|---|---|
"""

TAIL = """
## Differences in general

- **Errors** have MLflow's `error_code` and status, and our texts, which name the value and what was expected. They also have a `request_id`, and no `sqlstate`.
- **Values that are not finite** are exact. MLflow answers 1.7976931348623157e308 for infinity; this server answers `"Infinity"`, which MLflow's clients read.
- **Keys** of metrics, params and tags may have any characters, up to 250. MLflow refuses some. Values of params may have 8,000 characters (MLflow: 6,000).
  Tags of experiments may have 8,000 characters (MLflow: 20,000).
- **Points of a metric** come by step, then time; MLflow lists them by time, then step. An answer has at most 25,000, and the token of the next ones.
- **Filters** are parsed by a grammar: a text that is not one is an error that says where, while MLflow ignores some of it. In a text between single quotes,
  two quotes stand for one. Every attribute that is a text can be compared with a list by `IN` and `NOT IN`.
- **Locations**: `artifact_location` and `source` name files of this server. Other hosts, `file://`, `s3://`, paths of the server, `..`, encoded signs and
  backslashes are refused.
- **Names** of runs and logged models that the client leaves to the server are two words and a number, as MLflow's, from another list.
- **Aliases** are also in the answers of `model-versions/search` and of `get-latest-versions`.

## Left out

These answer 501 with the code `NOT_IMPLEMENTED`:

- traces, assessments, issues, label schemas, review queues, scorers and evaluation data sets of language models
- the gateway to language models
- prompts: registered models with the tag `mlflow.prompt.is_prompt` are refused
- workspaces, MLflow's users, MLflow's webhooks and jobs: Tailrace has [users and roles](../how-to/accounts.md) and [webhooks](../how-to/notifications.md)
- uploads in several parts and presigned addresses: files are sent and fetched as a whole, up to `TAILRACE_MAX_BODY_BYTES`
- `metrics/get-history-bulk-interval`, which MLflow's own pages ask for, and those pages

Other addresses answer 404 with the code `ENDPOINT_NOT_FOUND`.
"""


def routes() -> dict[tuple[str, str], str]:
    """Return the permission of every route, by method and pattern."""
    from server.api.mlflow.urls import urlpatterns

    found = {}
    for pattern in urlpatterns:
        for method, permission in pattern.callback.access.items():
            found[method, str(pattern.pattern)] = permission
    return found


def page() -> str:
    """Return the page."""
    answers = json.loads(RECORDED.read_text())
    known = routes()
    equal: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, request in named():
        route = _route(request, known)
        if route is None:
            continue
        if name in DIFFERENCES:
            reasons.setdefault(route, []).append(f"`{name}`: {DIFFERENCES[name][1]}")
        elif name in answers:
            equal[route] += 1
    lines = []
    for route, permission in known.items():
        method, pattern = route
        if pattern.endswith("<path:rest>"):
            continue
        said = [f"equal ({equal[route]})"] if equal[route] else []
        said += [f"differs: {'; '.join(reasons[route])}"] if route in reasons else []
        lines.append(f"| `{method} {_shown(pattern)}` | `{permission}` | {'; '.join(said) or 'by its clients only'} |")
    return HEAD + "\n".join(sorted(lines)) + "\n" + TAIL


def _shown(pattern: str) -> str:
    text = re.sub(r"<\w+:(\w+)>", r"{\1}", pattern)
    base = next(base for base in BASES if text.startswith(base))
    return text.removeprefix(base) if base == "2.0/mlflow/" else BASES[base] + text.removeprefix(base)


def _route(request: Request, known: dict[tuple[str, str], str]) -> tuple[str, str] | None:
    path = request.path.partition("?")[0].removeprefix("/api/")
    for method, pattern in known:
        shape = re.sub(r"<path:\w+>", ".+", re.sub(r"<str:\w+>", "[^/]+", pattern))
        if method == request.method and re.fullmatch(shape, path):
            return method, pattern
    return None


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    django.setup()
    print(page(), end="")
