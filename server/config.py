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
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from tailrace import arithmetic

PREFIX = "TAILRACE_"
ROOT = Path(__file__).resolve().parent.parent

STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own names for where traces are sent."""

THREADS_ON_SQLITE, THREADS_ON_POSTGRESQL = 48, 16
MOST_WORKING = 16
"""Threads, see :attr:`Config.working_threads`."""

ROLES = ("viewer", "researcher", "moderator", "admin")
"""As :mod:`server.accounts.roles` has them, which needs a configured Django."""

# Names with our prefix that belong to the client, and the prefix of those of the tests.
NOT_OURS = ("URL", "TOKEN", "SPOOL")
TESTS = "TEST_"


class ConfigError(Exception):
    """A setting is unknown, malformed or unsafe; the message says which and what was expected."""


class Config(BaseModel):
    """The settings of one server, all with the prefix ``TAILRACE_``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Django's settings ask every value for this on every access, and pydantic is slow to say that it isn't there.
    _mask_wrapped: ClassVar[bool] = True

    database_url: str = Field("", description="Database; empty means SQLite in `VAR_DIR`")
    database_wait_seconds: float = Field(
        60, ge=0, le=3600, description="How long a start waits for a database that can't be reached or can't store, s"
    )
    var_dir: Path = Field(ROOT / "var", description="Directory for the SQLite database and run-time files")
    bind: str = Field("127.0.0.1:8080", description="Address and port to listen on")
    server: Literal["gunicorn", "granian"] = Field("gunicorn", description="WSGI server")
    workers: int = Field(2, ge=1, le=256, description="Server processes")
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads of each process; 0 means 48, or 16 on PostgreSQL, where each has a connection",
    )
    pin_workers: bool = Field(True, description="Keep each worker on a CPU of its own, where there are as many")
    secret_key: str = Field("", repr=False, description="Signing key; at least 32 characters")
    secret_key_file: Path | None = Field(None, description="File that holds the signing key")
    auth: Literal["required", "open"] = Field("required", description="Whether callers must show who they are")
    create_by_posting: Literal["scope", "role", "nobody"] = Field(
        "scope",
        description="Whose posts make a stream that isn't there: tokens' with the scope `create`, all whose role may, nobody's",
    )
    allow_open_on_network: bool = Field(False, description="Let `AUTH=open` listen on an address that is not loopback")
    trusted_proxies: str = Field(
        "", description="Addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` count, by commas"
    )
    behind_tls: bool = Field(
        False, description="A proxy in `TRUSTED_PROXIES` ends TLS: cookies, redirects of pages and HSTS for HTTPS alone"
    )
    allowed_hosts: str = Field(
        "",
        description="Host names that are answered, by commas; `*`: any; empty: those of loopback, where it listens there",
    )
    token_rate: int = Field(10_000, ge=0, description="Requests a second of one token in one process; 0: no limit")
    address_rate: int = Field(
        120,
        ge=0,
        description="Requests a minute of one address in one process without a credential that holds; 0: no limit",
    )
    quota_streams: int = Field(10_000, ge=0, description="Most streams of one user; 0: no limit")
    quota_models: int = Field(10_000, ge=0, description="Most models of one user; 0: no limit")
    quota_artifact_mb: int = Field(
        10_240, ge=0, description="Most that the initial estimators of one user's models may take, MB; 0: no limit"
    )
    quota_prediction_mb: int = Field(
        10_240, ge=0, description="Most that predictions kept for one user's labels may take, MB; 0: no limit"
    )
    quota_cells: int = Field(1_000_000, ge=0, description="Most cells that one user may post; 0: no limit")
    quota_cell_mb: int = Field(51_200, ge=0, description="Most that one user's cells may take, MB; 0: no limit")
    quota_token_percent: int = Field(
        50, ge=1, le=100, description="Share of each of these that one token of the user may take, %; 100: all of it"
    )
    request_seconds: float = Field(30, ge=0.1, le=60, description="Longest that a client may take to send a request, s")
    connections: int = Field(
        4_096, ge=16, le=65_536, description="Most open connections of one process, idle ones among them"
    )
    connections_per_address: int = Field(
        1_024,
        ge=1,
        description="Most open connections of one address in one process (gunicorn); `TRUSTED_PROXIES` are exempt",
    )
    login_failures: int = Field(
        5,
        ge=1,
        description="Wrong passwords for a user from an address before that address is locked out for that user",
    )
    login_cooloff_minutes: float = Field(15, gt=0, description="How long such a lock-out lasts, minutes")
    session_hours: float = Field(12, gt=0, description="How long a browser stays signed in, hours")
    oidc_issuer: str = Field("", description="OpenID Connect: the issuer's address; empty means passwords only")
    oidc_client_id: str = Field("", description="OpenID Connect: this server's client id at the issuer")
    oidc_client_secret_file: Path | None = Field(
        None, description="OpenID Connect: file that holds the client's secret"
    )
    oidc_name: str = Field("OpenID Connect", description="OpenID Connect: what the button to sign in calls the issuer")
    oidc_scopes: str = Field("openid profile", description="OpenID Connect: scopes that are asked for, by spaces")
    oidc_groups_claim: str = Field(
        "groups", description="OpenID Connect: claim with a user's groups; dots lead into objects"
    )
    oidc_roles: str = Field(
        "", description="OpenID Connect: roles by group, such as `hpc-admins=admin,hpc-users=researcher,*=viewer`"
    )
    call_seconds: float = Field(
        2, gt=0, description="A call of an estimator that takes longer, s, is stopped, and its model quarantined"
    )
    block_seconds: float = Field(
        10, gt=0, description="How long a model may take to learn the points of one request, or to be stored or read, s"
    )
    call_memory_mb: int = Field(
        1024,
        ge=16,
        description="By how much a process may grow in one call of an estimator, MB; then as `CALL_SECONDS`",
    )
    model_state_mb: int = Field(
        128, ge=1, description="Largest stored state of a model, MB; a model whose state grows larger is quarantined"
    )
    max_stream_features: int = Field(
        10_000, ge=1, description="Most features that all observations of a stream have together"
    )
    max_prediction_bytes: int = Field(65_536, ge=64, description="Largest prediction, bytes of JSON")
    trusted_modules: str = Field(
        "", description="Modules whose classes uploads of the `custom` flavor may use, separated by commas"
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, bytes")
    max_json_bytes: int = Field(
        16 * 2**20,
        ge=1024,
        description="Largest JSON in a request, bytes: while it is read, no other thread of the process works",
    )
    max_points: int = Field(10_000, ge=1, description="Most points in one request")
    max_point_bytes: int = Field(
        2**20,
        ge=65_536,
        description="Largest features of a point that is learned or whose prediction is kept, bytes of JSON",
    )
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
    event_streams_per_caller: int = Field(4, ge=1, description="Event streams of one token or person in one process")
    admin_user: str = Field("", description="`manage.py init`: name of the first admin")
    admin_password_file: Path | None = Field(None, description="`manage.py init`: file that holds their password")
    frozen_model: Path | None = Field(
        None, description="File of a frozen model (`manage.py freeze`), which is all that this server predicts with"
    )
    invocations_model: str = Field(
        "", description="SageMaker's contract: model that `POST /invocations` asks; empty: the frozen one, if any"
    )
    stuck_seconds: float = Field(
        120, ge=2, description="A process in which nothing moves for so long, s, is stuck; after as long again it ends"
    )
    metrics: Literal["token", "open", "off"] = Field(
        "token", description="Who may read `/metrics`: whoever shows a token to `read`, everybody, nobody"
    )
    metrics_models: int = Field(1_000, ge=0, description="Most models, and most streams, with metrics of their own")
    otlp_endpoint: str = Field(
        "", description="Where OpenTelemetry traces are sent by OTLP over HTTP; empty: as `OTEL_EXPORTER_OTLP_…` say"
    )
    access_log: bool = Field(False, description="Log a line for every request")
    log_format: Literal["text", "json"] = Field("text", description="What log lines are")
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

    @field_validator("allowed_hosts")
    @classmethod
    def _are_host_names(cls, value: str) -> str:
        for name in _listed(value):
            bare = name[1:-1] if name[0] == "[" and name[-1] == "]" else name
            if "/" in name or (":" in name and bare == name):
                raise ValueError(f"{name!r} is no host name: expected names and addresses without scheme, port or path")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (
            parts.hostname
            and not (parts.query or parts.fragment or parts.username)
            and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)))
        ):
            raise ValueError("expected the https:// address that the issuer calls itself, without a query")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_an_endpoint(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)):
            raise ValueError("expected the http:// or https:// address of a collector, such as http://127.0.0.1:4318")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _has_openid(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("expected scopes separated by spaces, openid among them")
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _maps_groups_to_roles(cls, value: str) -> str:
        for entry in filter(None, value.split(",")):
            group, equals, role = entry.strip().rpartition("=")
            if not equals or not group or role not in ROLES:
                raise ValueError(f"{entry.strip()!r} isn't GROUP=ROLE with a role of {', '.join(ROLES)}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _keeps_nothing_that_is_frozen(cls, values: Any) -> Any:
        """By itself a frozen server keeps no predictions until labels come that it would refuse."""
        return {"generate_identifiers": False, **values} if values.get("frozen_model") else values

    @model_validator(mode="before")
    @classmethod
    def _has_threads(cls, values: Any) -> Any:
        if str(values.get("threads", 0)).strip() != "0":
            return values
        is_sqlite = str(values.get("database_url", "")).partition(":")[0] in ("", "sqlite")
        return {**values, "threads": THREADS_ON_SQLITE if is_sqlite else THREADS_ON_POSTGRESQL}

    @model_validator(mode="after")
    def _can_sign_people_in(self) -> "Config":
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_roles):
            raise ValueError(f"{PREFIX}OIDC_ISSUER needs {PREFIX}OIDC_CLIENT_ID and {PREFIX}OIDC_ROLES, too")
        return self

    @model_validator(mode="after")
    def _is_safe(self) -> "Config":
        if self.auth == "open" and not self.on_loopback and not self.allow_open_on_network:
            raise ValueError(
                f"{PREFIX}AUTH=open lets anyone in, and {PREFIX}BIND={self.bind} is not a loopback address: "
                f"bind to 127.0.0.1, set {PREFIX}AUTH=required, or set {PREFIX}ALLOW_OPEN_ON_NETWORK=true"
            )
        if self.behind_tls and not self.trusted_proxies:
            raise ValueError(
                f"{PREFIX}BEHIND_TLS=true needs {PREFIX}TRUSTED_PROXIES: the addresses or networks of the proxy that ends "
                "TLS, such as 10.0.0.0/8; only what comes from there can say that it came by HTTPS"
            )
        if self.secret_key and self.secret_key_file:
            raise ValueError(f"set {PREFIX}SECRET_KEY or {PREFIX}SECRET_KEY_FILE, not both")
        return self

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers may send the cookies of the pages over HTTPS alone: everywhere but on this very machine."""
        return self.behind_tls or not self.on_loopback

    @property
    def role_by_group(self) -> dict[str, str]:
        """``OIDC_ROLES``: group at the issuer (``*``: everybody) to role."""
        pairs = (entry.strip().rpartition("=") for entry in self.oidc_roles.split(",") if entry.strip())
        return {group: role for group, _, role in pairs}

    @property
    def oidc_client_secret(self) -> str | None:
        """What ``OIDC_CLIENT_SECRET_FILE`` holds now; None for a client without a secret.

        Raises
        ------
        ConfigError
            If the file can't be read or is empty.
        """
        path = self.oidc_client_secret_file
        if path is None:
            return None
        try:
            secret = path.read_text().strip()
        except OSError as exc:
            raise ConfigError(f"{PREFIX}OIDC_CLIENT_SECRET_FILE={path}: {exc.strerror}") from exc
        if not secret:
            raise ConfigError(
                f"{PREFIX}OIDC_CLIENT_SECRET_FILE={path}: expected the client's secret, the file is empty"
            )
        return secret

    @property
    def reachable_at(self) -> str:
        """Address and port where this machine reaches the server, which may listen on all of its addresses."""
        port = self.bind.rpartition(":")[2]
        return f"127.0.0.1:{port}" if self.host in ("0.0.0.0", "::", "") else self.bind  # noqa: S104 - compared alone

    @property
    def event_stream_limit(self) -> int:
        return self.event_streams or max(1, self.threads // 2)

    @property
    def working_threads(self) -> int:
        """Of the threads, those that requests which take long may have shares of: as they take turns, more don't get further."""
        return min(self.threads, MOST_WORKING)

    @property
    def traces(self) -> bool:
        """Whether an endpoint for traces is set, by our name or by OpenTelemetry's own."""
        return bool(self.otlp_endpoint) or any(os.environ.get(name) for name in STANDARD_ENDPOINTS)

    @property
    def trusted(self) -> tuple[str, ...]:
        return _listed(self.trusted_modules)

    @cached_property
    def hosts(self) -> list[str]:
        """Host names that are answered: as set, or (where it listens on loopback alone) those of loopback.

        Raises
        ------
        ConfigError
            If none is set and the server is to listen beyond loopback.
        """
        named = _listed(self.allowed_hosts)
        if named:
            return list(named)
        if not self.on_loopback:
            raise ConfigError(
                f"no host names, and {PREFIX}BIND={self.bind} is not loopback: set {PREFIX}ALLOWED_HOSTS to the names and "
                "addresses that callers use for this server, such as tailrace.example.org,10.1.2.3 (or * for any)"
            )
        own = f"[{self.host}]" if ":" in self.host else self.host
        return list(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", own]))

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


def _listed(value: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this very machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    if lacks := arithmetic.lacking():
        raise ConfigError(
            f"this CPU lacks {', '.join(lacks)}: models are folded with the arithmetic of {arithmetic.X86_64}, on a CPU of 2013 or later"
        )
    environ = dict(os.environ if environ is None else environ)
    known = {name.upper() for name in Config.model_fields}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in known and name not in NOT_OURS and not name.startswith(TESTS):
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
