"""Attack code in a session program's place (tests/attack/attack.c), over its real channels and under its real confinement:
forged, replayed and foreign tickets, handles of others, messages that its role may not send, connections of others, system calls."""

import os
import pathlib
import re
import signal
import socket
import time

import pytest

import mail
import system

REFUSED = {"DENIED", "STALE", "NOTFOUND", "SYNTAX", "STATE"}


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """A system whose imapd and pop3d were taken over."""
    folder = tmp_path_factory.mktemp("programs")
    for parent in [folder, *folder.parents[:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    for program in pathlib.Path(os.environ.get("ESTAFETA_PROGRAMS", system.BUILD / "bin")).iterdir():
        (folder / program.name).symlink_to(program.resolve())
    for name in ("imapd", "pop3d"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(system.BUILD / "tests/attack/attack")
    with system.run_system(programs=folder) as s:
        yield s


class Attack:
    """A login whose session is the attack `words`; the lines that it tells."""

    def __init__(self, server, words, account=None, pop3=False):
        user, password = account or next(iter(server.accounts.items()))
        self.sock = socket.create_connection((server.host, server.ports["pop3s" if pop3 else "imaps"]), timeout=30)
        self.sock = mail.tls().wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        self.file.readline()
        if pop3:
            self.sock.sendall(f"USER {user}\r\n".encode())
            assert self.file.readline().startswith(b"+OK")
            login = f"PASS {password}\r\n"
        else:
            login = f'a LOGIN "{user}" "{password}"\r\n'
        self.sock.sendall(login.encode() + words.encode() + b"\r\n")

    def results(self):
        """[(name, result)] until the attack ends or its program does."""
        got = []
        try:
            for line in self.file:
                words = line.decode().split()
                if words[0] == "end":
                    break
                if len(words) == 2:
                    got.append(tuple(words))
        except OSError:
            pass
        return got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def attack(server, words, **how):
    with Attack(server, words, **how) as a:
        got = a.results()
    assert got, server.log()[-3000:]
    return got


def breach(server, words):
    """An attack that costs the program its channel, and soon its life: estafetad may be faster than its words."""
    with Attack(server, words) as a:
        return a.results()


@pytest.fixture
def once(taken):
    """For an attack that costs its program its channels: afterwards everything is started anew, for estafetad would rightly
    wait longer and longer before it starts a program that ends again and again."""
    yield taken
    taken.restart()


def alive(server, before, but=()):
    """The programs that run are those that ran before."""
    now = server.pids()
    assert {p: n for p, n in before.items() if p not in but} == {p: n for p, n in now.items() if p not in but}


def test_forged_tickets(taken):
    got = attack(taken, "forged")
    assert len(got) > 8 and {r for _, r in got} <= REFUSED, got


def test_a_ticket_of_another_connection(taken):
    got = attack(taken, "connection")
    assert len(got) == 2 and {r for _, r in got} <= REFUSED, got


def test_a_ticket_is_good_once(taken):
    got = dict(attack(taken, "replayed"))
    assert got["first"] == "OK" and got["own-handle"] == "OK" and got["replayed"] in REFUSED, got


def test_a_ticket_cannot_be_redeemed_by_another_program(taken):
    got = dict(attack(taken, "replayed", pop3=True))
    assert got["first"] == "OK" and got["replayed"] in REFUSED, got


def test_handles_of_others(taken):
    """pop3d's handle, of another account, in imapd's hands."""
    accounts = list(taken.accounts.items())
    with Attack(taken, "show", account=accounts[1], pop3=True) as victim:
        shown = dict(victim.results())
        got = attack(taken, "handles " + shown["handle"], account=accounts[0])
    named = dict(got)
    assert named["first"] == named["own-handle"] == "OK"
    assert {r for n, r in got if n not in ("first", "own-handle")} <= REFUSED, got


FORBIDDEN = ["handle-open", "rcpt-check", "deliver", "account-add", "account-delete", "accounts", "dump", "backup", "secret-set",
             "secret-delete", "secret-list", "sasl-start", "conn-facts", "key-sign", "conn", "stop", "unknown", "unknown-edge"]


@pytest.mark.parametrize("message", FORBIDDEN)
def test_messages_that_the_role_may_not_send(once, message):
    """Its channel is closed, nothing is answered, and the program at the other end goes on."""
    before = once.pids()
    got = breach(once, "forbidden " + message)
    assert got in ([], [(message, "CLOSED")]), got
    alive(once, before, but=("imapd", "pop3d"))
    assert set(once.accounts) == set(re.findall(r"\S+@\S+", once.ctl("user", "list").stdout))


def test_a_breach_starts_the_program_anew(once):
    """It does not end by itself, and nobody would make it a new channel: estafetad ends it, says why, and the next session is
    served; stored is left alone."""
    before = once.pids()
    with Attack(once, "stay") as a:
        began = time.monotonic()
        assert a.results() in ([], [("stay", "CLOSED")])  # until the connection ends, which only its end does
        system.wait_for(lambda: dict(again(once)).get("own-handle") == "OK", 5, lambda: once.log()[-2000:])
        assert time.monotonic() - began < 2  # one second on a machine of its own
    alive(once, before, but=("imapd", "pop3d"))
    assert once.pids()["imapd"] != before["imapd"]
    assert re.search(rf"imapd\[{before['imapd']}\] broke its contract with stored\[{before['stored']}\].*DENIED; starting imapd anew", once.log())


def again(server):
    try:
        with Attack(server, "replayed") as a:
            a.sock.settimeout(1)
            return a.results()
    except OSError:
        return []


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 20, 24, 30, 40])
def test_requests_cut_short(once, length):
    before = once.pids()
    got = breach(once, f"cut {length}")
    assert len(got) <= 1 and {r for _, r in got} <= {"CLOSED", "SYNTAX", "STALE"}, got
    alive(once, before, but=("imapd", "pop3d"))


@pytest.mark.parametrize("how", ["far", "beyond", "few", "none", "odd", "huge"])
def test_bodies_that_are_not_there(once, how):
    before = once.pids()
    got = breach(once, "chunks " + how)
    assert got in ([], [(how, "SYNTAX")], [(how, "CLOSED")], [(how, "LIMIT")]), got
    alive(once, before, but=("imapd", "pop3d"))


def test_connections_of_others(taken):
    """imapd may say that its own connections ended, not others'."""
    before = taken.pids()
    with mail.Smtp(taken) as smtp, mail.Smtp(taken, "submissions") as submit:
        smtp.ehlo()
        submit.ehlo()
        got = attack(taken, "done")
        assert ("said", "OK") in got
        assert smtp.say(b"NOOP")[0] == 250 and submit.say(b"NOOP")[0] == 250
    alive(taken, before, but=("imapd", "pop3d"))


def test_a_descriptor_that_was_not_given_out(once):
    before = once.pids()
    assert breach(once, "back") in ([], [("channel", "CLOSED")])
    alive(once, before, but=("imapd", "pop3d"))


@pytest.mark.parametrize("call", ["open", "socket", "fork", "exec", "ptrace", "kill", "setuid", "unlink"])
def test_system_calls_that_it_has_no_need_for(once, call):
    """The kernel ends it, and the log says so."""
    before = once.pids()
    got = attack(once, "call " + call)
    assert got == [("before", "OK")], got
    alive(once, before, but=("imapd", "pop3d"))
    system.wait_for(lambda: re.search(rf"imapd.*(signal {int(signal.SIGSYS)}\b|SIGSYS|[Bb]ad system call)", once.log()), 5, lambda: once.log()[-1500:])


def test_the_system_serves_on_after_all_that(taken):
    account = taken.new_account()
    mail.deliver(taken, mail.message(3000), account[0])
    assert "INBOX" in taken.ctl("mailbox", "list", account[0]).stdout
    assert account[0] in taken.ctl("user", "list").stdout
