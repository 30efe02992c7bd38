"""What each running program may do, as /proc tells, against docs/security.md, both ways."""

import os
import pathlib
import re

import pytest

import mail
import system

pytestmark = [pytest.mark.root]

DOCS = system.REPO / "docs/security.md"
CLASSES = {"edge", "key", "auth", "store", "parser", "dns"}
# Kinds of open descriptors beside regular files. A network socket is told from those between programs by its family.
ANYWHERE = {"socket", "eventpoll", "eventfd", "signalfd", "timerfd", "pipe", "memfd", "/dev/null", "log"}


def documented():
    """{program: (class, [(read or write, path below the root)])} of the table in docs/security.md."""
    rows = {}
    for line in DOCS.read_text().splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) != 4 or cells[0] in ("program", "---"):
            continue
        words = cells[1].replace(",", "").split()
        paths = re.findall(r"(reads|writes) (\S+)", cells[1])
        rows[cells[0].rstrip(" *")] = (words[0], [(how.rstrip("s"), where.rstrip(",")) for how, where in paths])
    return rows


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}


def descriptors(pid, root):
    """Kinds of what it has open, regular files below the root by their path there."""
    kinds = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            to = os.readlink(fd)
        except OSError:
            continue
        if to.startswith("anon_inode:"):
            kinds.add(to[11:].strip("[]"))
        elif to.startswith("/memfd:"):
            kinds.add("memfd")
        elif to.startswith(str(root) + "/"):
            below = to[len(str(root)) + 1 :]
            kinds.add("log" if below.startswith("log/") else below)
        elif to.endswith("estafetad.out"):
            kinds.add("log")
        elif ":" in to:
            kinds.add(to.split(":")[0])
        else:
            kinds.add(to)
    return kinds


@pytest.fixture(scope="module")
def busy(server):
    """A system in the middle of work: sessions of all kinds open."""
    account = server.new_account()
    mail.deliver(server, mail.message(3 << 20), account[0])
    with mail.Imap(server, account) as c, mail.Smtp(server) as smtp, mail.Smtp(server, "submissions") as submit:
        smtp.ehlo()
        submit.ehlo()
        c.all()
        yield server


def test_every_program_runs_and_is_documented(busy):
    assert set(busy.pids()) == set(system.PROGRAMS) == set(documented())


def test_classes_are_those_of_the_table_of_programs(busy):
    source = (system.REPO / "master/table.c").read_text()
    rows = {name.lower(): (cls, path) for name, cls, path in re.findall(r'\{ROLE_(\w+),\s*"(\w+)",\s*"([^"]*)"', source)}
    names = {"smtp": "smtpd", "submit": "submitd", "login": "logind", "imap": "imapd", "pop3": "pop3d", "store": "stored",
             "mda": "mdad", "key": "keyd", "edge": "edged", "auth": "authd", "dns": "dnsd"}
    told = {names[role]: (cls, [tuple(p.split("=")) for p in path.split()]) for role, (cls, path) in rows.items()}
    assert told == documented()
    assert {cls for cls, _ in told.values()} <= CLASSES


def test_users_are_each_their_own_and_nobodys(busy):
    uids = {}
    for program, pid in busy.pids().items():
        s = status(pid)
        ids = s["Uid"].split()
        assert len(set(ids)) == 1 and s["Gid"].split() == ids, (program, s["Uid"], s["Gid"])
        assert s["Groups"] == "", (program, s["Groups"])
        uids.setdefault(int(ids[0]), []).append(program)
    assert 0 not in uids and all(len(who) == 1 for who in uids.values()), uids


