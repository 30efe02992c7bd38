"""IMAP conversations with a running system: the examples of the RFCs, and what stands between them.

They are in tests/imap/*.txt, one file an RFC, in the RFCs' own notation:

    ## 6.4.7 COPY                      a conversation's name begins with the section it is about; each has an account of its own
    boxes work meetings/2024          mailboxes made before it
    mail work 3 \\Seen                 three messages put there before it, each with this flag
    C: a COPY 1 work                  said; lines with "|" continue a line that has line ends in it. "{=+}" is the size of what follows; after "{=}" there is a "+" first
    S: a OK [COPYUID @v@ 1 4] ...     heard, all of the line; "@v@" is something that must be the same wherever it stands; "..." is the rest
    S: ..                             any number of lines, up to one that is as the next
    C2: b NOOP                        another session of the same account; CA: a session before its login, over TLS; CP: without TLS
    TLS P                             the handshake of session P
    END P                             the server ends it
    QUIET 2                           it says nothing for a moment
    @v@ < @w@                         numbers that were heard

At the end each session is alive, in step, and says nothing that was not waited for.
"""

import base64
import pathlib
import re
import select
import socket

import pytest

import mail

TLS = mail.tls()
FOLDER = pathlib.Path(__file__).parent / "imap"
MESSAGE = (b"From: Ana <ana@example.org>\r\nTo: usr1@dominio.com.uy\r\nSubject: number %d\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
           b"Message-ID: <%d@example.org>\r\n\r\nbody %d\r\n")  # 150 bytes, while its number has one digit


def conversations():
    for path in sorted(FOLDER.glob("*.txt")):
        name, lines = None, []
        for line in path.read_text().split("\n"):
            if line.startswith("## "):
                if name is not None:
                    yield pytest.param(lines, id=name)
                name, lines = f"{path.stem} {line[3:].strip()}", []
            elif name is not None and line.strip() and not line.startswith("# "):
                lines.append(line)
        yield pytest.param(lines, id=name)


class Session:
    def __init__(self, server, secure=True):
        self.sock = socket.create_connection((server.host, server.ports["imaps" if secure else "imap"]), timeout=15)
        if secure:
            self.handshake()
        self.rest = b""

    def handshake(self):
        self.sock = TLS.wrap_socket(self.sock, server_hostname="localhost")

    def say(self, data):
        self.sock.sendall(data)

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError(self.rest)
        self.rest += got

    def hear(self):
        """One answer: a line, with the literals in it and what follows them."""
        at = 0
        while True:
            while (end := self.rest.find(b"\r\n", at)) < 0:
                self.more()
            literal = re.search(rb"\{(\d+)\}$", self.rest[at:end])
            if literal is None:
                line, self.rest = self.rest[:end], self.rest[end + 2 :]
                return line.decode("utf-8", "surrogateescape")
            at = end + 2 + int(literal[1])
            while len(self.rest) < at:
                self.more()

    def quiet(self):
        return self.rest == b"" and not select.select([self.sock], [], [], 0.2)[0]

    def ended(self):
        return mail.ended(self.sock)


