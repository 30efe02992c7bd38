"""TLS as an administrator sets it up: certificates that change, clients that show one, what is spoken, sessions that are resumed."""

import base64
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

import mail
import system
from system import wait_for


def openssl(*args, check=True):
    return subprocess.run(["openssl", *map(str, args)], capture_output=True, check=check, timeout=60)


def self_signed(folder, name, *more):
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", crt, *more)
    return crt, key


def install(server, *files):
    for path in files:
        to = server.root / "etc/tls" / path.name
        to.write_bytes(path.read_bytes())
        to.chmod(0o600 if path.suffix == ".key" else 0o644)


def connect(server, port="imaps", name=None, context=None):
    context = context or mail.tls()
    sock = socket.create_connection((server.host, server.ports[port]), timeout=20)
    return context.wrap_socket(sock, server_hostname=name)


def subject(server, name):
    with connect(server, name=name) as sock:
        der = sock.getpeercert(binary_form=True)
    return openssl_subject(der)


def openssl_subject(der):
    done = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"], input=der, capture_output=True, check=True)
    return re.search(rb"commonName\s+= (\S+)", done.stdout)[1].decode()


def read_again(server):
    before = server.log().count("certificates read: ")
    server.ctl("reload")
    wait_for(lambda: server.log().count("certificates read: ") > before, 20, lambda: server.log()[-2000:])


def test_certificates_change_and_no_session_is_lost(own, tmp_path):
    with connect(own) as old:
        assert old.recv(1000).startswith(b"* OK")
        install(own, *self_signed(tmp_path, "new.example"))
        read_again(own)
        assert subject(own, "new.example") == "new.example"
        assert subject(own, "mail.dominio.com.uy") == "mail.dominio.com.uy"
        old.sendall(b"a NOOP\r\n")
        assert old.recv(1000).startswith(b"a OK")
        crt, _ = self_signed(tmp_path, "other.example")  # its key does not come with it
        install(own, crt)
        read_again(own)
        assert subject(own, "other.example") == "mail.dominio.com.uy"
        assert "other.example.crt is not used: keyd does not sign with its key" in own.log()
        for name in ("new.example.crt", "new.example.key", "other.example.crt"):
            (own.root / "etc/tls" / name).unlink()
        read_again(own)
        assert subject(own, "new.example") == "mail.dominio.com.uy"
        old.sendall(b"b NOOP\r\n")
        assert old.recv(1000).startswith(b"b OK")


def test_wrong_tls_settings_are_refused_and_the_old_ones_stay(own):
    for name, wrong in (("tls_minimum", "1.0"), ("tls_ciphers", "NONESUCH"), ("tls_ciphersuites", "TLS_NONE"), ("client_certificates", "smtp"),
                        ("external_fingerprints", "00=usr1")):
        text = (own.root / "etc/estafeta.conf").read_text()
        own.configure(**{name: wrong})
        done = own.ctl("reload", check=False)
        assert done.returncode != 0 and name in done.stdout + done.stderr, (name, done)
        (own.root / "etc/estafeta.conf").write_text(text)
    connect(own).close()


def only(version):
    context = mail.tls()
    context.minimum_version = context.maximum_version = version
    return context


def test_minimum_version_and_ciphers(own):
    assert connect(own, context=only(ssl.TLSVersion.TLSv1_2)).cipher()[0].startswith("ECDHE-")
    text = (own.root / "etc/estafeta.conf").read_text()
    own.configure(tls_minimum="1.3", tls_ciphersuites="TLS_CHACHA20_POLY1305_SHA256")
    read_again(own)
    with pytest.raises(ssl.SSLError):
        connect(own, context=only(ssl.TLSVersion.TLSv1_2))
    assert connect(own).cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    (own.root / "etc/estafeta.conf").write_text(text)
    read_again(own)
    connect(own, context=only(ssl.TLSVersion.TLSv1_2)).close()


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_sessions_are_resumed(server, tmp_path, version):
    """With openssl's own client: the second handshake needs no signature, nor keyd."""
    to = f"{server.host}:{server.ports['imaps']}"
    ticket = tmp_path / "ticket"
    first = subprocess.run(["openssl", "s_client", "-connect", to, version, "-sess_out", ticket, "-ign_eof"], input=b"a LOGOUT\r\n", capture_output=True, timeout=30)
    assert b"\nNew, TLS" in first.stdout
    os.kill(server.pids()["keyd"], signal.SIGSTOP)
    try:
        again = subprocess.run(["openssl", "s_client", "-connect", to, version, "-sess_in", ticket, "-ign_eof"], input=b"a LOGOUT\r\n", capture_output=True, timeout=20)
    finally:
        os.kill(server.pids()["keyd"], signal.SIGCONT)
    assert b"\nReused, TLS" in again.stdout and b"a OK" in again.stdout
    wrong = subprocess.run(["openssl", "s_client", "-connect", f"{server.host}:{server.ports['pop3s']}", version, "-sess_in", ticket, "-ign_eof"], input=b"QUIT\r\n",
                           capture_output=True, timeout=20)
    assert b"\nNew, TLS" in wrong.stdout  # of another service


