#include "mime/charset.h"

#include "mime/charset_tables.h"

enum kind { GUESS, UTF8, SINGLE, DOUBLE, EUC_JP, ISO_2022_JP, ISO_2022_KR, UTF16, UTF16LE, UTF16BE, UTF7 };

#define REPLACEMENT 0xfffdu
#define ESC         0x1b

static const struct charset_row {
    const char *name;
    enum kind kind;
    const uint16_t *table;
} rows[] = {
    {"utf-8",            UTF8,        NULL        },
    {"utf8",             UTF8,        NULL        },
    {"us-ascii",         GUESS,       NULL        },
    {"ascii",            GUESS,       NULL        },
    {"ansi_x3.4-1968",   GUESS,       NULL        },
    {"iso-8859-1",       SINGLE,      charset_single_w1252},
    {"iso8859-1",        SINGLE,      charset_single_w1252},
    {"latin1",           SINGLE,      charset_single_w1252},
    {"windows-1252",     SINGLE,      charset_single_w1252},
    {"cp1252",           SINGLE,      charset_single_w1252},
    {"iso-8859-15",      SINGLE,      charset_single_i15  },
    {"iso8859-15",       SINGLE,      charset_single_i15  },
    {"iso-8859-2",       SINGLE,      charset_single_i2   },
    {"iso-8859-3",       SINGLE,      charset_single_i3   },
    {"iso-8859-4",       SINGLE,      charset_single_i4   },
    {"iso-8859-5",       SINGLE,      charset_single_i5   },
    {"iso-8859-6",       SINGLE,      charset_single_i6   },
    {"iso-8859-7",       SINGLE,      charset_single_i7   },
    {"iso-8859-8",       SINGLE,      charset_single_i8   },
    {"iso-8859-8-i",     SINGLE,      charset_single_i8   },
    {"iso-8859-9",       SINGLE,      charset_single_w1254},
    {"iso-8859-10",      SINGLE,      charset_single_i10  },
    {"iso-8859-11",      SINGLE,      charset_single_w874 },
    {"tis-620",          SINGLE,      charset_single_w874 },
    {"windows-874",      SINGLE,      charset_single_w874 },
    {"iso-8859-13",      SINGLE,      charset_single_i13  },
    {"iso-8859-14",      SINGLE,      charset_single_i14  },
    {"iso-8859-16",      SINGLE,      charset_single_i16  },
    {"windows-1250",     SINGLE,      charset_single_w1250},
    {"windows-1251",     SINGLE,      charset_single_w1251},
    {"windows-1253",     SINGLE,      charset_single_w1253},
    {"windows-1254",     SINGLE,      charset_single_w1254},
    {"windows-1255",     SINGLE,      charset_single_w1255},
    {"windows-1256",     SINGLE,      charset_single_w1256},
    {"windows-1257",     SINGLE,      charset_single_w1257},
    {"windows-1258",     SINGLE,      charset_single_w1258},
    {"koi8-r",           SINGLE,      charset_single_koi8r},
    {"koi8-u",           SINGLE,      charset_single_koi8u},
    {"macintosh",        SINGLE,      charset_single_mac  },
    {"ibm437",           SINGLE,      charset_single_ibm437},
    {"ibm850",           SINGLE,      charset_single_ibm850},
    {"cp850",            SINGLE,      charset_single_ibm850},
    {"ibm852",           SINGLE,      charset_single_ibm852},
    {"ibm866",           SINGLE,      charset_single_ibm866},
    {"cp866",            SINGLE,      charset_single_ibm866},
    {"shift_jis",        DOUBLE,      charset_double_jp   },
    {"windows-31j",      DOUBLE,      charset_double_jp   },
    {"cp932",            DOUBLE,      charset_double_jp   },
    {"euc-jp",           EUC_JP,      charset_double_jp   },
    {"iso-2022-jp",      ISO_2022_JP, charset_double_jp   },
    {"euc-kr",           DOUBLE,      charset_double_kr   },
    {"ks_c_5601-1987",   DOUBLE,      charset_double_kr   },
    {"cp949",            DOUBLE,      charset_double_kr   },
    {"iso-2022-kr",      ISO_2022_KR, charset_double_kr   },
    {"gb2312",           DOUBLE,      charset_double_cn   },
    {"gbk",              DOUBLE,      charset_double_cn   },
    {"gb18030",          DOUBLE,      charset_double_cn   },
    {"big5",             DOUBLE,      charset_double_tw   },
    {"cp950",            DOUBLE,      charset_double_tw   },
    {"utf-16",           UTF16,       NULL        },
    {"utf-16le",         UTF16LE,     NULL        },
    {"utf-16be",         UTF16BE,     NULL        },
    {"utf-7",            UTF7,        NULL        },
    {"unicode-1-1-utf-7", UTF7,       NULL        },
};

