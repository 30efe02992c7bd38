/*
 * Every message between programs: its number, its fields, who sends it to whom.
 * Numbers are appended, never reused. "->" one way; "<->" asked and answered; the
 * answer's fields are the struct named after the "=".
 *
 * Requests to stored are in store/request.h (lib/store), for they are many.
 */
#pragma once
#include "ipc/codec.h"

/* name, the executable, what it is. The number is the uid offset too: append only. */
#define ROLES(R)                                                          \
    R(MASTER, "estafetad", "starts, confines, watches")                   \
    R(EDGE, "edged", "connections and TLS")                               \
    R(KEY, "keyd", "private keys")                                        \
    R(AUTH, "authd", "secrets, tickets")                                  \
    R(STORE, "stored", "the mail")                                        \
    R(MDA, "mdad", "parses messages")                                     \
    R(SMTP, "smtpd", "SMTP from the world")                               \
    R(SUBMIT, "submitd", "SMTP from users")                               \
    R(LOGIN, "logind", "IMAP and POP3 before the password")               \
    R(IMAP, "imapd", "IMAP after the password")                           \
    R(POP3, "pop3d", "POP3 after the password")                           \
    R(CTL, "estafeta", "an administrator's command")                      \
    R(DNS, "dnsd", "names, addresses, DNSSEC")                            \
    R(QUEUE, "queued", "what has to go out")

enum role {
#define ROLE_ENUM(name, program, text) ROLE_##name,
    ROLES(ROLE_ENUM)
#undef ROLE_ENUM
        ROLE_COUNT
};
#define ROLE_BIT(name) (1u << ROLE_##name)
const char *role_name(enum role role); /* "smtpd"; "?" */

enum msg {
    MSG_NONE = 0,

    /* estafetad <-> every program (program.h) */
    MSG_BOOT = 1,
    MSG_PEER = 2,
    MSG_ARENA = 3,
    MSG_LISTEN = 4,
    MSG_GO = 5,
    MSG_READY = 6,
    MSG_RELOAD = 7,   /* master <-> program: msg_reload, answered with a status and msg_text */
    MSG_STOP = 8,
    MSG_CHUNKS_FREE = 9, /* any channel, by channel.c itself: packed le32 chunk numbers */
    MSG_STATS = 10,      /* master <-> program: answered with text lines "name value" */
    MSG_QUARANTINE = 12, /* estafetad -> authd: msg_quarantine. Repeated at every start of authd */
    MSG_PEER_LOST = 11,  /* program -> estafetad: msg_peer_lost. My channel to that peer has ended */

    /* edged, the services */
    MSG_CONN = 20,       /* edged -> smtpd submitd logind, + fd: msg_conn */
    MSG_CONN_DONE = 21,  /* the same, imapd, pop3d -> edged: msg_conn_id. The connection has ended */
    MSG_CONN_TLS = 22,   /* smtpd submitd logind -> edged, + fd: msg_conn_id. STARTTLS: comes back as MSG_CONN
                            with the same id, or MSG_CONN_GONE */
    MSG_CONN_GONE = 23,  /* edged -> service: msg_conn_id. Its handshake failed */
    MSG_CONN_ADOPT = 24, /* logind <-> imapd pop3d, + fd: msg_conn_adopt = nothing. ST_OK: it is yours */
    MSG_CONN_FACTS = 25, /* edged -> authd: msg_conn. Also sent again when TLS began */
    MSG_CONN_OVER = 26,  /* edged -> authd: msg_conn_id */
    MSG_CONN_TAKEN = 27, /* imapd pop3d -> edged: msg_conn_id. Sent on ADOPT: the connection ends with me, not with logind */

    /* keyd */
    MSG_KEY_SIGN = 30, /* edged <-> keyd: msg_key_sign = msg_bytes */
    MSG_KEY_CERTIFICATE = 31, /* edged <-> keyd: msg_name = msg_name + fd, to read: of the certificates in etc/tls the next one
                                 after that name, in the order of bytes; or TLS_CLIENTS itself. ST_NOTFOUND: there is none */

