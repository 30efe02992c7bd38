"""The administrator's commands: backup, restore, rebuild, check, dump, compact, users, configuration."""

import imaplib
import random
import shutil
import time

import pytest

import load
import mail
import system


# stored's side of check, compact and backup; ends to matter when it is there.
maintenance = pytest.mark.skipif(
    "MSG_STORE_CHECK" not in (system.REPO / "store/stored.c").read_text(), reason="stored has no check, compact and backup yet"
)


def dump(server):
    """The index as text; what differs by design between an index and its rebuild is left out: nothing so far."""
    return server.ctl("dump").stdout


def busy_life(server, seed, accounts, steps=120):
    """Random operations of many kinds."""
    rng = random.Random(seed)
    clients = [mail.Imap(server, a) for a in accounts]
    try:
        for i in range(steps):
            which = rng.randrange(len(accounts))
            c, a = clients[which], accounts[which]
            step(rng, server, c, a, i)
    finally:
        for c in clients:
            c.__exit__()


def step(rng, server, c, account, i):
    kind = rng.choice(["deliver"] * 4 + ["append", "flags", "copy", "move", "expunge", "create", "rename", "delete", "subscribe", "large"])
    c.noop()
    uids = c.uid("SEARCH", "ALL")[1][0].split()
    some = b",".join(rng.sample(uids, min(len(uids), rng.randrange(1, 5)))) if uids else b"1"
    if kind == "deliver":
        mail.deliver(server, mail.message(rng.randrange(0, 30000), b"%d" % i), account[0])
    elif kind == "large" and i % 5 == 0:
        mail.deliver(server, mail.message((1 << 20) + rng.randrange(0, 1 << 20), b"%d" % i), account[0])
    elif kind == "append":
        c.append("INBOX", "(\\Seen $K%d)" % rng.randrange(5), None, mail.message(rng.randrange(2, 3000)))
    elif kind == "flags":
        c.uid("STORE", some, rng.choice(["+FLAGS", "-FLAGS", "FLAGS"]), "(\\Flagged \\Deleted $K%d)" % rng.randrange(5))
    elif kind in ("copy", "move"):
        c.uid(kind.upper(), some, "box%d" % rng.randrange(4))
    elif kind == "expunge":
        c.expunge()
    elif kind == "create":
        c.create("box%d" % rng.randrange(4))
    elif kind == "rename":
        c.rename("box%d" % rng.randrange(4), "box%d/in%d" % (rng.randrange(4), i))
    elif kind == "delete":
        c.delete("box%d" % rng.randrange(4))
    elif kind == "subscribe":
        c.subscribe("box%d" % rng.randrange(4))


def all_mail(server, accounts):
    """{account: {mailbox: [(uid, flags, body)]}}"""
    got = {}
    for a in accounts:
        with mail.Imap(server, a, box=None) as c:
            names = sorted(x.rsplit(b' "/" ', 1)[1].decode() for x in c.list()[1] if x and b"\\Noselect" not in x)
            got[a[0]] = {n: contents(c, n) for n in names}
    return got


def contents(c, name):
    typ, data = c.select(name if name.startswith('"') else f'"{name}"', readonly=True)
    assert typ == "OK", (name, data)
    typ, data = c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
    return sorted((x[0].split(b"BODY[]")[0].split(b" ", 1)[1].replace(b"\\Recent ", b"").replace(b"\\Recent", b""), x[1]) for x in data if isinstance(x, tuple))


@maintenance
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_an_index_and_its_rebuild_are_the_same(own, seed):
    accounts = [own.new_account() for _ in range(3)]
    for round in range(3):
        busy_life(own, seed * 100 + round, accounts, 60)
        own.ctl("compact")
        own.kill("stored")
        system.wait_for(lambda: own.ctl("status", check=False).returncode == 0 and alive(own, accounts[0]), 20, "stored is gone")
    mail_before = all_mail(own, accounts)
    time.sleep(0.5)
    before = dump(own)
    own.stop()
    own.ctl("rebuild")
    own.start()
    after = dump(own)
    assert after == before, difference(before, after)
    assert all_mail(own, accounts) == mail_before
    own.ctl("check")


def alive(server, account):
    try:
        mail.Imap(server, account).__exit__()
        return True
    except (OSError, AssertionError, imaplib.IMAP4.error):
        return False


def difference(before, after):
    a, b = before.splitlines(), after.splitlines()
    return "\n".join(["-" + x for x in a if x not in set(b)][:10] + ["+" + x for x in b if x not in set(a)][:10])


def test_rebuild_without_any_index(own):
    account = own.new_account()
    for i in range(5):
        mail.deliver(own, mail.message(2000 + i, b"%d" % i), account[0])
    mail.deliver(own, mail.message(3 << 20, b"large"), account[0])
    before = all_mail(own, [account])
    own.stop()
    index = [p for p in (own.root / "store").iterdir() if p.is_dir() and any(p.glob("CURRENT"))]
    assert len(index) == 1, index
    shutil.rmtree(index[0])
    own.start()  # the log is the mail: an index that is not there is built anew
    assert all_mail(own, [account]) == before


