"""SASL over real TLS: channel binding by a client of our own, from hashlib, `ssl` and openssl s_client alone."""

import base64
import hashlib
import hmac
import re
import secrets
import socket
import ssl
import subprocess

import pytest

import mail
import system

LABEL = "EXPORTER-Channel-Binding"  # RFC 9266 4.2


def b64(data):
    return base64.b64encode(data).decode()


class Scram:
    """RFC 5802, the client's side, with or without channel binding."""

    def __init__(self, hash_name, user, password, flag="n", binding=b""):
        self.hash, self.password, self.binding = hash_name, password.encode(), binding
        self.gs2 = flag + ",,"
        self.nonce = secrets.token_urlsafe(12)
        self.bare = f"n={user},r={self.nonce}"

    def first(self):
        return self.gs2 + self.bare

    def final(self, server_first):
        got = dict(x.split("=", 1) for x in server_first.split(","))
        assert got["r"].startswith(self.nonce) and len(got["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, base64.b64decode(got["s"]), int(got["i"]))
        client = hmac.digest(salted, b"Client Key", self.hash)
        without = f"c={b64(self.gs2.encode() + self.binding)},r={got['r']}"
        signed = ",".join((self.bare, server_first, without)).encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(hashlib.new(self.hash, client).digest(), signed, self.hash)))
        self.server = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", self.hash), signed, self.hash))
        return f"{without},p={b64(proof)}"


