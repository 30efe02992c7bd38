"""Clients that keep a mailbox in step or fetch it, and libraries that applications speak through, as their users set them up.

Each verifies the certificate. tests/node/ has the lock of those that come from npm (tools/packages test installs them).
"""

import hashlib
import json
import mailbox
import os
import pathlib
import re
import ssl
import subprocess

import pytest

import mail
from system import DOMAIN

SECONDS = 60  # for one run of a client, on a busy machine
NODE = pathlib.Path(__file__).parent / "node"


def certificate(server):
    """The file of the certificate that a client gets which knows no names."""
    shown = ssl.get_server_certificate((server.host, server.ports["imaps"])).split()
    return next(p for p in (server.root / "etc/tls").iterdir() if p.read_text(errors="replace").split() == shown)


def fingerprint(server, kind):
    der = ssl.PEM_cert_to_DER_cert(certificate(server).read_text())
    return hashlib.new(kind, der, usedforsecurity=False).hexdigest()


def lines(raw):
    return raw.replace(mail.CRLF, b"\n")


def letter(word):
    return mail.HEAD + b"X-Word: %s\r\n\r\nllegar\xc3\xa1 %s\r\n.\r\n" % (word, word)


def word(raw):
    return re.search(rb"^X-Word: (\w+)", raw, re.M)[1].decode()


# --- what the server has, and what a folder of Maildirs has

STATUS = re.compile(rb'(UIDNEXT|UIDVALIDITY|HIGHESTMODSEQ) (\d+)')


def on_server(server, account):
    """{mailbox: (its STATUS, {word: flags})}: no client may change any of it by a second run."""
    found = {}
    with mail.Imap(server, account, None) as c:
        typ, names = c.list()
        assert typ == "OK"
        for name in (re.fullmatch(rb'\(.*?\) "?.*?"? "?(.+?)"?', x)[1].decode() for x in names):
            typ, (text,) = c.status(f'"{name}"', "(UIDNEXT UIDVALIDITY HIGHESTMODSEQ)")
            assert typ == "OK", text
            c.select(f'"{name}"', readonly=True)
            typ, data = c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
            assert typ == "OK", data
            got = [(re.search(rb"FLAGS \((.*?)\)", a[0])[1], a[1]) for a in data if isinstance(a, tuple)]
            flags = {word(raw): {f.decode() for f in f.split() if f != b"\\Recent"} for f, raw in got}
            found[name] = (dict(STATUS.findall(text)), flags)
    return found


def words(server, account):
    return {name: what for name, (_, what) in on_server(server, account).items()}


def maildirs(folder):
    """{path of a Maildir: {word: letters of its flags}}"""
    found = {}
    for cur in sorted(folder.rglob("cur")):
        box = mailbox.Maildir(cur.parent, create=False)
        found[str(cur.parent.relative_to(folder))] = {word(box.get_bytes(k)): set(box.get_message(k).get_flags()) for k in box.iterkeys()}
    return found


def tree(folder):
    """Every file below it with its bytes; what a client logs of its own runs aside."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def find(folder, what):
    """The file of a Maildir with that message, and the Maildir."""
    box = mailbox.Maildir(folder, create=False)
    key = next(k for k in box.iterkeys() if word(box.get_bytes(k)) == what)
    return box, key


def set_flags(folder, what, letters):
    box, key = find(folder, what)
    m = box.get_message(key)
    m.set_flags(letters)
    m.set_subdir("cur")
    box[key] = m


def put(folder, raw):
    mailbox.Maildir(folder, create=False).add(mailbox.MaildirMessage(lines(raw)))


# --- mbsync


@pytest.fixture
def mbsync(server, account, tmp_path):
    """Runs it; the Maildirs are below tmp_path/mail, what it remembers of them too."""
    (tmp_path / "mail").mkdir()
    rc = tmp_path / "rc"
    rc.write_text(
        f"""
IMAPAccount far
Host {server.host}
Port {server.ports['imaps']}
User {account[0]}
Pass {account[1]}
SSLType IMAPS
CertificateFile {certificate(server)}

