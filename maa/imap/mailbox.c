#include "imap/mailbox.h"

#include "imap/params.h"
#include "maa/imap/names.h"

/* --- one mailbox --- */

/* False: answered. */
static bool
decoded(struct session *s, struct command *c, struct slice name, struct buf *utf8)
{
    enum status st = name_decode(s, name, utf8);

    if (st != ST_OK)
        answer(c, st == ST_LIMIT ? "NO [LIMIT] Name too long" : "NO [CANNOT] Not a mailbox name");
    return st == ST_OK;
}

/* The command's only mailbox, as given and decoded. False: answered. */
static bool
one_name(struct session *s, struct command *c, struct buf *utf8)
{
    const char *why;
    struct slice name;
    enum status st = imap_args_mailbox(c->in.args, &c->arena, &name, &why);

    if (st == ST_OK)
        return decoded(s, c, name, utf8);
    answer_parse(s, c, st, why);
    return false;
}

/* The end of a change. It may have happened when its answer was lost, so that it is not asked twice. */
static bool
finish(struct session *s, struct command *c, enum store_msg type, struct buf *m)
{
    AUTO_BUF reply = BUF_INIT(1024);
    enum status st = session_ask(s, type, m, &reply, false);

    if (st == ST_OK)
        answer(c, "OK %s completed", imap_verb_name(c->in.verb));
    else
        answer_status(c, st);
    return st == ST_OK;
}

/* RFC 6154 3: uses as bits. False: one that is unknown, or that no mailbox can be made for. */
static bool
take_uses(const struct imap_create *want, uint32_t *special)
{
    *special = 0;
    for (size_t n = 0; n < want->n; n++) {
        size_t i = 0;

        while (i < SPECIALS && !slice_eq_nocase(want->uses[n], slice_of(specials[i].name)))
            i++;
        if (i == SPECIALS || !specials[i].creatable)
            return false;
        *special |= specials[i].bit;
    }
    return true;
}

void
on_create(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);
    struct imap_create want;
    uint32_t special;
    const char *why;
    enum status st = imap_args_create(c->in.args, &c->arena, &want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    if (!decoded(s, c, want.mailbox, &utf8))
        return;
    if (slice_eq(buf_slice(&utf8), SLICE("INBOX"))) {
        answer_status(c, ST_EXISTS);
        return;
    }
    if (!imap_mailbox_creatable(buf_slice(&utf8))) {
        answer(c, "NO [CANNOT] Such a name cannot be made");
        return;
    }
    if (!take_uses(&want, &special)) {
        answer(c, "NO [USEATTR] A mailbox cannot be made for that use");
        return;
    }
    mailbox_name_put(&m, &(struct mailbox_name){0, buf_slice(&utf8), special});
    (void)finish(s, c, MSG_MAILBOX_CREATE, &m);
}

void
on_delete(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(64), reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_row row;
    struct slice name;
    const char *why;
    enum status st;

    if (!one_name(s, c, &utf8))
        return;
    if (slice_eq(buf_slice(&utf8), SLICE("INBOX"))) { /* RFC 3501 6.3.4 */
        answer(c, "NO [CANNOT] INBOX cannot be deleted");
        return;
    }
    st = imap_args_mailbox(c->in.args, &c->arena, &name, &why);
    if (st == ST_OK)
        st = find_mailbox(s, name, true, &reply, &row);
    if (st != ST_OK) {
        answer_status(c, st);
        return;
    }
    if (row.mailbox == 0) { /* RFC 3501 6.3.4: \Noselect with children */
        answer(c, "NO [HASCHILDREN] There are mailboxes below it");
        return;
    }
    if (row.mailbox == s->box.id)
        box_done(s);
    mailbox_ref_put(&m, &(struct mailbox_ref){0, row.mailbox});
    (void)finish(s, c, MSG_MAILBOX_DELETE, &m);
}

