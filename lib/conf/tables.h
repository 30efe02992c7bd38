/*
 * The settings of every program, in one place, so that the whole text of a configuration can be judged at once
 * (conf_check), dumped and described. A program loads its own table; names that several tables have mean one thing.
 */
#pragma once
#include "conf/conf.h"

/* type, name, default, least, most, documentation */
#define DOMAIN_SETTING(SET) \
    SET(text, domain, "localhost", "1", "255", "The mail domain: accounts are USER@domain, and a login without @ gets it.")
#define HOST_SETTING(SET) \
    SET(text, hostname, "localhost", "1", "255", "This host's name, in greetings and in Received.")

#define SASL_SETTINGS(SET)                                                                                            \
    SET(bool, scram_sha1, "no", "no", "yes", "Offer SCRAM-SHA-1 too, to accounts whose password is set while this is yes; its verifiers are weaker.") \
    SET(bool, external_names, "no", "no", "yes", "Take EXTERNAL from a client whose certificate a CA of etc/tls/clients.pem vouches for: its mail address, or else its CN, is the account.") \
    SET(text, external_fingerprints, "", "0", "4000", "Take EXTERNAL from these certificates: SHA256=ACCOUNT, with commas between, e.g. HEX=usr1@example.org.")

#define MASTER_SETTINGS(SET)                                                                                          \
    SET(addresses, smtp_listen, "0.0.0.0:25, [::]:25", "0", "32", "Where SMTP from the world is taken.")              \
    SET(addresses, submission_listen, "0.0.0.0:587, [::]:587", "0", "32", "Submission, with STARTTLS.")               \
    SET(addresses, submissions_listen, "0.0.0.0:465, [::]:465", "0", "32", "Submission, TLS from the start.")         \
    SET(addresses, imap_listen, "0.0.0.0:143, [::]:143", "0", "32", "IMAP, with STARTTLS.")                           \
    SET(addresses, imaps_listen, "0.0.0.0:993, [::]:993", "0", "32", "IMAP, TLS from the start.")                     \
    SET(addresses, pop3_listen, "0.0.0.0:110, [::]:110", "0", "32", "POP3, with STLS.")                               \
    SET(addresses, pop3s_listen, "0.0.0.0:995, [::]:995", "0", "32", "POP3, TLS from the start.")                     \
    SET(count, uid_base, "64200", "0", "4294900000", "As root, program number N runs as user uid_base + N; 0: all as root.") \
    SET(count, quarantine_crashes, "3", "0", "16", "Crashes of imapd or pop3d in sessions of one account until its logins are refused; 0: never.") \
    SET(duration, quarantine_within, "10m", "1s", "7d", "Within which those crashes must lie.")                       \
    SET(duration, quarantine_time, "30m", "1s", "30d", "How long its logins are refused then; a reload ends it.")