IMAPStore far
Account far

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""
    )
    return lambda: mail.run(["mbsync", "-c", rc, "-a"], timeout=SECONDS)


def fill(server, account):
    for w in (b"one", b"two", b"three", b"four", b"five"):
        mail.deliver(server, letter(w), account[0])
    with mail.Imap(server, account, None) as c:
        for name in ("Viajes", "Viajes/2026", '"Ma&APE-ana y m&AOE-s"'):
            assert c.create(name)[0] == "OK"
            c.subscribe(name)
        assert c.append("Viajes/2026", r"(\Seen \Flagged)", None, letter(b"paris"))[0] == "OK"


def store(server, account, what, flags, box="INBOX"):
    with mail.Imap(server, account, box) as c:
        (numbers,) = c.search(None, "HEADER", "X-Word", what)[1]
        assert c.store(numbers, "+FLAGS", flags)[0] == "OK"
        if "Deleted" in flags:
            assert c.expunge()[0] == "OK"


def test_mbsync_twice_changes_nothing(server, account, tmp_path, mbsync):
    fill(server, account)
    mbsync()
    near = maildirs(tmp_path / "mail")
    assert near["INBOX"] == {w: set() for w in ("one", "two", "three", "four", "five")}
    assert near["Viajes/2026"] == {"paris": {"S", "F"}} and near["Ma&APE-ana y m&AOE-s"] == {}, near
    box, key = find(tmp_path / "mail/INBOX", "one")
    got = re.sub(rb"X-TUID: .*\n", b"", box.get_bytes(key))  # its own mark
    mail.assert_same(got.replace(b"\n", mail.CRLF), letter(b"one"))
    before = on_server(server, account), tree(tmp_path / "mail")
    mbsync()
    assert (on_server(server, account), tree(tmp_path / "mail")) == before


def test_mbsync_carries_changes_of_both_sides(server, account, tmp_path, mbsync):
    fill(server, account)
    mbsync()
    inbox = tmp_path / "mail/INBOX"
    set_flags(inbox, "one", "RS")
    set_flags(inbox, "two", "T")
    put(inbox, letter(b"written"))
    mailbox.Maildir(tmp_path / "mail/Cerca")
    put(tmp_path / "mail/Cerca", letter(b"near"))
    store(server, account, "three", r"(\Flagged)")
    store(server, account, "four", r"(\Deleted)")
    store(server, account, "one", r"(\Flagged)")  # both sides, different flags: both stay
    mail.deliver(server, letter(b"six"), account[0])
    with mail.Imap(server, account, None) as c:
        assert c.create("Lejos")[0] == "OK" and c.append("Lejos", None, None, letter(b"far"))[0] == "OK"
    mbsync()
    far, near = words(server, account), maildirs(tmp_path / "mail")
    assert far["INBOX"] == {"one": {"\\Answered", "\\Seen", "\\Flagged"}, "three": {"\\Flagged"}, "five": set(), "six": set(), "written": set()}
    assert near["INBOX"] == {"one": set("RSF"), "three": {"F"}, "five": set(), "six": set(), "written": set()}
    assert far["Cerca"] == {"near": set()} and near["Lejos"] == {"far": set()}
    before = on_server(server, account), tree(tmp_path / "mail")
    mbsync()
    assert (on_server(server, account), tree(tmp_path / "mail")) == before


def test_mbsync_removes_a_mailbox(server, account, tmp_path, mbsync):
    fill(server, account)
    mbsync()
    store(server, account, "paris", r"(\Deleted)", "Viajes/2026")
    mbsync()  # it removes no folder that holds mail
    with mail.Imap(server, account, None) as c:
        assert c.delete("Viajes/2026")[0] == "OK"
    mbsync()
    assert "Viajes/2026" not in maildirs(tmp_path / "mail") and "Viajes/2026" not in words(server, account)


# --- offlineimap