    /* authd */
    MSG_SASL_START = 40,    /* logind submitd <-> authd: msg_sasl_start = msg_sasl */
    MSG_SASL_STEP = 41,     /* logind submitd <-> authd: msg_sasl_step = msg_sasl */
    MSG_SASL_ABORT = 42,    /* logind submitd -> authd: msg_conn_id */
    MSG_TICKET_REDEEM = 43, /* imapd pop3d submitd <-> authd: msg_ticket = msg_identity. Once only */
    MSG_HANDLE_RENEW = 44,  /* imapd pop3d <-> authd: msg_conn_id = msg_identity. After stored was restarted */
    MSG_SECRET_SET = 45,    /* ctl <-> authd: msg_secret_set = nothing */
    MSG_SECRET_DELETE = 46, /* ctl <-> authd: msg_name = nothing */
    MSG_SECRET_LIST = 47,   /* ctl <-> authd: msg_page = msg_rows of msg_name */

    /* mdad */
    MSG_DIGEST_FEED = 50,   /* smtpd submitd imapd <-> mdad: msg_digest_feed = nothing (chunks may be reused),
                               for the last one msg_bytes: the digest (mime/digest.h) */
    MSG_DIGEST_CANCEL = 51, /* smtpd submitd imapd -> mdad: msg_id */

    /* estafetad's door for administrators: run/admin.sock (ctl -> estafetad) */
    MSG_ADMIN_OPEN = 60,   /* ctl <-> estafetad: msg_admin_open = nothing, + fd of a channel to that role */
    MSG_ADMIN_STATUS = 61, /* ctl <-> estafetad: = msg_text, a table of the programs */
    MSG_ADMIN_STOP = 62,   /* ctl <-> estafetad */
    MSG_ADMIN_RELOAD = 63, /* ctl <-> estafetad: = msg_text */

    /* dnsd */
    MSG_DNS_ASK = 70, /* smtpd ctl <-> dnsd: msg_dns_ask = msg_dns_answer. ST_UNAVAILABLE: too many questions wait */

    MSG_STORE_FIRST = 100, /* store/request.h */
    MSG_STORE_LAST = 199,
};

/* role: enum role. confinement: one readable line (sys/confine_line.h, docs/security.md). */
#define BOOT_FIELDS(FIELD) \
    FIELD(u16, role)       \
    FIELD(u32, instance)   \
    FIELD(bytes, root)     \
    FIELD(bytes, settings) \
    FIELD(bytes, confinement)
IPC_MESSAGE(msg_boot, BOOT_FIELDS)

/* link: the number of this channel; 0: its end is nobody's concern. */
#define PEER_FIELDS(FIELD) \
    FIELD(u16, role)       \
    FIELD(u32, instance)   \
    FIELD(u64, link)
IPC_MESSAGE(msg_peer, PEER_FIELDS)

/* link: as PEER said. fault: how that peer broke the contract; empty: its end was closed. */
#define PEER_LOST_FIELDS(FIELD) \
    FIELD(u64, link)            \
    FIELD(bytes, fault)
IPC_MESSAGE(msg_peer_lost, PEER_LOST_FIELDS)

/* kind: enum arena_kind. OWN: this program's own, writable. IN: what that peer writes, read-only.
 * OUT: writable, for big replies to that peer; the peer gets it as REPLIES, read-only. NOTE: writable, where it says for which
 * account it works (sys/fiber.h), which estafetad reads after a crash. */
enum arena_kind { ARENA_OWN = 1, ARENA_IN, ARENA_OUT, ARENA_REPLIES, ARENA_NOTE };
#define ARENA_FIELDS(FIELD) \
    FIELD(u8, kind)         \
    FIELD(u16, role)        \
    FIELD(u32, instance)    \
    FIELD(u64, size)
IPC_MESSAGE(msg_arena, ARENA_FIELDS)

/* user: whose logins to IMAP and POP3 are refused for so many seconds from now; 0: are taken again. */
#define QUARANTINE_FIELDS(FIELD) \
    FIELD(bytes, user)           \
    FIELD(u32, seconds)
IPC_MESSAGE(msg_quarantine, QUARANTINE_FIELDS)

