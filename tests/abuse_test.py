"""Clients that mean no good, or know no better: a clear reply, a closed session, and nobody else notices."""

import base64
import contextlib
import socket
import time

import pytest

import mail
import system

PLAIN = ["smtp", "submission", "imap", "pop3"]
NOOP = {"smtp": b"NOOP", "submission": b"NOOP", "imap": b"a NOOP", "pop3": b"CAPA"}
BAD = {"smtp": b"5", "submission": b"5", "imap": b"* B", "pop3": b"-ERR"}


def connect(server, port):
    sock = socket.create_connection((server.host, server.ports[port]), timeout=30)
    assert sock.recv(4096)
    return sock


def all_of(sock, seconds=30):
    """All that comes until the peer closes; fails when it does not."""
    sock.settimeout(seconds)
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            got += part
    return got


def send_all(sock, data):
    """As much as the peer takes."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(data)


@pytest.fixture
def bystander(server, account):
    """An IMAP and an SMTP session that must notice nothing."""
    with mail.Imap(server, account) as c, mail.Smtp(server) as smtp:
        smtp.ehlo()
        yield
        begun = time.monotonic()
        assert c.noop()[0] == "OK"
        assert smtp.say(b"NOOP")[0] == 250
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("port", PLAIN)
def test_overlong_line(server, bystander, port):
    sock = connect(server, port)
    send_all(sock, b"x" * (4 << 20) + b"\r\n")
    send_all(sock, b"\r\n" * 10)
    got = b""
    sock.settimeout(10)
    with contextlib.suppress(ConnectionError, TimeoutError):
        while part := sock.recv(65536):
            got += part
    assert got.startswith((BAD[port], b"421", b"a BAD", b"* BYE")), got[:200]


@pytest.mark.parametrize("port", PLAIN)
def test_too_many_errors(server, bystander, port):
    sock = connect(server, port)
    for _ in range(300):
        send_all(sock, b"XYZZY\r\n")
    got = all_of(sock)
    assert len(got.splitlines()) < 120, "more errors than anybody makes by mistake"


@pytest.mark.parametrize("port", PLAIN)
def test_garbage(server, bystander, port):
    sock = connect(server, port)
    send_all(sock, bytes(range(256)) * 4000)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    all_of(sock)


@pytest.mark.parametrize("port", PLAIN + ["imaps", "pop3s", "submissions"])
def test_a_tls_hello_or_an_http_request_where_it_does_not_belong(server, bystander, port):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        sock = socket.create_connection((server.host, server.ports[port]), timeout=30)
        send_all(sock, data)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        all_of(sock)


def test_endless_literal_before_the_password(server, bystander):
    sock = connect(server, "imap")
    send_all(sock, b"a LOGIN {1000000000+}\r\n")
    send_all(sock, b"x" * (8 << 20))
    got = all_of(sock)
    assert b"BAD" in got or b"BYE" in got or b"NO" in got, got[:200]


def test_endless_literal_after_the_password(server, bystander, account):
    with mail.Imap(server, account) as c:
        c.send(b"x APPEND INBOX {99999999999}\r\n")
        assert c.readline().split()[:2] in ([b"x", b"NO"], [b"x", b"BAD"])
        assert c.noop()[0] == "OK"
        with contextlib.suppress(OSError):
            c.send(b"y SEARCH SUBJECT {100000000+}\r\n")
            for _ in range(16):
                c.send(b"x" * (1 << 20))
        got = b""
        with contextlib.suppress(OSError):
            while part := c.readline():
                got += part
        assert b"BAD" in got or b"BYE" in got or b"NO" in got, got[:200]


def test_deep_parentheses_and_long_sets(server, bystander, account):
    with mail.Imap(server, account) as c:
        for text in (b"SEARCH " + b"(" * 3000 + b"ALL" + b")" * 3000, b"FETCH 1 " + b"(" * 3000, b"SEARCH " + b"NOT " * 1900 + b"ALL",
                     b"FETCH " + b",".join(b"%d" % i for i in range(1, 1500)) + b" FLAGS", b"FETCH 4294967296 FLAGS",
                     b"FETCH 0 FLAGS", b"FETCH 1:99999999999999999999 FLAGS"):
            c.send(b"x " + text + b"\r\n")
            while not (line := c.readline()).startswith(b"x "):
                assert line.startswith(b"* "), line
            assert line.split()[1] in (b"OK", b"NO", b"BAD"), line
        assert c.noop()[0] == "OK"


def test_names_of_mailboxes(server, account):
    with mail.Imap(server, account) as c:
        for name in (b'"../../etc/passwd"', b'"a//b"', b'"/a"', b'"&"', b'"&AAA-"', b'"' + b"x" * 3000 + b'"', b'""', b'"a\x01b"',
                     b'"&2AA-"', b"{3}"):
            c.send(b"x CREATE " + name + b"\r\n")
            line = c.readline()
            if line.startswith(b"+"):
                c.send(b"a\0b\r\n")
                line = c.readline()
            assert line.startswith((b"x NO", b"x BAD", b"* BAD", b"x OK")), (name, line)
            if line.startswith(b"x OK"):
                assert name in (b'"../../etc/passwd"',), name  # dots are a name like any other: nothing of it is a path
        assert c.noop()[0] == "OK"


@pytest.mark.parametrize("port", PLAIN)
def test_a_thousand_commands_in_one_packet(server, bystander, port):
    sock = connect(server, port)
    sock.settimeout(30)
    sock.sendall((NOOP[port] + b"\r\n") * 1000)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    assert len(all_of(sock).splitlines()) >= 10


@pytest.mark.parametrize("port", PLAIN)
def test_a_client_that_never_reads(server, bystander, port):
    """Its session waits, and holds no more than its output bound."""
    sock = connect(server, port)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(2)
    with contextlib.suppress(OSError):
        for _ in range(2000):
            sock.sendall((NOOP[port] + b"\r\n") * 100)
    before = memory(server)
    assert before < 1500 << 20
    sock.close()


def memory(server):
    """Bytes of private memory of all programs together."""
    total = 0
    for pid in server.pids().values():
        with open(f"/proc/{pid}/status") as f:
            total += sum(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon"))
    return total


def cut_everywhere(server, port, first, rest):
    """A connection for each byte of what is said, which ends behind it; `rest` follows an answer to `first`."""
    words = first + rest
    for n in range(len(words) + 1):
        sock = connect(server, port)
        sock.sendall(words[: min(n, len(first))])
        if n > len(first):
            assert sock.recv(4096)
            sock.sendall(words[len(first) : n])
        if n % 2:  # half closed: all that came is answered; then it ends
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            all_of(sock)
        sock.close()


STARTTLS = {"smtp": (b"EHLO x\r\n", b"STARTTLS\r\n"), "submission": (b"EHLO x\r\n", b"STARTTLS\r\n"),
            "imap": (b"a STARTTLS\r\n", b""), "pop3": (b"STLS\r\n", b"")}


@pytest.mark.parametrize("port", PLAIN)
def test_starttls_cut_at_every_byte(server, bystander, port):
    cut_everywhere(server, port, *STARTTLS[port])


AUTH = {"submission": (b"EHLO x\r\nAUTH PLAIN\r\n", b"%s\r\n"), "imap": (b"a AUTHENTICATE PLAIN\r\n", b"%s\r\n"),
        "pop3": (b"AUTH PLAIN\r\n", b"%s\r\n")}


@pytest.mark.parametrize("port", AUTH)
def test_auth_cut_at_every_byte(server, bystander, account, port):
    first, rest = AUTH[port]
    cut_everywhere(server, port, first, rest % base64.b64encode(f"\0{account[0]}\0{account[1]}".encode()))
    with mail.Imap(server, account) as c:  # and the account is no worse for it
        assert c.noop()[0] == "OK"


@pytest.mark.parametrize("text", [b"LOGIN " + b"(" * 10000, b"ID " + b"(" * 10000, b"AUTHENTICATE " + b"(" * 10000], ids=["LOGIN", "ID", "AUTHENTICATE"])
def test_deep_parentheses_before_the_password(server, bystander, text):
    sock = connect(server, "imap")
    send_all(sock, b"a " + text + b"\r\nb LOGOUT\r\n")
    got = all_of(sock)
    assert b" BAD " in got and b"* BYE" in got, got[:200]


def test_deep_parentheses_after_the_password(server, bystander, account):
    with mail.Imap(server, account) as c:
        for text in (b"SEARCH " + b"(" * 10000 + b"ALL" + b")" * 10000, b"FETCH 1 " + b"(" * 10000, b"STORE 1 FLAGS " + b"(" * 10000,
                     b"LIST " + b"(" * 10000, b"STATUS INBOX " + b"(" * 10000, b"APPEND INBOX " + b"(" * 10000, b"SEARCH " + b"NOT " * 10000 + b"ALL"):
            c.send(b"x " + text + b"\r\n")
            line = c.readline()
            assert line.split()[:2] in ([b"x", b"NO"], [b"x", b"BAD"]), line
        assert c.noop()[0] == "OK"


def test_a_set_of_a_million_elements(server, bystander, account):
    """It does not fit into a line: a reply, and the end."""
    with mail.Imap(server, account) as c:
        with contextlib.suppress(OSError):
            c.send(b"x UID FETCH " + b",".join(b"%d" % i for i in range(1, 1000001)) + b" FLAGS\r\n")
        got = b""
        with contextlib.suppress(OSError):
            while part := c.readline():
                got += part
        assert got.startswith((b"x BAD", b"* BAD", b"* BYE")) and b"* BYE" in got, got[:200]


def test_100_mb_are_refused_before_they_are_sent(server, bystander, account):
    for text in (b"a LOGIN {104857600}", b"a APPEND INBOX {104857600}", b"a XYZZY {104857600}"):
        sock = connect(server, "imap")
        sock.sendall(text + b"\r\n")
        assert sock.recv(4096).startswith(b"a BAD"), text
        sock.close()
    with mail.Imap(server, account) as c:
        for text in (b"APPEND INBOX {104857600}", b"SELECT {104857600}", b"SEARCH BODY {104857600}", b"XYZZY {104857600}"):
            c.send(b"x " + text + b"\r\n")
            assert c.readline().split()[:2] in ([b"x", b"NO"], [b"x", b"BAD"]), text
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        assert smtp.say(b"MAIL FROM:<a@example.org> SIZE=104857600")[0] == 552


def test_names_that_look_like_paths_or_hold_nul(server, bystander):
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        smtp.say(b"MAIL FROM:<../../etc/passwd@example.org>")
        smtp.say(b"RSET")
        assert smtp.say(b"MAIL FROM:<a@example.org>")[0] == 250
        for name in (b"../../etc/passwd", b"/etc/passwd", b"..", b"usr1/../usr3", b"usr1\0", b"\"usr1\0\"", b"us\0r1"):
            assert smtp.say(b"RCPT TO:<" + name + b"@dominio.com.uy>")[0] in (500, 501, 550, 553), name
    sock = connect(server, "pop3")
    for name in (b"../../etc/passwd", b"usr1\0@dominio.com.uy"):
        sock.sendall(b"USER " + name + b"\r\nPASS x\r\n")
        got = b""
        while got.count(b"\r\n") < 2:
            got += sock.recv(4096)
        assert got.splitlines()[1].startswith(b"-ERR"), got
    for name in (b"../../etc/passwd", b"usr1\0@dominio.com.uy"):
        imap = connect(server, "imap")
        imap.sendall(b'a LOGIN "' + name + b'" x\r\n')
        assert imap.recv(4096).startswith((b"a NO", b"a BAD", b"* BAD")), name


def pop3(server, account):
    sock = connect(server, "pop3")
    sock.sendall(f"USER {account[0]}\r\nPASS {account[1]}\r\n".encode())
    got = b""
    while got.count(b"\r\n") < 2:
        got += sock.recv(4096)
    assert got.splitlines()[1].startswith(b"+OK"), got
    return sock


def test_a_thousand_pop3_commands_in_one_packet_after_the_password(server, bystander, account):
    sock = pop3(server, account)
    sock.sendall(b"NOOP\r\n" * 1000 + b"QUIT\r\n")
    assert all_of(sock).count(b"+OK") == 1001


def test_a_pop3_client_that_never_reads_after_the_password(server, bystander, account):
    mail.deliver(server, mail.message(1 << 20), account[0])
    sock = pop3(server, account)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    before = memory(server)
    sock.settimeout(2)
    with contextlib.suppress(OSError):
        for _ in range(200):
            sock.sendall(b"RETR 1\r\n" * 100)
    assert memory(server) - before < 64 << 20
    sock.close()


def test_what_was_sent_before_tls_is_not_obeyed_inside(server):
    """The injection of CVE-2011-0411."""
    for port, words, answer in (("smtp", b"STARTTLS\r\nRSET\r\n", b"220"), ("submission", b"STARTTLS\r\nRSET\r\n", b"220"),
                                ("pop3", b"STLS\r\nNOOP\r\n", b"+OK")):
        sock = connect(server, port)
        if port != "pop3":
            sock.sendall(b"EHLO x\r\n")
            while b"250 " not in sock.recv(65536):
                pass
        sock.sendall(words)
        first = sock.recv(65536)
        if not first.startswith(answer):
            continue  # refused: as good
        try:
            inside = mail.tls().wrap_socket(sock, server_hostname="localhost")
        except OSError:
            continue
        inside.settimeout(0.5)
        with pytest.raises((TimeoutError, OSError)):
            assert inside.recv(100) == b"", "a command from before TLS was answered inside it"
            raise ConnectionError


@pytest.fixture(scope="module")
def impatient():
    """Short times, few connections."""
    with system.run_system(settings={"smtp_idle_timeout": "2s", "login_timeout": "2s", "handshake_timeout": "2s",
                                     "max_connections_per_ip": "30", "max_errors": "5"}) as s:
        yield s


@pytest.mark.parametrize("port", PLAIN)
def test_silence_ends_with_words(impatient, port):
    sock = connect(impatient, port)
    begun = time.monotonic()
    got = all_of(sock, 20)
    assert 1 < time.monotonic() - begun < 15
    assert got.startswith({"smtp": b"421", "submission": b"421", "imap": b"* BYE", "pop3": b"-ERR"}[port]), got


@pytest.mark.parametrize("port", ["imaps", "pop3s", "submissions"])
def test_silence_instead_of_a_handshake(impatient, port):
    sock = socket.create_connection((impatient.host, impatient.ports[port]), timeout=15)
    assert sock.recv(100) == b""


def test_one_byte_at_a_time(impatient):
    """A command that drips is bound by the same time as silence, or the session would be held for ever."""
    sock = connect(impatient, "imap")
    begun = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - begun < 12:
            sock.sendall(b"x")
            time.sleep(0.5)
    assert time.monotonic() - begun < 12


def test_errors_have_a_bound_that_is_a_setting(impatient):
    sock = connect(impatient, "smtp")
    for _ in range(5):
        send_all(sock, b"XYZZY\r\n")
    got = all_of(sock)
    assert b"421" in got.splitlines()[-1][:3] and len(got.splitlines()) <= 7, got


def test_too_many_connections_of_one_address(impatient):
    socks, refused = [], None
    try:
        for _ in range(40):
            sock = socket.create_connection((impatient.host, impatient.ports["smtp"]), timeout=10)
            socks.append(sock)
            got = sock.recv(4096)
            if not got.startswith(b"220"):
                refused = got
                break
    finally:
        for sock in socks:
            sock.close()
    assert refused is not None and refused.startswith(b"421"), refused
    system.wait_for(lambda: impatient.greets("smtp"), 10, "connections are not given back")
