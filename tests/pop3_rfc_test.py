"""POP3 conversations, each named by the section that it is about. `C` is said, `S` must come: a regular expression over a
whole line, in which {1}, {2}, {all} are the sizes of the messages and of the maildrop. `*` is the rest of a multi-line answer,
`TLS` a handshake, `END` the end of the connection, `=` bytes as they are."""

import base64
import contextlib
import re
import socket

import pytest

import mail
from system import wait_for

FIRST = b"From: a@example.org\r\nSubject: one\r\n\r\nline 1\r\n.dot\r\n..two\r\n.\r\nlast\r\n"
SECOND = b"From: b@example.org\r\nSubject: =?utf-8?q?dos?=\r\n\r\nsecond\r\n"
LOGIN = ["S \\+OK .*", "C USER {user}", "S \\+OK.*", "C PASS {password}", "S \\+OK.*"]
QUIT = ["C QUIT", "S \\+OK.*", "END"]
BYE = "S -ERR.*"


def plain(user, password, authzid=""):
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


# name, what happens; before the password
BEFORE = {
    "1939-4 greeting": ["S \\+OK mail\\.dominio\\.com\\.uy POP3 ready", *QUIT],
    "1939-3 commands in any case": ["S \\+OK.*", "C qUiT", "S \\+OK.*", "END"],
    "1939-3 an unknown command": ["S \\+OK.*", "C XTND XMIT", BYE, *QUIT],
    "1939-3 a bare LF ends no line": ["S \\+OK.*", "= QUIT\n", BYE, *QUIT],
    "1939-4 no TRANSACTION before the password": ["S \\+OK.*", "C STAT", BYE, "C LIST", BYE, "C RETR 1", BYE, "C DELE 1", BYE, *QUIT],
    "1939-7 USER and PASS": [*LOGIN, *QUIT],
    "1939-7 PASS without USER": ["S \\+OK.*", "C PASS x", "S -ERR .*", *QUIT],
    "1939-7 USER does not tell who there is": ["S \\+OK.*", "C USER nobody-at-all", "S \\+OK.*", "C USER {user}", "S \\+OK.*", *QUIT],
    "1939-7 PASS wrong, then right": ["S \\+OK.*", "C USER {user}", "S \\+OK.*", "C PASS wrong", "S -ERR \\[AUTH\\].*",
                                      "C PASS {password}", "S -ERR.*", "C USER {user}", "S \\+OK.*", "C PASS {password}", "S \\+OK.*", *QUIT],
    "1939-7 PASS takes spaces as part of it": ["S \\+OK.*", "C USER {user}", "S \\+OK.*", "C PASS {password} x", "S -ERR \\[AUTH\\].*", *QUIT],
    "1939-7 APOP is not offered": ["S (?!.*<).*", "C APOP {user} c4c9334bac560ecc979e58001b3e22fb", "S -ERR.*", *QUIT],
    "1939-4 QUIT before the password": ["S \\+OK.*", *QUIT],
    "2449-4 a line of 255 octets": ["S \\+OK.*", "C USER " + "x" * 248, "S \\+OK.*", "C USER " + "x" * 249, "S -ERR.*", *QUIT],
    "2449-5 CAPA before the password": ["S \\+OK.*", "C CAPA", "S \\+OK.*", "has STLS", "has USER", "has SASL.* SCRAM-SHA-256.*", "has TOP",
                                        "has UIDL", "has PIPELINING", "has RESP-CODES", "has AUTH-RESP-CODE", "has UTF8.*", "has LANG",
                                        "not LOGIN-DELAY.*", "*", *QUIT],
    "2449-5 CAPA takes no argument": ["S \\+OK.*", "C CAPA x", "S -ERR.*", *QUIT],
    "2449-6.8 PIPELINING before the password": ["S \\+OK.*", "= CAPA\r\nUSER {user}\r\nPASS {password}\r\nSTAT\r\nQUIT\r\n", "S \\+OK.*", "*", "S \\+OK.*",
                                                "S \\+OK.*", "S \\+OK 2 {all}", "S \\+OK.*", "END"],
    "2449-8.1.2 IN-USE has a code": [*LOGIN, "SECOND", *QUIT],
    "2595-4 STLS": ["S \\+OK.*", "C STLS", "S \\+OK.*", "TLS", "C CAPA", "S \\+OK.*", "not STLS", "has USER", "*", *QUIT],
    "2595-4 the password after STLS": ["S \\+OK.*", "C STLS", "S \\+OK.*", "TLS", *LOGIN[1:], *QUIT],
    "2595-4 STLS twice": ["S \\+OK.*", "C STLS", "S \\+OK.*", "TLS", "C STLS", BYE, *QUIT],
    "2595-4 what was said before STLS is forgotten": ["S \\+OK.*", "C USER {user}", "S \\+OK.*", "C STLS", "S \\+OK.*", "TLS", "C PASS {password}", BYE, *QUIT],
    "2595-4 nothing may follow STLS": ["S \\+OK.*", "= STLS\r\nCAPA\r\n", BYE, "S \\+OK.*", "*", *QUIT],
    "2595-4 STLS takes no argument": ["S \\+OK.*", "C STLS now", BYE, *QUIT],
    "2595-4 STLS not after the password": [*LOGIN, "C STLS", BYE, *QUIT],
    "5034-4 AUTH with an initial response": ["S \\+OK.*", "C AUTH PLAIN {plain}", "S \\+OK.*", "C STAT", "S \\+OK 2 {all}", *QUIT],
    "5034-4 AUTH without one": ["S \\+OK.*", "C AUTH PLAIN", "S \\+ ?", "C {plain}", "S \\+OK.*", *QUIT],
    "5034-4 AUTH cancelled": ["S \\+OK.*", "C AUTH PLAIN", "S \\+ ?", "C *", "S -ERR.*", *LOGIN[1:], *QUIT],
    "5034-4 AUTH with an empty initial response": ["S \\+OK.*", "C AUTH PLAIN =", "S -ERR.*", *QUIT],
    "5034-4 AUTH with what is not base64": ["S \\+OK.*", "C AUTH PLAIN @@@@", "S -ERR.*", "C AUTH PLAIN", "S \\+ ?", "C a=b", "S -ERR.*", *QUIT],
    "5034-4 AUTH with an unknown mechanism": ["S \\+OK.*", "C AUTH X-NONE", "S -ERR.*", *QUIT],
    "5034-4 the mechanism in lower case": ["S \\+OK.*", "C auth plain {plain}", "S \\+OK.*", *QUIT],
    "5034-4 AUTH not after the password": [*LOGIN, "C AUTH PLAIN {plain}", BYE, *QUIT],
    "5034-4 AUTH LOGIN": ["S \\+OK.*", "C AUTH LOGIN", "S \\+ VXNlcm5hbWU6", "C {user64}", "S \\+ UGFzc3dvcmQ6", "C {password64}", "S \\+OK.*", *QUIT],
    "5034-4 AUTH alone lists": ["S \\+OK.*", "C AUTH", "S \\+OK.*", "has PLAIN", "has SCRAM-SHA-256", "*", *QUIT],
    "5034-4 lines of AUTH may be long": ["S \\+OK.*", "C AUTH PLAIN " + "A" * 8000, "S -ERR.*", *QUIT],
    "4616-2 another's identity is refused": ["S \\+OK.*", "C AUTH PLAIN {as_other}", "S -ERR \\[AUTH\\].*", *QUIT],
    "4616-2 one's own identity": ["S \\+OK.*", "C AUTH PLAIN {as_self}", "S \\+OK.*", *QUIT],
    "3206-4 AUTH tells wrong passwords from other failures": ["S \\+OK.*", "C AUTH PLAIN {wrong}", "S -ERR \\[AUTH\\].*", *QUIT],
    "6856-2.1 UTF8": ["S \\+OK.*", "C UTF8", "S \\+OK.*", "C UTF8 x", BYE, *LOGIN[1:], *QUIT],
    "6856-2.1 no STLS after UTF8": ["S \\+OK.*", "C UTF8", "S \\+OK.*", "C STLS", BYE, *QUIT],
    "6856-2.1 UTF8 not after the password": [*LOGIN, "C UTF8", BYE, *QUIT],
    "6856-2.2 what is not UTF-8 is refused": ["S \\+OK.*", "= USER \xff\xfe\r\n", "S \\+OK.*", "C PASS x", "S -ERR \\[AUTH\\].*", *QUIT],
    "6856-3 LANG lists": ["S \\+OK.*", "C LANG", "S \\+OK.*", "has en .*", "*", *QUIT],
    "6856-3 LANG chooses": ["S \\+OK.*", "C LANG en", "S \\+OK en .*", "C LANG MUL", BYE, "C LANG *", "S \\+OK en .*", *QUIT],
    "too many errors end it": ["S \\+OK.*", *["C XYZ", BYE] * 10, "S -ERR Too many errors", "END"],
}