class Talk:
    def __init__(self, server, account):
        self.server, self.account, self.sessions, self.ended = server, account, {}, set()
        user, password = account
        self.values = {"user": user, "password": password, "length": str(len(user)),
                       "plain": base64.b64encode(f"\0{user}\0{password}".encode()).decode()}

    def session(self, name):
        if name not in self.sessions:
            s = self.sessions[name] = Session(self.server, secure=name != "P")
            if name.isdigit():
                s.hear()
                s.say("l LOGIN {user} {password}\r\n".format_map(self.values).encode())
                assert s.hear().startswith("l OK")
        return self.sessions[name]

    def put(self, box, count, flags):
        s = self.session("0")
        for i in range(1, count + 1):
            s.say(b"p APPEND %s (%s) {%d+}\r\n" % (box.encode(), flags.encode(), len(MESSAGE % (i, i, i))) + MESSAGE % (i, i, i) + b"\r\n")
            assert s.hear().startswith("p OK")

    def make(self, boxes):
        s = self.session("0")
        for box in boxes:
            s.say(f"p CREATE {box}\r\n".encode())
            assert s.hear().startswith("p OK")

    def said(self, text):
        text = re.sub(r"@(\w+)@", lambda m: self.values[m[1]], text)
        if "{=" in text:
            head, literal = text.split("\r\n", 1)
            text = head.replace("{=", "{%d" % len(literal.encode())) + "\r\n" + literal
        return text.encode()

    def say(self, who, text):
        data = self.said(text) + b"\r\n"
        if "{=}" in text:
            first, data = data.split(b"\r\n", 1)
            self.session(who).say(first + b"\r\n")
            self.hear(who, "+ ...", False)
        self.session(who).say(data)

    def fits(self, text, line):
        """The match of an answer and what is wanted; names that were not heard before stand for anything."""
        pattern = ""
        for part in re.split(r"(@\w+@|\.\.\.)", text):
            name = part[1:-1]
            if part == "...":
                pattern += ".*"
            elif not re.fullmatch(r"@\w+@", part):
                pattern += re.escape(part)
            elif name in self.values:
                pattern += re.escape(self.values[name])
            else:
                pattern += rf"(?P=m{name})" if f"<m{name}>" in pattern else rf"(?P<m{name}>[^ \])]+)"
        return re.fullmatch(pattern, line, re.S)

    def hear(self, who, text, skip):
        heard = []
        while True:
            heard.append(self.session(who).hear())
            match = self.fits(text, heard[-1])
            if match is not None:
                self.values.update({k[1:]: v for k, v in match.groupdict().items()})
                return
            assert skip, f"wanted {text!r}, heard {heard[-1]!r}"
            assert len(heard) < 200 and not re.match(r"[A-Za-z]\w* (OK|NO|BAD)", heard[-1]), f"wanted {text!r}, heard {heard}"

    def run(self, lines):
        steps = []
        for line in lines:
            if line.startswith("|"):
                steps[-1] += "\r\n" + line[2:]
            else:
                steps.append(line)
        skip = False
        for step in steps:
            if said := re.fullmatch(r"C(\w?): (.*)", step, re.S):
                self.say(said[1] or "1", said[2])
            elif heard := re.fullmatch(r"S(\w?): ?(.*)", step, re.S):
                if heard[2] != "..":
                    self.hear(heard[1] or "1", heard[2], skip)
                skip = heard[2] == ".."
            else:
                self.other(step)
        self.finish()

    def other(self, step):
        word, *rest = re.findall(r'"[^"]*"|\S+', step)
        if word == "boxes":
            self.make(rest)
        elif word == "mail":
            self.put(rest[0], int(rest[1]), " ".join(rest[2:]))
        elif word == "TLS":
            self.session(rest[0]).handshake()
        elif word == "END":
            assert self.session(rest[0]).ended()
            self.ended.add(rest[0])
        elif word == "QUIET":
            assert self.session(rest[0]).quiet()
        else:
            one, sign, two = step.split()
            assert sign == "<" and int(self.values[one.strip("@")]) < int(self.values[two.strip("@")]), step

    def finish(self):
        for name, s in self.sessions.items():
            if name in self.ended:
                continue
            s.say(b"zz LOGOUT\r\n")
            heard = s.hear()
            assert heard.startswith("* BYE"), f"session {name} said {heard!r}, which nobody waited for"
            assert s.hear().startswith("zz OK")
            assert s.ended()


@pytest.mark.parametrize("lines", conversations())
def test_imap(server, account, lines):
    talk = Talk(server, account)
    try:
        talk.run(lines)
    finally:
        for s in talk.sessions.values():
            s.sock.close()
