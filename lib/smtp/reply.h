/*
 * SMTP replies: the one table of all that a server says (RFC 5321 4.2, RFC 2034, RFC 3463, RFC 5248), the line
 * that the log gets with it, and which of its rows a status is. No I/O.
 */
#pragma once
#include "base/buf.h"

#define SMTP_REPLY_LINE_MAX 512u /* RFC 5321 4.5.3.1.5, with CR LF */

/* name, code, enhanced code ("": none, as in EHLO's, 354 and 334), text, line of the log ("": none; "@" is the
 * client's address). Rows whose text tells more (an identifier, a name) have their fixed part here. */
#define SMTP_REPLIES(R)                                                                                             \
    R(GREETING, 220, "", "ESMTP Estafeta", "")                                                                      \
    R(PREGREET, 554, "5.5.1", "You spoke before the greeting",                                                      \
      "rejecting commands from @ due to pre-greeting traffic")                                                      \
    R(HELLO, 250, "", "", "")                                                                                       \
    R(OK, 250, "2.0.0", "Ok", "")                                                                                   \
    R(RESET, 250, "2.0.0", "Reset", "")                                                                             \
    R(SENDER_OK, 250, "2.1.0", "Sender ok", "")                                                                     \
    R(RECIPIENT_OK, 250, "2.1.5", "Recipient ok", "")                                                               \
    R(ACCEPTED, 250, "2.0.0", "Message accepted for delivery", "")                                                  \
    R(HELP, 214, "2.0.0", "Commands:", "")                                                                          \
    R(BYE, 221, "2.0.0", "Bye", "")                                                                                 \
    R(CANNOT_VERIFY, 252, "2.5.2", "Cannot verify; try RCPT", "")                                                   \
    R(START_TLS, 220, "2.0.0", "Ready to start TLS", "")                                                            \
    R(CHUNK_OK, 250, "2.0.0", "Octets received", "")                                                                \
    R(SEND_MESSAGE, 354, "", "Send the message, end with CR LF . CR LF", "")                                        \
    /* order and form of commands */                                                                                \
    R(UNKNOWN_COMMAND, 500, "5.5.2", "Command not recognised", "")                                                  \
    R(LINE_TOO_LONG, 500, "5.5.2", "Line is too long", "")                                                          \
    R(SYNTAX, 501, "5.5.4", "Syntax error in parameters or arguments", "")                                          \
    R(BAD_HELO, 501, "5.5.4", "Expected one domain name or address literal", "")                                    \
    R(BAD_SENDER, 501, "5.1.7", "Bad sender address", "")                                                           \
    R(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address", "")                                                     \
    R(NO_ARGUMENT, 501, "5.5.4", "This command takes no argument", "")                                              \
    R(NEED_ADDRESS, 501, "5.5.4", "Expected an address", "")                                                        \
    R(NOT_OFFERED, 502, "5.5.1", "Command is not offered here", "")                                                 \
    R(NO_LISTS, 502, "5.7.0", "This server does not expand lists", "")                                              \
    R(OUT_OF_ORDER, 503, "5.5.1", "Bad sequence of commands", "")                                                   \
    R(HELLO_FIRST, 503, "5.5.1", "Say EHLO or HELO first", "")                                                      \
    R(SENDER_TWICE, 503, "5.5.1", "Sender was already given", "")                                                   \
    R(MAIL_FIRST, 503, "5.5.1", "Need MAIL before RCPT", "")                                                        \
    R(RCPT_FIRST, 503, "5.5.1", "Need MAIL and RCPT before DATA", "")                                               \
    R(NOT_NOW, 503, "5.5.1", "Not during a mail transaction", "")                                                   \
    R(TLS_TWICE, 503, "5.5.1", "TLS is already active", "")                                                         \
    R(NOT_LAST, 503, "5.5.0", "Command must end its pipelined group", "")                                           \
    R(NOT_TRUSTED, 550, "5.7.0", "Not from this host", "@ is not trusted with XCLIENT or XFORWARD")                 \
    R(NOT_YOURS, 553, "5.7.1", "That sender address is not yours", "sender of @ is not the account's")              \
    R(NO_TOPIC, 504, "5.5.4", "No help on that", "")                                                                \
    R(BAD_CHUNK, 501, "5.5.4", "Expected a number of octets, and perhaps LAST", "")                                 \
    R(BINARY_NEEDS_BDAT, 503, "5.5.1", "BODY=BINARYMIME needs BDAT", "")                                            \
    R(NO_RECIPIENTS, 554, "5.5.1", "No valid recipients", "")                                                       \
    R(UNSUPPORTED, 555, "5.5.4", "Parameter is not recognised", "")                                                 \
    /* recipients; their log lines are made with the address */                                                     \
    R(NO_USER, 550, "5.1.1", "No such user here", "")                                                               \
    R(RELAYING_DENIED, 550, "5.7.1", "Relaying denied", "")                                                         \
    R(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients", "")                                                 \
    R(MAILBOX_FULL, 452, "4.2.2", "Mailbox is full", "")                                                            \
    /* messages */                                                                                                  \
    R(TOO_LARGE, 552, "5.3.4", "Message is larger than this server accepts", "message from @ is too large")         \
    R(NUL_BYTE, 550, "5.6.11", "Message refused: it holds a NUL byte", "message from @ holds a NUL")                \
    R(BARE_LF, 550, "5.6.11", "Message refused: lines must end with CR LF, and one ends with LF alone",             \
      "message from @ holds a bare LF")                                                                             \
    R(BARE_CR, 550, "5.6.11", "Message refused: lines must end with CR LF, and there is a CR alone",                \
      "message from @ holds a bare CR")                                                                             \
    R(TOO_MANY_HOPS, 554, "5.4.6", "Too many hops: the message loops", "message from @ has too many hops")          \
    /* AUTH (RFC 4954 4, 6) */                                                                                      \
    R(AUTH_OK, 235, "2.7.0", "Authentication succeeded", "")                                                        \
    R(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled", "")                                                 \
    R(AUTH_NO_MECHANISM, 501, "5.5.4", "Expected a mechanism", "")                                                  \
    R(AUTH_NOT_BASE64, 501, "5.5.2", "Response is not base64", "")                                                  \
    R(AUTH_SYNTAX, 501, "5.5.2", "Response does not fit the mechanism", "")                                         \
    R(AUTH_UNKNOWN, 504, "5.5.4", "Mechanism is not supported", "")                                                 \
    R(AUTH_WEAK, 534, "5.7.9", "Authentication mechanism is too weak", "")                                          \
    R(AUTH_TWICE, 503, "5.5.1", "Already authenticated", "")                                                        \
    R(AUTH_DENIED, 535, "5.7.8", "Authentication credentials invalid", "")                                          \
    R(AUTH_NEEDS_TLS, 538, "5.7.11", "Encryption required for this mechanism", "")                                  \
    R(TLS_FIRST, 538, "5.7.11", "Encryption required: use STARTTLS first", "")                                      \
    R(AUTH_FIRST, 530, "5.7.0", "Authentication required", "")                                                      \
    R(AUTH_LATER, 454, "4.7.0", "Temporary authentication failure", "")                                             \
    /* ours, never permanent */                                                                                     \
    R(NO_SPACE, 452, "4.3.1", "Not enough space on this system", "")                                                \
    R(NO_MEMORY, 452, "4.3.1", "Not enough memory, try again later", "")                                            \
    R(BUSY, 451, "4.3.1", "System is busy, try again later", "")                                                    \
    R(UNAVAILABLE, 451, "4.3.2", "Service is not available now, try again later", "")                               \
    R(DOUBT, 451, "4.3.0", "Cannot do that now, try again later", "")                                               \
    /* the end of a session: the host's name goes before the text (RFC 5321 4.2.2) */                               \
    R(STOPPING, 421, "4.3.2", "System is going down, closing the connection", "")                                   \
    R(IDLE, 421, "4.4.2", "Timeout, closing the connection",                                                        \
      "timeout waiting for input from @ during server cmd read")                                                    \
    R(IDLE_IN_DATA, 421, "4.4.2", "Timeout while receiving the message",                                            \
      "timeout waiting for input from @ during message collect")                                                    \
    R(SHED, 421, "4.4.2", "Silent while others wait, closing the connection",                                       \
      "@ was silent in a message while others waited")                                                              \
    R(ENDLESS, 421, "4.3.0", "Message does not end", "message from @ does not end")                                 \
    R(CHUNK_LOST, 421, "4.7.0", "That chunk is not read, closing the connection", "chunk from @ cannot be read")    \
    R(CLOSING, 421, "4.7.0", "Closing the connection", "line from @ is too long")                                   \
    R(AUTH_SILENT, 421, "4.7.0", "Authentication timed out, or its line is too long",                               \
      "timeout waiting for input from @ during AUTH")                                                               \
    R(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors, closing the connection", "too many errors of @")             \
    R(TOO_MANY_COMMANDS, 421, "4.7.0", "Too many commands, closing the connection", "too many commands of @")       \
    R(TOO_MANY_IDLE_COMMANDS, 421, "4.7.0", "Too many commands without a message, closing the connection",          \
      "too many commands without a message of @")                                                                   \
    R(TOO_FAST, 421, "4.7.0", "Too many commands in a minute, closing the connection",                              \
      "too many commands in a minute of @")                                                                         \
    R(TOO_MANY_FAILURES, 421, "4.7.0", "Too many failed logins, closing the connection",                            \
      "too many failed logins of @")                                                                                \
    R(SESSION_TOO_LONG, 421, "4.4.5", "Session has lasted too long, closing the connection",                        \
      "session of @ has lasted too long")                                                                           \
    R(NOT_SMTP, 421, "4.7.0", "That is not SMTP, closing the connection", "@ speaks HTTP")

enum smtp_row {
#define SMTP_ROW_ENUM(name, ...) SMTP_R_##name,
    SMTP_REPLIES(SMTP_ROW_ENUM)
#undef SMTP_ROW_ENUM
        SMTP_R_COUNT
};

struct smtp_reply {
    uint16_t code;
    const char *enhanced; /* "2.0.0"; "": none */
    const char *text;
    const char *log; /* "": none */
};

/* Static storage. */
const struct smtp_reply *smtp_reply(enum smtp_row row);

/* What a failure of ours is to the client. ST_OK is 250. What the table does not know is a temporary
 * failure, for doubt must not lose mail. */
enum smtp_row smtp_row_of(enum status st);
const struct smtp_reply *smtp_reply_of(enum status st);

/* Appends a reply; text may hold LFs, which make it several lines (all with the same codes,
 * RFC 2034 4). Controls and bytes beyond ASCII become "?", and lines are cut to the limit. */
void smtp_reply_put(struct buf *out, unsigned code, const char *enhanced, struct slice text);