@maintenance
def test_backup_of_a_running_system_and_restore(own):
    accounts = [own.new_account() for _ in range(2)]
    for i in range(5):
        mail.deliver(own, mail.message(5000, b"%d" % i), accounts[0][0])
    mail.deliver(own, mail.message(2 << 20), accounts[1][0])
    work = load.Load(own, accounts, sessions=2)
    try:
        time.sleep(0.3)
        own.ctl("backup", "b1")
        acked_after = dict(work.acked)
    finally:
        work.stop()
    before = all_mail(own, accounts)
    copy = own.folder / "elsewhere"
    shutil.copytree(own.root / "backup/b1", copy)
    own.stop()
    shutil.rmtree(own.root / "store")
    own.ctl("restore", str(own.root / "backup/b1"))
    own.start()
    own.ctl("check")
    after = all_mail(own, accounts)
    for name, boxes in after.items():
        have = {body for _, body in before[name]["INBOX"]}
        assert boxes["INBOX"], name
        assert {body for _, body in boxes["INBOX"]} <= have
    tokens = {t for a in accounts for t in load.tokens(own, a)}
    assert tokens <= set(work.begun) | {b"%d" % i for i in range(5)} | {b""} and acked_after
    mail.deliver(own, mail.message(500, b"after"), accounts[0][0])
    assert b"after" in load.tokens(own, accounts[0])


@maintenance
def test_check_finds_damage(own):
    account = own.new_account()
    for i in range(3):
        mail.deliver(own, mail.message(3000, b"find-me-%d" % i), account[0])
    own.ctl("check")
    own.stop()
    for path in (own.root / "store").rglob("seg-*"):
        data = bytearray(path.read_bytes())
        at = data.find(b"find-me-1")
        if at >= 0:
            data[at] ^= 1
            owner = path.stat()
            path.write_bytes(data)
            break
    else:
        pytest.fail("the message is in no segment")
    assert owner
    done = own.ctl("check", check=False)
    assert done.returncode != 0 and done.stdout + done.stderr
    data[at] ^= 1
    path.write_bytes(data)
    own.ctl("check")
    own.start()
    assert len(load.tokens(own, account)) == 3


@maintenance
@pytest.mark.slow
def test_purge_leaves_no_byte_behind(own):
    keep, gone = own.new_account(), own.new_account()
    secret = b"this-must-not-stay-" + b"x" * 20
    for i in range(3):
        mail.deliver(own, mail.HEAD + b"\r\n" + secret + b"\r\n", gone[0])
        mail.deliver(own, mail.message(2000, b"%d" % i), keep[0])
    own.ctl("user", "del", "--purge", gone[0])
    for path in (own.root / "store").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path
    assert load.tokens(own, keep) == [b"0", b"1", b"2"]
    own.ctl("check")


def test_users(server):
    name, password = server.new_account()
    assert name in server.ctl("user", "list").stdout
    server.ctl("user", "passwd", name, input="another password\n")
    with pytest.raises(imaplib.IMAP4.error):
        mail.Imap(server, (name, password))
    mail.Imap(server, (name, "another password")).__exit__()
    assert server.ctl("user", "add", name, input="x\n", check=False).returncode != 0
    assert server.ctl("user", "del", "nobody-here", check=False).returncode != 0
    mail.deliver(server, mail.message(1000), name)
    assert "INBOX" in server.ctl("mailbox", "list", name).stdout


def test_many_users_at_once(server):
    names = server.add_accounts(*(f"many{time.time_ns()}x{i}" for i in range(200)))
    mail.Imap(server, names[0]).__exit__()
    mail.Imap(server, names[-1]).__exit__()


def test_status_names_every_program_and_port(server):
    text = server.ctl("status").stdout
    for program in system.PROGRAMS:
        assert program in text
    for port in server.ports.values():
        assert str(port) in text


def test_configuration_is_judged(server, tmp_path):
    server.ctl("config", "check")
    assert system.DOMAIN in server.ctl("config", "show", "domain").stdout
    bad = tmp_path / "bad.conf"
    bad.write_text("domain = example.org\nmessage_sise = 50M\n")
    done = server.ctl("config", "check", str(bad), check=False)
    assert done.returncode != 0 and "bad.conf:2" in done.stdout + done.stderr and "message_size" in done.stdout + done.stderr


def test_route_tells_where_mail_goes_and_why(own):
    own.configure(smart_host="[gate.example]:587")
    own.add_accounts("routed")
    (own.root / "etc/aliases").write_text("staff: routed,\n\tx@far.example\nno colon\n")
    done = own.ctl("route", f"staff@{system.DOMAIN}")
    assert f"mailbox routed@{system.DOMAIN}\n" in done.stdout and "relay x@far.example by gate.example port 587\n" in done.stdout
    assert "aliases (etc/aliases:1): staff -> routed" in done.stdout and "etc/aliases:3: missing colon" in done.stderr
    refused = own.ctl("route", "x@far.example", "--client", "192.0.2.1", check=False)
    assert refused.returncode == 69 and "error 550 5.7.1 Relaying denied" in refused.stdout
    assert own.ctl("route", f"nobody@{system.DOMAIN}", check=False).returncode == 69
    (own.root / "etc/aliases").unlink()


def test_reload_takes_a_setting_and_refuses_a_mistake(own):
    own.configure(message_size="1M")
    own.ctl("reload")
    with mail.Smtp(own) as smtp:
        assert b"SIZE 1048576" in smtp.ehlo()[1]
    own.configure(message_size="many")
    assert own.ctl("reload", check=False).returncode != 0
    with mail.Smtp(own) as smtp:
        assert b"SIZE 1048576" in smtp.ehlo()[1]
    own.configure(message_size="50M")
    own.ctl("reload")


def test_a_second_estafetad_on_the_same_root_is_refused(server):
    done = server.ctl("start", check=False)
    assert done.returncode != 0 and str(server.pid("estafetad")) in done.stdout + done.stderr
    assert server.greets("smtp")


def test_commands_say_what_is_wrong(server):
    for args in ([], ["nothing"], ["user"], ["user", "add"], ["user", "quota", "x"], ["backup"], ["restore", "/nowhere"], ["--help"]):
        done = server.ctl(*args, check=False, input="")
        assert (done.stdout + done.stderr).strip(), args
        assert (done.returncode == 0) == (args == ["--help"]), (args, done.returncode)
