"""Messages, and clients that send and read them byte by byte."""

import base64
import hashlib
import hmac
import imaplib
import mailbox
import os
import poplib
import pty
import re
import secrets
import select
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

CRLF = b"\r\n"
poplib._MAXLINE = 64 << 20  # Python's own bound is 2,048 bytes a line
imaplib._MAXLINE = 64 << 20
SENDER = "ana@example.org"


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pair of a test system signs itself
    return context


# --- messages

HEAD = b"From: Ana <ana@example.org>\r\nTo: usr1@dominio.com.uy\r\nSubject: prueba\r\nMessage-ID: <1@example.org>\r\n"


def message(size, token=b""):
    """Exactly `size` bytes (0, or 2 and more) that end in CR LF; when there is room a header with `token`."""
    if size == 0:
        return b""
    head = HEAD + b"X-Token: " + token + b"\r\n\r\n"
    if size < len(head) + 2:
        return (b"S: " + b"x" * size)[: size - 2] + CRLF
    line = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-+=\r\n"
    text = (head + line * ((size - len(head)) // len(line) + 1))[: size - 2]
    return (text[:-1] + b"x" if text.endswith(b"\r") else text) + CRLF


def nested(depth):
    """Multiparts in multiparts, with all their ends."""
    open_, close = [], []
    for i in range(depth):
        open_.append(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i))
        close.append(b"--b%d--\r\n" % i)
    return HEAD + b"MIME-Version: 1.0\r\n" + b"".join(open_) + b"\r\ndeep\r\n" + b"".join(reversed(close))


CONTENTS = {
    "8-bit": HEAD + b"\r\n" + bytes(range(0x80, 0x100)) + CRLF,
    "8-bit-header": HEAD + b"X-Raw: " + bytes(range(0x80, 0x100)) + b"\r\n\r\nx\r\n",
    "utf8": HEAD + "Subject: mañana\r\n\r\nllegará mañana — 漢字\r\n".encode(),
    "dots": HEAD + b"\r\n.\r\n..\r\n...\r\n.a\r\na.\r\n. \r\n.\r\n\r\n.\r\n",
    "dot-first": b".Subject: x\r\n\r\n.\r\n",
    "10000-fields": HEAD + b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(10000)) + b"\r\nx\r\n",
    "one-field-100k": HEAD + b"X-Long: " + (b"y" * 70 + b"\r\n ") * 1400 + b"z\r\n\r\nx\r\n",
    "1000-parts-deep": nested(1000),
    "1000-parts-wide": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nContent-Type: text/plain\r\n\r\npart\r\n" * 1000
    + b"--b--\r\n",
    "header-without-end": b"From: a@example.org\r\nSubject: no empty line follows\r\n",
    "multipart-without-end": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n",
    "no-header": b"\r\nonly a body\r\n",
    "not-a-header": b"this is no header field\r\nnor this\r\n\r\nx\r\n",
    "empty-lines": HEAD + b"\r\n" * 50,
    "spaces-at-ends": HEAD + b"\r\nx \r\n\t\r\ny\t \r\n",
    "line-998": HEAD + b"\r\n" + b"x" * 998 + CRLF,
    "control-characters": HEAD + b"\r\n" + bytes(c for c in range(1, 0x20) if c not in b"\r\n") + b"\x7f\r\n",
    "from-lines": HEAD + b"\r\nFrom here on\r\n>From there\r\n",
    "message-rfc822": HEAD + b"Content-Type: message/rfc822\r\n\r\n" + HEAD + b"\r\ninner\r\n",
    "broken-mime": HEAD + b"Content-Type: multipart/mixed; boundary=\"\r\nContent-Transfer-Encoding: base64\r\n\r\n=?utf-8?b?\r\n",
}

TRACE = re.compile(rb"(?:(?:Return-Path|Received|Delivered-To|Date):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*", re.I)


def assert_same(got, sent, where=""):
    """`got` is what was sent, but for whole trace fields on top of it."""
    assert got.endswith(sent), f"{where}: {len(got)} bytes, sent {len(sent)}: {difference(got, sent)}"
    top = got[: len(got) - len(sent)]
    assert TRACE.fullmatch(top), f"{where}: on top: {top[:400]!r}"


def difference(got, sent):
    rest = got[TRACE.match(got).end() :]
    at = next((i for i, (a, b) in enumerate(zip(rest, sent)) if a != b), min(len(rest), len(sent)))
    return f"at {at}: {rest[at:at + 60]!r}, sent {sent[at:at + 60]!r}"


# --- sending

