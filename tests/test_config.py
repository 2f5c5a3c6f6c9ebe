"""Settings: what the table says is what the code does, and what is wrong stops the start in one line."""

import os
import re
import stat
import subprocess
import sys

import pytest

from server.accounts import roles
from server.config import Config, ConfigError, load
from server.setting_formats import ROLES
from tests.serving import ROOT

pytestmark = pytest.mark.one_database


def test_the_documented_table_is_the_code():
    rows = re.findall(
        r"^\| `TAILRACE_(\w+)` \| (.*?) \| (.+?) \|$", (ROOT / "docs" / "reference" / "settings.md").read_text(), re.M
    )
    assert [name.lower() for name, _, _ in rows] == list(Config.model_fields)
    for name, default, description in rows:
        field = Config.model_fields[name.lower()]
        assert description.startswith(field.description)
        if name != "VAR_DIR":
            shown = (
                str(field.default).lower()
                if isinstance(field.default, bool)
                else ""
                if field.default is None
                else str(field.default)
            )
            assert default.strip("`") == shown


def test_what_the_client_and_the_epilogues_read_may_be_set_where_a_server_starts():
    sources = [*(ROOT / "client" / "tailrace").rglob("*.py"), *(ROOT / "lammps_jobs").rglob("*.sh")]
    named = {
        name for source in sources for name in re.findall(r"\bTAILRACE_([A-Z]+(?:_[A-Z]+)*)\b", source.read_text())
    }
    own = {name.upper() for name in Config.model_fields}
    assert {"STREAM", "FEATURES", "CA_FILE", "SPOOL_MB"} <= named
    load({f"TAILRACE_{name}": "x" for name in named - own})