def test_a_slow_keyd_delays_new_handshakes_alone(server):
    with connect(server) as sock, socket.create_connection((server.host, server.ports["imap"]), timeout=20) as clear:
        assert sock.recv(1000).startswith(b"* OK") and clear.recv(1000).startswith(b"* OK")
        keyd = server.pids()["keyd"]
        os.kill(keyd, signal.SIGSTOP)
        try:
            waits = mail.Background(connect, server)
            time.sleep(0.2)
            for i in range(50):
                begun = time.monotonic()
                for s in (sock, clear):
                    s.sendall(b"a%d NOOP\r\n" % i)
                    assert s.recv(1000).startswith(b"a%d OK" % i)
                assert time.monotonic() - begun < 1
            with socket.create_connection((server.host, server.ports["pop3"]), timeout=20) as new:
                assert new.recv(1000).startswith(b"+OK")
            assert waits.is_alive()
        finally:
            os.kill(keyd, signal.SIGCONT)
        waits.end()


def test_stop_does_not_wait_for_clients_that_do_not_close():
    with system.run_system() as s:
        clients = [connect(s) for _ in range(5)] + [socket.create_connection((s.host, s.ports["imaps"]), timeout=20)]
        for c in clients[:5]:
            assert c.recv(1000).startswith(b"* OK")
        begun = time.monotonic()
        s.stop()
        took = time.monotonic() - begun
        for c in clients[:5]:
            assert c.recv(1000).startswith(b"* BYE")
            c.close()
        clients[5].close()
        assert took < 1.5, took


# --- EXTERNAL (RFC 4422 A)


class Pki:
    """A CA, a client's certificate by it for a mail address, and one by nobody."""

    def __init__(self, folder, address):
        self.folder = folder
        self.ca, key = self_signed(folder, "ca.example", "-addext", "basicConstraints=critical,CA:TRUE")
        self.good = self.issue("good", f"email:{address}", self.ca, key)
        self.strange = self_signed(folder, "strange.example", "-addext", f"nsComment={address}")

    def issue(self, name, alt, ca, ca_key):
        crt, key, csr, ext = (self.folder / f"{name}.{x}" for x in ("crt", "key", "csr", "ext"))
        ext.write_text(f"subjectAltName={alt}\nextendedKeyUsage=clientAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "9", "-extfile", ext, "-out", crt)
        return crt, key


class Pop:
    def __init__(self, server, pair=None):
        context = mail.tls()
        if pair is not None:
            context.load_cert_chain(*pair)
        self.sock = connect(server, "pop3s", context=context)
        self.file = self.sock.makefile("rwb")
        assert self.file.readline().startswith(b"+OK")

    def say(self, line):
        self.file.write(line.encode() + b"\r\n")
        self.file.flush()
        return self.file.readline().decode().strip()

    def offers(self):
        self.say("CAPA")
        found = b""
        while (line := self.file.readline()) != b".\r\n":
            found += line if line.startswith(b"SASL") else b""
        return b" EXTERNAL" in found

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    with system.run_system(settings={"client_certificates": "pop3s", "external_names": "yes"}) as s:
        account = s.new_account()
        pki = Pki(tmp_path_factory.mktemp("pki"), account[0])
        other = s.new_account()
        fingerprint = openssl("x509", "-in", pki.strange[0], "-noout", "-fingerprint", "-sha256").stdout.decode().strip().partition("=")[2]
        clients = s.root / "etc/tls/clients.pem"
        clients.write_bytes(pki.ca.read_bytes())
        clients.chmod(0o644)
        read_again(s)
        yield s, pki, account, other, fingerprint


def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_4422_a_external_by_the_address_in_a_certificate(external):
    server, pki, account, other, _ = external
    for last in ("AUTH EXTERNAL =", f"AUTH EXTERNAL {b64(account[0])}"):
        pop = Pop(server, pki.good)
        assert pop.offers()
        assert pop.say(f"AUTH EXTERNAL {b64(other[0])}").startswith("-ERR [AUTH]")  # not as another
        assert pop.say("AUTH EXTERNAL").startswith("+")
        assert pop.say("*").startswith("-ERR")
        assert pop.say(last).startswith("+OK")
        pop.close()
    pop = Pop(server, pki.good)
    assert pop.say("AUTH EXTERNAL").startswith("+")
    assert pop.say("").startswith("+OK")
    pop.close()


def test_4422_a_external_is_not_for_those_whom_nobody_vouches_for(external):
    server, pki, account, *_ = external
    for pair in (None, pki.strange):
        pop = Pop(server, pair)
        assert not pop.offers()
        assert pop.say("AUTH EXTERNAL =").startswith("-ERR")
        assert pop.say(f"AUTH EXTERNAL {b64(account[0])}").startswith("-ERR")
        pop.close()
    with connect(server, "imaps") as sock:  # where no certificate is asked for
        assert b"EXTERNAL" not in sock.recv(2000)


def test_4422_a_external_by_fingerprint(external):
    server, pki, _, other, fingerprint = external
    text = (server.root / "etc/estafeta.conf").read_text()
    server.configure(external_fingerprints=f"{fingerprint}={other[0]}", external_names="no")
    read_again(server)
    pop = Pop(server, pki.strange)
    assert pop.offers() and pop.say(f"AUTH EXTERNAL {b64(other[0])}").startswith("+OK")
    pop.close()
    pop = Pop(server, pki.good)
    assert pop.say("AUTH EXTERNAL =").startswith("-ERR")
    pop.close()
    (server.root / "etc/estafeta.conf").write_text(text)
    read_again(server)


def test_4422_a_external_for_an_account_that_is_gone(external):
    server, pki, *_ = external
    pair = pki.issue("gone", "email:nobody@dominio.com.uy", pki.ca, pki.folder / "ca.example.key")
    pop = Pop(server, pair)
    assert pop.say("AUTH EXTERNAL =").startswith("-ERR [AUTH]")
    pop.close()
