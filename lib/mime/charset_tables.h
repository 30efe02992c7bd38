/*
 * What bytes mean in charsets, made by charset_tables.py: code points of the BMP, 0 where there is
 * nothing. For charset.c only.
 */
#pragma once
#include <stdint.h>

#define CHARSET_LEAD   0x81 /* first of the first bytes of pairs */
#define CHARSET_TRAIL  0x40 /* first of the second ones */
#define CHARSET_LEADS  126
#define CHARSET_TRAILS 191

/* bytes from 0x80 on */
#define CHARSET_SINGLES(S) \
    S(w1252) S(i2) S(i3) S(i4) S(i5) S(i6) S(i7) S(i8) S(i10) S(i13) S(i14) \
    S(i15) S(i16) S(w874) S(w1250) S(w1251) S(w1253) S(w1254) S(w1255) \
    S(w1256) S(w1257) S(w1258) S(koi8r) S(koi8u) S(mac) S(ibm437) S(ibm850) \
    S(ibm852) S(ibm866)
/* Shift_JIS, EUC-KR with its extensions, GBK, Big5 */
#define CHARSET_DOUBLES(D) D(jp) D(kr) D(cn) D(tw)

#define CHARSET_SINGLE_(name) extern const uint16_t charset_single_##name[128];
#define CHARSET_DOUBLE_(name) extern const uint16_t charset_double_##name[CHARSET_LEADS * CHARSET_TRAILS];
CHARSET_SINGLES(CHARSET_SINGLE_)
CHARSET_DOUBLES(CHARSET_DOUBLE_)
#undef CHARSET_SINGLE_
#undef CHARSET_DOUBLE_
