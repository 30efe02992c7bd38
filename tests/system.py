"""A whole system of its own under a temporary folder, with free ports, and its accounts.

Nothing here knows how the programs work inside: it runs the executables of build/bin as an administrator
would, and looks at /proc. ESTAFETA_BUILD names another build than build/, as an absolute path: one with sanitizers,
made by tools/build, whose reports close() looks for in the log, with ASAN_OPTIONS=detect_leaks=0, since a leak check
needs calls that confinement forbids.
"""

import contextlib
import fcntl
import os
import pathlib
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("ESTAFETA_BUILD", REPO / "build"))
DOMAIN = "dominio.com.uy"
STANDARD = {"smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}
PROGRAMS = ["edged", "keyd", "authd", "stored", "mdad", "smtpd", "submitd", "logind", "imapd", "pop3d", "dnsd"]
NOBODY = 65534


def outside_address():
    """An address of this host that is not loopback, from where passwords may not come in the clear; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            host = probe.getsockname()[0]
        except OSError:
            return None
    return None if host.startswith("127.") else host


def port_is_free(port):
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((host, port))
            except OSError:
                return False
    return True


def take_offset():
    """An offset whose ports are free, and the lock that keeps it from other runs on this machine."""
    for _ in range(200):
        offset = random.randrange(22000, 28000)
        lock = os.open(f"/tmp/estafeta-ports-{offset}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(port_is_free(offset + p) for p in STANDARD.values()):
                return offset, lock
        except BlockingIOError:
            pass
        os.close(lock)
    raise RuntimeError("no free ports between 22025 and 28995")


def wait_for(what, seconds, text):
    """Until what() is true; fails with `text`, which may be a function."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(text() if callable(text) else text)
        time.sleep(0.01)


class System:
    host = "127.0.0.1"

    def __init__(self, user=None, settings=None, env=None, programs=None):
        """user: run all of it as this number, without root. programs: a folder with other executables."""
        self.user, self.env = user, env or {}
        self.programs = programs or os.environ.get("ESTAFETA_PROGRAMS")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="estafeta-test-"))
        self.folder.chmod(0o755)  # the programs' users pass through
        self.root = self.folder / "root"
        self.bin = self._bin()
        self.accounts = {}
        self.master = None
        self.offset, self.lock = take_offset()
        self.ports = {name: self.offset + port for name, port in STANDARD.items()}
        if user is not None:
            os.chown(self.folder, user, user)
        self.ctl("init", "--domain", DOMAIN, "--hostname", "mail." + DOMAIN, "--port-offset", str(self.offset))
        # Users of its own: the kernel counts a user's threads on the whole machine against RLIMIT_NPROC.
        self.configure(**{"uid_base": 100_000 + 32 * self.offset, **(settings or {})})

    def _bin(self):
        """The executables; copies when the user that is to run them cannot reach them."""
        if self.user is None or os.geteuid() != 0:
            return BUILD / "bin"
        place = self.folder / "bin"
        shutil.copytree(BUILD / "bin", place)
        return place

    def _as_user(self, argv):
        if self.user is None or os.geteuid() != 0:
            return argv
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *argv]

    def configure(self, **settings):
        """Sets lines of the configuration; takes effect at start or reload."""
        path = self.root / "etc/estafeta.conf"
        lines = path.read_text().splitlines()
        for name, value in settings.items():
            lines = [x for x in lines if x.partition("=")[0].strip() != name]
            lines.append(f"{name} = {value}")
        text = "\n".join(lines) + "\n"
        path.write_text(text)

    def ctl(self, *args, input=None, check=True, timeout=120):
        argv = self._as_user([str(self.bin / "estafeta"), "--root", str(self.root), *args])
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()[-3000:]}")
        return done

    # --- running

    def start(self):
        argv = [str(self.bin / "estafetad"), "--root", str(self.root), "--foreground"]
        if self.programs is not None:
            argv += ["--programs", str(self.programs)]
        self.words = open(self.folder / "estafetad.out", "ab")
        self.master = subprocess.Popen(
            self._as_user(argv), stdin=subprocess.DEVNULL, stdout=self.words, stderr=self.words, env={**os.environ, **self.env}
        )
        self.wait_ready()
        return self

    def wait_ready(self, seconds=60):
        def up():
            if self.master.poll() is not None:
                raise AssertionError(f"estafetad ended with {self.master.returncode}: {self.log()[-3000:]}")
            return self.words_read().endswith("ready\n") and all(self.greets(name) for name in ("smtp", "submission", "imap", "pop3"))

        wait_for(up, seconds, lambda: "not ready: " + self.log()[-3000:])

    def words_read(self):
        return (self.folder / "estafetad.out").read_text(errors="replace")

    def greets(self, name):
        try:
            with socket.create_connection((self.host, self.ports[name]), timeout=2) as s:
                return s.recv(1) != b""
        except OSError:
            return False

    def stop(self, sig=signal.SIGTERM):
        if self.master is None:
            return
        if self.master.poll() is None:
            self.master.send_signal(sig)
        try:
            self.master.wait(30)
        except subprocess.TimeoutExpired:
            self.master.kill()
            self.master.wait(10)
            raise
        finally:
            self.words.close()
        wait_for(lambda: not self._leftovers(), 15, lambda: f"still running: {self._leftovers()}")
        self.master = None

    def _leftovers(self):
        """Processes of this system that outlived estafetad: by what they hold open below the root, or were."""
        return [pid for pid in getattr(self, "seen", {}) if pathlib.Path(f"/proc/{pid}").exists() and starttime(pid) == self.seen[pid]]

    def restart(self, sig=signal.SIGTERM):
        self.pids()
        self.stop(sig)
        return self.start()

    def pids(self):
        """{program: pid} of those that run now; waits for none."""
        found = {}
        if self.master is None:
            return found
        master = self.master.pid
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, rest = stat.read_text().split(" (", 1)
                name, rest = rest.rsplit(") ", 1)
                state, parent = rest.split()[:2]
                if int(parent) == master and state not in "ZX" and name in PROGRAMS:  # not one that is being made
                    found[name] = int(pid)
        self.seen = {**getattr(self, "seen", {}), **{pid: starttime(pid) for pid in found.values()}}
        return found

    def pid(self, program, seconds=10):
        if program == "estafetad":
            return self.master.pid
        return wait_for(lambda: self.pids().get(program), seconds, lambda: f"no {program}: {self.log()[-2000:]}")

    def kill(self, program, sig=signal.SIGKILL):
        pid = self.pid(program)
        os.kill(pid, sig)
        return pid

    def log(self):
        text = ""
        for path in (self.root / "log/maillog", self.folder / "estafetad.out"):
            with contextlib.suppress(OSError):
                text += path.read_text(errors="replace")
        return text

    def close(self):
        try:
            self.stop()
        finally:
            if self.master is not None and self.master.poll() is None:
                self.master.kill()
            os.close(self.lock)
            with contextlib.suppress(OSError):
                os.unlink(f"/tmp/estafeta-ports-{self.offset}")
            said = self.sanitizers_said()
            if os.environ.get("ESTAFETA_KEEP") or said:
                print("kept:", self.folder, file=sys.stderr)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        assert not said, said

    def sanitizers_said(self):
        """Lines of ASan and UBSan: whatever a test does to a system, there must be none."""
        return [line for line in self.log().splitlines() if "Sanitizer" in line or "runtime error:" in line][:20]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- accounts

    def add_accounts(self, *names):
        """Full names, each with a random password."""
        made = {f"{name}@{DOMAIN}": secrets.token_hex(8) for name in names}
        lines = "".join(f"{name} {password}\n" for name, password in made.items())
        self.ctl("user", "add", "--batch", "-", input=lines)
        self.accounts.update(made)
        return list(made.items())

    def new_account(self):
        return self.add_accounts("t" + secrets.token_hex(6))[0]


def starttime(pid):
    """Field 22 of /proc/PID/stat: tells a process from a later one with its number."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
    except OSError:
        return None


def run_system(accounts=("usr1", "usr3"), **how):
    system = System(**how)
    try:
        system.start()
        system.add_accounts(*accounts)
    except BaseException:
        system.close()
        raise
    return system
