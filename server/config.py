"""What the environment may set, read once at the start and checked.

Every setting is a field of :class:`Config`, taken from ``TAILRACE_<NAME>``. The table in
``docs/settings.md`` is held against this class by a test.
"""

import difflib
import ipaddress
import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PREFIX = "TAILRACE_"
ROOT = Path(__file__).resolve().parent.parent

# Names with our prefix that belong to the client, the tests and the benchmarks.
NOT_OURS = ("URL", "TOKEN", "SPOOL", "TEST_")


class ConfigError(Exception):
    """A setting is unknown, malformed or unsafe; the message says which and what was expected."""


class Config(BaseModel):
    """The settings of one server, all with the prefix ``TAILRACE_``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Django's settings ask every value for this on every access, and pydantic is slow to say that it isn't there.
    _mask_wrapped: ClassVar[bool] = True

    database_url: str = Field("", description="Database; empty means SQLite in `VAR_DIR`")
    var_dir: Path = Field(ROOT / "var", description="Directory for the SQLite database and run-time files")
    bind: str = Field("127.0.0.1:8080", description="Address and port to listen on")
    server: Literal["gunicorn", "granian"] = Field("gunicorn", description="WSGI server")
    workers: int = Field(2, ge=1, le=256, description="Server processes")
    threads: int = Field(16, ge=1, le=1024, description="Threads of each process")
    pin_workers: bool = Field(True, description="Keep each worker on a CPU of its own, where there are as many")
    secret_key: str = Field("", repr=False, description="Signing key; at least 32 characters")
    secret_key_file: Path | None = Field(None, description="File that holds the signing key")
    auth: Literal["required", "open"] = Field("required", description="Whether callers must show who they are")
    allow_open_on_network: bool = Field(False, description="Let `AUTH=open` listen on an address that is not loopback")
    trusted_proxies: str = Field(
        "", description="Addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` count, by commas"
    )
    allowed_hosts: str = Field("*", description="Host names that are answered, separated by commas")
    trusted_modules: str = Field(
        "", description="Modules whose classes uploads of the `custom` flavor may use, separated by commas"
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, bytes")
    max_points: int = Field(10_000, ge=1, description="Most points in one request")
    max_features: int = Field(5_000, ge=1, description="Most features of one point")
    max_name_length: int = Field(200, ge=1, le=200, description="Longest feature name, key or identifier, characters")
    max_string_length: int = Field(1_000, ge=1, description="Longest string value of a feature, characters")
    max_segments: int = Field(1_000, ge=1, description="Most segments with metrics of their own, per model")
    identifier_days: float = Field(30, gt=0, description="Days that a prediction waits for its label")
    generate_identifiers: bool = Field(
        True, description="riverapi: give every prediction an identifier unless the caller says otherwise"
    )
    rolling_window: int = Field(100, ge=2, description="Observations in the rolling metrics of new models")
    snapshot_points: int = Field(5_000, ge=1, description="Write a model's snapshot after so many observations")
    snapshot_seconds: float = Field(60, gt=0, description="Write a changed model's snapshot after so long, s")
    replica_memory_mb: int = Field(1024, ge=1, description="Memory for replicas in one process, MB (estimated)")
    event_streams: int = Field(0, ge=0, description="Event streams per process; 0 means half of `THREADS`")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged")

    @field_validator("bind")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("expected HOST:PORT, such as 127.0.0.1:8080")
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("expected at least 32 characters")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for network in filter(None, value.split(",")):
            try:
                ipaddress.ip_network(network.strip(), strict=False)
            except ValueError:
                raise ValueError(f"{network.strip()!r} is no address or network, such as 10.0.0.0/8") from None
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> "Config":
        if self.auth == "open" and not self.on_loopback and not self.allow_open_on_network:
            raise ValueError(
                f"{PREFIX}AUTH=open lets anyone in, and {PREFIX}BIND={self.bind} is not a loopback address: "
                f"bind to 127.0.0.1, set {PREFIX}AUTH=required, or set {PREFIX}ALLOW_OPEN_ON_NETWORK=true"
            )
        if self.secret_key and self.secret_key_file:
            raise ValueError(f"set {PREFIX}SECRET_KEY or {PREFIX}SECRET_KEY_FILE, not both")
        return self

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def on_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def event_stream_limit(self) -> int:
        return self.event_streams or max(1, self.threads // 2)

    @property
    def trusted(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.trusted_modules.split(",") if name.strip())

    @cached_property
    def secret(self) -> str:
        """The signing key: as set, from its file, or (on loopback only) one made and kept in ``VAR_DIR``.

        Raises
        ------
        ConfigError
            If there is none and the server is to listen beyond loopback, or its file can't be read.
        """
        if self.secret_key:
            return self.secret_key
        if self.secret_key_file:
            try:
                key = self.secret_key_file.read_text().strip()
            except OSError as exc:
                raise ConfigError(f"{PREFIX}SECRET_KEY_FILE={self.secret_key_file}: {exc.strerror}") from exc
            if len(key) < 32:
                raise ConfigError(
                    f"{PREFIX}SECRET_KEY_FILE={self.secret_key_file}: expected at least 32 characters, got {len(key)}"
                )
            return key
        if not self.on_loopback:
            raise ConfigError(
                f"no secret key, and {PREFIX}BIND={self.bind} is not loopback: make one with "
                f"`python3 -c 'import secrets; print(secrets.token_urlsafe(48))' > FILE` and set {PREFIX}SECRET_KEY_FILE=FILE"
            )
        return _kept_secret(self.var_dir / "secret-key")


def _kept_secret(path: Path) -> str:
    """The key in ``path``, made by whichever process comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        fresh.unlink()
    return path.read_text().strip()


def load(environ: dict[str, str] | None = None) -> Config:
    """Read and check the settings.

    Raises
    ------
    ConfigError
        With one line that names the setting, its value and what was expected.
    """
    environ = dict(os.environ if environ is None else environ)
    known = {name.upper() for name in Config.model_fields}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in known and not name.startswith(NOT_OURS):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {PREFIX}{close[0]}?" if close else "docs/settings.md lists them all"
            raise ConfigError(f"{variable} is not a setting: {hint}")
    values = {
        name: environ[PREFIX + name.upper()]
        for name in Config.model_fields
        if environ.get(PREFIX + name.upper(), "") != ""
    }
    try:
        return Config(**values)  # type: ignore[arg-type]  # strings, which pydantic converts
    except ValidationError as exc:
        raise ConfigError("; ".join(_one_line(error) for error in exc.errors())) from exc


def _one_line(error: object) -> str:
    assert isinstance(error, dict)
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0]).upper()
    shown = "(hidden)" if name.startswith("SECRET") else error["input"]
    return f"{PREFIX}{name}={shown}: {message}"
