#!/usr/bin/python3
"""IMAP against a model: random clients on one account, every answer compared with what the RFCs promise.

    tests/model.py [--operations N] [--seed S] [--server estafeta|dovecot] [--shrink]

One thread plays all clients, one command at a time, so what is true after each command is known: `Box` and `Message`
hold it. A `Session` holds what its client may believe: the messages behind its sequence numbers (None: counted by an
EXISTS, not yet seen) and the flags it was told. Every operation draws from a generator of its own, made of seed and number,
so that leaving operations out leaves the others what they were: --shrink looks for few that still fail.

Where the RFCs leave freedom, and the model takes any answer:
- A view may lag until the session is told; what it is told of flags is any state since the last it was told, never an older
  one (RFC 3501 7, RFC 2180 3). After NOOP there is nothing left to tell.
- Commands that name messages which are gone, and not yet told: NO or OK, with or without them (RFC 2180 4). What happened to the
  others is then read with a fresh session. But COPY that says NO has copied nothing (RFC 3501 6.4.7).
- EXPUNGE and CLOSE in a view that lags may or may not see a \\Deleted that it was not told; never removed is
  what is not \\Deleted in truth. COPY in such a view may copy flags as told or as they are.
- STORE that changes nothing need not tell flags that the client knows, and may give a new mod-sequence (RFC 7162 3.1). Mod-sequences of two servers differ; they must
  be unique to a state, grow, and stay at or below HIGHESTMODSEQ.
- UNCHANGEDSINCE where the model has not learned the mod-sequence: either answer, which is then the truth (RFC 7162 3.1.3).
- UIDs may leave gaps; UIDNEXT only promises. VANISHED (EARLIER) may name UIDs that the client did not know (RFC 7162 3.2.10.1).
- A session whose mailbox is deleted or renamed by another: anything, but no answer for another mailbox; the model lets
  it go. \\Recent is not looked at.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SESSIONS = 6
BOX_MOST = 40  # messages, above which more is expunged than added
NAMES = ("INBOX", "a", "b", "c", "a/x", "b/x")
SYSTEM_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")
KEYWORDS = ("k1", "K2", "$Junk", "$Forwarded")
FLAGS = SYSTEM_FLAGS + ("\\Deleted",) + KEYWORDS
SAVED_MOST = 40

FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)$", re.S)
NUMBER = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|RECENT)$")
CODE = re.compile(rb"\[([A-Z-]+)(?: ([^\]]*))?\]")
UID = re.compile(rb"(?:^|[ (])UID (\d+)")
FLAGS_ITEM = re.compile(rb"(?:^|[ (])FLAGS \(([^)]*)\)")
MODSEQ = re.compile(rb"(?:^|[ (])MODSEQ \((\d+)\)")
SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
LITERAL = re.compile(rb"\{(\d+)\}$")


class Mismatch(Exception):
    """The server said or did what it may not."""


def need(truth, text, *args):
    if not truth:
        raise Mismatch(text % args if args else text)


# --- sets of numbers


def put_set(numbers, rng=None):
    """Sorted numbers as a set; with rng sometimes backwards or overlapping, which means the same."""
    runs = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    if rng is not None and rng.random() < 0.2:
        runs = [[b, a] for a, b in runs]
    if rng is not None and rng.random() < 0.1:
        rng.shuffle(runs)
        runs.append(runs[0])
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in runs)


def take_set(text):
    """In the order as written."""
    out = []
    for run in text.split(b","):
        a, colon, b = run.partition(b":")
        a, b = int(a), int(b if colon else a)
        out += range(min(a, b), max(a, b) + 1)
    return out


def lower(flags):
    return frozenset(x.lower() for x in flags)


# --- the truth


class State:
    """Of one message, from one change to the next. modseq: None until a session was told it; it is above `floor`.
    bump: a STORE that changed nothing may have given a new mod-sequence above this."""

    __slots__ = ("flags", "modseq", "floor", "bump")

    def __init__(self, flags, floor):
        self.flags, self.floor, self.modseq, self.bump = flags, floor, None, None

    def fits(self, modseq):
        if self.modseq is None:
            return modseq > self.floor
        return modseq == self.modseq or (self.bump is not None and modseq > self.bump)

    def learn(self, modseq):
        if self.modseq is not None and modseq != self.modseq:
            self.bump = None
        self.modseq = modseq

    def unchanged_since(self, modseq):
        """Is its mod-sequence at most this? None: not known."""
        if self.modseq is None:
            return False if self.floor >= modseq else None
        if self.modseq > modseq:
            return False
        return True if self.bump is None else (True if modseq >= 1 << 62 else None)


class Message:
    __slots__ = ("token", "size", "states", "changed")

    def __init__(self, token, size, flags, floor, changed):
        self.token, self.size, self.changed = token, size, changed
        self.states = [State(flags, floor)]

    @property
    def flags(self):
        return self.states[-1].flags


class Box:
    def __init__(self, name, uidvalidity):
        self.name, self.uidvalidity = name, uidvalidity
        self.live, self.dead = {}, {}
        self.uidnext = 1  # above all that were given or promised
        self.given = []  # UIDs, ascending
        self.top = 0  # highest mod-sequence that anyone was told
        self.highest = 0  # HIGHESTMODSEQ, as of `highest_at`
        self.highest_at = -1
        self.change = 0  # counts changes

    def add(self, uid, token, size, flags):
        need(uid >= self.uidnext, "UID %d was given in %s where UIDNEXT is %d", uid, self.name, self.uidnext)
        self.change += 1
        self.live[uid] = Message(token, size, flags, self.top, self.change)
        self.uidnext = uid + 1
        self.given.append(uid)

    def kill(self, uid):
        self.change += 1
        self.dead[uid] = self.live.pop(uid)

    def set_flags(self, uid, flags):
        message = self.live[uid]
        self.change += 1
        message.changed = self.change
        if flags == message.flags:
            if message.states[-1].bump is None:
                message.states[-1].bump = max(self.top, message.states[-1].floor)
        else:
            message.states.append(State(flags, self.top))

    def told_highest(self, highest):
        """By SELECT or STATUS: as of now."""
        need(highest >= self.top, "HIGHESTMODSEQ %d in %s where %d was told before", highest, self.name, self.top)
        if self.highest_at >= 0 and self.changed_for_sure > self.highest_at:
            need(highest > self.highest, "HIGHESTMODSEQ of %s stays %d though it changed", self.name, highest)
        self.top = self.highest = highest
        self.highest_at = self.change

    @property
    def changed_for_sure(self):
        return max([m.changed for m in self.live.values() if m.states[-1].bump is None], default=0)


class Session:
    def __init__(self, number):
        self.number = number
        self.wire = None
        self.log = collections.deque(maxlen=14)
        self.kind, self.rev2 = "", False

    def deselect(self):
        self.box = None
        self.view, self.belief, self.seen = [], {}, {}
        self.read_only, self.modseq, self.synced = False, None, -1
        self.idle, self.orphan = None, False


class Wire:
    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def more(self):
        got = self.sock.recv(262144)
        if not got:
            raise EOFError
        self.rest += got

    def line(self):
        """A line without its CR LF, and its literals; in the line stay their {n}."""
        at, text, literals = 0, b"", []
        while True:
            end = self.rest.find(b"\r\n", at)
            while end < 0:
                self.more()
                end = self.rest.find(b"\r\n", at)
            text += self.rest[at:end]
            at = end + 2
            literal = LITERAL.search(text) if text.endswith(b"}") else None
            if literal is None:
                self.rest = self.rest[at:]
                return text, literals
            n = int(literal.group(1))
            while len(self.rest) < at + n:
                self.more()
            literals.append(self.rest[at : at + n])
            at += n


class Reply:
    """What came up to the tagged answer."""

    __slots__ = ("untagged", "status", "code", "argument", "text")

    def __init__(self):
        self.untagged = []
        self.status = self.code = self.argument = self.text = b""


class Told:
    """What one reply said, besides what changed the session."""

    def __init__(self):
        self.fetched = {}  # uid -> (flags, modseq, size, literals)
        self.earlier = set()
        self.search, self.esearch, self.status, self.names = None, None, None, set()
        self.codes = {}
        self.modseq = 0
        self.highest = None
        self.exists = None


# --- the world


class World:
    def __init__(self, server, seed, account):
        self.server, self.seed, self.account = server, seed, account
        self.boxes = {}
        self.used = set()  # (name, uidvalidity) that must not come again
        self.saved = []
        self.tokens = self.tags = self.number = 0
        self.sessions = [Session(i) for i in range(SESSIONS)]
        self.auditor = Session("audit")
        self.involved = self.sessions[0]
        self.counts = collections.Counter()
        self.rng = random.Random(f"{seed} begin")
        self.capabilities = b""
        self.connect(self.auditor, "condstore")
        for s in self.sessions:
            self.connect(s)
        for name in NAMES[:4]:
            if name != "INBOX":
                self.simple(self.auditor, f"CREATE {name}")
            self.learn_box(name)

    # -- talking

    def connect(self, s, kind=None):
        if s.wire is not None:
            s.wire.sock.close()
        rng = self.rng
        s.deselect()
        s.wire = Wire(self.server.host, self.server.port)
        s.wire.line()
        s.kind = kind or rng.choice(("", "condstore", "qresync", "qresync"))
        s.condstore = s.qresync = False
        s.keywords = set()
        user, password = self.account
        self.simple(s, f"LOGIN {user} {password}")
        if not self.capabilities:
            reply = self.command(s, "CAPABILITY")
            self.capabilities = b" ".join(line for line, _ in reply.untagged).upper() + b" "
        s.rev2 = b" IMAP4REV2 " in self.capabilities and kind is None and rng.random() < 0.3
        if s.rev2:
            self.simple(s, "ENABLE IMAP4rev2")
        if s.kind == "qresync":
            self.simple(s, "ENABLE QRESYNC")
            s.condstore = s.qresync = True

    def simple(self, s, text):
        reply = self.command(s, text)
        need(reply.status == b"OK", "%s: %s", text, reply.text)
        return reply

    def begin(self, s, text):
        self.tags += 1
        tag = b"t%d" % self.tags
        s.log.append((self.number, ">", tag.decode() + " " + text))
        s.asking = text.startswith(("FETCH", "UID FETCH"))
        self.involved = s
        return tag

    def command(self, s, text, literals=()):
        """Sends it and reads up to its answer. literals: for each {n+} in the text."""
        tag = self.begin(s, text)
        need(not s.wire.rest, "said between commands: %r", s.wire.rest[:200])
        data = tag + b" " + text.encode()
        for literal in literals:
            data = data.replace(b"{}", b"{%d+}\r\n" % len(literal) + literal, 1)
        s.wire.sock.sendall(data + b"\r\n")
        return self.read(s, tag)

    def read(self, s, tag):
        reply = Reply()
        while True:
            try:
                line, literals = s.wire.line()
            except (EOFError, OSError) as e:
                raise Mismatch(f"the connection ended: {e!r}") from None
            s.log.append((self.number, "<", line.decode(errors="replace")[:300]))
            if line.startswith(b"* "):
                reply.untagged.append((line, literals))
                continue
            need(line.startswith(tag + b" "), "not an answer to %s: %s", tag, line)
            reply.text = line[len(tag) + 1 :]
            reply.status, _, rest = reply.text.partition(b" ")
            code = CODE.match(rest)
            if code:
                reply.code, reply.argument = code.group(1), code.group(2) or b""
            need(reply.status in (b"OK", b"NO"), "refused: %s", reply.text)
            return reply

    # -- what is told

    def absorb(self, s, reply, expunge=True):
        """Brings the session's belief up to what was said. expunge: whether it may be told what went."""
        told = Told()
        for line, literals in reply.untagged:
            match = FETCH.match(line)
            if match:
                self.told_fetch(s, told, int(match.group(1)), match.group(2), literals)
                continue
            match = NUMBER.match(line)
            if match:
                self.told_number(s, told, int(match.group(1)), match.group(2), expunge)
            elif line.startswith(b"* VANISHED (EARLIER) "):
                need(s.qresync, "VANISHED without QRESYNC")
                told.earlier.update(take_set(line[21:]))
            elif line.startswith(b"* VANISHED "):
                need(s.qresync and expunge, "VANISHED where it may not be told (RFC 7162 3.2.10.2)")
                self.told_vanished(s, take_set(line[11:]))
            elif line.startswith(b"* FLAGS ("):
                s.keywords = {x.lower() for x in line[9:-1].decode().split()}
            elif line.startswith((b"* OK", b"* NO")):
                code = CODE.match(line[5:])
                if code:
                    told.codes[code.group(1)] = code.group(2)
                    if code.group(1) == b"HIGHESTMODSEQ":
                        told.highest = int(code.group(2))
            elif line.startswith(b"* SEARCH"):
                told.search = line[8:].split(b" (MODSEQ")[0].split()
                told.search = [int(x) for x in told.search]
            elif line.startswith(b"* ESEARCH"):
                told.esearch = line
            elif line.startswith(b"* STATUS "):
                told.status = self.take_status(line)
            elif line.startswith(b"* LIST ("):
                if b"\\noselect" not in line.lower() and b"\\nonexistent" not in line.lower():
                    told.names.add(line.split(b'" ', 1)[1].strip(b'"').decode())
            else:
                need(line.startswith((b"* CAPABILITY", b"* ENABLED", b"* ID")), "not expected: %s", line)
        if reply.code == b"HIGHESTMODSEQ":
            told.highest = int(reply.argument)
        if s.box is not None and s.modseq is not None:  # RFC 7162 6
            s.modseq = told.highest if told.highest is not None else max(s.modseq, told.modseq)
        return told

    def take_status(self, line):
        return {k: int(v) for k, v in re.findall(rb"([A-Z]+) (\d+)", line[line.rindex(b"(") :])}

    def told_number(self, s, told, n, what, expunge):
        if what == b"RECENT":
            return
        need(s.box is not None, "%s without a mailbox", what)
        if what == b"EXPUNGE":
            need(expunge, "EXPUNGE where it may not be told (RFC 3501 7.4.1)")
            need(not s.qresync, "EXPUNGE after ENABLE QRESYNC (RFC 7162 3.2.10.2)")
            need(1 <= n <= len(s.view), "EXPUNGE of %d among %d", n, len(s.view))
            uid = s.view.pop(n - 1)
            need(uid not in s.box.live, "EXPUNGE of UID %s, which is there", uid)
            s.belief.pop(uid, None)
            s.seen.pop(uid, None)
            return
        told.exists = n
        need(n >= len(s.view), "EXISTS shrinks from %d to %d (RFC 3501 7.3.1)", len(s.view), n)
        if n > len(s.view):
            last = next((u for u in reversed(s.view) if u is not None), 0)
            unseen = sum(1 for u in s.view if u is None) + n - len(s.view)
            possible = sum(1 for u in reversed(s.box.given) if u > last) if not s.view or s.view[-1] != s.box.given[-1] else 0
            need(unseen <= possible, "EXISTS %d with %d new messages, where %d came", n, unseen, possible)
            s.view += [None] * (n - len(s.view))

    def told_vanished(self, s, uids):
        for uid in uids:
            need(uid not in s.box.live, "VANISHED of UID %d, which is there", uid)
            if uid in s.view:
                s.view.remove(uid)
            else:
                need(None in s.view and uid in s.box.dead, "VANISHED of UID %d, which was not in the view", uid)
                s.view.remove(None)
            s.belief.pop(uid, None)
            s.seen.pop(uid, None)

    def told_fetch(self, s, told, n, text, literals):
        need(s.box is not None, "FETCH without a mailbox")
        need(1 <= n <= len(s.view), "FETCH of %d among %d", n, len(s.view))
        match = UID.search(text)
        uid = s.view[n - 1]
        if match:
            said = int(match.group(1))
            if uid is None:
                uid = s.view[n - 1] = self.resolve(s, n, said)
            need(said == uid, "number %d is UID %s, but the server says %d", n, uid, said)
        else:
            need(s.asking or not s.qresync, "FETCH without UID after ENABLE QRESYNC (RFC 7162 3.2.4)")
        match, flags = FLAGS_ITEM.search(text), None
        if match:
            flags = frozenset(match.group(1).decode().lower().split()) - {"\\recent"}
            need(all(f in s.keywords for f in flags), "flags %s before FLAGS told of them", sorted(flags - s.keywords))
        match, modseq = MODSEQ.search(text), None
        if match:
            modseq = int(match.group(1))
            need(s.condstore, "MODSEQ without CONDSTORE")
            told.modseq = max(told.modseq, modseq)
        if uid not in s.box.live:
            return
        message = s.box.live[uid]
        if flags is not None or modseq is not None:
            self.told_state(s, uid, message, flags, modseq)
        match, size = SIZE.search(text), None
        if match:
            size = int(match.group(1))
            need(size == message.size, "RFC822.SIZE of UID %d is %d, not %d", uid, size, message.size)
        for literal in literals:
            need(b"X-Model" not in literal or b"X-Model: %d\r\n" % message.token in literal, "UID %d holds another message", uid)
        old = told.fetched.get(uid, (None, None, None, []))
        told.fetched[uid] = (
            flags if flags is not None else old[0],
            modseq if modseq is not None else old[1],
            size if size is not None else old[2],
            literals or old[3],
        )

    def resolve(self, s, n, uid):
        need(uid in s.box.live or uid in s.box.dead, "UID %d was never given", uid)
        before = next((u for u in reversed(s.view[: n - 1]) if u is not None), 0)
        after = next((u for u in s.view[n:] if u is not None), 1 << 40)
        need(before < uid < after, "UID %d between %d and %d", uid, before, after)
        return uid

    def told_state(self, s, uid, message, flags, modseq):
        """One of its states since the one that was told last; learns the mod-sequence of the newest."""
        states, at = message.states, s.seen.get(uid, 0)
        last = len(states) - 1
        for i in range(last, at - 1, -1):
            state = states[i]
            if (flags is None or state.flags == flags) and (modseq is None or state.fits(modseq)):
                break
        else:
            raise Mismatch(
                f"UID {uid} has {flags and sorted(flags)} modseq {modseq}; may be "
                + " or ".join(f"{sorted(x.flags)} {x.modseq} (above {x.floor}, {x.bump})" for x in states[at:])
            )
        if modseq is not None and i == last and not any(x.modseq is None and x.flags == state.flags for x in states[at:last]):
            box = s.box
            need(box.highest_at < message.changed or modseq <= box.highest, "MODSEQ %d above HIGHESTMODSEQ %d", modseq, box.highest)
            state.learn(modseq)
            box.top = max(box.top, modseq)
        if flags is not None:
            s.belief[uid], s.seen[uid] = flags, i

    def finish(self, s):
        """Asks who came, as clients do."""
        if s.box is None or None not in s.view or s.idle or s.orphan:
            return
        first, last = s.view.index(None) + 1, len(s.view)
        reply = self.command(s, f"FETCH {first}:{last} (UID FLAGS{' MODSEQ' if s.condstore else ''})")
        self.absorb(s, reply, expunge=False)
        for i in range(first - 1, last):
            need(s.view[i] is not None or len(s.box.dead) > 0, "FETCH did not tell of %d", i + 1)

    def check_synced(self, s):
        """After NOOP: nothing is left to be told."""
        self.finish(s)
        box, live = s.box, list(s.box.live)
        need(s.view == live, "after NOOP the view is %s, the truth %s", s.view, live)
        for uid, flags in s.belief.items():
            need(flags == box.live[uid].flags, "after NOOP UID %d is believed %s, but is %s", uid, sorted(flags), sorted(box.live[uid].flags))
            s.seen[uid] = len(box.live[uid].states) - 1
        s.synced = box.change

    # -- the truth read anew

    def examine(self, box):
        a = self.auditor
        a.deselect()
        reply = self.command(a, f"EXAMINE {box.name} (CONDSTORE)")
        need(reply.status == b"OK", "EXAMINE %s: %s", box.name, reply.text)
        a.box, a.condstore = box, True
        return reply

    def settle(self, box, gone=(), flags=()):
        """What freedom left open: of `gone` some are there no more; of uid in `flags` some have flags as given."""
        if not gone and not flags:
            return
        self.counts["settled"] += 1
        self.examine(box)
        reply = self.command(self.auditor, "UID FETCH 1:* (FLAGS)")
        there = {}
        for line, _ in reply.untagged:
            match = FETCH.match(line)
            if match and UID.search(line):
                got = FLAGS_ITEM.search(match.group(2)).group(1).decode().lower().split()
                there[int(UID.search(line).group(1))] = frozenset(got) - {"\\recent"}
        for uid in gone:
            if uid not in there and uid in box.live:
                box.kill(uid)
        for uid, allowed in dict(flags).items():
            if uid in box.live:
                need(there.get(uid) in allowed, "UID %d has %s, may have %s", uid, there.get(uid), [sorted(x) for x in allowed])
                box.set_flags(uid, there[uid])

    def settle_move(self, box, target, alive):
        """A MOVE that failed: each message was moved or was not, and none was lost (RFC 6851 3.3)."""
        self.counts["settled"] += 1
        tokens = {box.live[u].token: u for u in alive}
        self.examine(target)
        reply = self.command(self.auditor, "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (X-Model)])")
        for line, literals in reply.untagged:
            if UID.search(line) and literals:
                uid, token = int(UID.search(line).group(1)), int(literals[0].split()[1])
                if uid not in target.live:
                    need(token in tokens, "UID %d came to %s", uid, target.name)
                    source = box.live[tokens[token]]
                    target.add(uid, token, source.size, source.flags)
        self.examine(box)
        there = {int(UID.search(x).group(1)) for x, _ in self.command(self.auditor, "UID FETCH 1:* (UID)").untagged if UID.search(x)}
        for token, uid in tokens.items():
            if uid not in there:
                need(any(m.token == token for u, m in target.live.items() if u != uid), "MOVE lost UID %d", uid)
                box.kill(uid)

    def audit(self, box):
        """A fresh session sees the truth and nothing else."""
        a = self.auditor
        reply = self.examine(box)
        told = self.absorb(a, reply)
        need(told.exists == len(box.live), "a fresh session sees %s messages in %s, not %d", told.exists, box.name, len(box.live))
        if box.live:
            reply = self.command(a, "FETCH 1:* (UID FLAGS MODSEQ RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-Model)])")
            told = self.absorb(a, reply)
        need(a.view == list(box.live), "a fresh session sees %s, the truth is %s", a.view, list(box.live))
        for uid, message in box.live.items():
            flags, modseq, size, literals = told.fetched[uid]
            need(flags == message.flags and size is not None and modseq is not None, "UID %d: %s", uid, told.fetched[uid])
            need(any(b"X-Model: %d\r\n" % message.token in x for x in literals), "UID %d holds another message", uid)

    def learn_box(self, name):
        reply = self.simple(self.auditor, f"STATUS {name} (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)")
        line = next(x for x, _ in reply.untagged if x.startswith(b"* STATUS "))
        status = self.take_status(line)
        need(status[b"MESSAGES"] == 0, "new mailbox %s holds %d messages", name, status[b"MESSAGES"])
        box = Box(name, status[b"UIDVALIDITY"])
        need((name, box.uidvalidity) not in self.used, "UIDVALIDITY %d comes again for %s", box.uidvalidity, name)
        self.used.add((name, box.uidvalidity))
        box.uidnext = status[b"UIDNEXT"]
        box.told_highest(status[b"HIGHESTMODSEQ"])
        self.boxes[name] = box
        return box

    # -- operations

    def step(self, number):
        self.number = number
        self.rng = rng = random.Random(f"{self.seed} {number}")
        s = self.sessions[rng.randrange(len(self.sessions))]
        if s.idle:
            self.end_idle(s)
        if s.orphan:
            self.connect(s)
        if rng.random() < 0.012:
            return self.op("reconnect", s)
        if s.box is None:
            name = rng.choices(("select", "resync", "append", "box", "list"), (6, 5, 2, 1, 1))[0]
        else:
            name = rng.choices(tuple(OPERATIONS), OPERATION_WEIGHTS)[0]
            crowded = len(s.box.live) > BOX_MOST
            if crowded and name in ("append", "copy"):
                name = "delete"
            elif not crowded and len(s.box.live) < 4 and rng.random() < 0.3:
                name = "append"
        return self.op(name, s)

    def op(self, name, s):
        self.counts[name] += 1
        getattr(self, "do_" + name)(s)
        self.finish(s)
        if self.number % 250 == 0:
            self.audit_all()

    def audit_all(self):
        for box in self.boxes.values():
            self.audit(box)
            if len(box.dead) > 200:
                kept = {u for s in self.sessions if s.box is box for u in s.view}
                box.dead = {u: m for u, m in box.dead.items() if u in kept}

    def end(self):
        for s in self.sessions:
            if s.idle:
                self.end_idle(s)
            if s.box is not None and not s.orphan:
                self.do_noop(s)
        self.audit_all()
        for s in [*self.sessions, self.auditor]:
            s.wire.sock.close()

    # - sets

    def pick(self, s, empty=True):
        """A set over the session's view: (text, by_uid, its UIDs in order). None: nothing to name."""
        rng = self.rng
        view = s.view
        if not view or None in view:
            return None
        by_uid = rng.random() < 0.6
        how = rng.random()
        if how < 0.35:
            chosen = [rng.randrange(len(view))]
        elif how < 0.7:
            a, b = sorted((rng.randrange(len(view)), rng.randrange(len(view))))
            chosen = list(range(a, min(b, a + 12) + 1))
        elif how < 0.9:
            chosen = sorted(rng.sample(range(len(view)), min(len(view), rng.randrange(1, 9))))
        else:
            first = rng.randrange(len(view))
            if by_uid and view != list(s.box.live):  # what "*" is then is open
                chosen = list(range(first, len(view)))
            else:
                chosen = list(range(first, len(view)))
                text = f"{view[first] if by_uid else first + 1}:*"
                return text, by_uid, [view[i] for i in chosen]
        uids = [view[i] for i in chosen]
        if not by_uid:
            return put_set([i + 1 for i in chosen], rng), False, uids
        numbers = list(uids)
        if empty and rng.random() < 0.2:  # some that never were or are no more (RFC 3501 6.4.8)
            numbers.append(s.box.uidnext + 1000 + rng.randrange(9))
        return put_set(numbers, rng), True, uids

    # - the selected mailbox

    def do_select(self, s):
        box = self.boxes[self.rng.choice(sorted(self.boxes))]
        self.select(s, box, self.rng.random() < 0.12, " (CONDSTORE)" if s.kind == "condstore" else "")

    def select(self, s, box, read_only, parameters, cached=None, uidvalidity=0):
        reply = self.command(s, f"{'EXAMINE' if read_only else 'SELECT'} {box.name}{parameters}")
        s.deselect()
        need(reply.status == b"OK", "SELECT %s: %s", box.name, reply.text)
        s.box, s.read_only, s.modseq = box, read_only, 0
        if parameters:
            s.condstore = True
        exists = next(int(NUMBER.match(x).group(1)) for x, _ in reply.untagged if x.endswith(b" EXISTS"))
        need(exists == len(box.live), "EXISTS %d, where %d are in %s", exists, len(box.live), box.name)
        if cached is not None and uidvalidity == box.uidvalidity:
            self.merge(s, reply, exists, cached)
        told = self.absorb(s, reply)
        if not told.fetched:
            need(cached is not None or not told.earlier, "VANISHED (EARLIER) that nobody asked for")
        codes = told.codes
        need(int(codes[b"UIDVALIDITY"]) == box.uidvalidity, "UIDVALIDITY of %s is %s, not %d", box.name, codes[b"UIDVALIDITY"], box.uidvalidity)
        self.told_uidnext(box, int(codes[b"UIDNEXT"]))
        if b"UNSEEN" in codes:
            unseen = next((i + 1 for i, m in enumerate(box.live.values()) if "\\seen" not in m.flags), None)
            need(int(codes[b"UNSEEN"]) == unseen, "UNSEEN %s, not %s", codes[b"UNSEEN"], unseen)
        if s.condstore:
            need(told.highest is not None, "no HIGHESTMODSEQ (RFC 7162 3.1.2.1)")
            box.told_highest(told.highest)
            s.modseq = told.highest
        else:
            s.modseq = None
        if cached is not None and uidvalidity == box.uidvalidity:
            for uid, flags in s.belief.items():
                need(flags == box.live[uid].flags, "after QRESYNC UID %d is believed %s, is %s", uid, sorted(flags), sorted(box.live[uid].flags))
        elif cached is not None:
            need(not told.earlier and not told.fetched, "resynchronised for another UIDVALIDITY (RFC 7162 3.2.5)")
        s.synced = box.change

    def told_uidnext(self, box, uidnext):
        need(uidnext >= box.uidnext, "UIDNEXT of %s is %d, was %d", box.name, uidnext, box.uidnext)
        box.uidnext = uidnext

    def merge(self, s, reply, exists, cached):
        """RFC 7162 3.2.5: what the client knew, without what VANISHED (EARLIER) names, and those that came since."""
        vanished = set()
        for line, _ in reply.untagged:
            if line.startswith(b"* VANISHED (EARLIER) "):
                vanished.update(take_set(line[21:]))
        for uid in vanished:
            need(uid not in s.box.live, "VANISHED (EARLIER) of UID %d, which is there", uid)
        for uid in cached:
            need(uid in s.box.live or uid in vanished, "UID %d is gone, and VANISHED (EARLIER) did not say so", uid)
        s.view = sorted(set(cached) - vanished)
        s.belief = {uid: flags for uid, flags in cached.items() if flags is not None and uid not in vanished}
        need(len(s.view) <= exists, "QRESYNC leaves %d messages, EXISTS says %d", len(s.view), exists)
        s.view += [None] * (exists - len(s.view))

    def save_state(self, s):
        """The client's connection may be lost now: this is what it has (RFC 7162 6)."""
        if s.box is None or s.orphan or s.modseq is None or not s.qresync or None in s.view:
            return
        state = (s.box.name, s.box.uidvalidity, s.modseq, {uid: s.belief.get(uid) for uid in s.view})
        if len(self.saved) < SAVED_MOST:
            self.saved.append(state)
        else:
            self.saved[self.rng.randrange(SAVED_MOST)] = state

    def do_reconnect(self, s):
        self.save_state(s)
        if self.rng.random() < 0.3 and s.box is not None:
            self.absorb(s, self.command(s, "NOOP"))
            self.finish(s)
            self.save_state(s)
        self.connect(s)
        if s.qresync and self.rng.random() < 0.7:
            self.do_resync(s)

    def do_resync(self, s):
        rng = self.rng
        saved = [x for x in self.saved if x[0] in self.boxes]
        if not s.qresync or not saved:
            return self.do_select(s)
        name, uidvalidity, modseq, cached = rng.choice(saved)
        if rng.random() < 0.1:
            uidvalidity += 1
        parts = [str(uidvalidity), str(max(modseq, 1))]
        uids = sorted(cached)
        if uids and rng.random() < 0.4:  # a client that kept only the first messages: of later ones nothing is told
            uids = uids[: rng.randrange(len(uids)) + 1] if rng.random() < 0.3 else uids
            cached = {u: cached[u] for u in uids}
            parts.append(put_set(uids) if rng.random() < 0.6 else f"1:{uids[-1]}")
        if uids and rng.random() < 0.4:
            at = sorted(rng.sample(range(len(uids)), rng.randrange(1, min(len(uids), 8) + 1)))
            parts.append(f"({put_set([i + 1 for i in at])} {put_set([uids[i] for i in at])})")
        self.counts["resynced"] += 1
        return self.select(s, self.boxes[name], rng.random() < 0.1, f" (QRESYNC ({' '.join(parts)}))", cached, uidvalidity)

    def do_unselect(self, s):
        self.save_state(s)
        self.simple(s, "UNSELECT")
        s.deselect()

    def do_close(self, s):
        box, open_ = s.box, self.expunged_openly(s)
        self.simple(s, "CLOSE")
        if not s.read_only:
            self.expunge_now(s, box, open_)
        s.deselect()

    def do_noop(self, s):
        self.absorb(s, self.simple(s, self.rng.choice(("NOOP", "NOOP", "CHECK")) if not s.rev2 else "NOOP"))
        self.check_synced(s)

    def do_all_noop(self, s):
        for each in self.sessions:
            if each.box is not None and not each.idle and not each.orphan:
                self.do_noop(each)

    def do_save(self, s):
        self.save_state(s)

    def do_idle(self, s):
        tag = self.begin(s, "IDLE")
        s.wire.sock.sendall(tag + b" IDLE\r\n")
        reply = Reply()
        while True:
            line, literals = s.wire.line()
            s.log.append((self.number, "<", line.decode(errors="replace")[:300]))
            if line.startswith(b"+"):
                break
            reply.untagged.append((line, literals))
        self.absorb(s, reply)
        s.idle = tag

    def end_idle(self, s):
        self.involved = s
        s.log.append((self.number, ">", "DONE"))
        s.wire.sock.sendall(b"DONE\r\n")
        tag, s.idle = s.idle, None
        if s.orphan:
            return
        reply = self.read(s, tag)
        self.absorb(s, reply)
        self.finish(s)

    # - messages

    def do_append(self, s):
        rng = self.rng
        inside = [n for n in sorted(self.boxes) if len(self.boxes[n].live) <= BOX_MOST]
        name = s.box.name if s.box and rng.random() < 0.5 and s.box.name in inside else rng.choice(inside or ["INBOX"])
        missing = rng.random() < 0.03
        if missing:
            name = "nowhere"
        several = rng.choice((1, 1, 2, 3)) if b" MULTIAPPEND " in self.capabilities else 1
        text, literals, news = f"APPEND {name}", [], []
        for _ in range(several):
            flags = rng.sample(sorted(set(FLAGS)), rng.choice((0, 0, 1, 2)))
            self.tokens += 1
            body = b"X-Model: %d\r\nSubject: m\r\n\r\n%s\r\n" % (self.tokens, b"x" * rng.randrange(60))
            text += f" ({' '.join(flags)})" if flags or rng.random() < 0.5 else ""
            text += ' "14-Jul-2024 02:44:25 -0700"' if rng.random() < 0.3 else ""
            text += " {}"
            literals.append(body)
            news.append((self.tokens, len(body), lower(flags)))
        reply = self.command(s, text, literals)
        if missing:
            need(reply.status == b"NO" and reply.code == b"TRYCREATE", "APPEND to no mailbox: %s", reply.text)
        else:
            need(reply.status == b"OK" and reply.code == b"APPENDUID", "APPEND: %s", reply.text)
            box = self.boxes[name]
            validity, uids = reply.argument.split()
            uids = take_set(uids)
            need(int(validity) == box.uidvalidity and len(uids) == several, "APPENDUID %s", reply.argument)
            for uid, (token, size, flags) in zip(uids, news):
                box.add(uid, token, size, flags)
        self.absorb(s, reply)

    def new_flags(self, mode, old, flags):
        return flags if mode == "" else old | flags if mode == "+" else old - flags

    def do_store(self, s):
        rng = self.rng
        picked = self.pick(s)
        if picked is None:
            return self.do_noop(s)
        text, by_uid, uids = picked
        box = s.box
        mode = rng.choice(("", "+", "+", "-"))
        flags = rng.sample(sorted(set(FLAGS)), rng.choice((0, 1, 1, 2, 3) if mode == "" else (1, 1, 2)))
        silent = rng.random() < 0.5
        condition = self.condition(s, uids) if rng.random() < 0.35 and s.kind else None
        clause = f" (UNCHANGEDSINCE {condition})" if condition is not None else ""
        before = s.synced == box.change
        reply = self.command(
            s, f"{'UID ' * by_uid}STORE {text}{clause} {mode}FLAGS{'.SILENT' * silent} ({' '.join(flags)})"
        )
        if condition is not None:
            s.condstore = True
        refused = set()
        if reply.code == b"MODIFIED":
            refused = set(take_set(reply.argument))
            if not by_uid:
                need(max(refused) <= len(s.view), "MODIFIED %s", reply.argument)
                refused = {s.view[n - 1] for n in refused}
            need(condition is not None and refused <= set(uids), "MODIFIED %s", reply.argument)
        self.stored(s, reply, picked, mode, lower(flags), condition, refused, silent)
        told = self.absorb(s, reply, expunge=by_uid)
        if s.modseq is None and s.condstore:
            s.modseq = told.highest
        self.check_stored(s, told, reply, uids, silent, refused)
        if before and reply.status == b"OK" and s.view == list(box.live):
            s.synced = box.change

    def condition(self, s, uids):
        known = [m.states[-1].modseq for m in s.box.live.values() if m.states[-1].modseq]
        if not known or self.rng.random() < 0.15:
            return self.rng.choice((0, 1, s.box.top, 1 << 62))
        return max(0, self.rng.choice(known) + self.rng.choice((-1, 0, 0, 1)))

    def stored(self, s, reply, picked, mode, flags, condition, refused, silent=True):
        """What the STORE did to the truth, and what its own client believes of it."""
        text, by_uid, uids = picked
        box = s.box
        alive = [u for u in uids if u in box.live]
        if s.read_only:
            return
        gone = len(alive) < len(uids)
        need(gone or reply.status == b"OK", "STORE: %s", reply.text)
        if reply.status == b"NO":  # RFC 2180 4.2: any of it may have been done, but then it is told
            for line, _ in reply.untagged if silent else ():
                uid = int(UID.search(line).group(1)) if UID.search(line) else None
                if uid in s.belief and uid not in refused and MODSEQ.search(line) and not FLAGS_ITEM.search(line):
                    s.belief[uid] = self.new_flags(mode, s.belief[uid], flags)
            return self.settle(box, flags={u: {box.live[u].flags, self.new_flags(mode, box.live[u].flags, flags)} for u in alive})
        for uid in alive:
            state = box.live[uid].states[-1]
            if condition is not None:
                allowed = state.unchanged_since(condition)
                need(allowed is None or allowed == (uid not in refused), "UNCHANGEDSINCE %d of UID %d with mod-sequence %s (above %d): %s",
                     condition, uid, state.modseq, state.floor, "refused" if uid in refused else "done")
            if uid not in refused:
                box.set_flags(uid, self.new_flags(mode, state.flags, flags))
                if silent and uid in s.belief:
                    s.belief[uid] = self.new_flags(mode, s.belief[uid], flags)

    def check_stored(self, s, told, reply, uids, silent, refused):
        if s.read_only or reply.status != b"OK":
            return
        for uid in uids:
            message = s.box.live.get(uid)
            if message is None or uid in refused:
                continue
            if not silent:
                same = message.states[-1].bump is not None and s.belief.get(uid, message.flags) == message.flags
                got = told.fetched.get(uid, (None,))[0]
                need(got == message.flags or (got is None and same), "STORE told %s of UID %d, which has %s", got, uid, message.flags)
            if s.condstore and message.states[-1].bump is None:  # RFC 7162 3.1.3
                need(uid in told.fetched and told.fetched[uid][1], "STORE did not tell MODSEQ of UID %d", uid)

    def expunged_openly(self, s, among=None):
        """Those \\Deleted of which a view that lags may not know."""
        if s.synced == s.box.change:
            return set()
        deleted = {u for u, m in s.box.live.items() if "\\deleted" in m.flags and (among is None or u in among)}
        return {u for u in deleted if u not in s.view or "\\deleted" not in s.belief.get(u, ())}

    def expunge_now(self, s, box, open_, among=None):
        for uid in [u for u, m in box.live.items() if "\\deleted" in m.flags]:
            if uid not in open_ and (among is None or uid in among):
                box.kill(uid)
        self.settle(box, gone=open_)

    def do_expunge(self, s):
        picked = self.pick(s) if self.rng.random() < 0.5 else None
        box, among, text = s.box, None, "EXPUNGE"
        if picked is not None:
            numbers = picked[2]
            text, among = f"UID EXPUNGE {put_set(numbers, self.rng)}", set(numbers)
        open_ = self.expunged_openly(s, among)
        reply = self.command(s, text)
        if not s.read_only:
            need(reply.status == b"OK", "EXPUNGE: %s", reply.text)
            self.expunge_now(s, box, open_, among)
        self.absorb(s, reply)

    def do_delete(self, s):
        """As a client that deletes: flag and expunge."""
        picked = self.pick(s, empty=False)
        if picked is None or s.read_only:
            return self.do_noop(s)
        uids = picked[2]
        reply = self.command(s, f"UID STORE {put_set(uids)} +FLAGS.SILENT (\\Deleted)")
        self.stored(s, reply, (None, True, uids), "+", frozenset(["\\deleted"]), None, ())
        self.absorb(s, reply)
        self.do_expunge(s)

    def do_copy(self, s, move=False):
        rng = self.rng
        picked = self.pick(s)
        names = [n for n in sorted(self.boxes) if len(self.boxes[n].live) <= BOX_MOST]
        if picked is None or not names or (move and s.read_only and "MOVE in EXAMINE" in self.server.bugs):
            return self.do_noop(s)
        text, by_uid, uids = picked
        if move and "MOVE of what is gone" in self.server.bugs and any(u not in s.box.live for u in uids):
            return self.do_noop(s)
        target = self.boxes[rng.choice(names)] if rng.random() > 0.03 else None
        verb = "MOVE" if move else "COPY"
        reply = self.command(s, f"{'UID ' * by_uid}{verb} {text} {target.name if target else 'nowhere'}")
        box = s.box
        alive = [u for u in uids if u in box.live]
        if target is None or (move and s.read_only):
            need(reply.status == b"NO", "%s where it cannot be: %s", verb, reply.text)
            need(target or not alive or reply.code == b"TRYCREATE", "%s to no mailbox: %s", verb, reply.text)
        else:
            self.copied(s, reply, target, uids, alive, move)
        self.absorb(s, reply)

    def copied(self, s, reply, target, uids, alive, move):
        box = s.box
        need(reply.status == b"OK" or len(alive) < len(uids), "%s", reply.text)
        if reply.status == b"NO" and move:
            return self.settle_move(box, target, alive)
        found = [reply.argument] if reply.code == b"COPYUID" else []
        for line, _ in reply.untagged:
            code = CODE.match(line[5:]) if line.startswith(b"* OK [COPYUID") else None
            found += [code.group(2)] if code else []
        if not found:
            need(reply.status == b"NO" or not alive, "no COPYUID: %s", reply.text)
            return
        need(len(found) == 1 and reply.status == b"OK", "COPYUID %s with %s", found, reply.text)
        validity, sources, copies = found[0].split()
        sources, copies = take_set(sources), take_set(copies)
        need(int(validity) == target.uidvalidity, "COPYUID names UIDVALIDITY %s, not %d", validity, target.uidvalidity)
        need(len(sources) == len(copies) == len(set(sources)), "COPYUID %s", found)
        need(set(sources) <= set(uids) and set(alive) <= set(sources), "COPYUID of %s, not %s", sources, alive)
        need(sources == sorted(sources), "copied out of order: %s", sources)
        unsure = {}
        for source, uid in zip(sources, copies):
            message = box.live.get(source) or box.dead[source]
            need(not move or source in box.live, "moved UID %d, which was gone", source)
            target.add(uid, message.token, message.size, message.flags)
            if source in box.dead or s.belief.get(source) != message.flags:
                unsure[uid] = {x.flags for x in message.states} | {s.belief.get(source)}
        if move:
            for source in sources:
                box.kill(source)
        self.settle(target, flags=unsure)

    def do_move(self, s):
        self.do_copy(s, move=True)

    # - questions

    def do_fetch(self, s):
        rng = self.rng
        picked = self.pick(s)
        if picked is None:
            return self.do_noop(s)
        text, by_uid, uids = picked
        items = rng.choice(("FLAGS", "FLAGS", "(UID FLAGS RFC822.SIZE)", "(RFC822.SIZE BODY.PEEK[])", "(BODY[])", "MODSEQ"))
        if items == "MODSEQ" and not s.kind:
            items = "FLAGS"
        box, clause, since = s.box, "", None
        if rng.random() < 0.3 and s.condstore and "BODY[]" not in items:
            since = rng.choice([box.top, max(1, box.top - rng.randrange(1, 30)), 1])
            clause = f" (CHANGEDSINCE {since}{' VANISHED' if by_uid and s.qresync and rng.random() < 0.5 else ''})"
        current = s.synced == box.change
        reply = self.command(s, f"{'UID ' * by_uid}FETCH {text} {items}{clause}")
        alive = [u for u in uids if u in box.live]
        need(reply.status == b"OK" or len(alive) < len(uids), "FETCH: %s", reply.text)
        if items == "(BODY[])" and not s.read_only:
            for uid in alive:
                if "\\seen" not in box.live[uid].flags:
                    box.set_flags(uid, box.live[uid].flags | {"\\seen"})
                    if uid in s.belief:
                        s.belief[uid] |= {"\\seen"}
        if items == "MODSEQ":
            s.condstore = True
        told = self.absorb(s, reply, expunge=by_uid)
        if items == "MODSEQ" and s.modseq is None:
            s.modseq = told.highest
        if since is None:
            for uid in alive if reply.status == b"OK" else ():
                got = told.fetched.get(uid, (None, None, None, []))
                need(
                    (got[0] is not None or "FLAGS" not in items)
                    and (got[1] is not None or "MODSEQ" not in items)
                    and (got[2] is not None or "SIZE" not in items)
                    and (got[3] or "BODY" not in items),
                    "FETCH %s left out UID %d: %s", items, uid, got,
                )
            return
        for uid in alive:
            before = box.live[uid].states[-1].unchanged_since(since)
            need(before is not False or uid in told.fetched, "CHANGEDSINCE %d left out UID %d", since, uid)
            need(not (before and current) or uid not in told.fetched, "CHANGEDSINCE %d told of UID %d", since, uid)
        need(not told.earlier & set(box.live), "VANISHED (EARLIER) names UIDs that are there: %s", told.earlier)

    def do_search(self, s):
        rng = self.rng
        if rng.random() < 0.5:
            self.do_noop(s)
        if None in s.view:
            return None
        box, keys, tests = s.box, [], []
        for _ in range(rng.choice((1, 1, 2))):
            key, test = self.search_key(s)
            if key is None:
                return None
            if rng.random() < 0.25:
                keys.append("NOT " + key)
                tests.append(lambda u, n, m, t=test: not t(u, n, m))
            else:
                keys.append(key)
                tests.append(test)
        by_uid = rng.random() < 0.6
        how = "RETURN (ALL) " if rng.random() < 0.3 else ""
        view, fresh = list(s.view), s.synced
        reply = self.command(s, f"{'UID ' * by_uid}SEARCH {how}{' '.join(keys)}")
        need(reply.status == b"OK", "SEARCH: %s", reply.text)
        told = self.absorb(s, reply, expunge=by_uid)
        if told.esearch is not None:
            all_ = re.search(rb" ALL ([0-9:,]+)", told.esearch)
            got = take_set(all_.group(1)) if all_ else []
        else:
            need(told.search is not None or s.rev2, "no SEARCH response")
            got = told.search or []
        if not by_uid:
            need(all(1 <= n <= len(view) for n in got), "SEARCH found %s among %d", got, len(view))
            got = [view[n - 1] for n in got]
        need(set(got) <= set(view), "SEARCH found %s, the view is %s", got, view)
        found = set(got)
        for n, uid in enumerate(view):
            message = box.live.get(uid)
            if message is None or message.changed > fresh:
                continue  # it may be as it was told
            verdict = all(t(uid, n + 1, message) for t in tests)
            need(verdict == (uid in found), "SEARCH %s: UID %d %s", " ".join(keys), uid, "is missing" if verdict else "was found")

    def search_key(self, s):
        rng = self.rng
        how = rng.randrange(6)
        if how == 0:
            flag = rng.choice(SYSTEM_FLAGS)
            return flag[1:].upper(), lambda u, n, m: flag.lower() in m.flags
        if how == 1:
            flag = rng.choice(SYSTEM_FLAGS)
            return "UN" + flag[1:].upper(), lambda u, n, m: flag.lower() not in m.flags
        if how == 2:
            word = rng.choice(KEYWORDS)
            return f"KEYWORD {word}", lambda u, n, m: word.lower() in m.flags
        if how == 3 and s.box.live:
            token = str(rng.choice(list(s.box.live.values())).token)
            return f"HEADER X-Model {token}", lambda u, n, m: token in str(m.token)
        picked = self.pick(s)
        if picked is None:
            return "ALL", lambda u, n, m: True
        text, by_uid, uids = picked
        uids = set(uids)
        return f"{'UID ' * by_uid}{text}", lambda u, n, m: u in uids

    def do_status(self, s):
        names = [n for n in sorted(self.boxes) if self.boxes[n] is not s.box]
        box = self.boxes[self.rng.choice(names)]
        reply = self.simple(s, f"STATUS {box.name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY{' HIGHESTMODSEQ' * s.condstore})")
        told = self.absorb(s, reply)
        status = told.status
        unseen = sum(1 for m in box.live.values() if "\\seen" not in m.flags)
        need(status[b"MESSAGES"] == len(box.live), "STATUS %s: %s messages, not %d", box.name, status[b"MESSAGES"], len(box.live))
        need(status[b"UNSEEN"] == unseen, "STATUS %s: UNSEEN %d, not %d", box.name, status[b"UNSEEN"], unseen)
        need(status[b"UIDVALIDITY"] == box.uidvalidity, "STATUS %s: UIDVALIDITY %d", box.name, status[b"UIDVALIDITY"])
        self.told_uidnext(box, status[b"UIDNEXT"])
        if s.condstore:
            box.told_highest(status[b"HIGHESTMODSEQ"])

    def do_list(self, s):
        told = self.absorb(s, self.simple(s, 'LIST "" *'))
        need(told.names == set(self.boxes), "LIST gives %s, not %s", sorted(told.names), sorted(self.boxes))

    # - mailboxes

    def do_box(self, s):
        rng = self.rng
        free = [n for n in NAMES if n not in self.boxes and (n.rpartition("/")[0] or "INBOX") in self.boxes]
        taken = [n for n in NAMES if n in self.boxes and n != "INBOX"]
        how = rng.random()
        if how < 0.1:
            name = rng.choice(taken or ["INBOX"])
            reply = self.command(s, f"CREATE {name}")
            need(reply.status == b"NO", "CREATE of what is there: %s", reply.text)
        elif free and (how < 0.45 or len(taken) < 2):
            name = rng.choice(free)
            reply = self.simple(s, f"CREATE {name}")
            self.learn_box(name)
        elif free and how < 0.75:
            return self.rename(s, rng.choice(taken), rng.choice(free))
        else:
            name = rng.choice(taken)
            if any(n.startswith(name + "/") for n in self.boxes):
                return None
            self.let_go(s, [name])
            reply = self.simple(s, f"DELETE {name}")
            del self.boxes[name]
        return self.absorb(s, reply)

    def let_go(self, s, names):
        """Those that have one of them selected; the one that asks closes it before."""
        for each in self.sessions:
            if each.box is not None and each.box.name in names:
                if each is s:
                    self.do_unselect(s)
                else:
                    each.orphan = True
        if self.auditor.box is not None and self.auditor.box.name in names:
            self.simple(self.auditor, "UNSELECT")
            self.auditor.deselect()

    def rename(self, s, old, new):
        moved = {n: new + n[len(old) :] for n in self.boxes if n == old or n.startswith(old + "/")}
        if new.startswith(old + "/") or any(x in self.boxes for x in moved.values()) or any(x.count("/") > 1 for x in moved.values()):
            return None
        self.let_go(s, list(moved))
        reply = self.simple(s, f"RENAME {old} {new}")
        self.absorb(s, reply)
        boxes = [(to, self.boxes.pop(name)) for name, to in moved.items()]
        for to, box in boxes:
            box.name = to
            self.boxes[to] = box
            self.used.add((to, box.uidvalidity))
        for to, box in boxes:
            self.audit(box)
        return None


