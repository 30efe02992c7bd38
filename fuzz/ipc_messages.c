/*
 * Every decoder of messages between programs, and of the rows and records that are declared in the same way:
 * the first byte of the input picks one. Its promises: what is taken is what would be written, byte for byte,
 * every byte is used, and a byte less or more is refused. fuzz/complete checks that none is missing here.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/store/request.h"
#include "store/record.h"

/* clang-format off */
#define MESSAGES(M)                                                                                        \
    /* lib/ipc/messages.h */                                                                               \
    M(msg_boot) M(msg_peer) M(msg_peer_lost) M(msg_quarantine) M(msg_arena) M(msg_listen) M(msg_reload) M(msg_text) M(msg_bytes) \
    M(msg_name) M(msg_id) M(msg_conn_id) M(msg_page) M(msg_rows) M(msg_conn) M(msg_conn_adopt)             \
    M(msg_key_sign) M(msg_sasl_start) M(msg_sasl_step) M(msg_sasl) M(msg_ticket) M(msg_identity)           \
    M(msg_secret_set) M(msg_digest_feed) M(msg_admin_open) M(msg_dns_ask) M(msg_dns_answer)                                                 \
    /* lib/store/request.h */                                                                              \
    M(rcpt_check) M(rcpt_found) M(deliver_rcpt) M(deliver) M(delivered) M(side_begin) M(side_data)         \
    M(handle_open) M(mailbox_ref) M(mailbox_list) M(mailbox_name) M(mailbox_rename) M(mailbox_subscribe)   \
    M(mailbox_row) M(mailbox_status) M(keyword_row) M(message_list) M(message_row) M(change_list)          \
    M(change_row) M(digest_list) M(digest_row) M(body_read) M(append) M(append_message) M(appended) M(flags_change) M(recent_claim)          \
    M(copy) M(copied_row) M(expunge) M(hint) M(uid_run) M(account_add) M(account_delete)                   \
    M(account_quota) M(account_row) M(dump_row) M(head_list) M(head_row) M(deliver_queued) M(queue_settled) M(queue_settle) M(queue_entry) M(queue_read)                                  \
    /* store/row.h */                                                                                      \
    M(row_number) M(row_name) M(row_time) M(row_account) M(row_usage) M(row_mailbox) M(row_right)          \
    M(row_status) M(row_message) M(row_change) M(row_expunged) M(row_private) M(row_email) M(row_place)    \
    M(row_quota) M(row_body) M(row_extent) M(row_queue) M(row_segment) M(row_request) M(row_shard)         \
    M(row_image)                                                                                           \
    /* store/record.h, without the version, which record_x_read eats */                                    \
    M(record_mailbox) M(record_keyword) M(record_body) M(record_moved_body) M(record_arrival)              \
    M(record_queued) M(record_ref) M(record_live) M(record_email) M(record_change) M(record_copied)        \
    M(record_forgotten) M(record_private_flags) M(record_remembered) M(record_request) M(record_row)       \
    M(record_imaged) M(record_account_add) M(record_account_change) M(record_account_erase)                \
    M(record_mailbox_put) M(record_mailbox_erase) M(record_subscribe) M(record_deliver) M(record_flags)    \
    M(record_copy) M(record_expunge) M(record_forget) M(record_keywords) M(record_private)                 \
    M(record_quota_root) M(record_script) M(record_queue) M(record_memory) M(record_requests_forget)       \
    M(record_adopt) M(record_moved) M(record_image)
/* clang-format on */

#define TRY(tag)                                                                                             \
    static bool try_##tag(struct slice in)                                                                   \
    {                                                                                                        \
        AUTO_BUF again = BUF_INIT(1u << 24);                                                                 \
        struct slice at = in;                                                                                \
        struct tag got;                                                                                      \
                                                                                                             \
        if (!tag##_get(in, &got))                                                                            \
            return false;                                                                                    \
        tag##_put(&again, &got);                                                                             \
        assert(buf_ok(&again) && slice_eq(buf_slice(&again), in));                                           \
        assert(in.n == 0 || !tag##_get(slice_sub(in, 0, in.n - 1), &got));                                   \
        buf_putc(&again, 0);                                                                                 \
        assert(!tag##_get(buf_slice(&again), &got));                                                         \
        at = buf_slice(&again);                                                                              \
        assert(tag##_take(&at, &got) && at.n == 1); /* as one row of a list */                               \
        return true;                                                                                         \
    }                                                                                                        \
    static bool zero_##tag(void)                                                                             \
    {                                                                                                        \
        AUTO_BUF bytes = BUF_INIT(1u << 16);                                                                 \
        struct tag zero;                                                                                     \
                                                                                                             \
        memset(&zero, 0, sizeof(zero));                                                                      \
        tag##_put(&bytes, &zero);                                                                            \
        return buf_ok(&bytes) && try_##tag(buf_slice(&bytes));                                               \
    }
MESSAGES(TRY)

static const struct {
    bool (*try)(struct slice in);
    bool (*zero)(void);
} decoders[] = {
#define ROW(tag) {try_##tag, zero_##tag},
    MESSAGES(ROW)
#undef ROW
};
_Static_assert(COUNT(decoders) <= 256, "the first byte picks one");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) /* each decoder takes its own zeros: all of them run at least once */
        for (size_t i = 0; i < COUNT(decoders); i++)
            assert(decoders[i].zero());
    else
        (void)decoders[data[0] % COUNT(decoders)].try(slice_from(data + 1, n - 1));
    return 0;
}