@pytest.mark.parametrize("program", system.PROGRAMS)
def test_capabilities_privileges_and_calls(busy, program):
    s = status(busy.pid(program))
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[name], 16) == 0, (name, s[name])
    assert s["NoNewPrivs"] == "1"
    assert s["Seccomp"] == "2", "no filter of system calls"
    for task in pathlib.Path(f"/proc/{busy.pid(program)}/task").iterdir():  # every thread, not the first alone
        t = {k: v.strip() for k, _, v in (x.partition(":") for x in (task / "status").read_text().splitlines())}
        assert (t["Seccomp"], t["NoNewPrivs"], int(t["CapEff"], 16)) == ("2", "1", 0)


@pytest.mark.parametrize("program", system.PROGRAMS)
def test_open_descriptors(busy, program):
    """Nothing of the file system but what docs/security.md says, and the log."""
    _, paths = documented()[program]
    kinds = descriptors(busy.pid(program), busy.root)
    allowed = [where for _, where in paths]
    files = {k for k in kinds if k not in ANYWHERE}
    extra = {f for f in files if not any(f == a or f.startswith(a + "/") for a in allowed)}
    assert not extra, extra
    if program in ("stored",):
        assert any(f.startswith("store") for f in files), "the store is open in nobody"


@pytest.mark.parametrize("program", system.PROGRAMS)
def test_network_sockets(busy, program):
    """Only edged listens, dnsd has sockets that go out; keyd, authd, stored and mdad have no socket of the network at all."""
    pid = busy.pid(program)
    inodes = {m[1] for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir() if (m := re.match(r"socket:\[(\d+)\]", read_link(fd)))}
    tcp = {}
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            f = line.split()
            tcp[f[9]] = f[3]
    states = [tcp[i] for i in inodes if i in tcp]
    listening = states.count("0A")
    assert listening == 0 or program == "edged"
    if program in ("keyd", "authd", "stored", "mdad"):
        assert not states, states


def read_link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


@pytest.mark.parametrize("program", system.PROGRAMS)
def test_limits(busy, program):
    text = pathlib.Path(f"/proc/{busy.pid(program)}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", text)
    assert not re.search(r"Max data size\s+unlimited", text), "memory has no bound"


def test_nothing_writable_is_executable(busy):
    for program, pid in busy.pids().items():
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            assert "wx" not in line.split()[1], (program, line)


def test_bodies_are_read_only_for_their_readers(busy):
    """mdad and stored map what smtpd writes, and cannot write it: neither the mapping nor the descriptor."""
    for program in ("mdad", "stored"):
        pid = busy.pid(program)
        maps = [x for x in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "/memfd:" in x]
        writable = {x.split()[-1] if "deleted" not in x else x.split()[-2] for x in maps if "w" in x.split()[1]}
        readable = [x for x in maps if x.split()[1].startswith("r--s")]
        assert readable, f"{program} reads no arena"
        if program == "mdad":
            assert not writable, writable


def test_folders_belong_to_their_program_alone(busy):
    owners = {name: status(pid)["Uid"].split()[0] for name, pid in busy.pids().items()}
    for folder, program in (("store", "stored"), ("auth", "authd")):
        for path in [busy.root / folder, *(busy.root / folder).rglob("*")]:
            st = path.stat()
            assert str(st.st_uid) in (owners[program], "0"), path  # what root opened before it confined itself may stay root's
            assert st.st_mode & 0o077 == 0 or path.is_dir() and st.st_mode & 0o022 == 0, (path, oct(st.st_mode))


def test_secrets_are_nowhere_in_the_clear(busy):
    passwords = [p.encode() for p in list(busy.accounts.values())[:20]]
    for path in busy.root.rglob("*"):
        if path.is_file() and not path.is_socket():
            data = path.read_bytes()
            assert not [p for p in passwords if p in data], path


def test_without_root_it_says_what_is_missing():
    with system.run_system(user=system.NOBODY) as s:
        assert "not root" in s.log()
        for program, pid in s.pids().items():
            t = status(pid)
            assert t["Uid"].split()[0] == str(system.NOBODY) and t["Seccomp"] == "2" and t["NoNewPrivs"] == "1", program