# Without STARTTLS: one time in some fifty imaplib2 then never sends its first command (seen in a trace of edged), for
# its reading thread begins before the session's ticket has come.
@pytest.fixture
def offlineimap(server, account, tmp_path):
    (tmp_path / "mail").mkdir()
    rc = tmp_path / "rc"
    rc.write_text(
        f"""
[general]
accounts = a
metadata = {tmp_path}/metadata
ui = basic
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {tmp_path}/mail
sep = /
[Repository far]
type = IMAP
remotehost = {server.host}
remoteport = {server.ports['imaps']}
remoteuser = {account[0]}
remotepass = {account[1]}
ssl = yes
starttls = no
auth_mechanisms = PLAIN
cert_fingerprint = {fingerprint(server, 'sha256')}
"""
    )
    return lambda: mail.run(["offlineimap", "-c", rc, "-o"], timeout=SECONDS)


def test_offlineimap_both_ways_and_twice(server, account, tmp_path, offlineimap):
    fill(server, account)
    offlineimap()
    near = maildirs(tmp_path / "mail")
    assert near["INBOX"] == {w: set() for w in ("one", "two", "three", "four", "five")} and near["Viajes/2026"] == {"paris": {"S", "F"}}
    before = on_server(server, account)
    offlineimap()
    assert (on_server(server, account), maildirs(tmp_path / "mail")) == (before, near)

    inbox = tmp_path / "mail/INBOX"
    set_flags(inbox, "one", "RS")
    box, key = find(inbox, "two")
    box.remove(key)
    put(inbox, letter(b"written"))
    store(server, account, "three", r"(\Flagged)")
    store(server, account, "four", r"(\Deleted)")
    mail.deliver(server, letter(b"six"), account[0])
    offlineimap()
    far, near = words(server, account), maildirs(tmp_path / "mail")
    assert far["INBOX"] == {"one": {"\\Answered", "\\Seen"}, "three": {"\\Flagged"}, "five": set(), "six": set(), "written": set()}
    assert near["INBOX"] == {"one": set("RS"), "three": {"F"}, "five": set(), "six": set(), "written": set()}
    before = on_server(server, account)
    offlineimap()
    assert (on_server(server, account), maildirs(tmp_path / "mail")) == (before, near)


# --- fetchmail: from one account to another, through port 25