# after the password, in a maildrop of two messages
AFTER = {
    "1939-5 STAT": ["C STAT", "S \\+OK 2 {all}", "C STAT 1", BYE, *QUIT],
    "1939-5 LIST": ["C LIST", "S \\+OK.*", "S 1 {1}", "S 2 {2}", "S \\.", *QUIT],
    "1939-5 LIST of one": ["C LIST 2", "S \\+OK 2 {2}", "C LIST 3", BYE, "C LIST 0", BYE, "C LIST x", BYE, *QUIT],
    "1939-5 RETR": ["C RETR 1", "S \\+OK {1} octets", "IS FIRST", *QUIT],
    "1939-5 RETR of what is not there": ["C RETR 3", BYE, "C RETR", BYE, "C RETR 99999999999999999999", BYE, *QUIT],
    "1939-5 DELE": ["C DELE 1", "S \\+OK.*", "C DELE 1", BYE, "C RETR 1", BYE, "C LIST 1", BYE, "C LIST", "S \\+OK.*", "S 2 {2}", "S \\.",
                    "C STAT", "S \\+OK 1 {2}", "C RSET", "S \\+OK.*", *QUIT],
    "1939-5 NOOP": ["C NOOP", "S \\+OK", "C NOOP x", BYE, *QUIT],
    "1939-5 RSET": ["C DELE 1", "S \\+OK.*", "C DELE 2", "S \\+OK.*", "C STAT", "S \\+OK 0 0", "C RSET", "S \\+OK.*", "C STAT", "S \\+OK 2 {all}", *QUIT],
    "1939-5 USER not again": ["C USER {user}", BYE, "C PASS x", BYE, *QUIT],
    "1939-6 without QUIT nothing is deleted": ["C DELE 1", "S \\+OK.*", "CUT", *LOGIN, "C STAT", "S \\+OK 2 {all}", *QUIT],
    "1939-7 TOP 0": ["C TOP 1 0", "S \\+OK.*", "HAS From: a@example.org", "ENDS \r\n\r\n", *QUIT],
    "1939-7 TOP 2": ["C TOP 1 2", "S \\+OK.*", "ENDS \r\n\r\nline 1\r\n.dot\r\n", *QUIT],
    "1939-7 TOP of more than there is": ["C TOP 1 10000", "S \\+OK.*", "IS FIRST", *QUIT],
    "1939-7 TOP wants two numbers": ["C TOP 1", BYE, "C TOP", BYE, "C TOP 1 -1", BYE, "C TOP 3 1", BYE, *QUIT],
    "1939-7 UIDL": ["C UIDL", "S \\+OK.*", "S 1 [!-~]{{1,70}}", "S 2 [!-~]{{1,70}}", "S \\.", *QUIT],
    "1939-7 UIDL of one": ["C UIDL 1", "S \\+OK 1 [!-~]{{1,70}}", "C UIDL 3", BYE, *QUIT],
    "1939-3 dots are stuffed": ["= RETR 1\r\n", "S \\+OK.*", "RAW \r\n..dot\r\n...two\r\n..\r\nlast\r\n.\r\n", *QUIT],
    "2449-5 CAPA after the password": ["C CAPA", "S \\+OK.*", "not STLS", "not USER", "not SASL.*", "has TOP", "has UIDL", "has PIPELINING", "has EXPIRE NEVER",
                                       "has RESP-CODES", "has IMPLEMENTATION .*", "*", *QUIT],
    "2449-6.8 PIPELINING": ["= STAT\r\nLIST 1\r\nNOOP\r\nRETR 9\r\nDELE 1\r\nRSET\r\nQUIT\r\n", "S \\+OK 2 {all}", "S \\+OK 1 {1}", "S \\+OK", BYE, "S \\+OK.*",
                            "S \\+OK.*", "S \\+OK.*", "END"],
    "2449-4 a line that is too long": ["C LIST " + "1" * 300, "S -ERR.*", *QUIT],
    "6856-3 LANG": ["C LANG i-default", "S \\+OK i-default .*", *QUIT],
}


