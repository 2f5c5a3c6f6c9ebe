"""Commands and code to copy, which ask a server for what a page shows."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

PLAIN = re.compile(r"[^\W\d_][^\r\n\t]*")
"""A text that the client reads as a text after ``name=``, unless it is one of :data:`READ_OTHERWISE`."""

READ_OTHERWISE = ("true", "false", "nan", "inf", "infinity")
DEFAULT_LEVEL = 0.95


def curl(address: str, model: str, x: Mapping[str, Any], level: float, *, with_token: bool) -> str:
    """Return a call of curl that predicts."""
    parts = ["curl", "-sS", f"{address}api/v1/models/{quote(model, safe='')}/predict/"]
    body = json.dumps({"x": x, "level": level})
    token = ' \\\n  -H "Authorization: Bearer $TAILRACE_TOKEN"' if with_token else ""
    return f"{shlex.join(parts)} \\\n  -H 'Content-Type: application/json'{token} \\\n  -d {shlex.quote(body)}"


def predict(address: str, model: str, x: Mapping[str, Any], level: float) -> str:
    """Return a call of the command ``tailrace predict``."""
    options = [] if level == DEFAULT_LEVEL else ["--level", f"{level:.12g}"]
    return _tailrace(address, "predict", model, x, options)


def _tailrace(address: str, command: str, model: str, x: Mapping[str, Any], options: Sequence[str]) -> str:
    setting = f"TAILRACE_URL={shlex.quote(address.rstrip('/'))}"
    words = [word(name, value) for name, value in x.items()]
    if all(word is not None for word in words) and words:
        return f"{setting} {shlex.join(['tailrace', command, model, *options, *map(str, words)])}"
    line = shlex.join(["tailrace", command, model, *options, "--file", "-"])
    return f"printf '%s\\n' {shlex.quote(json.dumps(x))} |\n  {setting} {line}"


def word(name: str, value: Any) -> str | None:
    """Return a feature as an argument of the command line; None if its name can't be one."""
    if not name or "=" in name or name.endswith(":") or name.startswith("-") or not name.isprintable():
        return None
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in READ_OTHERWISE:
        return f"{name}={value}"
    return f"{name}:={json.dumps(value)}" if isinstance(value, str) else f"{name}={json.dumps(value)}"


def python(address: str, model: str, x: Mapping[str, Any], level: float) -> str:
    """Return Python that predicts."""
    more = "" if level == DEFAULT_LEVEL else f", level={level:.12g}"
    return (
        f"from tailrace import Client\n\nmodel = Client({address.rstrip('/')!r}).model({model!r})\n"
        f"print(model.predict({dict(x)!r}{more}))"
    )


def walltime(address: str, model: str, x: Mapping[str, Any], options: Sequence[str]) -> str | None:
    """Return a call of the command ``tailrace walltime``; None if a feature's name can't be an argument."""
    words = [word(name, value) for name, value in x.items()]
    if not words or None in words:
        return None
    setting = f"TAILRACE_URL={shlex.quote(address.rstrip('/'))}"
    return f"{setting} {shlex.join(['tailrace', 'walltime', model, *map(str, words), *options])}"