#define EDGE_SETTINGS(SET)                                                                                            \
    HOST_SETTING(SET)                                                                                                 \
    SET(count, max_connections, "20000", "10", "1000000", "Connections at a time; more are told 421 or BYE.")         \
    SET(count, max_connections_per_ip, "1000", "1", "1000000", "Connections at a time of one client: an IPv4 address, an IPv6 /64.") \
    SET(text, tls_minimum, "1.2", "3", "3", "The oldest TLS that is spoken: 1.2 or 1.3.")                             \
    SET(text, tls_ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20", "1", "1000", "What TLS 1.2 may use, as openssl-ciphers(1) has it, e.g. ECDHE+AESGCM.") \
    SET(text, tls_ciphersuites, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "1", "1000", "What TLS 1.3 may use, e.g. TLS_AES_128_GCM_SHA256.") \
    SET(text, client_certificates, "", "0", "200", "Where clients are asked for a certificate, which EXTERNAL needs, e.g. imaps, submission: names of *_listen.") \
    SET(duration, handshake_timeout, "30s", "1s", "10m", "How long a TLS handshake may take.")                        \
    SET(addresses, proxy_from, "", "0", "32", "Peers whose connections begin with a PROXY header, e.g. 10.0.0.0/8.")

#define AUTH_SETTINGS(SET)                                                                                            \
    DOMAIN_SETTING(SET)                                                                                               \
    SASL_SETTINGS(SET)                                                                                                \
    SET(count, hash_threads, "2", "1", "64", "Threads that hash passwords. Each takes 7M.")                          \
    SET(count, hash_queue, "2000", "1", "65536", "Logins that may wait for a hash; more are told to try later.")       \
    SET(duration, login_deadline, "30s", "5s", "5m", "How long a login may wait for its hash.")                       \
    SET(duration, ticket_life, "30s", "1s", "5m", "How long a login is good before its session begins.")              \
    SET(bool, cleartext_passwords, "no", "no", "yes", "Take PLAIN and LOGIN without TLS, except from this host.")

#define STORE_SETTINGS(SET)                                                                                           \
    DOMAIN_SETTING(SET)                                                                                               \
    SET(duration, gather_time, "2ms", "0ms", "100ms", "How long a batch waits for deliveries that are known to come.") \
    SET(bytesize, unflushed, "64M", "4M", "4G", "Bytes of mail that may wait for the disk; more get 451.")            \
    SET(bytesize, disk_reserve, "64M", "0", "1T", "Bytes of the disk that stay free; below it mail gets 452.")         \
    SET(count, reader_threads, "2", "1", "64", "Threads that read mail for sessions.")                                \
    SET(bytesize, segment_size, "64M", "5M", "4G", "Size of a file of the log.")                                      \
    SET(duration, compact_grace, "10s", "0ms", "1h", "How long what was compacted stays for who reads it.")            \
    SET(bytesize, index_memory, "4M", "64K", "4G", "New rows of the index that stay in memory until they become a file.") \
    SET(bytesize, index_cache, "4M", "1M", "64G", "Blocks of the index that stay in memory after they were read; the kernel's cache holds the rest.")

#define SMTP_SETTINGS(SET)                                                                                            \
    DOMAIN_SETTING(SET)                                                                                               \
    HOST_SETTING(SET)                                                                                                 \
    SASL_SETTINGS(SET)                                                                                                \
    SET(bytesize, message_size, "50M", "64K", "2G", "Largest message; given as SIZE.")                                \
    SET(count, max_recipients, "1000", "100", "1000", "Recipients of a message.")                                     \
    SET(count, max_errors, "20", "1", "10000", "Refused commands until a session is ended.")                          \
    SET(count, max_commands, "100000", "100", "100000000", "Commands until a session is ended.")                      \
    SET(count, max_idle_commands, "100", "10", "1000000", "Commands that bring no message nearer, until one is accepted.") \
    SET(count, max_auth_failures, "5", "1", "1000", "Failed logins until a session is ended.")                         \
    SET(count, commands_per_minute, "0", "0", "10000000", "SMTP commands of a session in a minute; 0: any number.")     \
    SET(duration, greet_pause, "0s", "0s", "1m", "Wait before the greeting of SMTP; who speaks before it is refused.") \
    SET(bool, own_senders, "yes", "no", "yes", "Submission: MAIL FROM is the account's address, NAME+detail, or <>.")  \
    SET(bool, repair_line_ends, "no", "no", "yes", "Submission: a CR or LF alone becomes CR LF, and is not refused.")  \
    SET(addresses, xclient_from, "", "0", "32", "Proxies and filters that are trusted with XCLIENT and XFORWARD.")     \
    SET(bool, dns_client_names, "yes", "no", "yes", "SMTP: find the names of clients that are not on this host, for the log and for Received.") \
    SET(duration, dns_client_timeout, "10s", "100ms", "1m", "How long that may take; no client waits for it.")         \
    SET(count, max_hops, "25", "5", "1000", "Received fields of a message; with more it loops.")                       \
    SET(bool, success_notices, "no", "no", "yes", "Offer DSN (RFC 3461): what NOTIFY=SUCCESS asks is then sent.")      \
    SET(duration, session_timeout, "6h", "1m", "7d", "How long a session may last; no message is cut off.")            \
    SET(duration, smtp_idle_timeout, "5m", "1s", "1h", "How long an SMTP client may stay silent.")                    \
    SET(duration, data_timeout, "30m", "10s", "1d", "How long one message may take to come.")                         \
    SET(bool, cleartext_passwords, "no", "no", "yes", "Take PLAIN and LOGIN without TLS, except from this host.")

#define POP3_DELAY_SETTING(SET)                                                                                       \
    SET(duration, pop3_login_delay, "0s", "0s", "1d", "Least time between two POP3 logins to an account (RFC 2449 6.5), e.g. 5m; 0s: none.")

#define LOGIN_SETTINGS(SET)                                                                                           \
    HOST_SETTING(SET)                                                                                                 \
    POP3_DELAY_SETTING(SET)                                                                                                 \
    SASL_SETTINGS(SET)                                                                                                \
    SET(duration, login_timeout, "3m", "1s", "1h", "How long an IMAP or POP3 client may take to log in.")             \
    SET(bool, cleartext_passwords, "no", "no", "yes", "Take PLAIN and LOGIN without TLS, except from this host.")

#define IMAP_SETTINGS(SET)                                                                                            \
    SET(bytesize, message_size, "50M", "64K", "2G", "Largest message; given as SIZE.")                                \
    SET(count, append_messages, "250", "1", "500", "Messages of one APPEND (RFC 3502); more are refused with NO [LIMIT].") \
    SET(bytesize, append_size, "200M", "64K", "2G", "Bytes of several messages of one APPEND together.")               \
    SET(duration, imap_idle_timeout, "30m", "30m", "1d", "How long an IMAP client may stay silent (RFC 9051 5.4).")

#define POP3_SETTINGS(SET)                                                                                            \
    HOST_SETTING(SET)                                                                                                 \
    POP3_DELAY_SETTING(SET)                                                                                           \
    SET(bool, pop3_utf8_strict, "no", "no", "yes", "Refuse a message with UTF-8 in its header to a client that did not say UTF8 (RFC 6856 2.1); no: send it as it is.") \
    SET(duration, pop3_idle_timeout, "10m", "10m", "1d", "How long a POP3 client may stay silent (RFC 1939 3).")

#define DNS_SETTINGS(SET)                                                                                             \
    SET(text, dns_mode, "stub", "4", "4", "Who is asked: stub: dns_servers, or without any those of /etc/resolv.conf; full: the servers of each domain, from the root on.") \
    SET(addresses, dns_servers, "", "0", "8", "The resolvers that are asked, instead of those of /etc/resolv.conf, e.g. 192.0.2.53, [2001:db8::53]:5353.") \
    SET(text, dns_validate, "auto", "2", "4", "DNSSEC: yes: answers are validated, and what is not signed as it has to be is bogus; no; auto: yes in mode full, and when the resolvers pass on what validation needs.") \
    SET(text, dns_anchors, "/usr/share/dns/root.key", "1", "4000", "The file of the keys that DNSSEC begins with, DS or DNSKEY records; read when dnsd starts.") \
    SET(duration, dns_timeout, "10s", "100ms", "5m", "How long an answer may take.")                                  \
    SET(duration, dns_negative_ttl, "1h", "0s", "1d", "How long it is remembered that a name or record does not exist (RFC 2308 5).") \
    SET(bytesize, dns_cache, "2M", "64K", "1G", "Memory for answers, and as much again for their messages.")          \
    SET(count, dns_waiting, "4096", "10", "100000", "Questions that may wait at a time.")                             \
    SET(count, dns_waiting_per_program, "2048", "10", "100000", "Of them, those of one program.")

#define ROUTE_SETTINGS(SET)                                                                                           \
    DOMAIN_SETTING(SET)                                                                                               \
    SET(text, local_domains, "", "0", "16000", "More domains whose users are those of the mail domain, with commas between. So far only \"estafeta route\" asks this and the settings beside it.") \
    SET(text, virtual_domains, "", "0", "16000", "Domains with users of their own: rows of virtual_users, or accounts USER@DOMAIN.") \
    SET(text, relay_domains, "", "0", "16000", "Domains, with all below them, that anybody may send mail to through this host.") \
    SET(bool, relay_hosts_only, "no", "no", "yes", "The relay_domains are themselves only, without what is below them.") \
    SET(addresses, relay_networks, "", "0", "32", "Clients that may send mail to anybody through this host, e.g. 10.0.0.0/8.") \
    SET(text, alias_file, "etc/aliases", "0", "900", "The aliases, as aliases(5) has them: NAME: LIST.")               \
    SET(text, virtual_users, "etc/virtusertable", "0", "900", "Rows ADDRESS or @DOMAIN, and where its mail goes, as sendmail's virtusertable.") \
    SET(text, routes, "etc/mailertable", "0", "900", "Rows HOST or .DOMAIN, and its route, as sendmail's mailertable: smtp:[HOST], error:...") \
    SET(text, smart_host, "", "0", "900", "Who takes all mail for other hosts: HOST, [HOST] without MX, [HOST]:PORT.") \
    SET(text, catch_all, "", "0", "900", "Who gets mail for users that are not there: USER, ADDRESS, error:550 WORDS; empty: it is refused.")

/* name of the struct and table, its settings. Add a program's table here and it is checked, shown and described. */
#define CONF_TABLES(T)          \
    T(master, MASTER_SETTINGS)  \
    T(edge, EDGE_SETTINGS)      \
    T(auth, AUTH_SETTINGS)      \
    T(store, STORE_SETTINGS)    \
    T(smtp, SMTP_SETTINGS)      \
    T(login, LOGIN_SETTINGS)    \
    T(imap, IMAP_SETTINGS)      \
    T(pop3, POP3_SETTINGS) \
    T(route, ROUTE_SETTINGS)          \
    T(dns, DNS_SETTINGS)

/* struct smtp_settings, and smtp_conf to load it by. */
#define CONF_TABLE_DECLARE(name, SETTINGS) \
    struct name##_settings {               \
        SETTINGS(SETTING_FIELD)            \
    };                                     \
    extern const struct conf_table name##_conf;
CONF_TABLES(CONF_TABLE_DECLARE)

extern const struct conf_table *const conf_tables[];
extern const size_t n_conf_tables;
