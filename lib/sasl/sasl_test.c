#include "sasl/sasl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/test.h"
#include "sasl/mechanism.h"
#include "sasl/plain.h"
#include "sasl/prep.h"
#include "sasl/scram.h"

#define P(s) s, sizeof(s) - 1
TEST(plain)
{
    static const struct {
        const char *in;
        size_t n;
        enum status want;
        const char *authzid, *authcid, *password;
    } cases[] = {
        {P("\0tim\0tanstaaftanstaaf"), ST_OK, "", "tim", "tanstaaftanstaaf"}, /* RFC 4616 4 */
        {P("Ursel\0Kurt\0xipj3plmq"), ST_OK, "Ursel", "Kurt", "xipj3plmq"},
        {P("\0a@b.example\0p\xc3\xa1ss word"), ST_OK, "", "a@b.example", "p\xc3\xa1ss word"},
        {P("\0a\0p\0"), ST_SYNTAX, "", "", ""},
        {P("\0a\0"), ST_SYNTAX, "", "", ""},
        {P("\0\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a"), ST_SYNTAX, "", "", ""},
        {P(""), ST_SYNTAX, "", "", ""},
        {P("a"), ST_SYNTAX, "", "", ""},
        {P("\0a\n\0p"), ST_SYNTAX, "", "", ""},
        {P("z\r\0a\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xff\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xc0\xaf\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xed\xa0\x80\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xc3\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xe0\x80\xaf\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xf4\x90\x80\x80\0p"), ST_SYNTAX, "", "", ""},
        {P("\0a\xf0\x9f\x98\x80\0\xf0\x9f\x98\x80"), ST_OK, "", "a\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sasl_plain got = {0};

        CHECK_INT(i, sasl_plain_parse(slice_from(cases[i].in, cases[i].n), &got), cases[i].want);
        CHECK_SLICE(i, got.authzid, cases[i].authzid);
        CHECK_SLICE(i, got.authcid, cases[i].authcid);
        CHECK_SLICE(i, got.password, cases[i].password);
    }
}

TEST(login)
{
    struct sasl_login l = {0};
    struct slice challenge = {0}, password = {0};

    CHECK_INT(0, sasl_login_step(&l, false, SLICE(""), &challenge, &password), ST_MORE);
    CHECK_SLICE(0, challenge, "Username:");
    CHECK_INT(1, sasl_login_step(&l, true, SLICE("tim"), &challenge, &password), ST_MORE);
    CHECK_SLICE(1, challenge, "Password:");
    CHECK_INT(2, sasl_login_step(&l, true, SLICE("secret"), &challenge, &password), ST_OK);
    CHECK_SLICE(2, password, "secret");
    CHECK_SLICE(2, slice_from(l.user, l.user_n), "tim");
    CHECK_INT(3, sasl_login_step(&l, true, SLICE("secret"), &challenge, &password), ST_STATE);

    l = (struct sasl_login){0};
    CHECK_INT(4, sasl_login_step(&l, true, SLICE("tim"), &challenge, &password), ST_MORE);
    CHECK_SLICE(4, challenge, "Password:");
    CHECK_INT(5, sasl_login_step(&l, true, SLICE(""), &challenge, &password), ST_SYNTAX);
    CHECK_INT(6, sasl_login_step(&l, true, SLICE("secret"), &challenge, &password), ST_STATE);

    l = (struct sasl_login){0};
    CHECK_INT(7, sasl_login_step(&l, true, SLICE("t\nm"), &challenge, &password), ST_SYNTAX);
}

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
static const uint8_t rfc_salt[SCRAM_SALT] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
                                             0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};

static const struct scram_binding unbound;

