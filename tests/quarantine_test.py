"""An account whose mail crashes imapd (maa/imap/crashes.c): after some crashes its logins are refused for a while, so that all others
have service; its mail is taken as before."""

import imaplib
import os
import pathlib
import poplib
import smtplib

import pytest

import mail
import system

CRASHES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for parent in [folder, *folder.parents[:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    for program in pathlib.Path(os.environ.get("ESTAFETA_PROGRAMS", system.BUILD / "bin")).iterdir():
        (folder / program.name).symlink_to(program.resolve())
    (folder / "imapd").unlink()
    (folder / "imapd").symlink_to(system.BUILD / "maa/imap/imapd_crashes")
    with system.run_system(programs=folder, settings={"quarantine_crashes": CRASHES}) as s:
        yield s


def header(server, account, field="X-CRASH"):
    """Field of the first message, or the exception that the session ended with."""
    with mail.Imap(server, account) as imap:
        kind, got = imap.fetch("1", f"(BODY.PEEK[HEADER.FIELDS ({field})])")
        assert kind == "OK"
        return got[0][1]


def crash(server, account):
    before = server.pid("imapd")
    with pytest.raises((imaplib.IMAP4.error, OSError)):
        header(server, account)
    system.wait_for(lambda: server.pids().get("imapd", before) != before, 10, lambda: server.log()[-2000:])


def refusal(server, account):
    with pytest.raises(imaplib.IMAP4.error) as refused:
        mail.Imap(server, account)
    return str(refused.value)


def test_an_account_that_crashes_imapd_is_quarantined(server):
    victim, other = list(server.accounts.items())
    mail.deliver(server, b"X-Crash: yes\r\nSubject: bad\r\n\r\nbody\r\n", victim[0])
    mail.deliver(server, b"Subject: good\r\n\r\nbody\r\n", other[0])
    for _ in range(CRASHES):
        assert b"good" in header(server, other, "SUBJECT")
        assert "quarantined" not in server.ctl("status").stdout
        crash(server, victim)
    system.wait_for(lambda: "quarantined: " + victim[0] in server.ctl("status").stdout, 5, lambda: server.log()[-2000:])
    assert "UNAVAILABLE" in refusal(server, victim)
    pop3 = poplib.POP3_SSL(server.host, server.ports["pop3s"], context=mail.tls(), timeout=30)
    pop3.user(victim[0])
    with pytest.raises(poplib.error_proto, match=r"SYS/TEMP"):
        pop3.pass_(victim[1])
    pop3.close()
    # The others, and all that does not read its mail.
    assert b"good" in header(server, other, "SUBJECT")
    mail.deliver(server, b"Subject: more\r\n\r\nbody\r\n", victim[0])
    with smtplib.SMTP_SSL(server.host, server.ports["submissions"], context=mail.tls(), timeout=30) as submit:
        submit.login(*victim)
        submit.sendmail(victim[0], [other[0]], b"Subject: mine\r\n\r\nbody\r\n")
    # A wrong password is told nothing else than before.
    assert "AUTHENTICATIONFAILED" in refusal(server, (victim[0], "wrong"))


def test_it_lasts_when_authd_is_started_anew(server):
    victim = next(iter(server.accounts.items()))
    before = server.kill("authd")
    system.wait_for(lambda: server.pids().get("authd", before) != before, 10, lambda: server.log()[-2000:])
    assert "UNAVAILABLE" in refusal(server, victim)


def test_a_reload_ends_it(server):
    victim = next(iter(server.accounts.items()))
    said = server.ctl("reload")
    assert victim[0] in said.stdout + said.stderr
    assert "quarantined" not in server.ctl("status").stdout
    with mail.Imap(server, victim) as imap:
        assert len(imap.search(None, "ALL")[1][0].split()) == 2  # what came meanwhile is there
    crash(server, victim)
    assert "quarantined" not in server.ctl("status").stdout  # one is not three


def test_kills_are_not_crashes(server):
    """An administrator who kills imapd does not make its users suspects."""
    victim = next(iter(server.accounts.items()))
    for _ in range(CRASHES + 1):
        with mail.Imap(server, victim) as imap:
            before = server.kill("imapd")
            system.wait_for(lambda: server.pids().get("imapd", before) != before, 10, lambda: server.log()[-2000:])
            imap.shutdown()
    assert "quarantined" not in server.ctl("status").stdout