/* service: enum service. address: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
enum service {
    SERVICE_SMTP = 1,
    SERVICE_SUBMISSION,
    SERVICE_SUBMISSIONS,
    SERVICE_IMAP,
    SERVICE_IMAPS,
    SERVICE_POP3,
    SERVICE_POP3S,
    SERVICE_COUNT
};
#define LISTEN_FIELDS(FIELD) \
    FIELD(u8, service)       \
    FIELD(bytes, address)    \
    FIELD(u16, port)
IPC_MESSAGE(msg_listen, LISTEN_FIELDS)

#define RELOAD_FIELDS(FIELD) FIELD(bytes, settings)
IPC_MESSAGE(msg_reload, RELOAD_FIELDS)
#define TEXT_FIELDS(FIELD) FIELD(bytes, text)
IPC_MESSAGE(msg_text, TEXT_FIELDS)
#define BYTES_FIELDS(FIELD) FIELD(bytes, bytes)
IPC_MESSAGE(msg_bytes, BYTES_FIELDS)
#define NAME_FIELDS(FIELD) FIELD(bytes, name)
IPC_MESSAGE(msg_name, NAME_FIELDS)
#define ID_FIELDS(FIELD) FIELD(u64, id)
IPC_MESSAGE(msg_id, ID_FIELDS)
#define CONN_ID_FIELDS(FIELD) FIELD(u64, conn)
IPC_MESSAGE(msg_conn_id, CONN_ID_FIELDS)
/* A page of a list: rows after `after`, packed; more: ask again after the last. */
#define PAGE_FIELDS(FIELD) \
    FIELD(bytes, after)    \
    FIELD(u32, most)
IPC_MESSAGE(msg_page, PAGE_FIELDS)
#define ROWS_FIELDS(FIELD) \
    FIELD(u8, more)        \
    FIELD(bytes, rows)
IPC_MESSAGE(msg_rows, ROWS_FIELDS)

/* A connection's facts. conn: unique while the system runs. Addresses: 16 bytes + be16 port.
 * tls: 0 or 1. tls_version "TLSv1.3", cipher, sni: text, may be empty.
 * binding: tls-exporter (RFC 9266), CONN_EXPORTER bytes or empty; end_point: tls-server-end-point (RFC 5929 4), at most
 * CONN_END_POINT bytes, may be empty. certificate: SHA-256 of the one that the client has shown and holds the key of,
 * CONN_CERTIFICATE bytes or empty; certificate_name: the mail address or name in it, when a CA of ours vouches for it. */
#define CONN_EXPORTER         32u
#define CONN_END_POINT        64u
#define CONN_CERTIFICATE      32u
#define CONN_CERTIFICATE_NAME 255u
#define CONN_FIELDS(FIELD)    \
    FIELD(u64, conn)          \
    FIELD(u8, service)        \
    FIELD(bytes, peer)        \
    FIELD(bytes, local)       \
    FIELD(u8, tls)            \
    FIELD(bytes, tls_version) \
    FIELD(bytes, cipher)      \
    FIELD(bytes, sni)         \
    FIELD(bytes, certificate) \
    FIELD(bytes, binding)     \
    FIELD(bytes, end_point)   \
    FIELD(bytes, certificate_name)
IPC_MESSAGE(msg_conn, CONN_FIELDS)

/* facts: the msg_conn of the connection, encoded. tag: of the command that is to be answered (IMAP);
 * ADOPT_UTF8 when UTF8 was said (POP3, RFC 6856 2.1), else empty. Refused with ST_EXISTS: another POP3 session
 * has the maildrop; with ST_LIMIT: it was logged in to a moment ago (RFC 2449 8.1).
 * unread: bytes read from the peer and not used. */
#define ADOPT_UTF8 "UTF8"
#define CONN_ADOPT_FIELDS(FIELD) \
    FIELD(bytes, facts)          \
    FIELD(bytes, ticket)         \
    FIELD(bytes, tag)            \
    FIELD(bytes, unread)
IPC_MESSAGE(msg_conn_adopt, CONN_ADOPT_FIELDS)

/* key: which one (tls/pairs.h). scheme: RSA: `input` is a padded block as long as the modulus; keyd signs it only when it is
 * padded as TLS signatures are (RFC 8446 4.2.3: PSS; RFC 5246 4.7: PKCS #1 v1.5). ECDSA: `input` is a digest, the answer DER. */
