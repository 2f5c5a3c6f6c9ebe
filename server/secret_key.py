"""The signing key that the server generates and stores in a file."""

import os
import secrets
from pathlib import Path


def stored_or_new_key(path: Path) -> str:
    """Return the key in ``path``. The first process generates it; only the owner can read the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was first: use its key
    finally:
        fresh.unlink()
    return path.read_text().strip()