class Smtp:
    """SMTP word by word."""

    def __init__(self, server, port="smtp", timeout=30, host=None):
        self.sock = socket.create_connection((host or server.host, server.ports[port]), timeout=timeout)
        if port == "submissions":
            self.sock = tls().wrap_socket(self.sock, server_hostname="localhost")
        self.rest = b""
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def starttls(self):
        assert self.say(b"STARTTLS")[0] == 220
        self.sock = tls().wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        while CRLF not in self.rest:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError(self.rest)
            self.rest += got
        line, self.rest = self.rest.split(CRLF, 1)
        return line

    def reply(self):
        """(code, all its text)"""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return int(lines[-1][:3]), b"\n".join(lines)

    def say(self, line):
        self.send(line + CRLF)
        return self.reply()

    def ehlo(self):
        return self.say(b"EHLO client.example.org")

    def begin(self, *recipients, sender=SENDER):
        """Up to and with 354."""
        assert self.say(b"MAIL FROM:<" + sender.encode() + b">")[0] == 250
        for r in recipients:
            code, text = self.say(b"RCPT TO:<" + r.encode() + b">")
            assert code == 250, text
        code, text = self.say(b"DATA")
        assert code == 354, text

    def data(self, raw):
        """The message and its end; the answer's code and text."""
        self.send(stuffed(raw))
        return self.reply()

    def deliver(self, raw, *recipients, sender=SENDER):
        self.begin(*recipients, sender=sender)
        return self.data(raw)

    def closed(self):
        return ended(self.sock)


def ended(sock):
    """True when the server ends the connection, whatever it says before."""
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def stuffed(raw):
    """RFC 5321 4.5.2, and the end."""
    if raw.startswith(b"."):
        raw = b"." + raw
    raw = raw.replace(b"\r\n.", b"\r\n..")
    return raw + (b"" if raw == b"" or raw.endswith(CRLF) else CRLF) + b".\r\n"


def deliver(server, raw, *recipients):
    with Smtp(server) as smtp:
        smtp.ehlo()
        code, text = smtp.deliver(raw, *recipients)
        assert code == 250, text
        smtp.say(b"QUIT")


def run(argv, input=None, timeout=120):
    done = subprocess.run([str(a) for a in argv], input=input, capture_output=True, timeout=timeout)
    assert done.returncode == 0, (argv[0], done.returncode, done.stdout[-1500:], done.stderr[-1500:])
    return done.stdout


def send_smtplib(server, raw, to):
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=120) as smtp:
        assert smtp.sendmail(SENDER, [to], raw) == {}


def send_curl(server, raw, to):
    with tempfile.NamedTemporaryFile() as f:
        f.write(raw)
        f.flush()
        url = f"smtp://{server.host}:{server.ports['smtp']}/client.example.org"
        run(["curl", "-sS", "--url", url, "--mail-from", SENDER, "--mail-rcpt", to, "-T", f.name])


def send_swaks(server, raw, to):
    with tempfile.NamedTemporaryFile() as f:
        f.write(raw.replace(CRLF, b"\n").removesuffix(b"\n"))  # it ends the last line itself
        f.flush()
        run(["swaks", "-S", "--server", server.host, "--port", server.ports["smtp"], "--helo", "client.example.org",
             "--from", SENDER, "--to", to, "--data", "@" + f.name])


def send_msmtp(server, raw, to):
    run(["msmtp", "--file=/dev/null", "--host=" + server.host, f"--port={server.ports['smtp']}", "--auth=off", "--tls=off",
         "--from=" + SENDER, "--set-from-header=off", "--set-date-header=off", "--set-msgid-header=off",
         "--remove-bcc-headers=off", "--", to], input=raw.replace(CRLF, b"\n"))


SENDERS = {"smtplib": send_smtplib, "curl": send_curl, "swaks": send_swaks, "msmtp": send_msmtp}


# --- reading

class Imap(imaplib.IMAP4_SSL):
    def __init__(self, server, account, box="INBOX"):
        super().__init__(server.host, server.ports["imaps"], ssl_context=tls(), timeout=60)
        self.login(*account)
        if box is not None:
            typ, data = self.select(box)
            assert typ == "OK", data

    def all(self):
        """Every message of the mailbox, in order."""
        typ, data = self.uid("FETCH", "1:*", "(BODY.PEEK[])")
        assert typ == "OK", data
        return [x[1] for x in data if isinstance(x, tuple)]

    def __exit__(self, *args):
        try:
            self.logout()
        except (OSError, imaplib.IMAP4.error):
            pass


def read_imaplib(server, account):
    with Imap(server, account) as c:
        return c.all()


def read_poplib(server, account):
    c = poplib.POP3_SSL(server.host, server.ports["pop3s"], context=tls(), timeout=60)
    try:
        c.user(account[0])
        c.pass_(account[1])
        count, _ = c.stat()
        return [b"".join(line + CRLF for line in c.retr(i + 1)[1]) for i in range(count)]
    finally:
        c.quit()