OPERATIONS = {
    "noop": 10, "all_noop": 1, "store": 24, "fetch": 14, "search": 8, "append": 9, "copy": 5, "move": 6, "expunge": 5,
    "delete": 4, "status": 4, "list": 1, "box": 2, "select": 4, "resync": 5, "unselect": 1, "close": 1, "idle": 4, "save": 4,
}  # fmt: skip
OPERATION_WEIGHTS = tuple(OPERATIONS.values())


# --- servers


class Dovecot:
    """Debian's dovecot-imapd with a configuration of its own, in a temporary folder."""

    host = "127.0.0.1"
    # Not asked, for 2.3.19 does wrong: it moves out of what EXAMINE opened, and says NO to a MOVE of which some are gone,
    # having expunged the others and copied none.
    bugs = ("MOVE in EXAMINE", "MOVE of what is gone")
    CONFIG = """
protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = no
listen = 127.0.0.1
disable_plaintext_auth = no
mail_location = sdbox:{folder}/mail/%u
mail_fsync = never
mail_max_userip_connections = 0
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 0
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service imap {{
  process_limit = 200
}}
"""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="model-dovecot-"))
        self.folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        root = os.geteuid() == 0
        user = pathlib.Path("/proc/self").owner()
        who = {
            "uid": 65534 if root else os.getuid(), "gid": 65534 if root else os.getgid(),
            "internal": "dovecot" if root else user, "login": "dovenull" if root else user,
            "group": "dovecot" if root else pathlib.Path("/proc/self").group(),
        }  # fmt: skip
        mail = self.folder / "mail"
        mail.mkdir()
        if root:
            os.chown(mail, 65534, 65534)
        config = self.folder / "dovecot.conf"
        config.write_text(self.CONFIG.format(folder=self.folder, port=self.port, **who))
        self.process = subprocess.Popen([shutil.which("dovecot", path="/usr/sbin:/usr/bin"), "-F", "-c", config])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=5) as s:
                if s.recv(1):
                    return
            time.sleep(0.05)
        self.close()
        raise RuntimeError("dovecot does not answer")

    def account(self):
        return "u" + secrets.token_hex(6), "secret"

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


