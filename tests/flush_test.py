"""One flush for everybody, and no 250 before it: what strace sees of stored."""

import re
import signal
import subprocess
import threading
import time

import pytest

import mail

pytestmark = [pytest.mark.root]

LINE = re.compile(r"^(\d+) +(\d+\.\d+) (?:<\.\.\. )?(\w+)(?:\(| resumed>)")
FLUSHES = ("fdatasync", "fsync")


class Trace:
    """Flushes and writes of stored as (begin, end, call, path), by the wall clock."""

    def __init__(self, server, tmp_path):
        self.out = tmp_path / "strace"
        self.out.touch()
        self.strace = subprocess.Popen(
            ["strace", "-f", "-ttt", "-T", "-y", "-e", "trace=fdatasync,fsync,pwrite64,pwritev,pwritev2,write,sync_file_range", "-e", "signal=none",
             "-s", "0", "-o", self.out, "-p", str(server.pid("stored"))],
            stderr=subprocess.PIPE,
        )
        end = time.monotonic() + 10
        while time.monotonic() < end and b"attached" not in (self.strace.stderr.readline() or b""):
            pass

    def stop(self):
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(10)
        calls, begun = [], {}
        for line in self.out.read_text(errors="replace").splitlines():
            m = LINE.match(line)
            if m is None:
                continue
            thread, at, call = m[1], float(m[2]), m[3]
            took = re.search(r"<(\d+\.\d+)>$", line)
            if "<unfinished" in line:
                path = re.search(r"\d+<([^>]*)>", line)
                begun[thread, call] = (at, path[1] if path else "")
            elif "resumed>" in line:
                start, path = begun.pop((thread, call), (at, ""))
                calls.append((start, at, call, path))
            else:
                path = re.search(r"\d+<([^>]*)>", line)
                calls.append((at, at + (float(took[1]) if took else 0), call, path[1] if path else ""))
        return sorted(calls)


def log_flushes(calls):
    return [c for c in calls if c[2] in FLUSHES and "/seg-" in c[3]]


def send_many(server, accounts, sessions, each):
    """[(when the last byte was sent, when 250 was read)] by the wall clock."""
    times, lock = [], threading.Lock()

    def session(to):
        with mail.Smtp(server) as smtp:
            smtp.ehlo()
            for _ in range(each):
                smtp.begin(to)
                raw = mail.stuffed(mail.message(4000))
                smtp.send(raw[:-5])
                sent = time.time()
                smtp.send(raw[-5:])
                code, text = smtp.reply()
                heard = time.time()
                assert code == 250, text
                with lock:
                    times.append((sent, heard))

    workers = [mail.Background(session, accounts[i % len(accounts)][0]) for i in range(sessions)]
    for w in workers:
        w.end()
    return times


def send_together(server, accounts, sessions, rounds):
    """The same work by one thread: in each round all sessions are between 354 and 250 at once. How many messages."""
    raw = mail.stuffed(mail.message(4000))
    all_of_them = [mail.Smtp(server) for _ in range(sessions)]
    for smtp in all_of_them:
        smtp.ehlo()
    for _ in range(rounds):
        for i, smtp in enumerate(all_of_them):
            smtp.begin(accounts[i % len(accounts)][0])
        for smtp in all_of_them:
            smtp.send(raw)
        for smtp in all_of_them:
            code, text = smtp.reply()
            assert code == 250, text
    for smtp in all_of_them:
        smtp.__exit__(None, None, None)
    return sessions * rounds


def test_no_250_before_the_flush_that_began_after_its_write(own, tmp_path):
    accounts = [own.new_account() for _ in range(4)]
    trace = Trace(own, tmp_path)
    times = send_many(own, accounts, 4, 25)
    flushes = log_flushes(trace.stop())
    assert flushes
    for sent, heard in times:
        assert any(begin >= sent and end <= heard + 0.0005 for begin, end, _, _ in flushes), (sent, heard)


def test_one_flush_a_batch(own, tmp_path):
    """As many flushes of the log as writes to it: no batch is flushed twice, none left unflushed."""
    accounts = [own.new_account() for _ in range(4)]
    send_many(own, accounts, 2, 5)
    trace = Trace(own, tmp_path)
    send_many(own, accounts, 8, 25)
    calls = trace.stop()
    flushes = log_flushes(calls)
    writes = [c for c in calls if "write" in c[2] and "/seg-" in c[3]]
    assert len(flushes) >= 1 and abs(len(flushes) - len(writes)) <= 2, (len(flushes), len(writes))
    overlapping = [b for a, b in zip(flushes, flushes[1:]) if b[0] < a[1]]
    assert not overlapping, "two flushes of the log in flight"


def test_flushes_per_message_fall_with_sessions(own, tmp_path):
    accounts = [own.new_account() for _ in range(8)]
    for _ in range(5):  # sessions that get no processor gather nothing
        ratio = {}
        for sessions, each in ((1, 30), (20, 20), (60, 10)):
            trace = Trace(own, tmp_path)
            n = send_together(own, accounts, sessions, each)
            ratio[sessions] = len(log_flushes(trace.stop())) / n
        print("flushes per message:", ratio)
        if ratio[20] < 0.2 and ratio[60] <= ratio[20] and ratio[1] <= 1.1:
            return
    pytest.fail(f"flushes per message: {ratio}")


def test_fifty_recipients_are_one_flush(own, tmp_path):
    accounts = own.add_accounts(*(f"f{i}x{time.time_ns()}" for i in range(50)))
    trace = Trace(own, tmp_path)
    mail.deliver(own, mail.message(4000), *(name for name, _ in accounts))
    assert len(log_flushes(trace.stop())) <= 1