/* The row that is meant by a name that is not known. */
static const struct charset_row guess = {"", GUESS, NULL};

static const struct charset_row *
find(struct slice name)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (slice_eq_nocase(name, slice_of(rows[i].name)))
            return &rows[i];
    return NULL;
}

bool
charset_known(struct slice name)
{
    return find(name) != NULL;
}

void
charset_init(struct charset *c, struct slice name)
{
    const struct charset_row *row = find(name);

    *c = (struct charset){.row = row != NULL ? row : &guess};
}

void
charset_put(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        buf_putc(out, (uint8_t)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_putc(out, (uint8_t)(0xe0 | c >> 12));
        } else {
            buf_putc(out, (uint8_t)(0xf0 | c >> 18));
            buf_putc(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* What a table says; of what it does not know, U+FFFD. */
static void
put_cell(struct buf *out, uint32_t cell)
{
    charset_put(out, cell != 0 ? cell : REPLACEMENT);
}

static uint32_t
double_cell(const uint16_t *table, uint8_t lead, uint8_t trail)
{
    if (lead < CHARSET_LEAD || lead == 0xff || trail < CHARSET_TRAIL || trail == 0xff)
        return 0;
    return table[(lead - CHARSET_LEAD) * CHARSET_TRAILS + (trail - CHARSET_TRAIL)];
}

/* --- UTF-8 --- */

/* How long the character is that begins with this byte; 0: none does. */
static unsigned
utf8_length(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

/* RFC 3629 4: the second byte of some is narrower. */
static bool
utf8_goes_on(const uint8_t *p, unsigned n)
{
    uint8_t least = 0x80, most = 0xbf;

    if (n == 2) {
        least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : least;
        most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : most;
    }
    return p[n - 1] >= least && p[n - 1] <= most;
}

static void
put_broken(struct charset *c, uint8_t byte, struct buf *out)
{
    if (c->row->kind == GUESS)
        put_cell(out, charset_single_w1252[byte - 0x80]);
    else
        charset_put(out, REPLACEMENT);
}

static void
utf8_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    uint8_t again[4];
    unsigned n;

    c->held[c->n++] = byte;
    if (c->n == 1 ? utf8_length(byte) > 0 : utf8_goes_on(c->held, c->n)) {
        if (c->n == utf8_length(c->held[0])) {
            buf_put(out, slice_from(c->held, c->n));
            c->n = 0;
        }
        return;
    }
    n = c->n;
    memcpy(again, c->held, n);
    c->n = 0;
    put_broken(c, again[0], out);
    for (unsigned i = 1; i < n; i++) /* no deeper than four: each time one byte less */
        utf8_byte(c, again[i], out);
}

/* --- double bytes --- */

/* GB 18030's four bytes: only what is outside of the BMP, which is in order. */
static uint32_t
gb_four(const uint8_t *p)
{
    uint32_t n = (((uint32_t)(p[0] - 0x81) * 10 + (p[1] - 0x30u)) * 126 + (p[2] - 0x81u)) * 10 + (p[3] - 0x30u);

    return n >= 189000 && n - 189000 < 0x100000 ? n - 189000 + 0x10000 : 0;
}

/* A lead byte is held already. */
static void
double_second(struct charset *c, uint8_t byte, struct buf *out)
{
    uint8_t lead = c->held[0];
    uint32_t cell = double_cell(c->row->table, lead, byte);

    c->n = 0;
    put_cell(out, cell);
    if (cell == 0 && byte < 0x80) /* it was no character: what follows is not eaten */
        buf_putc(out, byte);
}

static void
double_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    bool gb = c->row->table == charset_double_cn, jp = c->row->table == charset_double_jp;

    if (c->n == 0 && byte < 0x80) {
        buf_putc(out, byte);
    } else if (c->n == 0 && jp && byte >= 0xa1 && byte <= 0xdf) {
        charset_put(out, 0xff61u + byte - 0xa1); /* half width */
    } else if (c->n == 0) {
        c->held[c->n++] = byte;
    } else if (gb && c->n == 1 && ascii_digit(byte)) {
        c->held[c->n++] = byte;
    } else if (c->n == 1) {
        double_second(c, byte, out);
    } else if (c->n == 2 && byte < CHARSET_LEAD) {
        c->n = 0;
        charset_put(out, REPLACEMENT);
        buf_putc(out, c->held[1]);
        if (byte < 0x80)
            buf_putc(out, byte);
    } else {
        c->held[c->n++] = byte;
        if (c->n == 4) {
            put_cell(out, gb_four(c->held));
            c->n = 0;
        }
    }
}

/* JIS X 0208, seven bits each, is where Shift_JIS has it moved to. */
static uint32_t
jis_cell(uint8_t a, uint8_t b)
{
    uint8_t lead, trail;

    if (a < 0x21 || a > 0x7e || b < 0x21 || b > 0x7e)
        return 0;
    lead = (uint8_t)((a - 0x21) / 2 + 0x81);
    if (lead > 0x9f)
        lead = (uint8_t)(lead + 0x40);
    trail = a % 2 == 0 ? (uint8_t)(b + 0x7e) : (uint8_t)(b + 0x1f + (b >= 0x60));
    return double_cell(charset_double_jp, lead, trail);
}

static void
euc_jp_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    c->held[c->n++] = byte;
    if (c->n == 1 && byte < 0x80) {
        buf_putc(out, byte);
        c->n = 0;
    } else if (c->n == 2 && c->held[0] == 0x8e) {
        put_cell(out, byte >= 0xa1 && byte <= 0xdf ? 0xff61u + byte - 0xa1 : 0);
        c->n = 0;
    } else if (c->n == 2 && c->held[0] != 0x8f) {
        put_cell(out, jis_cell(c->held[0] & 0x7f, byte & 0x7f));
        c->n = 0;
    } else if (c->n == 3) { /* JIS X 0212 */
        charset_put(out, REPLACEMENT);
        c->n = 0;
    }
}

/* --- ISO 2022 --- */

enum { IN_ASCII, IN_DOUBLE, IN_KATAKANA, IN_OTHER };

/* RFC 1468 and its kin. */
static const struct {
    const char *escape;
    uint8_t mode;
} escapes[] = {
    {"\x1b(B",  IN_ASCII   },
    {"\x1b(J",  IN_ASCII   },
    {"\x1b$@",  IN_DOUBLE  },
    {"\x1b$B",  IN_DOUBLE  },
    {"\x1b(I",  IN_KATAKANA},
    {"\x1b$(D", IN_OTHER   },
    {"\x1b$)C", IN_ASCII   }, /* RFC 1557: only said, SO and SI shift */
};

/* An escape is held. True while it may become one. */
static bool
escape_goes_on(struct charset *c)
{
    struct slice held = slice_from(c->held, c->n);

    for (size_t i = 0; i < COUNT(escapes); i++) {
        struct slice escape = slice_of(escapes[i].escape);

        if (slice_eq(escape, held)) {
            c->mode = escapes[i].mode;
            c->n = 0;
            return true;
        }
        if (slice_has_prefix(escape, held))
            return true;
    }
    return false;
}

static void
iso_2022_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    bool kr = c->row->kind == ISO_2022_KR;

    if (c->n > 0 && c->held[0] == ESC) {
        c->held[c->n++] = byte;
        if (!escape_goes_on(c)) {
            charset_put(out, REPLACEMENT);
            c->n = 0;
        }
    } else if (byte == ESC) {
        c->held[0] = byte;
        c->n = 1;
    } else if (byte == '\n') { /* a line begins in ASCII */
        c->mode = IN_ASCII;
        c->n = 0;
        buf_putc(out, byte);
    } else if (kr && (byte == 0x0e || byte == 0x0f)) {
        c->mode = byte == 0x0e ? IN_DOUBLE : IN_ASCII;
    } else if (byte <= ' ' || c->mode == IN_ASCII) {
        if (byte < 0x80)
            buf_putc(out, byte);
        else
            charset_put(out, REPLACEMENT);
    } else if (c->mode == IN_KATAKANA) {
        put_cell(out, byte >= 0x21 && byte <= 0x5f ? 0xff61u + byte - 0x21 : 0);
    } else {
        c->held[c->n++] = byte;
        if (c->n < 2)
            return;
        c->n = 0;
        put_cell(out, c->mode == IN_OTHER ? 0
                      : kr                ? double_cell(charset_double_kr, c->held[0] | 0x80, c->held[1] | 0x80)
                                          : jis_cell(c->held[0] & 0x7f, c->held[1] & 0x7f));
    }
}