class Client:
    def __init__(self, server, words, port="pop3"):
        self.server, self.words, self.port = server, words, port
        self.connect()

    def connect(self):
        self.sock = socket.create_connection((self.server.host, self.server.ports[self.port]), timeout=20)
        self.file = self.sock.makefile("rb")

    def line(self):
        return self.file.readline(2000)

    def lines(self):
        got = []
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n"), line
            got.append(line)
        return got

    def send(self, text):
        self.sock.sendall(text.encode("latin-1"))

    def expect(self, pattern):
        got = self.line()
        assert got.endswith(b"\r\n"), (pattern, got)
        assert re.fullmatch(pattern, got[:-2].decode("latin-1")), (pattern, got)

    def upgrade(self):
        self.sock = mail.tls().wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")

    def play(self, steps):
        told = None  # a multi-line answer that has/not/HAS/... look at
        for step in steps:
            word, _, rest = step.partition(" ")
            if word in ("has", "not", "HAS", "IS", "ENDS", "RAW"):
                if told is None:
                    told = self.lines()
                self.look(word, rest, told)
                continue
            if told is None and word == "*":
                self.lines()
            told = None
            if word == "C":
                self.send(rest.format(**self.words) + "\r\n" if "{" in rest else rest + "\r\n")
            elif word == "=":
                self.send(rest.format(**self.words) if "{" in rest else rest)
            elif word == "S":
                self.expect(rest.format("", *self.words["sizes"], all=self.words["all"]))
            elif word == "TLS":
                self.upgrade()
            elif word == "END":
                assert self.line() == b""
            elif word == "CUT":
                self.sock.close()
                self.file.close()
                self.connect()
            elif word == "SECOND":
                other = Client(self.server, self.words)
                other.play([*LOGIN[:4], "S -ERR \\[IN-USE\\].*", *QUIT])

    def look(self, word, rest, told):
        raw = b"".join(told)
        plain = b"".join(x[1:] if x.startswith(b".") else x for x in told)
        found = [x for x in told if re.fullmatch(rest, x[:-2].decode("latin-1"))] if word in ("has", "not") else None
        if word == "has":
            assert len(found) == 1, (rest, told)
        elif word == "not":
            assert found == [], (rest, told)
        elif word == "HAS":
            assert rest.encode() in plain
        elif word == "IS":
            mail.assert_same(plain, {"FIRST": FIRST}[rest])
        elif word == "ENDS":
            assert plain.endswith(rest.encode()), plain
        elif word == "RAW":
            assert (raw + b".\r\n").endswith(rest.encode()), raw


