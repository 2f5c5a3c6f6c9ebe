"""TLS with a site's own authority: real certificates, a real handshake."""

import asyncio
import datetime
import ipaddress
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tailrace import AsyncClient
from tailrace.errors import Unusable
from tailrace.posting.post import post
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server

from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import environment, kept, receipt

pytestmark = pytest.mark.one_database

X = {"x": 8}


class Authority:
    """A site's own authority, and the certificates that it signs."""

    def __init__(self, directory):
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The site's own authority")])
        made = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.file = directory / "site.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server(self, *names, days=1):
        """A context for a server with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        found = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._signed(name, key, x509.SubjectAlternativeName(found), days=days)
        file = self.directory / f"{names[0]}.pem"
        plain = serialization.NoEncryption()
        file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(self, name, key, extension, days=1):
        now = datetime.datetime.now(datetime.UTC)
        ends = now + datetime.timedelta(days=days)
        key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(ends - datetime.timedelta(days=2)).not_valid_after(ends)
        for one, critical in ((extension, True), (key_id, False), (issuer_id, False)):
            builder = builder.add_extension(one, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def over_tls(context, behave=None):
    """A listener that speaks TLS."""
    dressed = lambda connection: context.wrap_socket(connection, server_side=True)  # noqa: E731
    return listening(behave or replies(receipt()), dressed=dressed)


def address(listener, host="127.0.0.1"):
    return f"https://{host}:{listener.place[1]}"


def test_the_sites_own_authority_is_trusted_where_it_is_named(authority, spool):
    with over_tls(authority.server("127.0.0.1")) as listener:
        assert post("s", X, 1.0, server=Server(address(listener), ca_file=str(authority.file)), spool=spool).delivered


@pytest.mark.parametrize("variable", ["TAILRACE_CA_FILE", "SSL_CERT_FILE"])
def test_the_environment_may_name_it(authority, spool, variable):
    with over_tls(authority.server("localhost")) as listener:
        given = ["post", "s", "x=8", "--y", "1", "--url", address(listener, "localhost"), "--spool", spool.place]
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *given],
            env=environment(**{variable: str(authority.file)}), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tailrace: observation 1")


def test_who_is_not_trusted_gets_nothing_and_is_not_asked_twice(authority, spool):
    with over_tls(authority.server("127.0.0.1")) as listener:
        posted = post("s", X, 1.0, server=Server(address(listener), token="trc_1"), spool=spool)
        assert listener.requests == []
    assert "isn't trusted" in posted.reason
    assert "TAILRACE_CA_FILE" in posted.reason
    assert "tries" not in posted.reason
    assert len(kept(spool)) == 1


@pytest.mark.parametrize(
    ("names", "days", "said"), [(["else.example"], 1, "IP address mismatch"), (["127.0.0.1"], -1, "expired")]
)
def test_a_certificate_of_another_name_or_time_is_not_trusted(authority, spool, names, days, said):
    with over_tls(authority.server(*names, days=days)) as listener:
        server = Server(address(listener), ca_file=str(authority.file))
        assert said in post("s", X, 1.0, server=server, spool=spool).reason
    assert len(kept(spool)) == 1


def test_a_handshake_that_never_ends_ends_at_the_deadline(spool):
    with listening(silent, reading=lambda connection: connection.recv(1)) as listener:
        assert "in time" in post("s", X, 1.0, server=Server(address(listener)), spool=spool, deadline=0.5).reason
    assert len(kept(spool)) == 1


def test_a_server_without_tls_is_no_riddle(spool):
    with listening(replies(receipt()), reading=lambda connection: connection.recv(4096)) as listener:
        posted = post("s", X, 1.0, server=Server(address(listener)), spool=spool, deadline=1)
    assert "no answer" in posted.reason
    assert "SSL" in posted.reason
    assert len(kept(spool)) == 1


def test_an_answer_cut_short_is_no_answer(authority, spool):
    def cut(connection, number):
        connection.sendall(receipt()[:-5])
        connection.close()

    with over_tls(authority.server("127.0.0.1"), cut) as listener:
        server = Server(address(listener), ca_file=str(authority.file))
        assert "broke off" in post("s", X, 1.0, server=server, spool=spool, deadline=1).reason
    assert len(kept(spool)) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_is_said_to_be(tmp_path, content):
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with listening(silent) as listener, pytest.raises(Unusable, match=r"TAILRACE_CA_FILE=.*ca.pem can't be used"):
        Server(address(listener), ca_file=str(tmp_path / "ca.pem")).request("GET", "/")


def test_a_cancelled_call_of_the_asynchronous_client_frees_its_worker(authority, monkeypatch):
    monkeypatch.setenv("TAILRACE_CA_FILE", str(authority.file))

    def behave(connection, number):
        if number > 1:
            connection.sendall(answer("200 OK", b'{"models": []}'))
            connection.close()

    async def main(listener):
        async with AsyncClient(address(listener), "", deadline=600, connections=1) as c:
            asking = asyncio.create_task(c.models.keys())
            await asyncio.to_thread(listener.heard.wait, 60)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await asyncio.wait_for(c.models.keys(), 60) == []

    with over_tls(authority.server("127.0.0.1"), behave) as listener:
        asyncio.run(main(listener))
