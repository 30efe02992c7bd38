"""Deliveries by many sessions at once, with a book of what was promised.

As a program, `load.py HOST PORT RECIPIENT CLIENTS SIZE`: that many clients send a message each at once; prints each answer and token."""

import sys
import threading
import time
import types
import uuid

import mail

TOKEN = b"X-Token: "


class Load:
    """Sessions that deliver until stop(): `acked` has each token that got 250; `begun` each whose end was sent. Nothing is
    ever sent twice, so a token that is found twice is the system's doing."""

    def __init__(self, server, accounts, sessions=8, size=3000, pause=0.0):
        self.server, self.accounts, self.size, self.pause = server, accounts, size, pause
        self.acked, self.refused, self.begun = {}, {}, {}
        self.broken = 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.session, args=(i,), daemon=True) for i in range(sessions)]
        for t in self.threads:
            t.start()

    def session(self, i):
        while not self.over.is_set():
            try:
                with mail.Smtp(self.server, timeout=30) as smtp:
                    smtp.ehlo()
                    while not self.over.is_set():
                        self.one(smtp, self.accounts[i % len(self.accounts)][0])
                        time.sleep(self.pause)
            except (OSError, EOFError, AssertionError, ValueError):
                self.broken += 1  # a killed program, 451, or 421: come again
                time.sleep(0.02)

    def one(self, smtp, to):
        token = uuid.uuid4().hex.encode()
        smtp.begin(to)
        with self.lock:
            self.begun[token] = to
        code, text = smtp.data(mail.message(self.size, token))
        with self.lock:
            (self.acked if code == 250 else self.refused)[token] = to

    def wait_more(self, what, more, within=60):
        """Until `acked` or `refused` has `more` than now."""
        book, want, until = getattr(self, what), len(getattr(self, what)) + more, time.monotonic() + within
        while len(book) < want:
            assert time.monotonic() < until, "only %d of %d %s" % (len(book), want, what)
            time.sleep(0.02)

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive(), "a session hangs"
        return self


def tokens(server, account):
    """The token of each message that the account holds, in order."""
    with mail.Imap(server, account) as c:
        typ, data = c.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-TOKEN)])")
        assert typ == "OK"
        return [x[1].strip()[len(TOKEN) :] for x in data if isinstance(x, tuple)]


def judge(server, accounts, load):
    """Every promise kept, nothing doubled, nothing that was refused."""
    found = [t for a in accounts for t in tokens(server, a)]
    missing = set(load.acked) - set(found)
    doubled = {t for t in found if found.count(t) > 1} if len(set(found)) != len(found) else set()
    assert not missing, f"{len(missing)} of {len(load.acked)} acknowledged messages are lost"
    assert not doubled, f"{len(doubled)} messages are there twice"
    assert not set(found) & set(load.refused), "a refused message is there"
    assert set(found) <= set(load.begun), "a message that nobody sent"
    return found


def one_message(server, to, size):
    """(code, token) of a message by a client of its own; the code also where it was said before the message's end.

    0: the connection was ended within the message."""
    token = uuid.uuid4().hex.encode()
    with mail.Smtp(server, timeout=90) as smtp:
        for line in (b"EHLO client.example.org", b"MAIL FROM:<%s>" % mail.SENDER.encode(), b"RCPT TO:<%s>" % to.encode(), b"DATA"):
            code, text = smtp.say(line)
            if code not in (250, 354):
                return code, token
        try:
            return smtp.data(mail.message(size, token))[0], token
        except (OSError, EOFError):  # it was refused before all of it was sent, and the rest of it took the answer with it
            return 0, token


def main(host, port, to, clients, size):
    server = types.SimpleNamespace(host=host, ports={"smtp": int(port)})
    work = [mail.Background(one_message, server, to, int(size)) for _ in range(int(clients))]
    for w in work:
        w.end(180)
        print(w.result[0], w.result[1].decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
