"""A small DNS server of the tests' own, on loopback: UDP and TCP on one port. What it answers is a table of text records; names
may also be silent, broken, cut to TCP or lies. It counts what it is asked."""

import base64
import contextlib
import ipaddress
import socket
import struct
import subprocess
import threading
import time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "DS": 43, "RRSIG": 46, "NSEC": 47,
         "DNSKEY": 48, "TLSA": 52}
NUMBERS = {n: t for t, n in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
QR_RA = 0x8080


def name_wire(name):
    """A name's text on the wire; \\. and \\DDD are octets of a label."""
    out, label, i = b"", b"", 0
    text = name.rstrip(".") if name != "." else ""
    while i < len(text):
        if text[i] == "\\" and text[i + 1 : i + 4].isdigit():
            label, i = label + bytes([int(text[i + 1 : i + 4])]), i + 4
        elif text[i] == ".":
            out, label, i = out + bytes([len(label)]) + label, b"", i + 1
        else:
            label, i = label + text[i].encode(), i + 1
    return (out + bytes([len(label)]) + label if label else out) + b"\0"


def raw_wire(name):
    """The same of a name whose octets are as they are (no label here has a dot in it)."""
    return b"".join(bytes([len(x)]) + x.encode("latin-1") for x in name.split(".") if x) + b"\0"


def wire_name(packet, at):
    """Of a question: no compression there."""
    labels = []
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels).lower() + ".", at + 1


def key(name):
    """Of a name in the tables: with its octets as they are."""
    return wire_name(name_wire(name), 0)[0]


def moment(text):
    return int(time.mktime(time.strptime(text + " UTC", "%Y%m%d%H%M%S %Z")) - time.timezone)