@pytest.fixture(scope="module")
def words(server):
    user, password = server.new_account()
    mail.deliver(server, FIRST, user)
    mail.deliver(server, SECOND, user)
    pop = Client(server, {"user": user, "password": password, "sizes": [], "all": 0})
    pop.play([*LOGIN, "C LIST"])
    pop.line()
    sizes = [int(x.split()[1]) for x in pop.lines()]
    pop.play(QUIT)
    return {
        "user": user, "password": password, "sizes": sizes, "all": sum(sizes), "plain": plain(user, password),
        "user64": base64.b64encode(user.encode()).decode(), "password64": base64.b64encode(password.encode()).decode(),
        "as_other": plain(user, password, "usr1"), "as_self": plain(user, password, user), "wrong": plain(user, "wrong"),
    }


@pytest.mark.parametrize("name", BEFORE)
def test_before_the_password(server, words, name):
    Client(server, words).play(BEFORE[name])


@pytest.mark.parametrize("name", AFTER)
def test_after_the_password(server, words, name):
    Client(server, words).play([*LOGIN, *AFTER[name]])


def fresh(server, *messages):
    user, password = server.new_account()
    for message in messages:
        mail.deliver(server, message, user)
    words = {"user": user, "password": password, "sizes": [], "all": 0}
    client = Client(server, words)
    client.play(LOGIN)
    return client, (user, password)


