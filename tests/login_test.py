"""Who may come in: mechanisms, with and without TLS, submission, relaying, wrong passwords."""

import imaplib
import poplib
import smtplib
import time

import pytest

import mail
from system import DOMAIN, outside_address, wait_for

MECHANISMS = ["PLAIN", "LOGIN", "SCRAM-SHA-256"]


def credentials(mechanism, account):
    """A callable for smtplib.auth and imaplib.authenticate."""
    user, password = account
    if mechanism == "PLAIN":
        return lambda challenge=None: f"\0{user}\0{password}"
    if mechanism == "LOGIN":
        answers = iter([user, password])
        return lambda challenge=None: next(answers)
    return mail.Scram(user, password)


def submission(server, port):
    if port == "submissions":
        smtp = smtplib.SMTP_SSL(server.host, server.ports[port], context=mail.tls(), timeout=30)
    else:
        smtp = smtplib.SMTP(server.host, server.ports[port], timeout=30)
        smtp.starttls(context=mail.tls())
    smtp.ehlo("client.example.org")
    return smtp


@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_submission(server, account, mechanism, port):
    with submission(server, port) as smtp:
        assert mechanism in smtp.esmtp_features["auth"].split()
        say = credentials(mechanism, account)
        assert smtp.auth(mechanism, say, initial_response_ok=mechanism != "LOGIN")[0] == 235
        if mechanism.startswith("SCRAM"):
            assert say.verified
        to = server.new_account()
        sent = mail.message(2000)
        assert smtp.sendmail(account[0], [to[0]], sent) == {}
    (got,) = mail.read_imaplib(server, to)
    mail.assert_same(got, sent)
    assert b"ESMTPSA" in got[: mail.TRACE.match(got).end()]  # RFC 3848


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_imap(server, account, mechanism):
    client = imaplib.IMAP4_SSL(server.host, server.ports["imaps"], ssl_context=mail.tls())
    assert "AUTH=" + mechanism in client.capabilities
    say = credentials(mechanism, account)
    typ, _ = client.authenticate(mechanism, lambda challenge: say(challenge).encode())
    assert typ == "OK"
    client.logout()


@pytest.mark.parametrize("starttls", [True, False])
def test_pop3(server, account, starttls):
    if starttls:
        pop = poplib.POP3(server.host, server.ports["pop3"])
        assert "STLS" in pop.capa()
        pop.stls(mail.tls())
    else:
        pop = poplib.POP3_SSL(server.host, server.ports["pop3s"], context=mail.tls())
    pop.user(account[0])
    pop.pass_(account[1])
    assert pop.stat() == (0, 0)
    pop.quit()


def test_swaks_and_msmtp_submit_with_a_password(server, account):
    to = server.new_account()
    port = server.ports["submission"]
    mail.run(["swaks", "-S", "--server", server.host, "--port", port, "--tls", "--auth", "PLAIN", "--auth-user", account[0],
              "--auth-password", account[1], "--from", account[0], "--to", to[0], "--body", "by swaks"])
    mail.run(["swaks", "-S", "--server", server.host, "--port", server.ports["submissions"], "--tlsc", "--auth", "LOGIN",
              "--auth-user", account[0], "--auth-password", account[1], "--from", account[0], "--to", to[0], "--body", "again"])
    mail.run(["msmtp", "--file=/dev/null", "--host=" + server.host, f"--port={port}", "--auth=plain", "--user=" + account[0],
              "--passwordeval=printf %s " + account[1], "--tls=on", "--tls-starttls=on", "--tls-certcheck=off",
              "--from=" + account[0], "--", to[0]], input=b"Subject: x\n\nby msmtp\n")
    got = mail.read_imaplib(server, to)
    assert [word in m for m, word in zip(got, (b"by swaks", b"again", b"by msmtp"))] == [True] * 3


def test_curl_submits_and_reads_over_starttls(server, account):
    to = server.new_account()
    url = f"smtp://{server.host}:{server.ports['submission']}/client.example.org"
    sent = mail.message(1000)
    mail.run(["curl", "-sSk", "--ssl-reqd", "--url", url, "-u", ":".join(account), "--mail-from", account[0], "--mail-rcpt", to[0],
              "-T", "-"], input=sent)
    got = mail.run(["curl", "-sSk", "--ssl-reqd", "-u", ":".join(to), f"imap://{server.host}:{server.ports['imap']}/INBOX;UID=1"])
    mail.assert_same(got, sent)
    got = mail.run(["curl", "-sSk", "--ssl-reqd", "-u", ":".join(to), f"pop3://{server.host}:{server.ports['pop3']}/1"])
    mail.assert_same(got, sent)


def test_submission_wants_a_password(server, account):
    for port in ("submission", "submissions"):
        with mail.Smtp(server, port) as smtp:
            smtp.ehlo()
            if port == "submission":
                smtp.starttls()
                smtp.ehlo()
            code, text = smtp.say(b"MAIL FROM:<%s>" % account[0].encode())
            assert (code, b"5.7.0" in text) == (530, True), text  # RFC 4954 6


@pytest.fixture
def outside():
    return outside_address() or pytest.skip("no address but loopback")


def test_pop3_takes_no_password_before_tls(server, account, outside):
    pop = poplib.POP3(outside, server.ports["pop3"])
    assert "USER" not in pop.capa()
    with pytest.raises(poplib.error_proto):
        pop.user(account[0])
        pop.pass_(account[1])


