"""estafetad and estafeta with stand-ins for all other programs (master/fake.c).

Environment: ESTAFETA, ESTAFETAD, AUTHD, FAKE: the executables; meson gives them.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

PROGRAMS = "edged keyd authd stored mdad smtpd submitd logind imapd pop3d dnsd".split()
OFFSET = int(os.environ.get("PORT_OFFSET", "21000"))
ESTAFETA, ESTAFETAD, FAKE = (os.environ[name] for name in ("ESTAFETA", "ESTAFETAD", "FAKE"))


class System:
    def __init__(self, folder):
        self.root = folder / "root"
        self.programs = folder / "programs"
        self.programs.mkdir()
        folder.chmod(0o755)
        for name in PROGRAMS:
            (self.programs / name).symlink_to(FAKE)

    def ctl(self, *args, **more):
        return subprocess.run([ESTAFETA, "--root", self.root, *args], capture_output=True, text=True, timeout=120, **more)

    def init(self):
        got = self.ctl("init", "--domain", "dominio.com.uy", "--hostname", "localhost", "--port-offset", str(OFFSET))
        assert got.returncode == 0, got
        return self

    def start(self):
        return self.ctl("start", "--programs", self.programs)

    def with_authd(self):
        (self.programs / "authd").unlink()
        (self.programs / "authd").symlink_to(os.environ["AUTHD"])
        return self.up()

    def accounts(self):
        return [line.split()[0] for line in self.ctl("user", "list").stdout.splitlines()[1:]]

    def up(self):
        got = self.init().start()
        assert got.returncode == 0, (got.stderr, self.log())
        return self

    def log(self):
        return (self.root / "log/maillog").read_text()

    def pid(self):
        return int((self.root / "run/estafetad.pid").read_text())

    def pids(self):
        return {name: int(pid) for name, pid in re.findall(r"^(\w+) +(\d+) ready", self.ctl("status").stdout, re.M)}

    def conf(self, text):
        with open(self.root / "etc/estafeta.conf", "a") as file:
            file.write(text)

    def wait_log(self, words):
        for _ in range(500):
            if words in self.log():
                return
            time.sleep(0.02)
        pytest.fail("not in the log: %s\n%s" % (words, self.log()))


@pytest.fixture
def system():
    # Not below /tmp/pytest-of-NAME: its mode bars the programs' users.
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/estafeta-master-XXXXXX"], text=True).strip())
    system = System(folder)
    yield system
    system.ctl("stop")
    subprocess.run(["rm", "-rf", folder])


def greeting(port):
    with socket.create_connection(("127.0.0.1", OFFSET + port), timeout=5) as s:
        return s.recv(100)


def test_start_status_stop(system):
    got = system.init().start()
    assert (got.returncode, got.stderr) == (0, "")
    pids = system.pids()
    assert sorted(pids) == sorted(PROGRAMS)
    for port in (25, 587, 465, 143, 993, 110, 995):
        assert greeting(port) == b"fake\r\n"
    again = system.start()
    assert again.returncode == os.EX_TEMPFAIL and str(system.pid()) in again.stderr
    got = system.ctl("stop")
    assert got.returncode == 0
    for pid in pids.values():
        assert not os.path.exists("/proc/%d" % pid)
    got = system.ctl("status")
    assert got.returncode == os.EX_UNAVAILABLE and "is not running" in got.stderr
    assert not (system.root / "run/admin.sock").exists()
    assert system.start().returncode == 0 # the lock and the ports are free again


def test_folders(system):
    system.up()
    owners = {name: (system.root / name).stat() for name in ("etc", "etc/tls", "log", "run", "auth", "backup", "store")}
    modes = {name: st.st_mode & 0o7777 for name, st in owners.items()}
    assert modes == {"etc": 0o755, "etc/tls": 0o755, "log": 0o750, "run": 0o755, "auth": 0o700, "backup": 0o700, "store": 0o700}
    keys = [(system.root / "etc/tls" / name).stat() for name in ("ecdsa.key", "rsa.key")]
    assert [st.st_mode & 0o7777 for st in keys] == [0o400, 0o400]
    assert (system.root / "run/admin.sock").stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0: # program number N of the role table runs as uid_base + N
        assert [owners[name].st_uid for name in ("auth", "store", "backup", "run")] == [64203, 64204, 64204, 0]
        assert [st.st_uid for st in keys] == [64202, 64202]
        for name, pid in system.pids().items():
            status = pathlib.Path("/proc/%d/status" % pid).read_text()
            assert re.search(r"^Uid:\s+642\d\d\s", status, re.M), name
            assert re.search(r"^CapEff:\s+0+$", status, re.M), name
            assert re.search(r"^Seccomp:\s+2$", status, re.M), name
    else:
        assert "the programs have no users of their own" in system.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_keys_are_given_to_keyd(system):
    system.init()
    tls = system.root / "etc/tls"
    (tls / "mine.key").write_text("key")
    (tls / "elsewhere.key").symlink_to("/etc/hostname")
    outside = os.stat("/etc/hostname")
    assert system.start().returncode == 0
    st = (tls / "mine.key").stat()
    assert (st.st_uid, st.st_mode & 0o7777) == (64202, 0o400)
    assert os.stat("/etc/hostname")[:6] == outside[:6]
    (tls / "later.key").write_text("key")
    assert system.ctl("reload").returncode == 0
    assert (tls / "later.key").stat().st_uid == 64202


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_folders_of_another_user_are_given_over_once(system):
    system.init()
    store = system.root / "store"
    (store / "inner").mkdir()
    (store / "inner/file").write_text("x")
    (store / "link").symlink_to("/etc/hostname")
    outside = os.stat("/etc/hostname").st_uid
    os.chown(store, 12345, 12345)
    assert system.start().returncode == 0
    assert [p.lstat().st_uid for p in (store, store / "inner", store / "inner/file", store / "link")] == [64204] * 4
    assert os.stat("/etc/hostname").st_uid == outside
    system.ctl("stop")
    os.chown(store / "inner/file", 0, 0) # whose folder is right already: nothing below is touched
    assert system.start().returncode == 0
    assert (store / "inner/file").stat().st_uid == 0


def test_bad_configuration_is_refused(system):
    system.init().conf("smtp_lisen = 0.0.0.0:1\n")
    line = len((system.root / "etc/estafeta.conf").read_text().splitlines())
    got = system.start()
    assert got.returncode == os.EX_CONFIG and "etc/estafeta.conf:%d:" % line in got.stderr and "smtp_listen" in got.stderr
    got = system.ctl("config", "check")
    assert got.returncode == os.EX_CONFIG and "etc/estafeta.conf:%d:" % line in got.stderr


@pytest.mark.parametrize("value", ["127.0.0.1", "10.0.0.0/8"])
def test_listening_address_without_a_port(system, value):
    text = (system.init().root / "etc/estafeta.conf").read_text()
    (system.root / "etc/estafeta.conf").write_text(re.sub(r"^imap_listen = .*", "imap_listen = " + value, text, flags=re.M))
    got = system.start()
    assert got.returncode == os.EX_CONFIG and "imap_listen" in got.stderr and "needs a port" in got.stderr


def test_no_configuration(system):
    got = system.start()
    assert got.returncode == os.EX_CONFIG and "init" in got.stderr


def test_init_leaves_what_is_there(system):
    before = (system.init().root / "etc/estafeta.conf").read_bytes()
    got = system.ctl("init")
    assert got.returncode == os.EX_CANTCREAT and "left as it is" in got.stderr
    assert (system.root / "etc/estafeta.conf").read_bytes() == before


def test_port_in_use(system):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1) # an earlier test's connections linger
        s.bind(("127.0.0.1", OFFSET + 143))
        s.listen()
        got = system.init().start()
    assert got.returncode == os.EX_TEMPFAIL
    assert "imap_listen" in got.stderr and ":%d" % (OFFSET + 143) in got.stderr and "in use" in got.stderr
    with pytest.raises(OSError):
        greeting(25)


def test_a_program_that_ends_is_started_again(system):
    system.up()
    before = system.pids()
    os.kill(before["edged"], signal.SIGKILL)
    os.kill(before["smtpd"], signal.SIGSEGV)
    for _ in range(100):
        after = system.pids()
        if len(after) == len(PROGRAMS) and after["edged"] != before["edged"] and after["smtpd"] != before["smtpd"]:
            break
        time.sleep(0.02)
    else:
        pytest.fail(system.ctl("status").stdout)
    assert greeting(143) == b"fake\r\n" # the new edged has the same listeners
    assert "edged[%d] ended by signal 9" % before["edged"] in system.log()
    assert {n: p for n, p in after.items() if n not in ("edged", "smtpd")} == {
        n: p for n, p in before.items() if n not in ("edged", "smtpd")}


def test_a_program_that_never_starts(system):
    system.init()
    (system.programs / "mdad.fail").touch()
    got = system.start()
    assert got.returncode == os.EX_SOFTWARE, system.log() + system.ctl("status").stdout
    assert "mdad does not start" in got.stderr and "log/maillog" in got.stderr
    assert "mdad cannot start: told not to start" in system.log()
    assert system.ctl("status").returncode == os.EX_UNAVAILABLE


def test_a_program_that_is_not_there(system):
    system.init()
    (system.programs / "pop3d").unlink()
    got = system.start()
    assert got.returncode != 0 and "pop3d" in got.stderr
    assert system.ctl("status").returncode == os.EX_UNAVAILABLE


def test_a_program_goes_and_comes_back_while_running(system):
    system.up()
    (system.programs / "pop3d").unlink()
    os.kill(system.pids()["pop3d"], signal.SIGKILL)
    system.wait_log("cannot run")
    time.sleep(0.5)
    assert system.log().count("cannot run") < 10 # it backs off
    (system.programs / "pop3d").symlink_to(FAKE)
    for _ in range(300):
        if "pop3d" in system.pids():
            return
        time.sleep(0.02)
    pytest.fail(system.ctl("status").stdout)


def test_reload(system):
    system.up()
    system.conf("max_errors = 7\n")
    got = system.ctl("reload")
    assert (got.returncode, got.stdout) == (0, "")
    os.kill(system.pid(), signal.SIGHUP)
    system.wait_log("reload: done")
    text = (system.root / "etc/estafeta.conf").read_text()
    (system.root / "etc/estafeta.conf").write_text(text.replace(":%d" % (OFFSET + 25), ":%d" % (OFFSET + 26)))
    got = system.ctl("reload")
    assert got.returncode == 0 and "smtp_listen: holds from the next start on" in got.stdout
    system.conf("max_errors = many\n")
    got = system.ctl("reload")
    assert got.returncode == os.EX_CONFIG and "max_errors" in got.stderr
    assert len(system.pids()) == len(PROGRAMS)


def test_reload_that_a_program_refuses(system):
    (system.programs / "imapd.refuse").touch()
    system.up()
    got = system.ctl("reload")
    assert got.returncode == os.EX_CONFIG and "imapd: told to refuse" in got.stderr


def test_foreground_and_systemd(system):
    system.init()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        name = str(system.programs / "notify")
        notify.bind(name)
        notify.settimeout(20)
        master = subprocess.Popen([ESTAFETAD, "--root", system.root, "--programs", system.programs, "--foreground"],
                                  stderr=subprocess.PIPE, env={**os.environ, "NOTIFY_SOCKET": name})
        assert b"READY=1\n" in notify.recv(1000)
        assert master.stderr.readline() == b"estafetad: ready\n"
        master.send_signal(signal.SIGHUP)
        assert b"RELOADING=1\nMONOTONIC_USEC=" in notify.recv(1000)
        assert b"READY=1\n" in notify.recv(1000)
        master.send_signal(signal.SIGINT)
        assert b"STOPPING=1\n" in notify.recv(1000)
        assert master.wait(20) == 0
        master.stderr.close()


def test_programs_end_with_their_master(system):
    system.up()
    pids = system.pids()
    os.kill(system.pid(), signal.SIGKILL)
    for _ in range(200):
        if not any(os.path.exists("/proc/%d" % pid) for pid in pids.values()):
            break
        time.sleep(0.02)
    else:
        pytest.fail("programs outlive estafetad")
    assert system.start().returncode == 0 # over the socket that it left


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_door_is_shut_to_others(system):
    system.up()
    got = system.ctl("status", user=65534, group=65534, extra_groups=[])
    assert got.returncode == os.EX_NOPERM
    os.chmod(system.root / "run/admin.sock", 0o666) # the credentials are what counts
    got = system.ctl("stop", user=65534, group=65534, extra_groups=[])
    assert got.returncode != 0 and len(system.pids()) == len(PROGRAMS)
    assert "user 65534" in system.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root(system):
    folder = system.programs.parent
    os.chown(folder, 65534, 65534)
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    got = system.ctl("init", "--port-offset", str(OFFSET), **as_nobody)
    assert got.returncode == 0, got.stderr
    got = system.ctl("start", "--programs", system.programs, **as_nobody)
    assert got.returncode == 0, got.stderr
    assert "the programs have no users of their own" in system.log()
    assert greeting(25) == b"fake\r\n"
    assert system.ctl("stop", **as_nobody).returncode == 0
    got = system.start() # now as root: what nobody made is given to the programs' users
    assert got.returncode == 0, got.stderr
    assert (system.root / "store").stat().st_uid == 64204


@pytest.mark.skipif(os.geteuid() != 0, reason="others are in their own way")
def test_a_root_below_a_folder_that_bars_others(system):
    system.programs.parent.chmod(0o700) # as /root is
    assert system.init().start().returncode == 0
    assert greeting(110) == b"fake\r\n"


@pytest.mark.parametrize("args,words", [
    (["user"], "user add"),
    (["user", "ad"], 'has no "ad"'),
    (["nonsense"], "no command"),
    (["user", "del"], "wants NAME"),
    (["user", "del", "a", "b"], "one argument too many: b"),
    (["user", "del", "--pruge", "a"], "no such option: --pruge"),
    (["user", "del", "--purge=1", "a"], "takes no value: --purge"),
    (["user", "add", "--quota"], "wants a value: --quota"),
    (["user", "add"], "either a NAME or --batch FILE"),
    (["user", "add", "a", "--batch", "f"], "either a NAME or --batch FILE"),
    (["backup", "/elsewhere/x"], "below"),
    (["backup", ".."], "no name for a folder"),
])
def test_usage(system, args, words):
    got = system.ctl(*args)
    assert got.returncode == os.EX_USAGE and words in got.stderr


@pytest.mark.parametrize("args,status,words", [
    (["user", "add", "a b"], os.EX_DATAERR, "no account's name"),
    (["user", "add", "a+b"], os.EX_DATAERR, "no account's name"),
    (["user", "add", "x" * 300], os.EX_DATAERR, "longer than 254"),
    (["user", "quota", "a", "12X"], os.EX_DATAERR, "no size"),
    (["user", "quota", "a", "-1"], os.EX_DATAERR, "no size"),
    (["user", "del", "a"], os.EX_UNAVAILABLE, "is not running"),
    (["config", "show", "smtp_lisen"], os.EX_DATAERR, "smtp_listen"),
])
def test_bad_input(system, args, status, words):
    got = system.init().ctl(*args, input="password\n")
    assert got.returncode == status and words in got.stderr


def test_batch_is_judged_before_anything_is_done(system):
    system.init()
    got = system.ctl("user", "add", "--batch", "-", input="good password\n# comment\nbad\nworse+x secret words\n")
    assert got.returncode == os.EX_DATAERR
    assert "standard input:3: expected a name, a space and a password" in got.stderr
    assert "standard input:4:" in got.stderr and "secret" not in got.stderr


def test_help_of_every_command(system):
    top = system.ctl("--help")
    names = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= )", top.stdout, re.M)
    assert top.returncode == 0 and len(names) > 15
    for name in names:
        got = system.ctl(*name.split(), "--help")
        assert got.returncode == 0 and got.stdout.startswith("usage: estafeta [--root DIR] " + name), name


def test_config_show_and_sample(system):
    system.init()
    assert system.ctl("config", "show", "domain").stdout == 'domain = "dominio.com.uy"\n'
    shown = system.ctl("config", "show").stdout.splitlines()
    names = [line.split(" = ")[0] for line in shown]
    assert len(set(names)) == len(names) > 20
    sample = system.root / "sample"
    sample.write_text(system.ctl("config", "sample").stdout)
    assert system.ctl("config", "check", sample).returncode == 0
    commented = re.findall(r"^#(\w+) = ", sample.read_text(), re.M)
    assert sorted(set(commented)) == sorted(names) and len(set(commented)) == len(commented)


def test_users(system):
    system.with_authd()
    got = system.ctl("user", "add", "Usr1", input="right one\n")
    assert (got.returncode, got.stdout) == (0, "usr1@dominio.com.uy added\n")
    got = system.ctl("user", "add", "usr1@DOMINIO.com.uy", input="other\n")
    assert got.returncode == os.EX_CANTCREAT and "is there already" in got.stderr
    password = system.root / "password"
    password.write_text("another one\n")
    assert system.ctl("user", "add", "a@other.example", "--quota", "2G", "--password-file", password).returncode == 0
    assert system.accounts() == ["a@other.example", "usr1@dominio.com.uy"]
    assert re.search(r"^a@other\.example .* 2147483648$", system.ctl("user", "list").stdout, re.M)
    assert system.ctl("user", "quota", "a@other.example", "none").returncode == 0
    assert re.search(r"^a@other\.example .* none$", system.ctl("user", "list").stdout, re.M)
    got = system.ctl("user", "quota", "nobody", "1G")
    assert got.returncode == os.EX_NOUSER
    assert system.ctl("user", "passwd", "usr1", input="new\n").returncode == 0
    got = system.ctl("user", "passwd", "nobody", input="new\n")
    assert got.returncode == os.EX_NOUSER and "nobody@dominio.com.uy" in got.stderr
    assert system.ctl("user", "del", "usr1", "--purge").returncode == 0
    got = system.ctl("user", "del", "usr1")
    assert got.returncode == os.EX_NOUSER
    assert system.accounts() == ["a@other.example"]


@pytest.mark.parametrize("password", ["", "\n", "two\nlines\n", "x" * 1100])
def test_passwords_that_are_none(system, password):
    system.with_authd()
    got = system.ctl("user", "add", "usr1", input=password)
    assert got.returncode == os.EX_DATAERR, got
    assert system.accounts() == []


def test_an_addition_that_fails_leaves_nothing(system):
    system.with_authd()
    got = system.ctl("user", "add", "usr1", input="\xff\n", encoding="latin-1") # authd wants UTF-8
    assert got.returncode == os.EX_DATAERR and "UTF-8" in got.stderr
    assert system.accounts() == []
    got = system.ctl("user", "add", "nospace", input="password\n")
    assert got.returncode == os.EX_IOERR
    assert system.accounts() == []
    (system.programs / "authd").unlink() # no authd: the account is taken back
    os.kill(system.pids()["authd"], signal.SIGKILL)
    system.wait_log("cannot run")
    got = system.ctl("user", "add", "usr1", input="password\n")
    assert got.returncode == os.EX_TEMPFAIL and "authd is not running" in got.stderr
    assert system.accounts() == []


def test_an_account_without_a_secret_is_given_one(system):
    system.with_authd()
    assert system.ctl("user", "add", "usr1", input="password\n").returncode == 0
    system.ctl("stop")
    (system.root / "auth/secrets").unlink()
    system.start() # the stand-in for stored has forgotten the account: make it so that only the secret is missing
    assert system.ctl("user", "add", "usr1", input="password\n").returncode == 0
    os.kill(system.pids()["authd"], signal.SIGKILL)
    (system.root / "auth/secrets").unlink()
    for _ in range(200):
        got = system.ctl("user", "passwd", "usr1", input="password\n")
        if got.returncode != os.EX_TEMPFAIL:
            break
    assert got.returncode == 0, got


def test_batch(system):
    system.with_authd()
    lines = ["# name password"] + ["user%d  pass word %d" % (i, i) for i in range(300)]
    file = system.root / "accounts"
    file.write_text("\n".join(lines + ["user7 again", "nospace7 x"]) + "\n")
    got = system.ctl("user", "add", "--batch", file)
    assert got.returncode == os.EX_CANTCREAT and "300 accounts added, 2 failed" in got.stdout
    assert "accounts:302: user7@dominio.com.uy is there already" in got.stderr and "accounts:303:" in got.stderr
    assert len(system.accounts()) == 300