def rdata(kind, text):
    f = text.split()
    if kind == "A" or kind == "AAAA":
        return ipaddress.ip_address(text).packed
    if kind in ("NS", "CNAME", "PTR"):
        return name_wire(text)
    if kind == "MX":
        return struct.pack(">H", int(f[0])) + name_wire(f[1])
    if kind == "TXT":
        return b"".join(bytes([len(s)]) + s.encode() for s in text.split("|"))
    if kind == "SOA":
        return name_wire(f[0]) + name_wire(f[1]) + struct.pack(">5I", *map(int, f[2:7]))
    if kind == "TLSA":
        return bytes(map(int, f[:3])) + bytes.fromhex(f[3])
    if kind == "DNSKEY":
        return struct.pack(">HBB", *map(int, f[:3])) + base64.b64decode("".join(f[3:]))
    if kind == "RRSIG":
        head = struct.pack(">HBBIIIH", TYPES[f[0]], int(f[1]), int(f[2]), int(f[3]), moment(f[4]), moment(f[5]), int(f[6]))
        return head + name_wire(f[7]) + base64.b64decode("".join(f[8:]))
    if kind == "NSEC":
        bits = bytearray(16)
        for t in f[1:]:
            bits[TYPES[t] // 8] |= 0x80 >> TYPES[t] % 8
        bits = bytes(bits).rstrip(b"\0")
        return name_wire(f[0]) + bytes([0, len(bits)]) + bits
    raise ValueError(kind)


class DnsServer:
    """records: [(name, ttl, type, text)]. Names: silent ones get no answer, failing ones SERVFAIL, cut ones TC over UDP."""

    def __init__(self, records, silent=(), failing=(), cut=()):
        self.records = {}
        for name, ttl, kind, text in records:
            self.records.setdefault(key(name), []).append((ttl, kind, text))
        self.silent, self.failing, self.cut = ({key(n) for n in names} for names in (silent, failing, cut))
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.mute = False  # nobody is answered
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self):
        self.udp.close()
        self.tcp.close()

    __enter__ = lambda self: self

    def __exit__(self, *_):
        self.close()

    @property
    def setting(self):
        return f"127.0.0.1:{self.port}"

    def count(self, name):
        return sum(1 for n, _, _ in self.asked if n == name.rstrip(".") + ".")

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                packet, peer = self.udp.recvfrom(4096)
                reply = self.answer(packet, "udp")
                if reply:
                    self.udp.sendto(reply, peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve_one, args=(self.tcp.accept()[0],), daemon=True).start()

    def _serve_one(self, s):
        with contextlib.suppress(OSError, struct.error), s, s.makefile("rb") as f:
            while True:
                packet = f.read(struct.unpack(">H", f.read(2))[0])
                reply = self.answer(packet, "tcp")
                if not reply:
                    return
                s.sendall(struct.pack(">H", len(reply)) + reply)

    def _nothing(self, name, kind):
        """For what is not there: the SOA of the zone, and when that is signed all that proves it."""
        labels = name.split(".") if name != "." else [""]
        above = [".".join(labels[i:]) or "." for i in range(len(labels))]
        for zone in above[kind == "DS" :]:  # a DS belongs to the zone above
            there = self.records.get(zone, ())
            if any(k == "SOA" for _, k, _ in there):
                out = [(zone, ttl, k, t) for ttl, k, t in there if k == "SOA" or (k == "RRSIG" and t.startswith("SOA "))]
                if len(out) > 1:
                    out += [(n, ttl, k, t) for n, rs in self.records.items() for ttl, k, t in rs
                            if k == "NSEC" or (k == "RRSIG" and t.startswith("NSEC "))]
                return out
        return []

    def _lookup(self, name, kind):
        """The chain from name on: records of the answer section, and the code."""
        out = []
        for _ in range(40):
            there = self.records.get(name)
            if there is None:
                above = any(n.endswith("." + name) for n in self.records)  # an empty name between others
                return out, NOERROR if above else NXDOMAIN, name
            found = [(name, ttl, k, t) for ttl, k, t in there if k == kind or (k == "RRSIG" and t.split()[0] == kind)]
            if found:
                return out + found, NOERROR, name
            alias = [(name, ttl, k, t) for ttl, k, t in there if k == "CNAME"]
            if not alias:
                return out, NOERROR, name
            out += alias + [(name, ttl, k, t) for ttl, k, t in there if k == "RRSIG" and t.startswith("CNAME ")]
            name = key(alias[0][3])
        return out, NOERROR, name

    def answer(self, packet, how):
        name, at = wire_name(packet, 12)
        number = struct.unpack(">H", packet[at : at + 2])[0]
        question = packet[12 : at + 4]
        kind = NUMBERS.get(number, str(number))
        self.asked.append((name, kind, how))
        if self.mute or name in self.silent:
            return None
        if name in self.failing:
            return packet[:2] + struct.pack(">5H", QR_RA | SERVFAIL | 0x100, 1, 0, 0, 0) + question
        found, rcode, end = self._lookup(name, kind)
        authority = [] if any(k == kind for _, _, k, _ in found) else self._nothing(end, kind)
        reply = b""
        for owner, ttl, k, text in found + authority:
            data = rdata(k, text)
            reply += raw_wire(owner) + struct.pack(">HHIH", TYPES[k], 1, ttl, len(data)) + data
        flags = QR_RA | 0x100 | rcode
        if how == "udp" and (name in self.cut or len(reply) > 1100):
            return packet[:2] + struct.pack(">5H", flags | 0x200, 1, 0, 0, 0) + question
        return packet[:2] + struct.pack(">5H", flags, 1, len(found), len(authority), 0) + question + reply


def signed_root(lines, folder):
    """The records of a root zone of our own, signed by ldns-signzone, and its key as an anchor."""
    soa = ". 300 IN SOA ns.uy. root.uy. 1 3600 600 86400 60\n. 300 IN NS ns.uy.\n"
    (folder / "zone").write_text(soa + "".join(f"{name} {ttl} IN {kind} {text}\n" for name, ttl, kind, text in lines))
    key = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "."], cwd=folder, check=True, capture_output=True, text=True)
    key = key.stdout.strip()
    subprocess.run(["ldns-signzone", "-f", "signed", "zone", key], cwd=folder, check=True)
    records = []
    for line in (folder / "signed").read_text().splitlines():
        f = line.split(";")[0].split(None, 4)
        if len(f) == 5 and f[3] in TYPES:
            records.append((f[0], int(f[1]), f[3], f[4]))
    return records, (folder / (key + ".key")).read_text()
