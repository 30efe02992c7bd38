"""What real clients send is what real clients read, byte for byte but for trace fields on top."""

import smtplib
import unicodedata
import uuid

import pytest

import mail
from system import DOMAIN

SIZES = [0, 2, 100, 1000, 16384, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20]
LIMIT = 50 << 20  # the setting message_size


def check_all(server, account, sent, readers=("imaplib", "poplib", "curl-imap", "curl-pop3")):
    for name in readers:
        got = mail.READERS[name](server, account)
        assert len(got) == 1, f"{name} finds {len(got)} messages"
        mail.assert_same(got[0], sent, name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sender", mail.SENDERS)
def test_every_size_by_every_client(server, account, sender, size):
    if sender == "swaks" and size <= 100:
        pytest.skip("swaks makes a message of its own then")
    sent = mail.message(size, uuid.uuid4().hex.encode())
    mail.SENDERS[sender](server, sent, account[0])
    if size > 0:
        check_all(server, account, sent)
        return
    # Some clients send nothing before the dot, some an empty line.
    for reader in ("imaplib", "poplib"):
        (got,) = mail.READERS[reader](server, account)
        top = mail.TRACE.match(got).end()
        assert got[top:] in (b"", b"\r\n"), got[top:]


@pytest.mark.parametrize("content", mail.CONTENTS)
def test_every_content(server, account, content):
    sent = mail.CONTENTS[content]
    mail.deliver(server, sent, account[0])
    check_all(server, account, sent)


@pytest.mark.parametrize("content", ["8-bit", "utf8", "dots", "10000-fields", "empty-lines", "broken-mime"])
@pytest.mark.parametrize("sender", mail.SENDERS)
def test_contents_by_every_client(server, account, sender, content):
    if (sender, content) == ("swaks", "dots"):
        pytest.skip("swaks takes a last line of one dot for the end")
    sent = mail.CONTENTS[content]
    mail.SENDERS[sender](server, sent, account[0])
    check_all(server, account, sent, ["imaplib", "poplib"])


@pytest.mark.parametrize("content", ["8-bit", "dots", "utf8", "1000-parts-wide", "message-rfc822"])
def test_mutt_reads_the_same(server, account, content):
    sent = mail.CONTENTS[content]
    mail.deliver(server, sent, account[0])
    check_all(server, account, sent, ["mutt"])


def test_the_largest_message(server, account):
    sent = mail.message(LIMIT)
    mail.deliver(server, sent, account[0])
    check_all(server, account, sent, ["imaplib", "poplib"])


def test_a_larger_one_is_refused_before_and_after_it_is_sent(server, account):
    with mail.Smtp(server) as smtp:
        assert b"SIZE %d" % LIMIT in smtp.ehlo()[1]
        code, text = smtp.say(b"MAIL FROM:<a@example.org> SIZE=%d" % (LIMIT + 1))
        assert (code, b"5.3.4" in text) == (552, True), text  # RFC 1870 6.1
        smtp.begin(account[0])
        code, text = smtp.data(mail.message(LIMIT + 1))
        assert code == 552, text
        code, text = smtp.deliver(mail.message(500), account[0])
        assert code == 250, text
    assert len(mail.read_imaplib(server, account)) == 1


@pytest.mark.parametrize(
    "bad", [b"a\0b", b"a\rb", b"a\nb", b"a\r\r\n", b"\n.\n", b"\r.\r", b"\n.\r\nMAIL FROM:<x@y>\r\n", b"\r\n.\nMAIL FROM:<x@y>\r\n"]
)
def test_what_smtp_forbids_is_refused_whole_or_kept_whole(server, account, bad):
    """NUL, bare CR and bare LF (RFC 5321 2.3.8, 4.1.1.4): nothing of it may become a second message."""
    sent = mail.HEAD + b"\r\nx" + bad + b"\r\ny\r\n"
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        code, text = smtp.deliver(sent, account[0])
        assert code == 250 or 550 <= code <= 554, text
        after = smtp.say(b"NOOP")
        assert after[0] in (250, 421), after
    got = mail.read_imaplib(server, account)
    assert len(got) == (1 if code == 250 else 0)
    if code == 250:
        mail.assert_same(got[0], sent)


def test_a_message_without_end_is_nothing(server, account):
    for cut in (b"", b"\r\n", b"\r\n.", b"\r\n.\r"):
        with mail.Smtp(server) as smtp:
            smtp.ehlo()
            smtp.begin(account[0])
            smtp.send(mail.HEAD + b"\r\nx" + cut)
    assert mail.read_imaplib(server, account) == []


def test_fifty_recipients_one_of_them_twice(server):
    accounts = server.add_accounts(*(f"m{uuid.uuid4().hex[:12]}" for _ in range(50)))
    sent = mail.message(3000)
    mail.deliver(server, sent, *(name for name, _ in accounts), accounts[0][0])
    for a in accounts[:5] + accounts[-5:]:
        check_all(server, a, sent, ["imaplib"])


def test_ways_to_write_one_address(server, account):
    local = account[0].split("@")[0]
    written = [account[0], account[0].upper(), f'"{local}"@{DOMAIN}', f"{local}+detail@{DOMAIN}", f"@x.example:{account[0]}"]
    for address in written:
        mail.deliver(server, mail.message(400), address)
    assert len(mail.read_imaplib(server, account)) == len(written)


def test_helo_without_extensions(server, account):
    with smtplib.SMTP(server.host, server.ports["smtp"]) as smtp:
        assert smtp.helo("old.example.org")[0] == 250
        smtp.mail(mail.SENDER)
        smtp.rcpt(account[0])
        assert smtp.data(mail.message(400))[0] == 250
    assert len(mail.read_imaplib(server, account)) == 1


def test_pipelining_many_messages_in_one_write(server, account):
    one = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n" % account[0].encode()
    with mail.Smtp(server) as smtp:
        assert b"PIPELINING" in smtp.ehlo()[1]
        for i in range(20):
            smtp.send(one)
            assert [smtp.reply()[0] for _ in range(3)] == [250, 250, 354]
            smtp.send(mail.stuffed(mail.message(400, b"%d" % i)) + b"NOOP\r\n")
            assert [smtp.reply()[0] for _ in range(2)] == [250, 250]
    got = mail.read_imaplib(server, account)
    assert [i for i, m in enumerate(got) if b"X-Token: %d\r\n" % i in m] == list(range(20))


def test_the_same_without_root(either):
    account = either.new_account()
    sent = mail.message(70000)
    mail.deliver(either, sent, account[0])
    check_all(either, account, sent)


def test_received_names_the_client_and_the_protocol(server, account):
    mail.deliver(server, mail.message(400), account[0])
    (got,) = mail.read_imaplib(server, account)
    top = got[: mail.TRACE.match(got).end()]
    assert b"Return-Path: <ana@example.org>\r\n" in top
    assert b"client.example.org" in top and b"127.0.0.1" in top and b"ESMTP" in top  # RFC 5321 4.4


@pytest.mark.parametrize("size", [100, 1 << 20, 3 << 20])
@pytest.mark.parametrize("chunk", [1 << 20, 1000003])
def test_rfc3030_4_bdat_in_chunks(server, account, size, chunk):
    sent = mail.message(size, uuid.uuid4().hex.encode())
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        assert smtp.say(b"MAIL FROM:<" + mail.SENDER.encode() + b"> BODY=8BITMIME")[0] == 250
        assert smtp.say(b"RCPT TO:<" + account[0].encode() + b">")[0] == 250
        for at in range(0, size, chunk):
            piece = sent[at : at + chunk]
            last = b" LAST" if at + chunk >= size else b""
            smtp.send(b"BDAT %d%s\r\n" % (len(piece), last) + piece)
            assert smtp.reply()[0] == 250
        smtp.say(b"QUIT")
    check_all(server, account, sent, ["imaplib", "poplib"])


def test_rfc6532_3_1_an_account_has_one_name_however_it_is_composed(server):
    name = "ñandú" + uuid.uuid4().hex[:8]
    server.add_accounts(unicodedata.normalize("NFD", name))
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        assert smtp.say(b"MAIL FROM:<" + mail.SENDER.encode() + b"> SMTPUTF8")[0] == 250
        for form in ("NFC", "NFD"):
            code, text = smtp.say(b"RCPT TO:<" + unicodedata.normalize(form, f"{name}@{DOMAIN}").encode() + b">")
            assert code == 250, (form, text)
        assert smtp.say(f"RCPT TO:<nandú{name[5:]}@{DOMAIN}>".encode())[0] == 550