def test_no_password_is_asked_for_before_tls(server, outside):
    with mail.Smtp(server, "submission", host=outside) as smtp:
        _, text = smtp.ehlo()
        assert b"STARTTLS" in text
        offered = text.upper().partition(b"AUTH")[2].split(b"\n")[0]
        assert b"PLAIN" not in offered and b"LOGIN" not in offered
        code, text = smtp.say(b"AUTH PLAIN AGEAYg==")
        assert code in (503, 504, 530, 538), text


def test_port_25_has_no_auth(server):
    with mail.Smtp(server) as smtp:
        assert b"AUTH" not in smtp.ehlo()[1].upper()
        assert 500 <= smtp.say(b"AUTH PLAIN AGEAYg==")[0] <= 504


@pytest.mark.parametrize("to", ["someone@elsewhere.example", "a@[192.0.2.1]", f"a%elsewhere.example@{DOMAIN}",
                                f"elsewhere.example!a@{DOMAIN}", f"<@{DOMAIN}:a@elsewhere.example>", f'"a@elsewhere.example"@{DOMAIN}'])
def test_nothing_is_relayed(server, to):
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        smtp.say(b"MAIL FROM:<ana@example.org>")
        code, text = smtp.say(b"RCPT TO:" + (to if to.startswith("<") else f"<{to}>").encode())
        assert 550 <= code <= 554, text


def test_codes_of_refused_recipients(server):
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        smtp.say(b"MAIL FROM:<>")
        code, text = smtp.say(b"RCPT TO:<a@elsewhere.example>")
        assert (code, b"5.7.1" in text) == (550, True), text
        code, text = smtp.say(f"RCPT TO:<nobody-here@{DOMAIN}>".encode())
        assert (code, b"5.1.1" in text) == (550, True), text
        code, text = smtp.say(b"DATA")
        assert code in (503, 554), text


def test_authenticated_users_may_not_relay_yet(server, account):
    """There is no queue yet: a remote recipient is refused, not taken and lost."""
    with submission(server, "submission") as smtp:
        smtp.login(*account)
        smtp.mail(account[0])
        assert 550 <= smtp.rcpt("someone@elsewhere.example")[0] <= 554


def wrong_logins(server, account):
    """Each way to fail, as a function that returns the server's words."""
    name, _ = account

    def imap(user):
        c = imaplib.IMAP4_SSL(server.host, server.ports["imaps"], ssl_context=mail.tls())
        with pytest.raises(imaplib.IMAP4.error) as e:
            c.login(user, "wrong")
        return str(e.value)

    def pop3(user):
        c = poplib.POP3_SSL(server.host, server.ports["pop3s"], context=mail.tls())
        with pytest.raises(poplib.error_proto) as e:
            c.user(user)
            c.pass_("wrong")
        return str(e.value)

    def smtp(user):
        with submission(server, "submission") as c, pytest.raises(smtplib.SMTPAuthenticationError) as e:
            c.login(user, "wrong")
        return str(e.value)

    return [imap, pop3, smtp]


@pytest.mark.parametrize("which", range(3))
def test_wrong_password_and_unknown_user_look_alike(server, account, which):
    login = wrong_logins(server, account)[which]
    assert login(account[0]) == login(f"nobody-here@{DOMAIN}")


def test_the_owner_is_not_locked_out_by_others(server, account):
    for _ in range(3):
        wrong_logins(server, account)[0](account[0])
    begun = time.monotonic()
    mail.Imap(server, account).logout()
    assert time.monotonic() - begun < 20


def test_tls_1_1_is_refused(server):
    import ssl

    context = mail.tls()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        imaplib.IMAP4_SSL(server.host, server.ports["imaps"], ssl_context=context)


def test_a_deleted_account_is_gone_and_its_name_free(server):
    account = server.new_account()
    mail.deliver(server, mail.message(1000, b"of the first"), account[0])
    with mail.Imap(server, account) as c:
        validity = c.response("UIDVALIDITY")[1]
    server.ctl("user", "del", account[0])
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        smtp.say(b"MAIL FROM:<>")
        # smtpd remembers recipients for a moment
        wait_for(lambda: smtp.say(b"RCPT TO:<%s>" % account[0].encode())[0] == 550, 5, "still a recipient")
    with pytest.raises(imaplib.IMAP4.error):
        mail.Imap(server, account)
    again = server.add_accounts(account[0].split("@")[0])[0]
    with mail.Imap(server, again) as c:
        assert c.all() == [] and c.response("UIDVALIDITY")[1] != validity


def test_quota(server, account):
    server.ctl("user", "quota", account[0], "20000")
    for _ in range(2):
        mail.deliver(server, mail.message(8000), account[0])
    with mail.Smtp(server) as smtp:
        smtp.ehlo()
        smtp.say(b"MAIL FROM:<ana@example.org> SIZE=9000")
        code, text = smtp.say(b"RCPT TO:<%s>" % account[0].encode())
        assert code in (452, 552) and b".2.2" in text, text  # RFC 3463: mailbox full
    with mail.Imap(server, account) as c:
        typ, data = c.append("INBOX", None, None, mail.message(9000))
        assert typ == "NO" and b"OVERQUOTA" in data[0]  # RFC 9208 4.2