enum key_sign { KEY_SIGN_RSA = 0xff01, KEY_SIGN_ECDSA = 0xff02 };
#define KEY_SIGN_FIELDS(FIELD) \
    FIELD(u32, key)            \
    FIELD(u16, scheme)         \
    FIELD(bytes, input)
IPC_MESSAGE(msg_key_sign, KEY_SIGN_FIELDS)

/* mechanism: "PLAIN". has_initial: 0 none, 1 `initial` is it (decoded from base64). */
#define SASL_START_FIELDS(FIELD) \
    FIELD(u64, conn)             \
    FIELD(bytes, mechanism)      \
    FIELD(u8, has_initial)       \
    FIELD(bytes, initial)
IPC_MESSAGE(msg_sasl_start, SASL_START_FIELDS)
#define SASL_STEP_FIELDS(FIELD) \
    FIELD(u64, conn)            \
    FIELD(bytes, data)
IPC_MESSAGE(msg_sasl_step, SASL_STEP_FIELDS)
/* The reply's status: ST_MORE: send `data` as a challenge. ST_OK: `ticket`, `user`, and `data` as additional
 * data if not empty. ST_DENIED: bad credentials (already delayed). ST_UNAVAILABLE: temporary. ST_SYNTAX,
 * ST_UNSUPPORTED (mechanism). TLS needed: ST_STATE. */
#define SASL_FIELDS(FIELD) \
    FIELD(bytes, data)     \
    FIELD(bytes, ticket)   \
    FIELD(bytes, user)
IPC_MESSAGE(msg_sasl, SASL_FIELDS)

#define TICKET_FIELDS(FIELD) \
    FIELD(u64, conn)         \
    FIELD(bytes, ticket)
IPC_MESSAGE(msg_ticket, TICKET_FIELDS)
/* user: the account's full name "usr1@dominio.com.uy". handle: of stored (0 for submitd). */
#define IDENTITY_FIELDS(FIELD) \
    FIELD(bytes, user)         \
    FIELD(u64, handle)         \
    FIELD(u32, rights)
IPC_MESSAGE(msg_identity, IDENTITY_FIELDS)

/* create: 1 the name must be new, 0 it must exist, 2 either. */
#define SECRET_SET_FIELDS(FIELD) \
    FIELD(bytes, name)           \
    FIELD(bytes, password)       \
    FIELD(u8, create)
IPC_MESSAGE(msg_secret_set, SECRET_SET_FIELDS)

/* job: chosen by the asker, unique in its channel. chunks: packed le32 chunk numbers of the asker's arena,
 * holding n bytes that follow those fed before. last: 1 ends the message. */
#define DIGEST_FEED_FIELDS(FIELD) \
    FIELD(u64, job)               \
    FIELD(bytes, chunks)          \
    FIELD(u32, n)                 \
    FIELD(u8, last)
IPC_MESSAGE(msg_digest_feed, DIGEST_FEED_FIELDS)

#define ADMIN_OPEN_FIELDS(FIELD) FIELD(u16, role)
IPC_MESSAGE(msg_admin_open, ADMIN_OPEN_FIELDS)

/* type: enum dnsmsg_type. within: ms; 0, or more than dns_timeout: as dns_timeout. */
#define DNS_ASK_FIELDS(FIELD) \
    FIELD(bytes, name)        \
    FIELD(u16, type)          \
    FIELD(u32, within)
IPC_MESSAGE(msg_dns_ask, DNS_ASK_FIELDS)

/* outcome: enum dnsmsg_outcome; security: enum dnsmsg_security (dnsmsg/answer.h). ttl: seconds. name: at the end of the chain of
 * CNAMEs. records: packed (dnsmsg/record.h). why: words for a log, when it failed or is bogus. */
#define DNS_ANSWER_FIELDS(FIELD) \
    FIELD(u8, outcome)           \
    FIELD(u8, security)          \
    FIELD(u32, ttl)              \
    FIELD(bytes, name)           \
    FIELD(bytes, records)        \
    FIELD(bytes, why)
IPC_MESSAGE(msg_dns_answer, DNS_ANSWER_FIELDS)
