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
    403: "The caller may not do this",
    404: "There is no such thing",
    409: "It contradicts what is there: a name is taken, a label differs, or a model isn't ready yet",
    410: "The prediction expired before its label came",
    413: "More than the limits allow",
    415: "The body isn't said to be JSON",
    429: "More often than the limits allow; nothing was changed: try again after Retry-After",
    503: "The database doesn't answer, or this process is fully used; nothing was changed: try again after Retry-After",
}
TAGS = (
    "streams", "observations", "models", "predictions", "descriptors", "cells", "databases", "coverage", "events",
    "me", "signin", "tokens", "users", "audit", "settings",
)  # fmt: skip
EVERYWHERE = (400, 401, 403, 429, 503)


def ref(name: str) -> Spec:
    """A component by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of_path(name: str, description: str, schema: Spec | None = None) -> Spec:
    """A parameter in the path."""
    schema = schema or {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def in_query(name: str, description: str, schema: Spec | None = None) -> Spec:
    """An optional query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


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
        errors = (*errors, 413)
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
