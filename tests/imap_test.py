"""IMAP conversations with a running system, named after the section of the standard.

The fixture `server` gives host, ports["imap"] (cleartext, STARTTLS) and ports["imaps"], and
accounts: {"usr1@...": password, ...}, at least two. Each test works in a mailbox of its own
name, so that the order of tests does not matter and they can run again on the same system.
"""

import base64
import imaplib
import pathlib
import re
import select
import socket
import ssl
import time
import uuid

import pytest

MESSAGE = (
    b"From: Ana <ana@example.org>\r\nTo: usr1@dominio.com.uy\r\nSubject: =?utf-8?q?hola?=\r\n"
    b"Message-ID: <1@example.org>\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>second</p>\r\n--b--\r\n"
)


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pair of a test system signs itself
    return context


class Raw:
    """A conversation byte by byte, for what imaplib would not say."""

    def __init__(self, server, secure=True, host=None):
        port = server.ports["imaps" if secure else "imap"]
        self.sock = socket.create_connection((host or server.host, port), timeout=10)
        if secure:
            self.sock = tls().wrap_socket(self.sock, server_hostname="localhost")
        self.rest = b""
        self.greeting = self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def starttls(self):
        self.sock = tls().wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while b"\r\n" not in self.rest:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError(self.rest)
            self.rest += got
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def until(self, tag):
        """All lines up to and with the tagged one (answers without literals only)."""
        lines = [self.line()]
        while not lines[-1].startswith(tag + b" "):
            lines.append(self.line())
        return lines

    def command(self, tag, text):
        self.send(tag + b" " + text + b"\r\n")
        return self.until(tag)

    def closed(self):
        """True when the server ends the connection, whatever it says before."""
        try:
            while self.sock.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        except TimeoutError:
            return False
        return True

    def quiet(self, seconds):
        if self.rest:
            return False
        return not select.select([self.sock], [], [], seconds)[0]


def account(server, which=0):
    return list(server.accounts.items())[which]


def login(server, which=0):
    client = imaplib.IMAP4_SSL(server.host, server.ports["imaps"], ssl_context=tls())
    client.login(*account(server, which))
    return client


def raw_login(server):
    user, password = account(server)
    raw = Raw(server)
    assert raw.command(b"l", f'LOGIN "{user}" "{password}"'.encode())[-1].startswith(b"l OK")
    return raw


@pytest.fixture
def client(server):
    c = login(server)
    yield c
    try:
        c.logout()
    except imaplib.IMAP4.error:
        pass


@pytest.fixture
def box(client):
    name = "t-" + uuid.uuid4().hex[:12]
    assert client.create(name)[0] == "OK"
    yield name
    if client.state == "SELECTED":
        client.unselect()
    client.delete(name)


def fill(client, box, count=3, flags=None):
    for i in range(count):
        body = MESSAGE.replace(b"=?utf-8?q?hola?=", b"number %d" % (i + 1))
        assert client.append(box, flags, None, body)[0] == "OK"


def flat(data):
    """One bytes of imaplib's mixture of bytes and pairs."""
    return b" ".join(b"".join(x) if isinstance(x, tuple) else x for x in data if x is not None)


