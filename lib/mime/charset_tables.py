#!/usr/bin/env python3
"""Writes the tables of charset.c: what each byte or pair of bytes means, as Python's codecs know it.

charset_tables.py OUTPUT: a C file for charset_tables.h. Run by the build, so that no table is kept by hand.
"""
import sys

SINGLE = {
    # table: Python's codec. ISO-8859-1 is read as windows-1252, as browsers do: who says one often sends the other.
    "w1252": "cp1252", "i2": "iso8859_2", "i3": "iso8859_3", "i4": "iso8859_4", "i5": "iso8859_5",
    "i6": "iso8859_6", "i7": "iso8859_7", "i8": "iso8859_8", "i10": "iso8859_10", "i13": "iso8859_13",
    "i14": "iso8859_14", "i15": "iso8859_15", "i16": "iso8859_16", "w874": "cp874", "w1250": "cp1250",
    "w1251": "cp1251", "w1253": "cp1253", "w1254": "cp1254", "w1255": "cp1255", "w1256": "cp1256",
    "w1257": "cp1257", "w1258": "cp1258", "koi8r": "koi8_r", "koi8u": "koi8_u", "mac": "mac_roman",
    "ibm437": "cp437", "ibm850": "cp850", "ibm852": "cp852", "ibm866": "cp866",
}
DOUBLE = {"jp": "cp932", "kr": "cp949", "cn": "gb18030", "tw": "cp950"}
LEADS, TRAILS = range(0x81, 0xFF), range(0x40, 0xFF)


def cell(raw, codec):
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return 0
    return ord(text) if len(text) == 1 and ord(text) < 0x10000 else 0


def table(out, kind, name, cells):
    out.write(f"const uint16_t charset_{kind}_{name}[{len(cells)}] = {{\n")
    for at in range(0, len(cells), 16):
        out.write("    " + ",".join(str(c) for c in cells[at : at + 16]) + ",\n")
    out.write("};\n")


with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('/* Made by charset_tables.py. */\n#include "mime/charset_tables.h"\n\n')
    for name, codec in SINGLE.items():
        table(out, "single", name, [cell(bytes([b]), codec) for b in range(0x80, 0x100)])
    for name, codec in DOUBLE.items():
        table(out, "double", name, [cell(bytes([a, b]), codec) for a in LEADS for b in TRAILS])