class Estafeta:
    bugs = ()

    def __init__(self, running=None):
        """running: a System that somebody else ends."""
        import system

        self.own = running is None
        self.system = running or system.run_system(accounts=())
        self.host, self.port = self.system.host, self.system.ports["imap"]

    def account(self):
        return self.system.new_account()

    def close(self):
        if self.own:
            self.system.close()


# --- runs


def run(server, seed, numbers, progress=None):
    """Plays these operations on a new account. (World, None) or (World, the failure)."""
    world = World(server, seed, server.account())
    try:
        for number in numbers:
            world.step(number)
            if progress and number % 10000 == 0:
                progress(number)
        world.end()
    except Mismatch as e:
        return world, str(e)
    return world, None


def report(world, failure, seed):
    s = world.involved
    lines = [f"seed {seed}, operation {world.number}, session {s.number} ({s.kind or 'plain'}{', IMAP4rev2' * s.rev2}): {failure}"]
    near = [x for x in world.sessions if x is not s and x.box is not None and x.box is s.box]
    for each in (s, *near[:2]):
        lines.append(f"-- session {each.number} ({each.kind or 'plain'}) in {each.box.name if each.box else None}:")
        lines += [f"   {number:6} {way} {text}" for number, way, text in each.log]
    lines.append(f"again: tests/model.py --seed {seed} --operations {world.number}; fewer: add --shrink")
    return "\n".join(lines)