@pytest.fixture
def outside(server):
    """An address of this host at which a client is not on loopback, from where passwords may come in the clear."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            host = probe.getsockname()[0]
            socket.create_connection((host, server.ports["imap"]), timeout=2).close()
        except OSError:
            pytest.skip("no address but loopback is listened on")
    if host.startswith("127."):
        pytest.skip("no address but loopback")
    return host


# RFC 3501 6.1, 6.2: before the password


def test_rfc3501_7_1_5_greeting_and_capability(server, outside):
    with Raw(server, secure=False, host=outside) as raw:
        assert raw.greeting.startswith(b"* OK")
        lines = raw.command(b"a", b"CAPABILITY")
        words = lines[0].split()
        assert words[:2] == [b"*", b"CAPABILITY"] and b"IMAP4rev1" in words
        assert b"STARTTLS" in words and b"LOGINDISABLED" in words
        assert lines[-1].startswith(b"a OK")


def test_rfc3501_6_2_3_login_disabled_without_tls(server, outside):
    user, password = account(server)
    with Raw(server, secure=False, host=outside) as raw:
        assert raw.command(b"a", f'LOGIN "{user}" "{password}"'.encode())[-1].startswith(b"a NO")


def test_rfc3501_6_2_1_starttls(server):
    user, password = account(server)
    with Raw(server, secure=False) as raw:
        assert raw.command(b"a", b"STARTTLS")[-1].startswith(b"a OK")
        raw.starttls()
        words = raw.command(b"b", b"CAPABILITY")[0].split()
        assert b"STARTTLS" not in words and b"LOGINDISABLED" not in words
        assert raw.command(b"c", f'LOGIN "{user}" "{password}"'.encode())[-1].startswith(b"c OK")


def test_rfc3501_6_2_1_commands_sent_before_tls_are_not_obeyed_after_it(server):
    with Raw(server, secure=False) as raw:
        raw.send(b"a STARTTLS\r\nb NOOP\r\n")
        first = raw.until(b"a")[-1]
        if not first.startswith(b"a OK"):
            return  # refused: as good
        try:
            raw.starttls()
        except (ssl.SSLError, ConnectionError):
            return  # closed: as good
        assert raw.quiet(0.3), "the injected NOOP was answered inside TLS"


@pytest.mark.parametrize("initial", [True, False])
def test_rfc3501_6_2_2_and_rfc4959_authenticate_plain(server, initial):
    user, password = account(server)
    secret = base64.b64encode(f"\0{user}\0{password}".encode())
    with Raw(server) as raw:
        if initial:
            raw.send(b"a AUTHENTICATE PLAIN " + secret + b"\r\n")
        else:
            raw.send(b"a AUTHENTICATE PLAIN\r\n")
            assert raw.line().startswith(b"+")
            raw.send(secret + b"\r\n")
        assert raw.until(b"a")[-1].startswith(b"a OK")


def test_rfc3501_6_2_2_authenticate_cancelled(server):
    with Raw(server) as raw:
        raw.send(b"a AUTHENTICATE PLAIN\r\n")
        assert raw.line().startswith(b"+")
        raw.send(b"*\r\n")
        assert raw.until(b"a")[-1].startswith(b"a BAD")
        assert raw.command(b"b", b"NOOP")[-1].startswith(b"b OK")


def test_rfc5530_3_wrong_password(server):
    user, _ = account(server)
    with Raw(server) as raw:
        assert b"[AUTHENTICATIONFAILED]" in raw.command(b"a", f'LOGIN "{user}" "wrong"'.encode())[-1]


def test_rfc3501_4_3_login_with_literals_and_pipelined(server):
    user, password = (x.encode() for x in account(server))
    with Raw(server) as raw:
        raw.send(b"a LOGIN {%d}\r\n" % len(user))
        assert raw.line().startswith(b"+")
        raw.send(user + b" {%d+}\r\n" % len(password) + password + b"\r\nb NOOP\r\nc SELECT INBOX\r\n")
        assert raw.until(b"a")[-1].startswith(b"a OK")
        assert raw.until(b"b")[-1].startswith(b"b OK")
        assert raw.until(b"c")[-1].startswith(b"c OK")


# bad input


@pytest.mark.parametrize("line", [b"a", b"a XYZZY", b"a  NOOP", b"a NOOP x", b"a NO\rOP", b"a LOGIN x", b"+ NOOP"])
def test_rfc3501_7_1_3_bad_command_is_refused_and_the_next_one_works(server, line):
    with Raw(server) as raw:
        raw.send(line + b"\r\n")
        assert re.match(rb"(a|\*) BAD ", raw.line())
        assert raw.command(b"n", b"NOOP")[-1].startswith(b"n OK")


def test_overlong_line_ends_the_session_with_a_reply(server):
    with Raw(server) as raw:
        try:
            raw.send(b"a NOOP " + b"x" * (1 << 20))
        except ConnectionError:
            pass
        try:
            assert re.match(rb"(a|\*) (BAD|BYE)", raw.line())
        except (EOFError, ConnectionError):
            pytest.fail("closed without a reply")
        assert raw.closed()


def test_too_large_literal_before_the_password(server):
    with Raw(server) as raw:
        raw.send(b"a LOGIN {99999999999}\r\n")
        assert re.match(rb"(a|\*) (BAD|NO|BYE)", raw.line())


def test_too_many_errors_end_the_session(server):
    with Raw(server) as raw:
        try:
            for _ in range(100):
                raw.send(b"a XYZZY\r\n")
        except ConnectionError:
            pass
        assert raw.closed()


# RFC 3501 6.3: mailboxes


def test_rfc3501_6_3_1_select(client, box):
    fill(client, box, 2)
    typ, data = client.select(box)
    assert typ == "OK" and data == [b"2"]
    assert client.response("UIDVALIDITY")[1][0].isdigit()
    assert client.response("UIDNEXT")[1][0] == b"3"
    assert b"\\Deleted" in client.response("FLAGS")[1][0]


def test_rfc3501_6_3_1_select_nothing(client):
    typ, data = client.select("no-such-box")
    assert typ == "NO" and b"[NONEXISTENT]" in data[0]
    assert client.state == "AUTH"


def test_rfc3501_6_3_2_examine_is_read_only(client, box):
    fill(client, box, 1)
    assert client.select(box, readonly=True)[0] == "OK"
    assert client.fetch("1", "(BODY[])")[0] == "OK"
    assert b"\\Seen" not in flat(client.fetch("1", "(FLAGS)")[1])
    assert client.store("1", "+FLAGS", "(\\Seen)")[0] == "NO"


def test_rfc3501_5_1_inbox_knows_no_case(client):
    assert client.select("iNbOx")[0] == "OK"


def test_rfc3501_6_3_3_create_twice(client, box):
    typ, data = client.create(box)
    assert typ == "NO" and b"[ALREADYEXISTS]" in data[0]


def test_rfc3501_6_3_5_rename_and_5_1_3_utf7(client, box):
    name = box + "-&AOk-"
    assert client.rename(box, name)[0] == "OK"
    assert client.select(name)[0] == "OK"
    assert client.select(box)[0] == "NO"
    assert client.rename(name, box)[0] == "OK"
    assert client.create("broken-&")[0] in ("NO", "BAD")


def test_rfc3501_6_3_8_list(client, box):
    assert client.create(box + "/a/b")[0] == "OK"
    try:
        deep = flat(client.list('""', box + "*")[1])
        flat_one = flat(client.list('""', box + "/%")[1])
        assert (box + "/a/b").encode() in deep
        assert (box + "/a").encode() in flat_one and (box + "/a/b").encode() not in flat_one
        assert b'"/"' in flat(client.list('""', '""')[1])
    finally:
        client.delete(box + "/a/b")
        client.delete(box + "/a")


def test_rfc3501_6_3_6_subscribe_and_lsub(client, box):
    assert client.subscribe(box)[0] == "OK"
    assert box.encode() in flat(client.lsub('""', box)[1])
    assert client.unsubscribe(box)[0] == "OK"
    assert box.encode() not in flat(client.lsub('""', box)[1])


def test_rfc3501_6_3_10_status(client, box):
    fill(client, box, 3)
    got = client.status(box, "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)")[1][0]
    assert b"MESSAGES 3" in got and b"UNSEEN 3" in got and b"UIDNEXT 4" in got


def test_rfc3501_6_3_11_append_flags_date_and_uidplus(client, box):
    typ, data = client.append(box, "(\\Seen $Mine)", '"17-Jul-1996 02:44:25 -0700"', MESSAGE)
    assert typ == "OK" and re.search(rb"\[APPENDUID \d+ 1\]", data[0])
    client.select(box)
    got = flat(client.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE)")[1])
    assert b"\\Seen" in got and b"$Mine" in got and b"RFC822.SIZE %d" % len(MESSAGE) in got
    assert imaplib.Internaldate2tuple(got) == time.localtime(837596665)


def test_rfc3501_6_3_11_append_trycreate(client):
    typ, data = client.append("no-such-box", None, None, MESSAGE)
    assert typ == "NO" and b"[TRYCREATE]" in data[0]


def test_rfc7888_append_without_waiting(server, client, box):
    with raw_login(server) as raw:
        raw.send(b"a APPEND %s {%d+}\r\n" % (box.encode(), len(MESSAGE)) + MESSAGE + b"\r\nb NOOP\r\n")
        assert b"[APPENDUID" in raw.until(b"a")[-1]
        assert raw.until(b"b")[-1].startswith(b"b OK")


def test_rfc3502_6_3_11_several_messages_at_once(server, client, box):
    one, two = MESSAGE, b"Subject: Re: afternoon meeting\r\n\r\n3:30 is fine with me.\r\n"
    with raw_login(server) as raw:
        raw.send(b"A003 APPEND %s (\\Seen) {%d}\r\n" % (box.encode(), len(one)))
        assert raw.line().startswith(b"+ ")
        raw.send(one + b' (\\Flagged) " 7-Feb-1994 22:43:04 -0800" {%d}\r\n' % len(two))
        assert raw.line().startswith(b"+ ")
        assert b"MESSAGES 0" in client.status(box, "(MESSAGES)")[1][0]
        raw.send(two + b"\r\n")
        assert re.search(rb"^A003 OK \[APPENDUID \d+ 1:2\] ", raw.until(b"A003")[-1])
    client.select(box)
    got = client.fetch("1:2", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
    assert [row[1] for row in got if isinstance(row, tuple)] == [one, two]
    assert b"\\Seen" in got[0][0] and b"\\Flagged" in got[2][0]
    assert imaplib.Internaldate2tuple(got[2][0]) == time.localtime(760689784)


@pytest.mark.parametrize("size", [1000, 2 << 20])
@pytest.mark.parametrize("then", [b" {0}\r\n", b" (\\Recent) {5}\r\n", b" {5}\r\n12", None])
def test_rfc3502_6_3_11_all_or_none(server, client, box, size, then):
    """Cancelled, wrong, or cut off (in the second message, or behind the first): no message, and no file of a large one."""
    folder = pathlib.Path(server.root) / "store" / "log"

    def files():
        return {path.name for path in folder.glob("side-*")}

    before = files()
    body = (b"0123456789abcde\r\n" * (size // 17 + 1))[:size]
    with raw_login(server) as raw:
        raw.send(b"a APPEND %s {%d+}\r\n" % (box.encode(), size) + body + (then or b""))
        if then and b"12" not in then:
            assert re.match(rb"a (NO|BAD) ", raw.until(b"a")[-1])
            assert raw.command(b"b", b"NOOP")[-1].startswith(b"b OK")
        elif size > 1 << 20:  # it is there before the cut
            deadline = time.monotonic() + 10
            while not files() - before and time.monotonic() < deadline:
                time.sleep(0.005)
            assert files() - before
    deadline = time.monotonic() + 10
    while files() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not files() - before
    assert b"MESSAGES 0 UIDNEXT 1" in client.status(box, "(MESSAGES UIDNEXT)")[1][0]


@pytest.mark.parametrize("size", [1, 1000, 65536, 1 << 20, 12 << 20])
def test_append_is_fetched_byte_for_byte(client, box, size):
    body = b"Subject: x\r\n\r\n" + (b"0123456789abcdef\r\n" * (size // 18 + 1))[:size].rstrip(b"\r\n") + b"\r\n"
    assert client.append(box, None, None, body)[0] == "OK"
    client.select(box)
    assert client.fetch("1", "(BODY.PEEK[])")[1][0][1] == body


# RFC 3501 6.4: messages


def test_rfc3501_6_4_5_fetch_sections(client, box):
    fill(client, box, 1)
    client.select(box)
    head, _, body = MESSAGE.replace(b"=?utf-8?q?hola?=", b"number 1").partition(b"\r\n\r\n")

    def one(item):
        return client.fetch("1", f"(BODY.PEEK[{item}])")[1][0][1]

    assert one("HEADER") == head + b"\r\n\r\n"
    assert one("TEXT") == body
    assert one("1") == b"first"
    assert one("2.MIME") == b"Content-Type: text/html\r\n\r\n"
    assert one("HEADER.FIELDS (SUBJECT)") == b"Subject: number 1\r\n\r\n"
    assert b"Subject" not in one("HEADER.FIELDS.NOT (SUBJECT)")
    assert client.fetch("1", "(BODY.PEEK[TEXT]<2.3>)")[1][0][1] == body[2:5]
    assert b"\\Seen" not in flat(client.fetch("1", "(FLAGS)")[1])
    client.fetch("1", "(BODY[TEXT])")
    assert b"\\Seen" in flat(client.fetch("1", "(FLAGS)")[1])


def test_rfc3501_7_4_2_envelope_and_bodystructure(client, box):
    fill(client, box, 1)
    client.select(box)
    envelope = flat(client.fetch("1", "(ENVELOPE)")[1])
    assert b'("Ana" NIL "ana" "example.org")' in envelope and b'"<1@example.org>"' in envelope
    structure = flat(client.fetch("1", "(BODYSTRUCTURE)")[1]).lower()
    assert b'"text" "plain"' in structure and b'"text" "html"' in structure and b'"mixed"' in structure


def test_rfc3501_6_4_5_macros_and_missing_numbers(client, box):
    fill(client, box, 2)
    client.select(box)
    assert b"INTERNALDATE" in flat(client.fetch("1:2", "FAST")[1])
    assert client.uid("FETCH", "900:999", "(FLAGS)")[0] == "OK"  # RFC 3501 6.4.8: no error


def test_rfc3501_6_4_6_store(client, box):
    fill(client, box, 3)
    client.select(box)
    assert b"\\Flagged" in flat(client.store("1:2", "+FLAGS", "(\\Flagged)")[1])
    assert flat(client.store("1", "+FLAGS.SILENT", "(\\Seen)")[1]) == b""
    got = flat(client.store("1", "-FLAGS", "(\\Flagged)")[1])
    assert b"\\Seen" in got and b"\\Flagged" not in got
    assert client.store("3", "FLAGS", "(word)")[0] == "OK"
    assert client.search(None, "KEYWORD", "word")[1] == [b"3"]


def test_rfc3501_6_4_4_search(client, box):
    fill(client, box, 3)
    client.select(box)
    client.store("2", "+FLAGS.SILENT", "(\\Seen \\Flagged)")

    def found(*keys):
        return client.search(None, *keys)[1][0]

    assert found("ALL") == b"1 2 3"
    assert found("UNSEEN") == b"1 3"
    assert found("OR", "FLAGGED", "3") == b"2 3"
    assert found("NOT", "(SEEN FLAGGED)") == b"1 3"
    assert found("SUBJECT", '"number 2"') == b"2"
    assert found("HEADER", "Message-ID", '""') == b"1 2 3"
    assert found("FROM", "ANA") == b"1 2 3"
    assert found("BODY", "second") == b"1 2 3"
    assert found("SENTBEFORE", "8-Feb-1994", "SENTSINCE", "7-Feb-1994") == b"1 2 3"
    assert found("UID", "2:*") == b"2 3"
    with pytest.raises(imaplib.IMAP4.error):
        client.search(None, "XYZZY")


def test_rfc3501_6_4_4_badcharset(server, client, box):
    with raw_login(server) as raw:
        raw.command(b"s", b"SELECT " + box.encode())
        assert b"[BADCHARSET" in raw.command(b"a", b"SEARCH CHARSET X-NONE ALL")[-1]


def test_rfc3501_6_4_3_expunge_numbers_move_down(client, box):
    fill(client, box, 4)
    client.select(box)
    client.store("2:3", "+FLAGS.SILENT", "(\\Deleted)")
    assert client.expunge()[1] in ([b"2", b"2"], [b"3", b"2"])
    assert client.uid("SEARCH", "ALL")[1] == [b"1 4"]


def test_rfc4315_2_1_uid_expunge(client, box):
    fill(client, box, 3)
    client.select(box)
    client.store("1:3", "+FLAGS.SILENT", "(\\Deleted)")
    assert client.uid("EXPUNGE", "2")[0] == "OK"
    assert client.uid("SEARCH", "ALL")[1] == [b"1 3"]


def test_rfc3501_6_4_2_close_expunges_and_rfc3691_unselect_does_not(client, box):
    fill(client, box, 2)
    client.select(box)
    client.store("1", "+FLAGS.SILENT", "(\\Deleted)")
    client.unselect()
    assert client.select(box)[1] == [b"2"]
    client.close()
    assert client.select(box)[1] == [b"1"]


def test_rfc3501_6_4_7_copy_and_rfc6851_move(server, client, box):
    fill(client, box, 3)
    to = box + "-to"
    client.create(to)
    try:
        with raw_login(server) as raw:
            raw.command(b"s", b"SELECT " + box.encode())
            assert re.search(rb"^a OK \[COPYUID \d+ 1:2 1:2\]", raw.command(b"a", b"COPY 1:2 " + to.encode())[-1])
            assert b"MESSAGES 2" in client.status(to, "(MESSAGES)")[1][0]
            lines = raw.command(b"b", b"UID MOVE 3 " + to.encode())
            assert b"* 3 EXPUNGE" in lines and lines[-1].startswith(b"b OK")
            assert raw.command(b"c", b"SEARCH ALL")[0] == b"* SEARCH 1 2"
            assert b"MESSAGES 3" in client.status(to, "(MESSAGES)")[1][0]
            last = raw.command(b"d", b"COPY 1 no-such-box")[-1]
            assert last.startswith(b"d NO") and b"[TRYCREATE]" in last
    finally:
        client.delete(to)


# two sessions


def test_rfc3501_7_4_1_no_expunge_during_fetch(server, client, box):
    fill(client, box, 3)
    client.select(box)
    with raw_login(server) as other:
        other.command(b"s", b"SELECT " + box.encode())
        client.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        client.expunge()
        assert not any(b"EXPUNGE" in x for x in other.command(b"a", b"FETCH 2:3 (FLAGS)"))
        assert not any(b"EXPUNGE" in x for x in other.command(b"b", b"SEARCH ALL"))
        assert b"* 1 EXPUNGE" in other.command(b"c", b"NOOP")


def test_rfc3501_5_2_flags_of_others_are_seen(server, client, box):
    fill(client, box, 1)
    client.select(box)
    with raw_login(server) as other:
        other.command(b"s", b"SELECT " + box.encode())
        client.store("1", "+FLAGS.SILENT", "(\\Flagged)")
        assert any(b"FETCH" in x and b"\\Flagged" in x for x in other.command(b"a", b"NOOP"))


def test_rfc2177_idle_tells_within_50_ms(server, client, box):
    with raw_login(server) as other:
        other.command(b"s", b"SELECT " + box.encode())
        other.send(b"i IDLE\r\n")
        assert other.line().startswith(b"+")
        delays = []
        for n in range(1, 6):
            fill(client, box, 1)
            begun = time.monotonic()
            while other.line() != b"* %d EXISTS" % n:
                pass
            delays.append(time.monotonic() - begun)
        other.send(b"DONE\r\n")
        assert other.until(b"i")[-1].startswith(b"i OK")
        assert sorted(delays)[len(delays) // 2] < 0.05, delays


def test_accounts_do_not_see_each_other(server, client, box):
    other = login(server, 1)
    try:
        assert other.select(box)[0] == "NO"
        assert box.encode() not in flat(other.list()[1])
    finally:
        other.logout()


# what a client missed: against the real store, which remembers it in its own way


def code(lines, name):
    """The value of "[NAME value]" in the answers."""
    return next(x.split(b"[" + name + b" ")[1].split(b"]")[0] for x in lines if b"[" + name + b" " in x)


def test_rfc7162_3_2_5_resync_after_expunge_move_and_flags(server, client, box):
    client.create(box + "/b")
    fill(client, box, 6)
    with raw_login(server) as other:
        assert b"* ENABLED QRESYNC" in other.command(b"e", b"ENABLE QRESYNC")
        lines = other.command(b"s", b"SELECT " + box.encode())
        validity, modseq = code(lines, b"UIDVALIDITY"), code(lines, b"HIGHESTMODSEQ")
    client.select(box)
    client.store("2", "+FLAGS.SILENT", "(\\Deleted)")
    client.expunge()
    client.store("3", "+FLAGS", "(\\Flagged $Mine)")
    client.uid("MOVE", "5:6", box + "/b")
    fill(client, box, 1)
    with raw_login(server) as other:
        other.command(b"e", b"ENABLE QRESYNC")
        select = b"SELECT %s (QRESYNC (%s %%s))" % (box.encode(), validity)
        lines = other.command(b"s", select % (modseq + b" 1:6"))
        assert b"* VANISHED (EARLIER) 2,5:6" in lines, lines
        changed = [x for x in lines if b" FETCH " in x]
        assert len(changed) == 1 and b"UID 4 FLAGS (" in changed[0] and b"\\Flagged" in changed[0], lines
        # Without the list of what it knows it hears of the new one too; from where it is now, of nothing.
        assert len([x for x in other.command(b"t", select % modseq) if b" FETCH " in x]) == 2
        now = code(lines, b"HIGHESTMODSEQ")
        assert int(now) > int(modseq)
        assert not any(b"FETCH" in x or b"VANISHED" in x for x in other.command(b"u", select % now))
        # What goes from now on is told by UID, and up to which modification all was told.
        other.command(b"v", b"STORE 1 +FLAGS.SILENT (\\Deleted)")
        lines = other.command(b"w", b"EXPUNGE")
        assert lines[0] == b"* VANISHED 1" and int(code(lines, b"HIGHESTMODSEQ")) > int(now)
        assert b"* VANISHED (EARLIER) 1:2,5:6" in other.command(
            b"x", b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE %s VANISHED)" % modseq)


def test_rfc7162_3_1_3_only_one_of_two_wins(server, client, box):
    fill(client, box, 2)
    with raw_login(server) as one, raw_login(server) as two:
        known = code(one.command(b"s", b"SELECT %s (CONDSTORE)" % box.encode()), b"HIGHESTMODSEQ")
        two.command(b"s", b"SELECT %s (CONDSTORE)" % box.encode())
        store = b"STORE 1:2 (UNCHANGEDSINCE %s) +FLAGS.SILENT ($Taken)" % known
        assert one.command(b"a", store)[-1].startswith(b"a OK STORE")
        assert two.command(b"a", store)[-1].startswith(b"a OK [MODIFIED 1:2]")


def test_rfc3501_2_3_2_recent_is_for_the_first(server, client, box):
    fill(client, box, 2)
    with raw_login(server) as one, raw_login(server) as two:
        assert b"* 2 RECENT" in one.command(b"s", b"EXAMINE " + box.encode())
        assert b"* 2 RECENT" in one.command(b"s", b"SELECT " + box.encode())
        assert b"* 0 RECENT" in two.command(b"s", b"SELECT " + box.encode())


def test_rfc5258_and_rfc5819_list(server, client, box):
    client.create(box + "/a/b")
    client.subscribe(box + "/a/b")
    client.subscribe(box + "/gone")
    with raw_login(server) as raw:
        assert raw.command(b"a", b"LIST (SUBSCRIBED) \"\" %s/* RETURN (STATUS (MESSAGES))" % box.encode())[:-1] == [
            b'* LIST (\\Subscribed) "/" %s/a/b' % box.encode(), b"* STATUS %s/a/b (MESSAGES 0)" % box.encode(),
            b'* LIST (\\NonExistent \\Subscribed) "/" %s/gone' % box.encode()]
        assert raw.command(b"b", b"LIST (SUBSCRIBED RECURSIVEMATCH) \"\" " + box.encode())[:-1] == [
            b'* LIST () "/" %s ("CHILDINFO" ("SUBSCRIBED"))' % box.encode()]


# the rest


def test_rfc2342_5_namespace(client):
    assert client.namespace()[1][0].startswith(b'(("" "/"))')


def test_rfc2971_3_id(server):
    with Raw(server) as raw:
        lines = raw.command(b"a", b"ID NIL")
        assert lines[0].startswith(b"* ID") and lines[-1].startswith(b"a OK")


def test_rfc3501_6_1_3_logout(server):
    with raw_login(server) as raw:
        lines = raw.command(b"a", b"LOGOUT")
        assert lines[0].startswith(b"* BYE") and lines[-1].startswith(b"a OK")
        assert raw.closed()


def test_rfc3501_3_commands_in_the_wrong_state(server):
    with Raw(server) as raw:
        assert raw.command(b"a", b"SELECT INBOX")[-1].startswith(b"a BAD")
    with raw_login(server) as raw:
        assert raw.command(b"a", b"FETCH 1 FLAGS")[-1].startswith(b"a BAD")
        assert raw.command(b"b", b"LOGIN x y")[-1].startswith(b"b BAD")