@pytest.fixture
def fetchmail(server, account, tmp_path):
    """Runs it for a protocol; True when there was mail."""
    to = server.new_account()

    def fetch(protocol, options, folder=""):
        kind, uidl = ("IMAP", "") if protocol.startswith("imap") else ("POP3", "uidl")
        rc = tmp_path / "fetchmailrc"
        rc.touch(mode=0o600)
        rc.write_text(
            f"poll test via {server.host} service {server.ports[protocol]} protocol {kind} {uidl}\n"
            f"user '{account[0]}' password '{account[1]}' {'ssl' if protocol.endswith('s') else ''} sslproto 'TLS1.2+'\n"
            f"sslcertck sslcertfile '{certificate(server)}' sslcommonname 'mail.{DOMAIN}'\n"
            f"smtphost '{server.host}/{server.ports['smtp']}' smtpname '{to[0]}' {options} {folder}\n"
        )
        argv = ["fetchmail", "-v", "-f", rc, "--idfile", tmp_path / "ids", "--pidfile", tmp_path / "pid"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr  # 1: no mail
        return done.returncode == 0

    fetch.to = to
    return fetch


@pytest.mark.parametrize("protocol", ["imap", "imaps", "pop3", "pop3s"])
def test_fetchmail_takes_each_message_once(server, account, fetchmail, protocol):
    for w in (b"one", b"two"):
        mail.deliver(server, letter(w), account[0])
    assert fetchmail(protocol, "keep")
    mail.deliver(server, letter(b"three"), account[0])
    assert fetchmail(protocol, "keep")
    assert not fetchmail(protocol, "keep")
    assert [word(m) for m in mail.read_imaplib(server, fetchmail.to)] == ["one", "two", "three"]
    assert set(words(server, account)["INBOX"]) == {"one", "two", "three"}
    assert fetchmail(protocol, "nokeep fetchall")
    assert words(server, account)["INBOX"] == {}
    got = mail.read_imaplib(server, fetchmail.to)
    assert [word(m) for m in got[3:]] == ["one", "two", "three"] and all(m.endswith(letter(word(m).encode())) for m in got)


def test_fetchmail_reads_another_mailbox(server, account, fetchmail):
    fill(server, account)
    assert fetchmail("imaps", "fetchall", "folder 'Viajes/2026'")
    assert [word(m) for m in mail.read_imaplib(server, fetchmail.to)] == ["paris"]
    assert words(server, account)["Viajes/2026"] == {} and len(words(server, account)["INBOX"]) == 5


# --- getmail


# By a program that ends a little later: getmail waits for ever for a child that ended before it began to wait.
@pytest.fixture
def getmail(server, account, tmp_path):
    mailbox.Maildir(tmp_path / "to")
    own = []
    if os.geteuid() == 0:  # root delivers to nobody, it says
        own = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for p in [*tmp_path.parents[:2], tmp_path]:
            p.chmod(0o755)
        for p in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(p, 65534, 65534)

    def get(protocol, delete, more=""):
        (tmp_path / "getmailrc").write_text(
            f"""
[retriever]
type = Simple{protocol}SSLRetriever
server = {server.host}
port = {server.ports[protocol.lower() + 's']}
username = {account[0]}
password = {account[1]}
ca_certs = {certificate(server)}
ssl_cert_hostname = mail.{DOMAIN}
{more}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat > {tmp_path}/to/new/$$ && sleep 0.2")
[options]
read_all = false
delete = {delete}
delivered_to = false
received = false
"""
        )
        mail.run([*own, "getmail", "--getmaildir", tmp_path], timeout=SECONDS)
        box = mailbox.Maildir(tmp_path / "to")
        return sorted(word(box.get_bytes(k)) for k in box.iterkeys())

    return get


@pytest.mark.parametrize("protocol", ["POP3", "IMAP"])
def test_getmail_takes_each_message_once(server, account, tmp_path, getmail, protocol):
    mail.deliver(server, letter(b"one"), account[0])
    assert getmail(protocol, False) == ["one"]
    mail.deliver(server, letter(b"two"), account[0])
    assert getmail(protocol, False) == ["one", "two"]
    assert getmail(protocol, True) == ["one", "two"]
    assert words(server, account)["INBOX"] == {}
    box, key = find(tmp_path / "to", "two")
    got = re.sub(rb"X-getmail-retrieved-from-mailbox: .*\n", b"", box.get_bytes(key))  # its own mark
    mail.assert_same(got.replace(b"\n", mail.CRLF), letter(b"two"))


def test_getmail_reads_several_mailboxes(server, account, getmail):
    fill(server, account)
    assert getmail("IMAP", True, 'mailboxes = ("INBOX", "Viajes/2026")') == ["five", "four", "one", "paris", "three", "two"]
    assert words(server, account) == {**words(server, account), "INBOX": {}, "Viajes/2026": {}}


# --- imapflow and nodemailer


def node(script, case, server, **more):
    assert (NODE / "node_modules").is_dir(), "the npm packages are not there; install them with: tools/packages test"
    what = {"host": server.host, "ports": server.ports, "domain": DOMAIN, "ca": certificate(server).read_text(), **more}
    return mail.run(["node", NODE / script, case], input=json.dumps(what).encode(), timeout=SECONDS)


def cases(script):
    return re.findall(r"^cases\.(\w+) = ", (NODE / script).read_text(), re.M)


@pytest.mark.parametrize("case", cases("imapflow.mjs"))
def test_imapflow(server, account, case):
    node("imapflow.mjs", case, server, account=account, letter=letter(b"sent").decode())


@pytest.mark.parametrize("case", cases("nodemailer.mjs"))
def test_nodemailer(server, account, case):
    node("nodemailer.mjs", case, server, account=account, to=server.new_account())