class Pop:
    """A POP3 client that says AUTH; over Python's TLS, or openssl's, which tells the exporter's bytes."""

    def __init__(self, server, openssl=None, version=None):
        port = server.ports["pop3s"]
        if openssl is None:
            context = mail.tls()
            if version is not None:
                context.maximum_version = version
            sock = context.wrap_socket(socket.create_connection((server.host, port), timeout=20))
            self.certificate = sock.getpeercert(binary_form=True)
            self.input = self.output = sock.makefile("rwb")
            self.close = sock.close
        else:
            self.process = subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{server.host}:{port}", "-keymatexport", LABEL, "-keymatexportlen", "32", "-ign_eof", *openssl],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.input, self.output = self.process.stdout, self.process.stdin
            self.close = self.end
            self.exporter = None
        while not (line := self.input.readline()).startswith(b"+OK"):
            assert line != b"", "no greeting"
            if got := re.match(rb"\s*Keying material: ([0-9A-F]{64})", line):
                self.exporter = bytes.fromhex(got[1].decode())

    def end(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def say(self, line):
        self.output.write(line.encode() + b"\r\n")
        self.output.flush()
        while True:
            got = self.input.readline().decode()
            if got.startswith(("+", "-ERR")):
                return got.strip()
            assert got != "", "closed"

    def auth(self, mechanism, scram):
        """The last answer: "+OK ..." only when the server has proved itself too."""
        got = self.say(f"AUTH {mechanism} {b64(scram.first().encode())}")
        if not got.startswith("+ "):
            return got
        got = self.say(b64(scram.final(base64.b64decode(got[2:]).decode()).encode()))
        if not got.startswith("+ "):
            return got
        assert base64.b64decode(got[2:]).decode() == scram.server
        return self.say("")

    def mechanisms(self):
        assert self.say("CAPA").startswith("+OK")
        found = []
        while (line := self.input.readline().decode().strip()) != ".":
            if line.startswith("SASL "):
                found = line.split()[1:]
        return found


@pytest.fixture(scope="module")
def sha1():
    with system.run_system(settings={"scram_sha1": "yes"}) as s:
        yield s


def test_9266_scram_sha_256_plus_by_tls_exporter(server, account):
    pop = Pop(server, ["-tls1_3"])
    assert pop.exporter is not None and "SCRAM-SHA-256-PLUS" in pop.mechanisms()
    assert pop.auth("SCRAM-SHA-256-PLUS", Scram("sha256", *account, "p=tls-exporter", pop.exporter)).startswith("+OK")
    pop.close()


def test_5929_4_tls_1_2(server, account):
    """s_client exports without a context, which TLS 1.2 tells from an empty one (RFC 5705 4): bound by the certificate here."""
    pop = Pop(server, version=ssl.TLSVersion.TLSv1_2)
    scram = Scram("sha256", *account, "p=tls-server-end-point", hashlib.sha256(pop.certificate).digest())
    assert pop.auth("SCRAM-SHA-256-PLUS", scram).startswith("+OK")
    pop.close()


def test_9266_another_channel_is_refused(server, account):
    """Somebody between, who ends the client's TLS and has one of his own: with the right password, and all else right."""
    client, victim = Pop(server, ["-tls1_3"]), Pop(server, ["-tls1_3"])
    scram = Scram("sha256", *account, "p=tls-exporter", victim.exporter)
    assert client.auth("SCRAM-SHA-256-PLUS", scram).startswith("-ERR [AUTH]")
    client.close()
    victim.close()


def test_5929_4_scram_sha_256_plus_by_tls_server_end_point(server, account):
    pop = Pop(server)
    scram = Scram("sha256", *account, "p=tls-server-end-point", hashlib.sha256(pop.certificate).digest())
    assert pop.auth("SCRAM-SHA-256-PLUS", scram).startswith("+OK")
    pop.close()


def test_5929_4_another_certificate_is_refused(server, account):
    pop = Pop(server)
    scram = Scram("sha256", *account, "p=tls-server-end-point", hashlib.sha256(b"another").digest())
    assert pop.auth("SCRAM-SHA-256-PLUS", scram).startswith("-ERR [AUTH]")
    pop.close()


@pytest.mark.parametrize("mechanism, flag", [
    ("SCRAM-SHA-256", "y"),  # the client could bind, but somebody took -PLUS out of the list
    ("SCRAM-SHA-256", "p=tls-exporter"), ("SCRAM-SHA-256-PLUS", "n"), ("SCRAM-SHA-256-PLUS", "y"),
    ("SCRAM-SHA-256-PLUS", "p=tls-unique"), ("SCRAM-SHA-256-PLUS", "p="), ("SCRAM-SHA-1", "n"), ("SCRAM-SHA-1-PLUS", "n"), ("EXTERNAL", "n")])
def test_5802_6_flags_that_do_not_go_with_the_mechanism(server, account, mechanism, flag):
    pop = Pop(server)
    assert pop.auth(mechanism, Scram("sha256", *account, flag)).startswith("-ERR")
    assert pop.auth("SCRAM-SHA-256", Scram("sha256", *account, "n")).startswith("+OK")
    pop.close()


def test_5802_without_tls_nothing_is_bound(server, account):
    with socket.create_connection((server.host, server.ports["pop3"]), timeout=20) as sock:
        pop = Pop.__new__(Pop)
        pop.input = pop.output = sock.makefile("rwb")
        assert pop.input.readline().startswith(b"+OK")
        assert "SCRAM-SHA-256-PLUS" not in pop.mechanisms()
        assert pop.auth("SCRAM-SHA-256-PLUS", Scram("sha256", *account, "p=tls-exporter", b"x" * 32)).startswith("-ERR")
        assert pop.auth("SCRAM-SHA-256", Scram("sha256", *account, "y")).startswith("+OK")  # right: we cannot here


def test_5802_scram_sha_1(sha1):
    account = sha1.new_account()
    pop = Pop(sha1)
    assert pop.mechanisms() == ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]
    assert pop.auth("SCRAM-SHA-1", Scram("sha1", account[0], "wrong")).startswith("-ERR [AUTH]")
    assert pop.auth("SCRAM-SHA-1", Scram("sha1", *account)).startswith("+OK")
    pop.close()
    pop = Pop(sha1, ["-tls1_3"])
    assert pop.auth("SCRAM-SHA-1-PLUS", Scram("sha1", *account, "p=tls-exporter", pop.exporter)).startswith("+OK")
    pop.close()


def test_5802_scram_sha_1_only_where_the_password_was_set_with_it(sha1):
    account = sha1.new_account()
    sha1.configure(scram_sha1="no")
    sha1.restart()
    without = sha1.new_account()
    sha1.configure(scram_sha1="yes")
    sha1.restart()
    for who, want in ((account, "+OK"), (without, "-ERR [AUTH]")):
        pop = Pop(sha1)
        assert pop.auth("SCRAM-SHA-1", Scram("sha1", *who)).startswith(want), who
        pop.close()


def test_submission_and_imap_offer_the_same(server):
    with mail.Smtp(server, "submissions") as smtp:
        assert b"AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS" in smtp.ehlo()[1]
    with mail.tls().wrap_socket(socket.create_connection((server.host, server.ports["imaps"]), timeout=20)) as sock:
        assert b"AUTH=SCRAM-SHA-256-PLUS" in sock.recv(2000)


def test_4954_6_a_mechanism_that_policy_bars_is_too_weak(server):
    with mail.Smtp(server, "submission") as smtp:
        smtp.ehlo()
        smtp.starttls()
        smtp.ehlo()
        assert smtp.say(b"AUTH SCRAM-SHA-1 biwsbj11LHI9YQ==")[1].startswith(b"534 5.7.9 ")
        assert smtp.say(b"AUTH X-NONE")[0] == 504