/* --- UTF-16 and UTF-7 --- */

static void
utf16_unit(struct charset *c, uint16_t unit, struct buf *out)
{
    if (c->high != 0) {
        uint32_t high = c->high;

        c->high = 0;
        if (unit >= 0xdc00 && unit <= 0xdfff) {
            charset_put(out, 0x10000u + ((high - 0xd800u) << 10) + (unit - 0xdc00u));
            return;
        }
        charset_put(out, REPLACEMENT);
    }
    if (unit >= 0xd800 && unit <= 0xdbff)
        c->high = unit;
    else
        charset_put(out, unit >= 0xdc00 && unit <= 0xdfff ? REPLACEMENT : unit);
}

enum { BIG_END = 1, LITTLE_END };

static void
utf16_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    uint16_t unit;

    c->held[c->n++] = byte;
    if (c->n < 2)
        return;
    c->n = 0;
    unit = (uint16_t)(c->held[0] << 8 | c->held[1]);
    if (c->mode == 0) { /* RFC 2781 4.3: big end first unless a mark says otherwise */
        c->mode = c->row->kind == UTF16LE || (c->row->kind == UTF16 && unit == 0xfffe) ? LITTLE_END : BIG_END;
        if (c->row->kind == UTF16 && (unit == 0xfffe || unit == 0xfeff))
            return;
    }
    utf16_unit(c, c->mode == LITTLE_END ? (uint16_t)(unit << 8 | unit >> 8) : unit, out);
}