void
on_rename(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_row row;
    struct slice names[2];
    const char *why;
    enum status st = imap_args_two(c->in.args, &c->arena, names, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    st = name_decode(s, names[1], &utf8);
    if (st != ST_OK || !imap_mailbox_creatable(buf_slice(&utf8))) {
        answer(c, "NO [CANNOT] Not a name for a mailbox");
        return;
    }
    st = find_mailbox(s, names[0], false, &reply, &row);
    if (st != ST_OK) {
        answer_status(c, st == ST_SYNTAX ? ST_NOTFOUND : st);
        return;
    }
    mailbox_rename_put(&m, &(struct mailbox_rename){0, row.mailbox, buf_slice(&utf8)});
    if (!finish(s, c, MSG_MAILBOX_RENAME, &m) || (s->enabled & ENABLED_REV2) == 0 ||
        slice_eq(row.name, SLICE("INBOX")))
        return;
    buf_puts(&c->text, "* LIST () \"/\" "); /* RFC 9051 6.3.9.7 */
    put_name(s, &c->text, buf_slice(&utf8));
    buf_puts(&c->text, " (\"OLDNAME\" (");
    put_name(s, &c->text, row.name);
    buf_puts(&c->text, "))\r\n");
}

/* SUBSCRIBE and UNSUBSCRIBE: the name need not exist (RFC 3501 6.3.6). */
void
on_subscribe(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);

    if (!one_name(s, c, &utf8))
        return;
    mailbox_subscribe_put(&m, &(struct mailbox_subscribe){0, buf_slice(&utf8), c->in.verb == IMAP_SUBSCRIBE});
    (void)finish(s, c, MSG_MAILBOX_SUBSCRIBE, &m);
}

void
put_status_items(struct buf *out, uint32_t wanted, const struct mailbox_status *got)
{
    /* Messages since recent_from; without holes among them this is right, else too many. */
    uint64_t recent = got->uidnext > got->recent_from ? got->uidnext - got->recent_from : 0;
    const struct {
        const char *name;
        uint64_t value;
    } items[IMAP_STATUS_COUNT] = {
        [IMAP_STATUS_MESSAGES] = {"MESSAGES", got->messages},
        [IMAP_STATUS_RECENT] = {"RECENT", recent < got->messages ? recent : got->messages},
        [IMAP_STATUS_UIDNEXT] = {"UIDNEXT", got->uidnext},
        [IMAP_STATUS_UIDVALIDITY] = {"UIDVALIDITY", got->uidvalidity},
        [IMAP_STATUS_UNSEEN] = {"UNSEEN", got->unseen},
        [IMAP_STATUS_DELETED] = {"DELETED", got->deleted},
        [IMAP_STATUS_SIZE] = {"SIZE", got->bytes},
        [IMAP_STATUS_HIGHESTMODSEQ] = {"HIGHESTMODSEQ", got->modseq},
        [IMAP_STATUS_APPENDLIMIT] = {"APPENDLIMIT", imapd.settings.message_size},
    };
    bool first = true;

    buf_puts(out, " (");
    for (size_t i = 0; i < COUNT(items); i++) {
        if ((wanted & 1u << i) == 0)
            continue;
        buf_printf(out, "%s%s %llu", first ? "" : " ", items[i].name, (unsigned long long)items[i].value);
        first = false;
    }
    buf_puts(out, ")\r\n");
}

void
on_status(struct session *s, struct command *c)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_status got;
    struct mailbox_row row;
    struct imap_status want;
    const char *why;
    enum status st = imap_args_status(c->in.args, &c->arena, &want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    st = find_mailbox(s, want.mailbox, false, &reply, &row);
    if (st == ST_OK)
        st = mailbox_status_of(s, row.mailbox, &got);
    if (st != ST_OK) {
        answer_status(c, st == ST_SYNTAX || st == ST_STALE ? ST_NOTFOUND : st);
        return;
    }
    if (want.items & 1u << IMAP_STATUS_HIGHESTMODSEQ)
        enable_condstore(s, &c->text);
    buf_puts(&c->text, "* STATUS ");
    put_wire_name(s, &c->text, want.mailbox);
    put_status_items(&c->text, want.items, &got);
    answer(c, "OK STATUS completed");
}

void
on_namespace(struct session *s, struct command *c)
{
    buf_puts(&c->text, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"); /* RFC 2342 5 */
    answer(c, "OK NAMESPACE completed");
}
