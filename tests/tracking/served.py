"""What a run of a real server is fed with."""

import hashlib
from typing import Any

UID = "c" * 32
FIELD = b"field " * 50_000


def metrics(step: int, **values: Any) -> dict[str, Any]:
    return {"kind": "metrics", "step": step, "time_ms": 1_700_000_000_000 + step, "values": values}


def announced(path: str, content: bytes) -> dict[str, Any]:
    return {"kind": "artifact", "path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