enum { UTF7_BASE64 = 1, UTF7_FIRST };

/* RFC 2152 */
static void
utf7_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    int digit = ascii_base64(byte);

    if (c->mode == 0 && byte == '+') {
        c->mode = UTF7_FIRST;
        c->bits = c->n_bits = 0;
    } else if (c->mode == UTF7_FIRST && byte == '-') {
        buf_putc(out, '+');
        c->mode = 0;
    } else if (c->mode != 0 && digit >= 0) {
        c->mode = UTF7_BASE64;
        c->bits = c->bits << 6 | (uint32_t)digit;
        c->n_bits = (uint8_t)(c->n_bits + 6);
        if (c->n_bits >= 16) {
            c->n_bits = (uint8_t)(c->n_bits - 16);
            utf16_unit(c, (uint16_t)(c->bits >> c->n_bits), out);
        }
    } else {
        if (c->high != 0)
            utf16_unit(c, 0xfffd, out);
        if (byte >= 0x80)
            charset_put(out, REPLACEMENT);
        else if (c->mode == 0 || byte != '-')
            buf_putc(out, byte);
        c->mode = 0;
    }
}

/* --- all --- */

static void
one_byte(struct charset *c, uint8_t byte, struct buf *out)
{
    switch (c->row->kind) {
    case GUESS:
    case UTF8:
        utf8_byte(c, byte, out);
        return;
    case SINGLE:
        if (byte < 0x80)
            buf_putc(out, byte);
        else
            put_cell(out, c->row->table[byte - 0x80]);
        return;
    case DOUBLE:
        double_byte(c, byte, out);
        return;
    case EUC_JP:
        euc_jp_byte(c, byte, out);
        return;
    case ISO_2022_JP:
    case ISO_2022_KR:
        iso_2022_byte(c, byte, out);
        return;
    case UTF7:
        utf7_byte(c, byte, out);
        return;
    default:
        utf16_byte(c, byte, out);
    }
}

static bool
is_ascii(uint8_t c)
{
    return c < 0x80;
}

void
charset_feed(struct charset *c, struct slice in, struct buf *out)
{
    while (in.n > 0) {
        if (c->row->kind <= EUC_JP && c->n == 0)
            buf_put(out, take_while(&in, is_ascii));
        if (in.n == 0)
            return;
        one_byte(c, in.p[0], out);
        in = slice_skip(in, 1);
    }
}

void
charset_end(struct charset *c, struct buf *out)
{
    if (c->row->kind == GUESS)
        for (unsigned i = 0; i < c->n; i++)
            put_broken(c, c->held[i], out);
    else if (c->n > 0 || c->high != 0)
        charset_put(out, REPLACEMENT);
    *c = (struct charset){.row = c->row};
}
