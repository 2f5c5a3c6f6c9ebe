"""The settings of the server, read from the environment once at the start and validated.

Every setting is a field of :class:`Config`, read from ``TAILRACE_<NAME>``. A test compares the table in
``docs/reference/settings.md`` with this class.
"""

import difflib
import os
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from tailrace.estimators import arithmetic

from server import setting_formats
from server.secret_key import stored_or_new_key
from server.setting_formats import comma_separated, is_loopback

PREFIX = "TAILRACE_"
ROOT = Path(__file__).resolve().parent.parent

STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables for the endpoint of traces."""

THREADS_ON_SQLITE, THREADS_ON_POSTGRESQL = 48, 16
MAX_WORKING_THREADS = 16
"""Largest :attr:`Config.working_threads`."""

CLIENT_NAMES = (
    "URL", "TOKEN", "SPOOL", "SPOOL_MB", "CA_FILE", "CLUSTER", "STEP",
    "STREAM", "FEATURES", "LOG", "HOME", "PYTHON", "CONF", "EPILOG_LOG", "AFTER", "JOB", "MODEL",
    "RUN", "TOKEN_FILE", "TRACKING_SPOOL", "TRACKING_WAIT", "TRACKING_HANDOVER",
)  # fmt: skip
"""Names with the same prefix that the client and the epilogues read, which may stand in the environment of a server, too."""

TEST_PREFIX = "TEST_"
"""Prefix of the names that the tests read, after :data:`PREFIX`."""


class ConfigError(Exception):
    """A setting is unknown, malformed or unsafe. The message names it and what was expected."""


class Config(BaseModel):
    """The settings of one server, all with the prefix ``TAILRACE_``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Django's settings look this attribute up on every access; pydantic is slow if it is missing.
    _mask_wrapped: ClassVar[bool] = True

    database_url: str = Field("", description="Database; empty means SQLite in `VAR_DIR`")
    database_wait_seconds: float = Field(
        60, ge=0, le=3600, description="How long the start waits for a database that can't be reached or can't store, s"
    )
    var_dir: Path = Field(ROOT / "var", description="Directory for the SQLite database and run-time files")
    bind: Annotated[str, AfterValidator(setting_formats.host_and_port)] = Field(
        "127.0.0.1:8080", description="Address and port to listen on"
    )
    server: Literal["gunicorn", "granian"] = Field("gunicorn", description="WSGI server")
    workers: int = Field(2, ge=1, le=256, description="Server processes")
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads of each process; 0: 48 on SQLite, 16 on PostgreSQL, where each thread has a connection",
    )
    pin_workers: bool = Field(True, description="Pin each worker to its own CPU, if there are enough CPUs")
    secret_key: Annotated[str, AfterValidator(setting_formats.signing_key)] = Field(
        "", repr=False, description="Signing key; at least 32 characters"
    )
    secret_key_file: Path | None = Field(None, description="File that contains the signing key")
    auth: Literal["required", "open"] = Field("required", description="Whether callers need a credential")
    create_by_posting: Literal["scope", "role", "nobody"] = Field(
        "scope",
        description="Who may create a stream by posting to it: tokens with the scope `create`, all callers whose role allows it, nobody",
    )
    allow_open_on_network: bool = Field(False, description="Allow `AUTH=open` on an address that is not loopback")
    trusted_proxies: Annotated[str, AfterValidator(setting_formats.networks)] = Field(
        "",
        description="Addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` are trusted, separated by commas",
    )
    behind_tls: bool = Field(
        False,
        description="A proxy in `TRUSTED_PROXIES` terminates TLS: use secure cookies, redirects of pages to HTTPS, and HSTS",
    )
    allowed_hosts: Annotated[str, AfterValidator(setting_formats.host_names)] = Field(
        "",
        description="Allowed host names, separated by commas; `*`: any; empty: those of loopback, if the server listens on loopback",
    )
    token_rate: int = Field(
        10_000, ge=0, description="Most requests per second of one token in one process; 0: no limit"
    )
    address_rate: int = Field(
        120,
        ge=0,
        description="Most requests per minute without a valid credential, of one address in one process; 0: no limit",
    )
    quota_streams: int = Field(10_000, ge=0, description="Most streams of one user; 0: no limit")
    quota_models: int = Field(10_000, ge=0, description="Most models of one user; 0: no limit")
    quota_artifact_mb: int = Field(
        10_240, ge=0, description="Largest total size of the initial estimators of one user's models, MB; 0: no limit"
    )
    quota_prediction_mb: int = Field(
        10_240, ge=0, description="Largest total size of one user's predictions that wait for labels, MB; 0: no limit"
    )
    quota_cells: int = Field(1_000_000, ge=0, description="Most cells of one user; 0: no limit")
    quota_cell_mb: int = Field(51_200, ge=0, description="Largest total size of one user's cells, MB; 0: no limit")
    quota_steps: int = Field(
        10_000, ge=0, description="Most steps of calculations of one user that have not ended; 0: no limit"
    )
    quota_campaigns: int = Field(500, ge=0, description="Most campaigns of one user; 0: no limit")
    quota_runs: int = Field(1_000_000, ge=0, description="Most runs of experiments of one user; 0: no limit")
    quota_metric_points: int = Field(
        500_000_000, ge=0, description="Most points of metrics of one user's runs; 0: no limit"
    )
    quota_run_artifact_mb: int = Field(
        102_400, ge=0, description="Largest total size of artifacts of one user's runs, MB; 0: no limit"
    )
    quota_token_percent: int = Field(
        50,
        ge=1,
        le=100,
        description="Share of each of these quotas that one token of the user may use, %; 100: all of it",
    )
    request_seconds: float = Field(30, ge=0.1, le=60, description="Longest time for a client to send a request, s")
    connections: int = Field(
        4_096, ge=16, le=65_536, description="Most open connections of one process, including idle ones"
    )
    connections_per_address: int = Field(
        1_024,
        ge=1,
        description="Most open connections of one address in one process (gunicorn); `TRUSTED_PROXIES` are exempt",
    )
    login_failures: int = Field(
        5,
        ge=1,
        description="Wrong passwords for a user from one address until this user is locked out at this address",
    )
    login_cooloff_minutes: float = Field(15, gt=0, description="How long a lockout lasts, minutes")
    session_hours: float = Field(12, gt=0, description="How long a browser stays signed in, hours")
    oidc_issuer: Annotated[str, AfterValidator(setting_formats.issuer)] = Field(
        "", description="OpenID Connect: URL of the issuer; empty: passwords only"
    )
    oidc_client_id: str = Field("", description="OpenID Connect: client ID of this server at the issuer")
    oidc_client_secret_file: Path | None = Field(
        None, description="OpenID Connect: file that contains the client secret"
    )
    oidc_name: str = Field("OpenID Connect", description="OpenID Connect: name of the issuer on the sign-in page")
    oidc_scopes: Annotated[str, AfterValidator(setting_formats.scopes)] = Field(
        "openid profile", description="OpenID Connect: requested scopes, separated by spaces"
    )
    oidc_groups_claim: str = Field(
        "groups",
        description="OpenID Connect: claim that contains a user's groups; dots separate the names of nested objects",
    )
    oidc_roles: Annotated[str, AfterValidator(setting_formats.roles_of_groups)] = Field(
        "", description="OpenID Connect: role of each group, such as `hpc-admins=admin,hpc-users=researcher,*=viewer`"
    )
    call_seconds: float = Field(
        2,
        gt=0,
        description="Longest time of one call of an estimator, s; a longer call is stopped and its model quarantined",
    )
    block_seconds: float = Field(
        10,
        gt=0,
        description="Longest time for a model to learn the points of one request, to be stored or loaded, or to be replayed as of an earlier observation, s",
    )
    call_memory_mb: int = Field(
        1024,
        ge=16,
        description="Largest memory growth of a process in one call of an estimator, MB; a call that exceeds it is stopped and its model quarantined",
    )
    model_state_mb: int = Field(
        128, ge=1, description="Largest stored state of a model, MB; a model with a larger state is quarantined"
    )
    max_stream_features: int = Field(
        10_000, ge=1, description="Most different features in all observations of a stream"
    )
    max_prediction_bytes: int = Field(65_536, ge=64, description="Largest prediction, bytes of JSON")
    approval: Literal["rules", "always"] = Field(
        "rules",
        description="Which calculations need approval: those for which a program's rules ask for it, all",
    )
    log_limit_mb: int = Field(
        64,
        ge=2,
        le=4096,
        description="Largest log of an attempt, MB; of a longer one the first and the last half are kept",
    )
    agent_log_days: int = Field(
        90, ge=0, le=36_500, description="Days that lines of agents' logs are kept; 0: until an admin deletes them"
    )
    file_limit_mb: int = Field(20, ge=1, le=1024, description="Largest file of a result, MB")
    artifact_limit_mb: int = Field(16_384, ge=1, le=2**20, description="Largest artifact of a run, MB")
    run_retention_days: int = Field(
        30, ge=0, le=36_500, description="Days until deleted runs and experiments are removed for good; 0: never"
    )
    files_bucket: Annotated[str, AfterValidator(setting_formats.bucket)] = Field(
        "", description="S3 bucket for files of results; empty: the folder `files` in `VAR_DIR`"
    )
    files_prefix: Annotated[str, AfterValidator(setting_formats.object_prefix)] = Field(
        "", description="S3: folder in the bucket, such as `tailrace/files`; each server needs its own"
    )
    files_endpoint: Annotated[str, AfterValidator(setting_formats.object_store)] = Field(
        "", description="S3: URL of the server, such as `https://s3.example.org`; empty: AWS"
    )
    files_region: str = Field("", description="S3: region, such as `eu-central-1`; empty: as boto3 finds it")
    files_addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="S3: whether the bucket's name is in the path or in the host name"
    )
    files_access_key: str = Field("", description="S3: access key ID; empty: credentials that boto3 finds")
    files_secret_key: str = Field("", repr=False, description="S3: secret access key")
    files_secret_key_file: Path | None = Field(None, description="S3: file that contains the secret access key")
    trusted_modules: str = Field(
        "", description="Modules whose classes uploads of the `custom` flavor may use, separated by commas"
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, bytes")
    max_json_bytes: int = Field(
        16 * 2**20,
        ge=1024,
        description="Largest JSON in a request, bytes; parsing it blocks all other threads of the process",
    )
    max_points: int = Field(10_000, ge=1, description="Most points in one request")
    max_point_bytes: int = Field(
        2**20,
        ge=65_536,
        description="Largest features of a point that is learned or predicted with an identifier, bytes of JSON",
    )
    max_features: int = Field(5_000, ge=1, description="Most features of one point")
    max_name_length: int = Field(200, ge=1, le=200, description="Longest feature name, key or identifier, characters")
    max_string_length: int = Field(1_000, ge=1, description="Longest string value of a feature, characters")
    max_segments: int = Field(1_000, ge=1, description="Most segments of one model that have their own metrics")
    identifier_days: float = Field(30, gt=0, description="Days that a prediction waits for its label")
    generate_identifiers: bool = Field(
        True, description="riverapi: give every prediction an identifier, unless the request says otherwise"
    )
    rolling_window: int = Field(100, ge=2, description="Observations in the rolling metrics of new models")
    snapshot_points: int = Field(
        5_000, ge=1, description="Number of observations after which a model's snapshot is written"
    )
    snapshot_seconds: float = Field(60, gt=0, description="Time after which a changed model's snapshot is written, s")
    records: bool = Field(
        True,
        description="Whether the server records what models predict, in the background; charts and exports need it",
    )
    replica_memory_mb: int = Field(1024, ge=1, description="Memory for replicas in one process, MB (estimated)")
    event_streams: int = Field(0, ge=0, description="Most event streams of one process; 0: half of `THREADS`")
    event_streams_per_caller: int = Field(
        4, ge=1, description="Most event streams of one token or person in one process"
    )
    admin_user: str = Field("", description="`manage.py init`: name of the first admin")
    admin_password_file: Path | None = Field(None, description="`manage.py init`: file that contains their password")
    frozen_model: Path | None = Field(
        None, description="File of a frozen model (`manage.py freeze`); the server then predicts with this model only"
    )
    invocations_model: str = Field(
        "", description="SageMaker's contract: model that `POST /invocations` uses; empty: the frozen model, if any"
    )
    stuck_seconds: float = Field(
        120,
        ge=2,
        description="Time without progress after which a process counts as stuck, s; after twice this time it is ended",
    )
    metrics: Literal["token", "open", "off"] = Field(
        "token", description="Who may read `/metrics`: tokens with the scope `read`, everybody, nobody"
    )
    metrics_models: int = Field(1_000, ge=0, description="Most models, and most streams, that have their own metrics")
    public_url: Annotated[str, AfterValidator(setting_formats.own_address)] = Field(
        "", description="Address of this server for links in messages, such as `https://tailrace.example.org`"
    )
    mail_host: str = Field("", description="Mail server (SMTP) for notifications; empty: no e-mail")
    mail_port: int = Field(587, ge=1, le=65_535, description="Port of the mail server")
    mail_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="Encryption of the connection to the mail server"
    )
    mail_user: str = Field("", description="User name at the mail server; empty: no sign-in")
    mail_password_file: Path | None = Field(None, description="File that contains the password at the mail server")
    mail_from: str = Field("", description="Sender of mails, such as `Tailrace <tailrace@example.org>`")
    webhook_networks: Annotated[str, AfterValidator(setting_formats.networks)] = Field(
        "", description="Private networks that webhooks may reach, separated by commas; they reach all public addresses"
    )
    service_networks: Annotated[str, AfterValidator(setting_formats.networks)] = Field(
        "",
        description="Networks in which model agents may be sent requests for services, separated by commas; empty: none",
    )
    service_seconds: float = Field(10.0, gt=0, le=120, description="Time limit for a service's answer, s")
    otlp_endpoint: Annotated[str, AfterValidator(setting_formats.endpoint)] = Field(
        "",
        description="Endpoint for OpenTelemetry traces (OTLP over HTTP); empty: the variables `OTEL_EXPORTER_OTLP_…` decide",
    )
    access_log: bool = Field(False, description="Log a line for every request")
    log_format: Literal["text", "json"] = Field("text", description="Format of log lines")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged")

    @model_validator(mode="before")
    @classmethod
    def _default_of_identifiers(cls, values: Any) -> Any:
        """Turn ``GENERATE_IDENTIFIERS`` off by default for a frozen model, because it refuses labels."""
        return {"generate_identifiers": False, **values} if values.get("frozen_model") else values

    @model_validator(mode="before")
    @classmethod
    def _default_of_threads(cls, values: Any) -> Any:
        """Set the default of ``THREADS``, which depends on the database."""
        if str(values.get("threads", 0)).strip() != "0":
            return values
        is_sqlite = str(values.get("database_url", "")).partition(":")[0] in ("", "sqlite")
        return {**values, "threads": THREADS_ON_SQLITE if is_sqlite else THREADS_ON_POSTGRESQL}

    @model_validator(mode="after")
    def _check_openid_connect(self) -> "Config":
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_roles):
            raise ValueError(f"{PREFIX}OIDC_ISSUER also needs {PREFIX}OIDC_CLIENT_ID and {PREFIX}OIDC_ROLES")
        return self

    @model_validator(mode="after")
    def _check_safety(self) -> "Config":
        if self.auth == "open" and not self.on_loopback and not self.allow_open_on_network:
            raise ValueError(
                f"{PREFIX}AUTH=open gives access to anyone, and {PREFIX}BIND={self.bind} is not a loopback address: "
                f"bind to 127.0.0.1, set {PREFIX}AUTH=required, or set {PREFIX}ALLOW_OPEN_ON_NETWORK=true"
            )
        if self.behind_tls and not self.trusted_proxies:
            raise ValueError(
                f"{PREFIX}BEHIND_TLS=true needs {PREFIX}TRUSTED_PROXIES: the addresses or networks of the proxy that "
                "terminates TLS, such as 10.0.0.0/8; only these may report that a request came by HTTPS"
            )
        if self.mail_host and not self.mail_from:
            raise ValueError(f"{PREFIX}MAIL_HOST also needs {PREFIX}MAIL_FROM: the sender of mails")
        if self.files_secret_key and self.files_secret_key_file:
            raise ValueError(f"set {PREFIX}FILES_SECRET_KEY or {PREFIX}FILES_SECRET_KEY_FILE, not both")
        if self.secret_key and self.secret_key_file:
            raise ValueError(f"set {PREFIX}SECRET_KEY or {PREFIX}SECRET_KEY_FILE, not both")
        return self

    @model_validator(mode="after")
    def _check_files(self) -> "Config":
        if not self.files_bucket:
            others = [
                name for name in type(self).model_fields if name.startswith("files_") and name in self.model_fields_set
            ]
            if others:
                raise ValueError(
                    f"{PREFIX}{others[0].upper()} also needs {PREFIX}FILES_BUCKET: the bucket for files of results"
                )
            return self
        if bool(self.files_access_key) != bool(self.files_secret_key or self.files_secret_key_file):
            raise ValueError(
                f"{PREFIX}FILES_ACCESS_KEY needs {PREFIX}FILES_SECRET_KEY_FILE (or {PREFIX}FILES_SECRET_KEY), and the other way "
                "round; without both, boto3 looks for credentials"
            )
        missing = [name for name in ("storages", "boto3") if find_spec(name) is None]
        if missing:
            raise ValueError(
                f"{PREFIX}FILES_BUCKET needs packages that aren't installed here ({', '.join(missing)}): "
                "python -m pip install -r requirements/s3.txt"
            )
        return self

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers may send cookies over HTTPS only: always, except on loopback without TLS."""
        return self.behind_tls or not self.on_loopback

    @property
    def role_by_group(self) -> dict[str, str]:
        """Role of each group at the issuer (``*``: everybody), from ``OIDC_ROLES``."""
        pairs = (entry.strip().rpartition("=") for entry in self.oidc_roles.split(",") if entry.strip())
        return {group: role for group, _, role in pairs}

    @property
    def oidc_client_secret(self) -> str | None:
        """The current content of ``OIDC_CLIENT_SECRET_FILE``; None for a client without a secret.

        Raises
        ------
        ConfigError
            If the file can't be read or is empty.
        """
        return _secret_in("OIDC_CLIENT_SECRET_FILE", self.oidc_client_secret_file, "the client secret")

    @property
    def mail_password(self) -> str | None:
        """The current content of ``MAIL_PASSWORD_FILE``; None without one. Raises as :attr:`oidc_client_secret`."""
        return _secret_in("MAIL_PASSWORD_FILE", self.mail_password_file, "the password")

    @property
    def files_secret(self) -> str | None:
        """The secret access key of the bucket; None without one. Raises as :attr:`oidc_client_secret`."""
        stored = _secret_in("FILES_SECRET_KEY_FILE", self.files_secret_key_file, "the secret access key")
        return stored or self.files_secret_key or None

    @property
    def reachable_at(self) -> str:
        """Address and port at which this machine can reach the server, also if it listens on all addresses."""
        port = self.bind.rpartition(":")[2]
        return f"127.0.0.1:{port}" if self.host in ("0.0.0.0", "::", "") else self.bind  # noqa: S104 - compared alone

    @property
    def event_stream_limit(self) -> int:
        return self.event_streams or max(1, self.threads // 2)

    @property
    def working_threads(self) -> int:
        """Number of threads from which the limits of long requests are derived.

        Threads take turns, so more don't help.
        """
        return min(self.threads, MAX_WORKING_THREADS)

    @property
    def traces(self) -> bool:
        """Whether an endpoint for traces is set, by ``OTLP_ENDPOINT`` or by OpenTelemetry's own variables."""
        return bool(self.otlp_endpoint) or any(os.environ.get(name) for name in STANDARD_ENDPOINTS)

    @property
    def trusted(self) -> tuple[str, ...]:
        return comma_separated(self.trusted_modules)

    @cached_property
    def hosts(self) -> list[str]:
        """Allowed host names: as set, or those of loopback if the server listens on loopback.

        Raises
        ------
        ConfigError
            If none is set and ``BIND`` is not a loopback address.
        """
        named = comma_separated(self.allowed_hosts)
        if named:
            return list(named)
        if not self.on_loopback:
            raise ConfigError(
                f"no host names are set, and {PREFIX}BIND={self.bind} is not loopback: set {PREFIX}ALLOWED_HOSTS to the names "
                "and addresses that callers use for this server, such as tailrace.example.org,10.1.2.3 (or * for any)"
            )
        own = f"[{self.host}]" if ":" in self.host else self.host
        return list(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", own]))

    @cached_property
    def secret(self) -> str:
        """The signing key: as set, from its file, or (on loopback only) generated and stored in ``VAR_DIR``.

        Raises
        ------
        ConfigError
            If none is set and ``BIND`` is not a loopback address, or if its file can't be read.
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
                f"no secret key is set, and {PREFIX}BIND={self.bind} is not loopback: generate one with "
                f"`python3 -c 'import secrets; print(secrets.token_urlsafe(48))' > FILE` and set {PREFIX}SECRET_KEY_FILE=FILE"
            )
        return stored_or_new_key(self.var_dir / "secret-key")


def _secret_in(name: str, path: Path | None, what: str) -> str | None:
    """Return the content of a file that a setting names; None without one.

    Raises
    ------
    ConfigError
        If the file can't be read or is empty.
    """
    if path is None:
        return None
    try:
        secret = path.read_text().strip()
    except OSError as exc:
        raise ConfigError(f"{PREFIX}{name}={path}: {exc.strerror}") from exc
    if not secret:
        raise ConfigError(f"{PREFIX}{name}={path}: the file is empty, expected {what}")
    return secret


def load(environ: dict[str, str] | None = None) -> Config:
    """Read and check the settings.

    Raises
    ------
    ConfigError
        If a setting is unknown, malformed or unsafe, or the CPU is too old. The message is one line.
    """
    if lacks := arithmetic.lacking():
        raise ConfigError(
            f"this CPU lacks {', '.join(lacks)}: models need the arithmetic of {arithmetic.X86_64}, which CPUs have since 2013"
        )
    environ = dict(os.environ if environ is None else environ)
    known = {name.upper() for name in Config.model_fields}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if (
            variable.startswith(PREFIX)
            and name not in known
            and name not in CLIENT_NAMES
            and not name.startswith(TEST_PREFIX)
        ):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {PREFIX}{close[0]}?" if close else "docs/reference/settings.md lists them all"
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
    shown = "(hidden)" if "SECRET" in name else error["input"]
    return f"{PREFIX}{name}={shown}: {message}"