def shrink(server, seed, numbers, seconds=300):
    """Fewer operations that fail too: halves, quarters, ... left out, as long as there is time."""
    end, size = time.monotonic() + seconds, max(1, len(numbers) // 2)
    while time.monotonic() < end:
        at, smaller = 0, False
        while at < len(numbers) and time.monotonic() < end:
            without = numbers[:at] + numbers[at + size :]
            world, failure = run(server, seed, without)
            if failure is not None:
                numbers, smaller = [n for n in without if n <= world.number], True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return numbers


def main():
    parser = argparse.ArgumentParser(description="Random IMAP clients against a model.")
    parser.add_argument("--operations", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=("estafeta", "dovecot"), default="estafeta")
    parser.add_argument("--only", help="numbers of operations, as --shrink prints them")
    parser.add_argument("--shrink", action="store_true")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else secrets.randbelow(1 << 30)
    numbers = take_set(args.only.encode()) if args.only else list(range(1, args.operations + 1))
    server = Dovecot() if args.server == "dovecot" else Estafeta()
    try:
        begun = time.monotonic()
        world, failure = run(server, seed, numbers, lambda n: print(n, f"{time.monotonic() - begun:.0f} s", flush=True))
        if failure is not None:
            print(report(world, failure, seed))
            if args.shrink:
                fewer = shrink(server, seed, [n for n in numbers if n <= world.number])
                world, failure = run(server, seed, fewer)
                print(f"shrunk to {len(fewer)}: --seed {seed} --only {put_set(fewer)}")
                if failure is not None:
                    print(report(world, failure, seed))
            return 1
        print(f"seed {seed}: {len(numbers)} operations, no difference", dict(world.counts))
        return 0
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
