"""dnsd against a server of the test's own: answers of all kinds, DNSSEC, limits, and its end."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

import dns_server
import mail
import system

LONG = "x" * 200
# The root is ours and signed: firmada.uy is in it, plano.uy is delegated to where nothing is signed.
ROOT = [
    ("firmada.uy.", 300, "A", "192.0.2.7"),
    ("firmada.uy.", 300, "MX", "5 firmada.uy."),
    ("falsa.uy.", 300, "A", "192.0.2.8"),
    ("plano.uy.", 300, "NS", "ns.plano.uy."),
]
PLAIN = [
    ("plano.uy", 300, "SOA", "ns.plano.uy. root.plano.uy. 1 3600 600 86400 60"),
    ("a.plano.uy", 300, "A", "192.0.2.1"),
    ("a.plano.uy", 300, "AAAA", "2001:db8::1"),
    ("plano.uy", 120, "MX", "20 b.plano.uy."),
    ("plano.uy", 120, "MX", "10 a.plano.uy."),
    ("nula.plano.uy", 120, "MX", "0 ."),
    ("plano.uy", 60, "TXT", "v=spf1 a |-all"),
    ("_25._tcp.a.plano.uy", 60, "TLSA", "3 1 1 " + "ab" * 32),
    ("c1.plano.uy", 50, "CNAME", "c2.plano.uy."),
    ("c2.plano.uy", 40, "CNAME", "a.plano.uy."),
    ("colgado.plano.uy", 50, "CNAME", "falta.plano.uy."),
    ("anillo.plano.uy", 50, "CNAME", "anillo2.plano.uy."),
    ("anillo2.plano.uy", 50, "CNAME", "anillo.plano.uy."),
    ("raro.plano.uy", 50, "CNAME", "con\\032espacio\\010.plano.uy."),
    ("con\\032espacio\\010.plano.uy", 50, "A", "192.0.2.2"),
    ("xn--bcher-kva.plano.uy", 50, "A", "192.0.2.3"),
    ("corta.plano.uy", 50, "A", "192.0.2.4"),
    ("muda.plano.uy", 50, "A", "192.0.2.5"),
    ("muda2.plano.uy", 50, "A", "192.0.2.5"),
    ("rota.plano.uy", 50, "A", "192.0.2.6"),
    ("31.2.0.192.in-addr.arpa", 50, "PTR", "a.plano.uy."),
    ("1.2.0.192.in-addr.arpa", 50, "PTR", "otro.plano.uy."),
    ("1.2.0.192.in-addr.arpa", 50, "PTR", "a.plano.uy."),
    ("2.2.0.192.in-addr.arpa", 50, "PTR", "con\\032espacio\\010.plano.uy."),
    ("3.2.0.192.in-addr.arpa", 50, "PTR", "muda3.plano.uy."),
    ("1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa", 50, "PTR", "a.plano.uy."),
    *[("muchas.plano.uy", 50, "A", f"10.0.{i // 256}.{i % 256}") for i in range(600)],
    *[("grande.plano.uy", 50, "TXT", f"{i:03}{LONG}") for i in range(100)],
    *[("enorme.plano.uy", 50, "TXT", f"{i:03}{LONG}") for i in range(280)],
]
for i in range(20):
    PLAIN.append((f"larga{i}.plano.uy", 50, "CNAME", f"larga{i + 1}.plano.uy."))
PLAIN.append(("larga20.plano.uy", 50, "A", "192.0.2.9"))


@pytest.fixture(scope="module")
def dns():
    with tempfile.TemporaryDirectory(prefix="estafeta-dns-") as folder:
        records, anchor = dns_server.signed_root(ROOT, pathlib.Path(folder))
        lies = [(n, t, k, "203.0.113.66" if (n, k) == ("falsa.uy.", "A") else x) for n, t, k, x in records]
        pathlib.Path(folder).chmod(0o755)
        file = pathlib.Path(folder) / "anchor"
        file.write_text(anchor)
        with dns_server.DnsServer(lies + PLAIN, silent=["muda.plano.uy", "muda2.plano.uy", "muda3.plano.uy"], failing=["rota.plano.uy"], cut=["corta.plano.uy"]) as d:
            d.anchors = file
            yield d


@pytest.fixture(scope="module")
def sys(dns):
    settings = {"dns_servers": dns.setting, "dns_anchors": dns.anchors, "dns_timeout": "2s", "dns_waiting_per_program": "10"}
    with system.run_system(accounts=(), settings=settings) as s:
        yield s


def ask(sys, *words):
    """(exit status, outcome, security, ttl, name, why, ["TYPE data"])"""
    done = sys.ctl("dns", *words, check=False)
    head, *rest = done.stdout.splitlines() or [""]
    head, _, why = head.partition(": ")
    outcome, security, ttl, name = (head.split(", ") + ["", "", "", ""])[:4]
    return done.returncode, outcome, security, ttl, name, why, ["{0} {2}".format(*line.split("\t")) for line in rest]


@pytest.mark.parametrize("words, want", [
    (["a.plano.uy"], (0, "found", "a.plano.uy", ["A 192.0.2.1"])),
    (["A.Plano.UY.", "aaaa"], (0, "found", "a.plano.uy", ["AAAA 2001:db8::1"])),
    (["plano.uy", "MX"], (0, "found", "plano.uy", ["MX 10 a.plano.uy", "MX 20 b.plano.uy"])),
    (["nula.plano.uy", "MX"], (0, "found", "nula.plano.uy", ["MX 0 ."])),
    (["plano.uy", "TXT"], (0, "found", "plano.uy", ['TXT "v=spf1 a -all"'])),
    (["_25._tcp.a.plano.uy", "TLSA"], (0, "found", "_25._tcp.a.plano.uy", ["TLSA 3 1 1 " + "ab" * 32])),
    (["31.2.0.192.in-addr.arpa", "PTR"], (0, "found", "31.2.0.192.in-addr.arpa", ["PTR a.plano.uy"])),
    (["c1.plano.uy"], (0, "found", "a.plano.uy", ["A 192.0.2.1"])),
    (["c1.plano.uy", "CNAME"], (0, "found", "c1.plano.uy", ["CNAME c2.plano.uy"])),
    (["raro.plano.uy"], (0, "found", "con\\032espacio\\010.plano.uy", ["A 192.0.2.2"])),
    (["xn--bcher-kva.plano.uy"], (0, "found", "xn--bcher-kva.plano.uy", ["A 192.0.2.3"])),
    (["corta.plano.uy"], (0, "found", "corta.plano.uy", ["A 192.0.2.4"])),
    (["falta.plano.uy"], (68, "no such name", "falta.plano.uy", [])),
    (["colgado.plano.uy"], (68, "no such name", "falta.plano.uy", [])),
    (["a.plano.uy", "MX"], (68, "no data", "a.plano.uy", [])),
    (["_tcp.a.plano.uy"], (68, "no data", "_tcp.a.plano.uy", [])),
    (["rota.plano.uy"], (75, "failure", "", [])),
    (["anillo.plano.uy"], (75, None, "", [])),
    (["larga0.plano.uy"], (75, None, "", [])),
    (["muchas.plano.uy"], (75, "too much", "", [])),
    (["enorme.plano.uy", "TXT"], (75, "too much", "", [])),
    (["muda.plano.uy"], (75, "timeout", "", [])),
    (["con espacio.plano.uy"], (65, "bad name", "", [])),
    (["bücher.plano.uy"], (65, "bad name", "", [])),
    (["a..plano.uy"], (65, "bad name", "", [])),
    (["x" * 64 + ".uy"], (65, "bad name", "", [])),
    (["y." * 1500], (65, "bad name", "", [])),
])
def test_answers(sys, words, want):
    began = time.monotonic()
    status, outcome, security, _, name, _, records = ask(sys, *words)
    assert (status, outcome if want[1] else None, name, sorted(records)) == want
    assert time.monotonic() - began < 4, "the deadline was 2 s"
    if outcome in ("found", "no data", "no such name"):
        assert security == "insecure"


def test_a_large_answer_comes_whole(sys, dns):
    *_, records = ask(sys, "grande.plano.uy", "TXT")
    assert sorted(records) == [f'TXT "{i:03}{LONG}"' for i in range(100)]
    assert ("grande.plano.uy.", "TXT", "tcp") in dns.asked and ("corta.plano.uy.", "A", "tcp") in dns.asked


def test_dnssec(sys):
    assert ask(sys, "firmada.uy")[1:3] == ("found", "secure")
    assert ask(sys, "firmada.uy", "MX")[1:3] == ("found", "secure")
    assert ask(sys, "firmada.uy", "AAAA")[1:3] == ("no data", "secure")
    status, outcome, security, *_, why, records = ask(sys, "falsa.uy")
    assert (status, outcome, security, records) == (75, "bogus", "bogus", []) and "signature" in why
    assert "answers are validated" in sys.log()


def test_nothing_is_remembered_too(sys, dns):
    for name, kind in (("falta2.plano.uy", "A"), ("b.a.plano.uy", "MX")):
        first = ask(sys, name, kind)
        assert first[0] == 68 and ask(sys, name, kind)[:3] == first[:3]
        assert dns.count(name) == 1, dns.asked


def test_too_many_questions_of_a_program(sys):
    """Ten may wait; the others are told at once, and afterwards all is as before."""
    began = time.monotonic()
    argv = [str(sys.bin / "estafeta"), "--root", str(sys.root), "dns", "muda2.plano.uy"]
    asking = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(16)]
    done = [(p.wait(20), p.stdout.read() + p.stderr.read()) for p in asking]
    assert {status for status, _ in done} == {75}
    assert sum("cannot do it now" in words for _, words in done) == 6, done
    assert time.monotonic() - began < 8
    assert ask(sys, "a.plano.uy")[0] == 0


@pytest.fixture
def proxied(sys):
    """Connections to smtpd from where a PROXY header says."""
    kept = (sys.root / "etc/estafeta.conf").read_text()
    sys.configure(proxy_from="127.0.0.1", dns_client_timeout="1s")
    sys.ctl("reload")
    account = sys.new_account()

    def deliver(address, wait=True, rcpt=None):
        """Greeted, then a message: (seconds until the greeting, the log's line about it, Received)"""
        mark, began = len(sys.log()), time.monotonic()
        with mail.socket.create_connection(("127.0.0.1", sys.ports["smtp"]), timeout=20) as s, s.makefile("rwb") as f:
            f.write(f"PROXY TCP{6 if ':' in address else 4} {address} {'::1' if ':' in address else '127.0.0.1'} 999 25\r\n".encode())
            f.flush()
            assert f.readline().startswith(b"220")
            took = time.monotonic() - began
            if wait:
                time.sleep(0.4)
            f.write(f"HELO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<{account[0]}>\r\nDATA\r\n".encode())
            f.flush()
            assert [f.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
            f.write(b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
            f.flush()
            assert f.readline().startswith(b"250")
        line = system.wait_for(lambda: [x for x in sys.log()[mark:].splitlines() if ": from=<a@b.example>" in x], 5, "no line")[0]
        sys.host = "::1"  # 127.0.0.1 would have to send a PROXY header
        with mail.Imap(sys, account) as c:
            del sys.host
            received = c.all()[-1].split(b"\r\n\tby")[0].decode()
        return took, line.partition("relay=")[2], received.partition("Received: from ")[2]

    yield deliver
    (sys.root / "etc/estafeta.conf").write_text(kept)
    sys.ctl("reload")


def test_the_names_of_clients(sys, dns, proxied):
    """RFC 5321 4.4, and sendmail's words in the log; the greeting never waits."""
    assert proxied("192.0.2.1")[1:] == ("a.plano.uy [192.0.2.1]", "x (a.plano.uy [192.0.2.1])")
    assert proxied("2001:db8::1")[1:] == ("a.plano.uy [2001:db8::1]", "x (a.plano.uy [IPv6:2001:db8::1])")
    assert proxied("192.0.2.31")[1:] == ("a.plano.uy [192.0.2.31] (may be forged)", "x ([192.0.2.31])")
    assert proxied("192.0.2.2")[1:] == ("[192.0.2.2]", "x ([192.0.2.2])")  # no host's name
    assert proxied("192.0.2.99")[1:] == ("[192.0.2.99]", "x ([192.0.2.99])")
    took, *names = proxied("192.0.2.3", wait=False)  # its address is not known in time
    assert took < 0.5 and names == ["[192.0.2.3]", "x ([192.0.2.3])"]
    dns.mute = True
    try:
        took, *names = proxied("192.0.2.77", wait=False)
        assert took < 0.5 and names == ["[192.0.2.77]", "x ([192.0.2.77])"]
    finally:
        dns.mute = False
    asked = len(dns.asked)
    assert proxied("127.0.0.1")[1:] == ("[127.0.0.1]", "x ([127.0.0.1])")
    sys.configure(dns_client_names="no")
    sys.ctl("reload")
    assert proxied("192.0.2.1")[1:] == ("[192.0.2.1]", "x ([192.0.2.1])")
    assert not [a for a in dns.asked[asked:] if "127" in a[0]]


def test_mail_is_taken_while_dnsd_is_away(sys, proxied):
    pid = sys.pid("dnsd")
    os.kill(pid, signal.SIGSTOP)
    try:
        took, *names = proxied("192.0.2.1")
        assert took < 0.5 and names == ["[192.0.2.1]", "x ([192.0.2.1])"]
    finally:
        os.kill(pid, signal.SIGKILL)
    system.wait_for(lambda: sys.pids().get("dnsd", pid) != pid, 10, lambda: sys.log()[-2000:])


def test_its_end_is_not_the_end(sys, dns):
    """kill -9: who asks meanwhile gets it from the next one; nothing is remembered."""
    before = sys.kill("dnsd")
    system.wait_for(lambda: sys.pids().get("dnsd", before) != before, 10, lambda: sys.log()[-2000:])
    system.wait_for(lambda: ask(sys, "a.plano.uy")[0] == 0, 10, lambda: sys.log()[-2000:])
    assert ask(sys, "firmada.uy")[1:3] == ("found", "secure")


def test_a_reload_asks_again_what_waits(sys, dns):
    asking = subprocess.Popen([str(sys.bin / "estafeta"), "--root", str(sys.root), "dns", "tarde.plano.uy"], stdout=subprocess.PIPE, text=True)
    dns.silent.add("tarde.plano.uy.")
    try:
        system.wait_for(lambda: dns.count("tarde.plano.uy"), 5, "it was not asked")
        dns.records["tarde.plano.uy."] = [(50, "A", "192.0.2.10")]
        dns.silent.remove("tarde.plano.uy.")
        sys.ctl("reload")
        assert "192.0.2.10" in asking.communicate(timeout=10)[0]
    finally:
        asking.kill()


def test_settings_that_are_refused(sys):
    for name, value, words in (("dns_mode", "half", "stub or full"), ("dns_mode", "full", "dns_servers"), ("dns_validate", "true", "yes, no or auto"),
                               ("dns_anchors", "/tmp/other", "started anew"), ("dns_servers", "10.0.0.0/8", "no network")):
        text = (sys.root / "etc/estafeta.conf").read_text()
        sys.configure(**{name: value})
        done = sys.ctl("reload", check=False)
        (sys.root / "etc/estafeta.conf").write_text(text)
        assert done.returncode == 78 and words in done.stdout + done.stderr, (name, done)
    sys.ctl("reload")
    assert ask(sys, "a.plano.uy")[0] == 0


def test_resolvers_that_know_no_dnssec(sys, dns):
    """auto: answers are then taken without validation, the first one too; yes: everything is bogus."""
    kept, dns.records["."] = dns.records["."], [r for r in dns.records["."] if r[1] not in ("RRSIG", "DNSKEY")]
    try:
        sys.ctl("reload")
        assert ask(sys, "a.plano.uy")[:3] == (0, "found", "indeterminate")
        assert ask(sys, "falsa.uy")[:3] == (0, "found", "indeterminate")
        assert "do not pass on what DNSSEC needs" in sys.log()
        sys.configure(dns_validate="yes")
        sys.ctl("reload")
        assert ask(sys, "a.plano.uy")[0] == 75
        sys.configure(dns_validate="no")
        sys.ctl("reload")
        assert ask(sys, "a.plano.uy")[:3] == (0, "found", "indeterminate")
    finally:
        dns.records["."] = kept
    sys.configure(dns_validate="auto")
    sys.ctl("reload")
    assert ask(sys, "a.plano.uy")[:3] == (0, "found", "insecure")


def test_files_of_others_do_not_stop_it(dns):
    """Anchors that are none: it starts all the same, and answers without validation."""
    file = dns.anchors.parent / "nonsense"
    file.write_text("; no keys here\nthese are not records\n")
    with system.run_system(accounts=(), settings={"dns_servers": dns.setting, "dns_anchors": file, "dns_timeout": "2s"}) as s:
        ask(s, "a.plano.uy")  # perhaps refused: it finds out with it
        assert ask(s, "a.plano.uy")[:3] == (0, "found", "indeterminate")
        assert "in dns_anchors?" in s.log()
