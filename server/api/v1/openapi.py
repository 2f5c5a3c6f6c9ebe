"""How the native API is described: operations written beside their views, in OpenAPI's own words.

drf-spectacular collects what :func:`documented` wrote; :func:`complete` adds the components and the hot views, which
are plain functions that it doesn't see.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema

F = TypeVar("F", bound=Callable[..., Any])
Spec = dict[str, Any]

JSON = "application/json"

ERRORS = {
    400: "The request says something that can't be; the error names the field, the value and what was expected",
    401: "The caller didn't show who they are",
    403: "The caller may not do this, or (`quota_exceeded`) has as much as they may",
    404: "There is no such thing",
    409: "It contradicts what is there: a name is taken, a label differs, or a model isn't ready yet",
    410: "The prediction expired before its label came",
    408: "The body didn't come within TAILRACE_REQUEST_SECONDS",
    411: "The body's length wasn't announced",
    413: "More than the limits allow",
    414: "The address is too long",
    415: "The body isn't said to be JSON",
    431: "The headers are too large",
    429: "More often than the limits allow; nothing was changed: try again after Retry-After",
    503: "The database doesn't answer, or this process is fully used; nothing was changed: try again after Retry-After",
}
LONGEST_IN_ADDRESS, LONGEST_IN_QUERY = 200, 1_000
TAGS = (
    "streams", "observations", "models", "predictions", "descriptors", "cells", "databases", "coverage", "events",
    "me", "signin", "tokens", "users", "audit", "settings",
)  # fmt: skip
EVERYWHERE = (400, 401, 403, 414, 429, 431, 503)
WITH_BODY = (408, 411, 413)

LARGEST = 2**63 - 1
LARGEST_NUMBER = 1.7976931348623157e308
STORABLE = "^[^\\u0000]*$"
"""Pattern of text that both databases can store. A lone surrogate is no JSON."""
NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000\\u001c-\\u001f\\u0085][^\\u0000]*$"
"""The same, of text that holds more than blanks, as Python has them."""


def text(longest: int, least: int = 0, description: str = "", *, pattern: str = STORABLE) -> Spec:
    """A text of a certain length, without NUL."""
    found: Spec = {"type": "string", "maxLength": longest, "pattern": pattern}
    if least:
        found["minLength"] = least
    return found | {"description": description} if description else found


def whole(least: int = 0, most: int = LARGEST, **more: Any) -> Spec:
    """A whole number."""
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def ref(name: str) -> Spec:
    """A component by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of_path(name: str, description: str, schema: Spec | None = None) -> Spec:
    """A parameter in the path."""
    schema = schema or text(LONGEST_IN_ADDRESS, 1)
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def in_query(name: str, description: str, schema: Spec | None = None) -> Spec:
    """An optional query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema or text(LONGEST_IN_QUERY)}


def in_header(name: str, description: str, schema: Spec | None = None) -> Spec:
    """An optional header."""
    return {"name": name, "in": "header", "description": description, "schema": schema or {"type": "string"}}


def operation(
    operation_id: str,
    summary: str,
    description: str = "",
    *,
    tag: str,
    parameters: Sequence[Spec] = (),
    body: str | Spec | None = None,
    answers: dict[int, str | Spec | None],
    errors: Sequence[int] = (),
) -> Spec:
    """One operation.

    Parameters
    ----------
    operation_id, summary, description, tag
        As OpenAPI has them.
    parameters
        From :func:`one_of_path`, :func:`in_query` and :func:`in_header`.
    body
        A component's name, or media type to schema.
    answers
        Status to a component's name, to {media type: schema or component's name}, or to None (no body).
    errors
        Statuses of errors beside those that any operation may answer with.
    """
    found: Spec = {"operationId": operation_id, "summary": summary, "tags": [tag], "responses": {}}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = {"required": True, "content": _content(body)}
        errors = (*errors, *WITH_BODY)
    for status, answer in answers.items():
        shown: Spec = {"description": "Done" if status != 202 else "Accepted"}
        if answer is not None:
            shown["content"] = _content(answer)
        found["responses"][str(status)] = shown
    for status in sorted({*EVERYWHERE, *errors}):
        found["responses"][str(status)] = {"description": ERRORS[status], "content": _content("Error")}
    return found


def _content(body: str | Spec) -> Spec:
    if isinstance(body, str):
        return {JSON: {"schema": ref(body)}}
    return {kind: {"schema": ref(schema) if isinstance(schema, str) else schema} for kind, schema in body.items()}


def documented(operation_id: str, summary: str, description: str = "", **parts: Any) -> Callable[[F], F]:
    """Describe a view's method; its tag is the name of the view's module, unless ``tag`` says otherwise."""

    def decorate(method: F) -> F:
        tag = parts.pop("tag", None) or method.__module__.rpartition(".")[2]
        spec = operation(operation_id, summary, description, tag=tag, **parts)
        decorated: F = extend_schema(operation=spec)(method)
        return decorated

    return decorate


def complete(result: Spec, generator: Any, request: Any, public: bool) -> Spec:
    """drf-spectacular's hook: the hot operations and the components."""
    from server.api.v1 import account_schemas, cell_schemas
    from server.api.v1.hot_operations import HOT
    from server.api.v1.schemas import SCHEMAS

    result = copy.deepcopy(result)
    for path, methods in HOT.items():
        result["paths"].setdefault(path, {}).update(copy.deepcopy(methods))
    result["paths"] = dict(sorted(result["paths"].items()))
    result["components"] = {
        "schemas": copy.deepcopy(SCHEMAS | account_schemas.SCHEMAS | cell_schemas.SCHEMAS),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    result["security"] = [{"token": []}, {}]
    result["tags"] = [{"name": name} for name in TAGS]
    return result