/* RFC 7677 3. The server's nonce there is not base64, so the state is put where scram_begin would leave it. */
TEST(scram_rfc)
{
    AUTO_BUF out = BUF_INIT(1000);
    struct scram_verifier v;
    struct scram s = {0};

    CHECK(0, scram_make(SCRAM_SHA256, SLICE("pencil"), rfc_salt, 4096, &v));
    CHECK_INT(0, scram_first(&s, SCRAM_SHA256, false, &unbound, SLICE("n,,n=user,r=" CLIENT_NONCE)), ST_MORE);
    CHECK_SLICE(0, slice_from(s.name, s.name_n), "user");
    CHECK_INT(0, scram_begin(&s, SLICE("x"), &v, true, &out), ST_MORE);
    CHECK_SLICE(0, buf_slice(&out), "r=" CLIENT_NONCE "eA==,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    buf_clear(&s.auth);
    buf_puts(&s.auth, "n=user,r=" CLIENT_NONCE ",r=" CLIENT_NONCE
                      "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    buf_clear(&s.nonce);
    buf_puts(&s.nonce, CLIENT_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    buf_clear(&out);
    CHECK_INT(0,
              scram_final(&s,
                          SLICE("c=biws,r=" CLIENT_NONCE
                                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                          &out),
              ST_OK);
    CHECK_SLICE(0, buf_slice(&out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    CHECK_INT(1, scram_final(&s, SLICE("c=biws"), &out), ST_STATE);
    scram_done(&s);
}

TEST(scram_first)
{
    static const struct {
        const char *in;
        enum status want;
        const char *name, *authzid;
    } cases[] = {
        {"n,,n=user,r=abc", ST_MORE, "user", ""},
        {"y,,n=user,r=abc", ST_MORE, "user", ""},
        {"n,a=ot=2Cher=3D,n=u=3Ds=2Cer,r=abc", ST_MORE, "u=s,er", "ot,her="},
        {"n,,n=user,r=abc,x=later,y=more", ST_MORE, "user", ""},
        {"p=tls-exporter,,n=user,r=abc", ST_UNSUPPORTED, NULL, NULL},
        {"n,,m=must,n=user,r=abc", ST_UNSUPPORTED, NULL, NULL},
        {"n,,n=us=er,r=abc", ST_SYNTAX, NULL, NULL},
        {"n,,n=us=2cer,r=abc", ST_SYNTAX, NULL, NULL},
        {"n,,n=,r=abc", ST_SYNTAX, NULL, NULL},
        {"n,a=,n=user,r=abc", ST_SYNTAX, NULL, NULL},
        {"n,,n=user,r=", ST_SYNTAX, NULL, NULL},
        {"n,,n=user,r=a c", ST_SYNTAX, NULL, NULL},
        {"n,,n=user,r=abc,", ST_SYNTAX, NULL, NULL},
        {"n,,n=user", ST_SYNTAX, NULL, NULL},
        {"n,n=user,r=abc", ST_SYNTAX, NULL, NULL},
        {"x,,n=user,r=abc", ST_SYNTAX, NULL, NULL},
        {"", ST_SYNTAX, NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scram s = {0};

        CHECK_INT(i, scram_first(&s, SCRAM_SHA256, false, &unbound, slice_of(cases[i].in)), cases[i].want);
        if (cases[i].want == ST_MORE) {
            CHECK_SLICE(i, slice_from(s.name, s.name_n), cases[i].name);
            CHECK_SLICE(i, slice_from(s.authzid, s.authzid_n), cases[i].authzid);
        } else {
            CHECK_INT(i, s.state, SCRAM_OVER);
        }
        scram_done(&s);
    }
}

/* The client's side: its final message for a password (RFC 5802 3). */
static void
client_final(struct buf *out, const char *password, const char *first_bare, struct slice server_first, const char *c,
             const char *extension, struct scram_verifier *v)
{
    AUTO_BUF auth = BUF_INIT(2000);
    AUTO_BUF bare = BUF_INIT(1000);
    struct slice at = slice_skip(server_first, 2);
    struct slice nonce = take_until(&at, ',');
    uint8_t salted[32], key[32], signature[32];

    buf_printf(&bare, "c=%s,r=%.*s%s", c, (int)nonce.n, (const char *)nonce.p, extension);
    buf_puts(&auth, first_bare);
    buf_putc(&auth, ',');
    buf_put(&auth, server_first);
    buf_putc(&auth, ',');
    buf_put(&auth, buf_slice(&bare));
    CHECK(0, scram_make(SCRAM_SHA256, slice_of(password), rfc_salt, 4096, v));
    /* SaltedPassword again, for the client's key, by HMAC alone: PBKDF2 with one block. */
    uint8_t u[32], block[SCRAM_SALT + 4] = {0};
    memcpy(block, rfc_salt, SCRAM_SALT);
    block[SCRAM_SALT + 3] = 1;
    CHECK(0, sasl_hmac(slice_of(password), slice_from(block, sizeof block), u));
    memcpy(salted, u, 32);
    for (int i = 1; i < 4096; i++) {
        CHECK(0, sasl_hmac(slice_of(password), slice_from(u, 32), u));
        for (int k = 0; k < 32; k++)
            salted[k] ^= u[k];
    }
    CHECK(0, sasl_hmac(slice_from(salted, 32), SLICE("Client Key"), key));
    CHECK(0, sasl_hmac(slice_from(v->stored_key, 32), buf_slice(&auth), signature));
    for (int k = 0; k < 32; k++)
        key[k] ^= signature[k];
    buf_put(out, buf_slice(&bare));
    buf_puts(out, ",p=");
    buf_put_base64(out, slice_from(key, 32));
}

TEST(scram_final)
{
    static const struct {
        const char *password, *c, *extension;
        bool known;
        int harm; /* byte of the message to change from the end, 0 none */
        enum status want;
    } cases[] = {
        {"pencil", "biws", "", true, 0, ST_OK},
        {"pencil", "biws", ",x=1", true, 0, ST_OK},
        {"pencil", "biws", "", false, 0, ST_DENIED}, /* even the right proof for what is not known */
        {"pencils", "biws", "", true, 0, ST_DENIED},
        {"pencil", "eSws", "", true, 0, ST_DENIED}, /* y,, though n,, was said */
        {"pencil", "biws", ",m=1", true, 0, ST_UNSUPPORTED},
        {"pencil", "biw", "", true, 0, ST_SYNTAX},
        {"pencil", "biws", "", true, 5, ST_DENIED},
        {"pencil", "biws", "x", true, 0, ST_DENIED}, /* another nonce */
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF first = BUF_INIT(1000);
        AUTO_BUF message = BUF_INIT(1000);
        AUTO_BUF out = BUF_INIT(1000);
        struct scram_verifier real, v;
        struct scram s = {0};

        CHECK(i, scram_make(SCRAM_SHA256, SLICE("pencil"), rfc_salt, 4096, &real));
        CHECK_INT(i, scram_first(&s, SCRAM_SHA256, false, &unbound, SLICE("n,,n=user,r=abc")), ST_MORE);
        CHECK_INT(i, scram_begin(&s, SLICE("0123456789abcdef01"), &real, cases[i].known, &first), ST_MORE);
        client_final(&message, cases[i].password, "n=user,r=abc", buf_slice(&first), cases[i].c, cases[i].extension, &v);
        if (cases[i].harm > 0) {
            uint8_t *p = message.p + message.n - cases[i].harm;
            *p = *p == 'A' ? 'B' : 'A';
        }
        CHECK_INT(i, scram_final(&s, buf_slice(&message), &out), cases[i].want);
        if (cases[i].want == ST_DENIED)
            CHECK_SLICE(i, buf_slice(&out), "e=invalid-proof");
        if (cases[i].want == ST_SYNTAX)
            CHECK_SLICE(i, buf_slice(&out), "");
        scram_done(&s);
    }
}

/* RFC 5802 5, of SCRAM-SHA-1 */
TEST(scram_sha1_rfc)
{
    static const uint8_t salt[12] = {0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76};
    AUTO_BUF out = BUF_INIT(1000);
    struct scram_verifier v = {.iterations = 4096};
    struct scram s = {0};
    uint8_t salted[20], key[32];
    unsigned n;

    /* Its salt is shorter than ours, so the verifier is made here. */
    CHECK(0, PKCS5_PBKDF2_HMAC("pencil", 6, salt, sizeof salt, 4096, EVP_sha1(), 20, salted) == 1);
    CHECK(0, HMAC(EVP_sha1(), salted, 20, (const uint8_t *)"Client Key", 10, key, &n) != NULL);
    CHECK(0, EVP_Digest(key, 20, v.stored_key, &n, EVP_sha1(), NULL) == 1);
    CHECK(0, HMAC(EVP_sha1(), salted, 20, (const uint8_t *)"Server Key", 10, v.server_key, &n) != NULL);
    CHECK_INT(1, scram_first(&s, SCRAM_SHA1, false, &unbound, SLICE("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")), ST_MORE);
    CHECK_INT(1, scram_begin(&s, SLICE("x"), &v, true, &out), ST_MORE);
    buf_clear(&s.auth);
    buf_puts(&s.auth, "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    buf_clear(&s.nonce);
    buf_puts(&s.nonce, "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j");
    buf_clear(&out);
    CHECK_INT(2, scram_final(&s, SLICE("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), &out), ST_OK);
    CHECK_SLICE(2, buf_slice(&out), "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    scram_done(&s);
}

/* RFC 5802 6, RFC 9266, RFC 5929 4 */
TEST(scram_binding)
{
    static const struct scram_binding both = {SLICE("exporter"), SLICE("end point")}, exporter = {SLICE("exporter"), {0}},
                                      end_point = {{0}, SLICE("end point")};
    static const struct {
        const struct scram_binding *binding;
        bool plus;
        const char *flag;
        enum status want;
        const char *bound;
    } cases[] = {
        {&both,      true,  "p=tls-exporter",         ST_MORE,        "exporter" },
        {&both,      true,  "p=tls-server-end-point", ST_MORE,        "end point"},
        {&exporter,  true,  "p=tls-exporter",         ST_MORE,        "exporter" },
        {&exporter,  true,  "p=tls-server-end-point", ST_UNSUPPORTED, ""         },
        {&end_point, true,  "p=tls-exporter",         ST_UNSUPPORTED, ""         },
        {&both,      true,  "p=tls-unique",           ST_UNSUPPORTED, ""         },
        {&both,      true,  "p=",                     ST_UNSUPPORTED, ""         },
        {&both,      true,  "p=TLS-EXPORTER",         ST_UNSUPPORTED, ""         },
        {&both,      true,  "n",                      ST_SYNTAX,      ""         },
        {&both,      true,  "y",                      ST_SYNTAX,      ""         },
        {&unbound,   true,  "p=tls-exporter",         ST_UNSUPPORTED, ""         },
        {&both,      false, "p=tls-exporter",         ST_UNSUPPORTED, ""         },
        {&both,      false, "n",                      ST_MORE,        ""         },
        {&both,      false, "y",                      ST_DENIED,      ""         }, /* somebody cut -PLUS out of our list */
        {&end_point, false, "y",                      ST_DENIED,      ""         },
        {&unbound,   false, "y",                      ST_MORE,        ""         },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF first = BUF_INIT(200);
        struct scram s = {0};

        buf_printf(&first, "%s,,n=user,r=abc", cases[i].flag);
        CHECK_INT(i, scram_first(&s, SCRAM_SHA256, cases[i].plus, cases[i].binding, buf_slice(&first)), cases[i].want);
        CHECK_SLICE(i, slice_from(s.bound, s.bound_n), cases[i].bound);
        scram_done(&s);
    }
}

/* What the client's final message must say of the binding, byte for byte. */
TEST(scram_bound_final)
{
    static const struct {
        const char *c;
        enum status want;
    } cases[] = {
        {"cD10bHMtZXhwb3J0ZXIsLGV4cG9ydGVy",         ST_OK    }, /* p=tls-exporter,,exporter */
        {"cD10bHMtZXhwb3J0ZXIsLGV4cG9ydGVR",         ST_DENIED}, /* another channel's */
        {"cD10bHMtZXhwb3J0ZXIsLA==",                 ST_DENIED},
        {"cD10bHMtZXhwb3J0ZXIsLGV4cG9ydGVyZXhwb3J0ZXI=", ST_DENIED},
        {"biws",                                     ST_DENIED},
        {"eSws",                                     ST_DENIED},
    };
    static const struct scram_binding binding = {SLICE("exporter"), {0}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF first = BUF_INIT(1000), message = BUF_INIT(1000), out = BUF_INIT(1000);
        struct scram_verifier real, v;
        struct scram s = {0};

        CHECK(i, scram_make(SCRAM_SHA256, SLICE("pencil"), rfc_salt, 4096, &real));
        CHECK_INT(i, scram_first(&s, SCRAM_SHA256, true, &binding, SLICE("p=tls-exporter,,n=user,r=abc")), ST_MORE);
        CHECK_INT(i, scram_begin(&s, SLICE("0123456789abcdef01"), &real, true, &first), ST_MORE);
        client_final(&message, "pencil", "n=user,r=abc", buf_slice(&first), cases[i].c, "", &v);
        CHECK_INT(i, scram_final(&s, buf_slice(&message), &out), cases[i].want);
        scram_done(&s);
    }
}

TEST(prep)
{
    static const struct {
        const char *in;
        enum status want;
        const char *out;
    } cases[] = {
        {"I\xc2\xad"
         "X",                                                 ST_OK,     "IX"                   }, /* RFC 4013 3, the seven */
        {"user",                                             ST_OK,     "user"                 },
        {"USER",                                             ST_OK,     "USER"                 },
        {"\xc2\xaa",                                         ST_OK,     "a"                    },
        {"\xe2\x85\xa8",                                     ST_OK,     "IX"                   },
        {"\x07",                                             ST_SYNTAX, ""                     },
        {"\xd8\xa7\x31",                                     ST_SYNTAX, ""                     },
        {"\xd8\xa7\x31\xd8\xa8",                             ST_OK,     "\xd8\xa7\x31\xd8\xa8"},
        {"\xd8\xa7"
         "a\xd8\xa8",                                        ST_SYNTAX, ""                     },
        {"contrase\xc3\xb1"
         "a",                                                ST_OK,     "contrase\xc3\xb1"
                                                                        "a"                    },
        {"contrasen\xcc\x83"
         "a",                                                ST_OK,     "contrase\xc3\xb1"
                                                                        "a"                    }, /* as macOS writes it */
        {"a\xc2\xa0z",                                      ST_OK,     "a z"                  },
        {"\xef\xbc\xa1\xef\xbc\x91",                       ST_OK,     "A1"                   }, /* full width */
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab",            ST_OK,     "\xed\x95\x9c"         }, /* Hangul */
        {"a\xcc\x81\xcc\xa7",                               ST_OK,     "\xc3\xa1\xcc\xa7"     },
        {"c\xcc\x81\xcc\xa7",                               ST_OK,     "\xe1\xb8\x89"         },
        {"\xf0\x9f\x98\x80",                                ST_OK,     "\xf0\x9f\x98\x80"     }, /* not in Unicode 3.2 */
        {"\xc2\xad",                                        ST_SYNTAX, ""                     }, /* nothing is left */
        {"\xe2\x80\x8e",                                    ST_SYNTAX, ""                     },
        {"\xee\x80\x80",                                    ST_SYNTAX, ""                     }, /* private use */
        {"\xff",                                            ST_SYNTAX, ""                     },
        {"",                                                ST_SYNTAX, ""                     },
        {"a\x7f",                                            ST_SYNTAX, ""                     },
    };
    static char text[3 * SASL_PASSWORD_MAX];
    AUTO_BUF all = BUF_INIT(4 * SASL_PASSWORD_MAX);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(200), again = BUF_INIT(200);

        CHECK_INT(i, sasl_prep(slice_of(cases[i].in), &out), cases[i].want);
        CHECK_SLICE(i, buf_slice(&out), cases[i].out);
        if (cases[i].want == ST_OK) {
            CHECK_INT(i, sasl_prep(buf_slice(&out), &again), ST_OK);
            CHECK_SLICE(i, buf_slice(&again), buf_slice(&out));
        }
    }
    memset(text, 'x', sizeof text);
    CHECK_INT(100, sasl_prep(slice_from(text, SASL_PASSWORD_MAX), &all), ST_OK);
    CHECK_INT(101, sasl_prep(slice_from(text, SASL_PASSWORD_MAX + 1), &all), ST_LIMIT);
    for (size_t i = 0; i < SASL_PASSWORD_MAX / 3; i++)
        memcpy(text + 3 * i, "\xef\xb7\xba", 3); /* each becomes eighteen */
    CHECK_INT(102, sasl_prep(slice_from(text, SASL_PASSWORD_MAX / 3 * 3), &all), ST_LIMIT);
    CHECK_INT(102, all.n, SASL_PASSWORD_MAX);
}

TEST(mechanisms)
{
    static const struct {
        unsigned has;
        const char *want;
    } cases[] = {
        {0,                                   " SCRAM-SHA-256"},
        {NEEDS_CLEAR,                         " PLAIN LOGIN SCRAM-SHA-256"},
        {NEEDS_CLEAR | NEEDS_BINDING,         " PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"},
        {NEEDS_SHA1,                          " SCRAM-SHA-256 SCRAM-SHA-1"},
        {NEEDS_SHA1 | NEEDS_BINDING,          " SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-1 SCRAM-SHA-1-PLUS"},
        {NEEDS_EXTERNAL,                      " SCRAM-SHA-256 EXTERNAL"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(400);

        sasl_mechanisms_put(&out, cases[i].has, " ", "");
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
    CHECK_INT(0, sasl_mechanism_find(SLICE("scram-sha-1-plus")), SASL_SCRAM_SHA_1_PLUS);
    CHECK_INT(1, sasl_mechanism_find(SLICE("SCRAM-SHA-512")), SASL_NO_MECHANISM);
    CHECK_INT(2, sasl_mechanism_find(SLICE("")), SASL_NO_MECHANISM);
}

TEST(scram_fake)
{
    struct scram_verifier a, b, c, d;

    CHECK(0, scram_fake(SCRAM_SHA256, SLICE("key"), SLICE("nobody"), &a) && scram_fake(SCRAM_SHA256, SLICE("key"), SLICE("nobody"), &b));
    CHECK(0, scram_fake(SCRAM_SHA256, SLICE("key"), SLICE("other"), &c) && scram_fake(SCRAM_SHA256, SLICE("kez"), SLICE("nobody"), &d));
    CHECK(1, memcmp(&a, &b, sizeof a) == 0);
    CHECK(2, memcmp(a.salt, c.salt, SCRAM_SALT) != 0);
    CHECK(3, memcmp(a.salt, d.salt, SCRAM_SALT) != 0);
    CHECK_INT(4, a.iterations, SCRAM_ITERATIONS);
}

TEST_MAIN(plain, login, scram_rfc, scram_sha1_rfc, scram_first, scram_binding, scram_final, scram_bound_final, scram_fake,
          prep, mechanisms)