def read_curl_imap(server, account):
    return [run(["curl", "-sSk", "-u", ":".join(account), f"imaps://{server.host}:{server.ports['imaps']}/INBOX;UID=1"])]


def read_curl_pop3(server, account):
    return [run(["curl", "-sSk", "-u", ":".join(account), f"pop3s://{server.host}:{server.ports['pop3s']}/1"])]


def read_mutt(server, account):
    """What mutt saves to an mbox; its own Status and Lines fields taken out again."""
    with tempfile.TemporaryDirectory() as home:
        to = os.path.join(home, "mbox")
        with open(os.path.join(home, "certs"), "w") as known:  # a question about it would eat the keys pushed below
            for path in (server.root / "etc/tls").iterdir():
                if "BEGIN CERTIFICATE" in path.read_text():
                    known.write(path.read_text())
        with open(os.path.join(home, "rc"), "w") as rc:
            rc.write(
                f'set imap_user="{account[0]}" imap_pass="{account[1]}" ssl_verify_dates=no ssl_verify_host=no ssl_starttls=yes\n'
                f'set certificate_file="{home}/certs" copy=no confirmappend=no confirmcreate=no delete=yes wait_key=no\n'
                f'set folder="{home}" spoolfile="{home}/none" quit=yes header_cache="" mbox_type=mbox save_empty=yes move=no timeout=5\n'
                f'push "<first-entry><copy-message><kill-line>{to}<enter><exit>"\n'
            )
        url = f"imaps://{server.host}:{server.ports['imaps']}/INBOX"
        in_terminal(["mutt", "-F", home + "/rc", "-n", "-f", url], home, lambda: os.path.exists(to) and os.path.getsize(to) > 0)
        got = []
        for m in mailbox.mbox(to, create=False).iterkeys() if os.path.exists(to) else []:
            got.append(mailbox.mbox(to, create=False).get_bytes(m))
        return [re.sub(rb"(?im)^(?:Status|X-Status|Content-Length|Lines):.*\n", b"", x).replace(b"\n", CRLF) for x in got]


def in_terminal(argv, home, done, seconds=30):
    """Runs a program that wants a terminal, until done()."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(HOME=home, TERM="vt100", LC_ALL="C.UTF-8", LINES="24", COLUMNS="80")
        os.execvp(argv[0], argv)
    end, screen = time.monotonic() + seconds, b""
    try:
        while time.monotonic() < end:
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    part = os.read(fd, 65536)
                except OSError:
                    break
                if not part:
                    break
                screen += part
            elif done():
                time.sleep(0.2)
                break
        else:
            raise TimeoutError(screen[-2000:])
    finally:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
        os.close(fd)


READERS = {
    "imaplib": read_imaplib,
    "poplib": read_poplib,
    "curl-imap": read_curl_imap,
    "curl-pop3": read_curl_pop3,
    "mutt": read_mutt,
}


# --- SCRAM-SHA-256, the client's side (RFC 5802, 7677)

class Scram:
    """A callable for smtplib.auth and imaplib.authenticate; `verified` when the server proved itself."""

    def __init__(self, user, password):
        self.user, self.password = user.replace("=", "=3D").replace(",", "=2C"), password.encode()
        self.nonce = secrets.token_urlsafe(18)
        self.bare = f"n={self.user},r={self.nonce}"
        self.step, self.verified = 0, False

    def __call__(self, challenge=None):
        if isinstance(challenge, str):
            challenge = challenge.encode()
        self.step += 1
        if self.step == 1:
            return "n,," + self.bare
        if self.step == 2:
            return self.final(challenge.decode())
        self.verified = self.verified or challenge == self.signature
        return ""

    def final(self, first):
        got = dict(x.split("=", 1) for x in first.split(","))
        assert got["r"].startswith(self.nonce) and len(got["r"]) > len(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(got["s"]), int(got["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        without = "c=biws,r=" + got["r"]
        signed = ",".join((self.bare, first, without)).encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(hashlib.sha256(client).digest(), signed, "sha256")))
        server = hmac.digest(salted, b"Server Key", "sha256")
        self.signature = b"v=" + base64.b64encode(hmac.digest(server, signed, "sha256"))
        return without + ",p=" + base64.b64encode(proof).decode()


class Background(threading.Thread):
    """A thread whose failure is the test's failure: join() raises it."""

    def __init__(self, fn, *args):
        super().__init__(daemon=True)
        self.fn, self.args, self.error, self.result = fn, args, None, None
        self.start()

    def run(self):
        try:
            self.result = self.fn(*self.args)
        except BaseException as e:
            self.error = e

    def end(self, seconds=120):
        self.join(seconds)
        assert not self.is_alive(), "still running"
        if self.error is not None:
            raise self.error
        return self.result