def again(client, steps):
    other = Client(client.server, client.words)
    other.play([*LOGIN, *steps])
    return other


def test_1939_6_quit_deletes_what_is_marked(server):
    pop, _ = fresh(server, FIRST, SECOND, FIRST)
    pop.play(["C UIDL 2", "S \\+OK 2 .*", "C DELE 1", "S \\+OK.*", "C DELE 3", "S \\+OK.*", *QUIT])
    again(pop, ["C STAT", "S \\+OK 1 .*", "C TOP 1 0", "S \\+OK.*", "HAS From: b@example.org", *QUIT])


def test_1939_7_a_uid_stays_with_its_message(server):
    pop, account = fresh(server, FIRST, SECOND)
    pop.send("UIDL 2\r\n")
    uid = pop.line().split()[2]
    pop.play(["C DELE 1", "S \\+OK.*", *QUIT])
    mail.deliver(server, FIRST, account[0])
    other = again(pop, [])
    other.send("UIDL\r\n")
    other.line()
    uids = [x.split()[1] for x in other.lines()]
    assert uids[0] == uid and uids[1] != uid and len(uids) == 2
    other.play(QUIT)


def test_1939_4_a_session_sees_what_was_there_when_it_began(server):
    pop, account = fresh(server, FIRST)
    mail.deliver(server, SECOND, account[0])
    pop.play(["C STAT", "S \\+OK 1 .*", "C RETR 2", BYE, *QUIT])
    again(pop, ["C STAT", "S \\+OK 2 .*", *QUIT])


def test_1939_6_messages_that_imap_removed_meanwhile(server):
    pop, account = fresh(server, FIRST, SECOND)
    with mail.Imap(server, account) as imap:
        imap.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
        imap.expunge()
    pop.play(["C STAT", "S \\+OK 2 .*", "C RETR 1", BYE, "C TOP 1 0", BYE, "C RETR 2", "S \\+OK.*", "HAS second", "C DELE 1", "S \\+OK.*", "C DELE 2",
              "S \\+OK.*", *QUIT])
    again(pop, ["C STAT", "S \\+OK 0 0", "C LIST", "S \\+OK.*", "S \\.", "C UIDL", "S \\+OK.*", "S \\.", *QUIT])


def test_1939_4_the_lock_is_free_again_after_each_end(server):
    pop, _ = fresh(server, FIRST)
    pop.sock.close()
    pop.file.close()
    other = again(pop, ["C STAT", "S \\+OK 1 .*"])
    other.play(QUIT)
    again(pop, QUIT)


def test_1939_4_the_lock_dies_with_pop3d(own):
    pop, _ = fresh(own, FIRST)
    own.kill("pop3d")
    assert pop.line() in (b"",)

    def served():  # a session that is handed over while pop3d is being started anew ends at once
        with contextlib.suppress(AssertionError, OSError):
            again(pop, ["C STAT", "S \\+OK 1 .*", *QUIT])
            return True
        return False

    wait_for(served, 10, "pop3d is not back, or the lock outlived it")