@pytest.mark.parametrize(
    "environ, message",
    [
        ({"TAILRACE_WORKERS": "many"}, "TAILRACE_WORKERS=many: .*integer"),
        ({"TAILRACE_WORKERS": "0"}, "TAILRACE_WORKERS=0: .*greater than or equal to 1"),
        ({"TAILRACE_WORKER": "2"}, "TAILRACE_WORKER is not a setting: did you mean TAILRACE_WORKERS"),
        ({"TAILRACE_XYZZY": "2"}, "TAILRACE_XYZZY is not a setting: docs/reference/settings.md"),
        ({"TAILRACE_BIND": "8080"}, "TAILRACE_BIND=8080: expected HOST:PORT"),
        ({"TAILRACE_BIND": "localhost:99999"}, "expected HOST:PORT"),
        ({"TAILRACE_AUTH": "off"}, "TAILRACE_AUTH=off: .*required.*open"),
        ({"TAILRACE_SERVER": "uwsgi"}, "TAILRACE_SERVER=uwsgi"),
        ({"TAILRACE_AUTH": "open", "TAILRACE_BIND": "0.0.0.0:8080"}, "not a loopback address.*ALLOW_OPEN_ON_NETWORK"),
        ({"TAILRACE_AUTH": "open", "TAILRACE_BIND": "node17:8080"}, "not a loopback address"),
        ({"TAILRACE_SECRET_KEY": "short"}, "TAILRACE_SECRET_KEY=\\(hidden\\): expected at least 32"),
        ({"TAILRACE_SECRET_KEY": "x" * 40, "TAILRACE_SECRET_KEY_FILE": "/x"}, "not both"),
        ({"TAILRACE_FILES_BUCKET": "No_Bucket"}, "TAILRACE_FILES_BUCKET=No_Bucket: expected the name of a bucket"),
        ({"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_PREFIX": "../x"}, "expected names separated by slashes"),
        ({"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_ENDPOINT": "https://u:p@s3"}, "without a user, a password"),
        ({"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_ADDRESSING": "x"}, "FILES_ADDRESSING=x: .*auto"),
        ({"TAILRACE_FILES_REGION": "eu"}, "TAILRACE_FILES_REGION also needs TAILRACE_FILES_BUCKET"),
        ({"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_ACCESS_KEY": "a"}, "needs TAILRACE_FILES_SECRET_KEY_FILE"),
        ({"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_SECRET_KEY": "a"}, "FILES_ACCESS_KEY needs"),
        (
            {"TAILRACE_FILES_BUCKET": "b-1", "TAILRACE_FILES_SECRET_KEY": "a", "TAILRACE_FILES_SECRET_KEY_FILE": "/x"},
            "TAILRACE_FILES_SECRET_KEY_FILE, not both",
        ),
        ({"TAILRACE_TOKEN_RATTE": "2"}, "TAILRACE_TOKEN_RATTE is not a setting: did you mean TAILRACE_TOKEN_RATE"),
        ({"TAILRACE_TOKEN_RATE": "-1"}, "TAILRACE_TOKEN_RATE=-1: .*greater than or equal to 0"),
        ({"TAILRACE_ADDRESS_RATE": "1.5"}, "TAILRACE_ADDRESS_RATE=1.5: .*integer"),
        ({"TAILRACE_REQUEST_SECONDS": "0"}, "TAILRACE_REQUEST_SECONDS=0"),
        ({"TAILRACE_REQUEST_SECONDS": "61"}, "TAILRACE_REQUEST_SECONDS=61: .*less than or equal to 60"),
        ({"TAILRACE_EVENT_STREAMS_PER_CALLER": "0"}, "greater than or equal to 1"),
        ({"TAILRACE_BEHIND_TLS": "true"}, "needs TAILRACE_TRUSTED_PROXIES.*10.0.0.0/8"),
        ({"TAILRACE_TRUSTED_PROXIES": "proxy"}, "'proxy' is not an address or network"),
        ({"TAILRACE_ALLOWED_HOSTS": "https://tailrace.example.org"}, "is not a host name: expected .* without scheme"),
        ({"TAILRACE_ALLOWED_HOSTS": "localhost, localhost:8080"}, "'localhost:8080' is not a host name"),
        ({"TAILRACE_LOGIN_FAILURES": "0"}, "TAILRACE_LOGIN_FAILURES=0: .*greater than or equal to 1"),
        ({"TAILRACE_LOGIN_COOLOFF_MINUTES": "-1"}, "TAILRACE_LOGIN_COOLOFF_MINUTES=-1: .*greater than 0"),
        (
            {"TAILRACE_OIDC_ISSUER": "id.example.org"},
            "TAILRACE_OIDC_ISSUER=id.example.org: expected the issuer's https:// URL",
        ),
        ({"TAILRACE_OIDC_ISSUER": "http://id.example.org"}, "expected the issuer's https:// URL"),
        ({"TAILRACE_OIDC_ISSUER": "https://id.example.org/?realm=x"}, "without a query"),
        ({"TAILRACE_OIDC_ISSUER": "https://id.example.org"}, "needs TAILRACE_OIDC_CLIENT_ID and TAILRACE_OIDC_ROLES"),
        ({"TAILRACE_OIDC_SCOPES": "profile"}, "TAILRACE_OIDC_SCOPES=profile: .*including openid"),
        ({"TAILRACE_OIDC_ROLES": "hpc-admins"}, "'hpc-admins' is not GROUP=ROLE"),
        ({"TAILRACE_OIDC_ROLES": "a=viewer,b=root"}, "'b=root' is not .*viewer, researcher, moderator, admin"),
        ({"TAILRACE_OIDC_ROLES": "=viewer"}, "'=viewer' is not"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(environ)
    assert "\n" not in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("bind", ["127.0.0.1:1", "127.8.8.8:80", "[::1]:8080", "localhost:8080"])
def test_open_is_allowed_on_loopback(bind):
    assert load({"TAILRACE_AUTH": "open", "TAILRACE_BIND": bind}).on_loopback


def test_open_beyond_loopback_must_be_meant():
    assert load({"TAILRACE_AUTH": "open", "TAILRACE_BIND": "0.0.0.0:80", "TAILRACE_ALLOW_OPEN_ON_NETWORK": "true"})


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:81", "127.0.0.1:81"),
        ("[::]:82", "127.0.0.1:82"),
        ("10.1.2.3:83", "10.1.2.3:83"),
    ],
)
def test_where_it_listens_on_all_addresses_this_machine_reaches_it_by_loopback(bind, address):
    """A browser can't open http://0.0.0.0/."""
    assert load({"TAILRACE_BIND": bind, "TAILRACE_ALLOWED_HOSTS": "tailrace.example"}).reachable_at == address


def test_a_secret_is_made_once_on_loopback_and_only_its_owner_can_read_it(tmp_path):
    first = load({"TAILRACE_VAR_DIR": str(tmp_path)}).secret
    assert load({"TAILRACE_VAR_DIR": str(tmp_path)}).secret == first
    assert len(first) >= 48
    assert stat.S_IMODE(os.stat(tmp_path / "secret-key").st_mode) == 0o600


@pytest.mark.parametrize(
    "bind, hosts, expected",
    [
        ("127.0.0.1:8080", "", ["localhost", "127.0.0.1", "[::1]"]),
        ("127.8.8.8:8080", "", ["localhost", "127.0.0.1", "[::1]", "127.8.8.8"]),
        ("[::1]:8080", "", ["localhost", "127.0.0.1", "[::1]"]),
        ("127.0.0.1:8080", "tailrace.example.org", ["tailrace.example.org"]),
        ("0.0.0.0:8080", " a.example , [2001:db8::1],", ["a.example", "[2001:db8::1]"]),
        ("0.0.0.0:8080", "*", ["*"]),
    ],
)
def test_it_answers_to_the_names_that_are_set_and_by_itself_to_those_of_loopback(bind, hosts, expected):
    assert load({"TAILRACE_BIND": bind, "TAILRACE_ALLOWED_HOSTS": hosts}).hosts == expected


@pytest.mark.parametrize("bind", ["0.0.0.0:8080", "[::]:8080", "10.1.2.3:80", "node17:8080"])
def test_beyond_loopback_its_names_have_to_be_said(bind):
    with pytest.raises(ConfigError, match="set TAILRACE_ALLOWED_HOSTS to the names") as caught:
        load({"TAILRACE_BIND": bind}).hosts  # noqa: B018
    assert bind in str(caught.value)


def test_cookies_are_for_https_alone_wherever_there_may_be_any():
    proxies = {"TAILRACE_TRUSTED_PROXIES": "127.0.0.1"}
    assert not load({}).secure_cookies
    assert load({"TAILRACE_BEHIND_TLS": "true", **proxies}).secure_cookies
    assert load({"TAILRACE_BIND": "0.0.0.0:8080"}).secure_cookies


def test_there_is_no_default_secret_beyond_loopback(tmp_path):
    with pytest.raises(ConfigError, match="generate one with"):
        load({"TAILRACE_VAR_DIR": str(tmp_path), "TAILRACE_BIND": "0.0.0.0:80"}).secret  # noqa: B018
    file = tmp_path / "key"
    file.write_text("x" * 50 + "\n")
    settings = {"TAILRACE_BIND": "0.0.0.0:80", "TAILRACE_SECRET_KEY_FILE": str(file)}
    assert load(settings).secret == "x" * 50
    file.write_text("short")
    with pytest.raises(ConfigError, match="at least 32 characters, got 5"):
        load(settings).secret  # noqa: B018


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("TAILRACE_THREADS", "x", "TAILRACE_THREADS=x"),
        ("TAILRACE_DATABASE_URL", "mysql://a/b", "TAILRACE_DATABASE_URL"),
        (
            "TAILRACE_DATABASE_URL",
            "postgresql://ada:secret@127.0.0.1:5432/",
            "names no database; expected sqlite:///PATH or",
        ),
        ("TAILRACE_DATABASE_URL", "sqlite://", "names no database"),
        ("TAILRACE_DATABASE_URL", "sqlite:////nowhere/tailrace.sqlite3", "its directory must exist and be writable"),
        ("TAILRACE_VAR_DIR", "/proc/nowhere", "set TAILRACE_VAR_DIR to a directory that can be written"),
    ],
)
def test_a_start_that_can_not_be_stops_with_one_line(name, value, message, tmp_path):
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TAILRACE_")}
    environment |= {"TAILRACE_VAR_DIR": str(tmp_path), name: value}
    done = subprocess.run(
        [sys.executable, "-m", "server"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_groups_are_mapped_to_the_roles_that_there_are():
    config = load({"TAILRACE_OIDC_ROLES": " /hpc/admins=admin, cn=users=researcher ,*=viewer,"})
    assert config.role_by_group == {"/hpc/admins": "admin", "cn=users": "researcher", "*": "viewer"}
    assert list(roles.ROLES) == list(ROLES)


@pytest.mark.parametrize("content, message", [(None, "No such file"), ("  \n", "the file is empty")])
def test_a_client_secret_that_cannot_be_had_stops_the_start(tmp_path, content, message):
    file = tmp_path / "client-secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=f"TAILRACE_OIDC_CLIENT_SECRET_FILE={file}: .*{message}"):
        _ = load({"TAILRACE_OIDC_CLIENT_SECRET_FILE": str(file)}).oidc_client_secret
    environment = {**os.environ, "TAILRACE_OIDC_CLIENT_SECRET_FILE": str(file)}
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("tailrace: TAILRACE_OIDC_CLIENT_SECRET_FILE=")
    assert "\n" not in ran.stderr.strip()


def test_a_client_secret_is_what_its_file_holds_now(tmp_path):
    file = tmp_path / "client-secret"
    config = load({"TAILRACE_OIDC_CLIENT_SECRET_FILE": str(file)})
    for secret in ("first-secret", "second-secret"):
        file.write_text(f"{secret}\n")
        assert config.oidc_client_secret == secret
        assert secret not in repr(config)
