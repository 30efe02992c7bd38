#include "store/apply.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "store/index.h"

#define REQUEST SLICE("0123456789abcdef")
#define COPY_REQUEST SLICE("fedcba9876543210")
#define MAX_RECORDS 32

/* A small life of two accounts, as the records that stored would write. LSN is the place in the list + 1. */
struct life {
    struct buf meta[MAX_RECORDS];
    uint16_t type[MAX_RECORDS];
    size_t n;
};

static struct buf *
next_record(struct life *life, uint16_t type)
{
    assert_true(life->n < MAX_RECORDS);
    life->type[life->n] = type;
    life->meta[life->n] = BUF_INIT(65536);
    return &life->meta[life->n++];
}

static struct row_message
message(uint64_t modseq, uint64_t email)
{
    return (struct row_message){
        .modseq = modseq, .size = 20, .internaldate = 5, .saved = 6, .email = email, .keywords = SLICE("\x01\x00")};
}

static void
add_account(struct life *life, uint64_t account, const char *name)
{
    AUTO_BUF boxes = BUF_INIT(4096);

    for (uint64_t box = 1; box <= 2; box++)
        record_mailbox_put(&boxes, &(struct record_mailbox){.mailbox = box,
                                                           .row = {.name = slice_of(box == 1 ? "INBOX" : "Sent")},
                                                           .status = {.uidnext = 1}});
    record_account_add_write(next_record(life, RECORD_ACCOUNT_ADD),
                             &(struct record_account_add){.account = account,
                                                          .shard = {account + 1, 1, 1, 1},
                                                          .row = {.name = slice_of(name)},
                                                          .usage = {.mailbox_next = 3},
                                                          .mailboxes = buf_slice(&boxes)});
}

static void
deliver(struct life *life)
{
    AUTO_BUF bodies = BUF_INIT(4096), arrivals = BUF_INIT(4096), queue = BUF_INIT(4096), refs = BUF_INIT(4096),
             segments = BUF_INIT(4096), extents = BUF_INIT(4096), places = BUF_INIT(4096), keywords = BUF_INIT(4096);

    row_extent_put(&extents, &(struct row_extent){1, 4096, 20});
    row_place_put(&places, &(struct row_place){1, 1});
    record_body_put(&bodies, &(struct record_body){5, {20, 4, buf_slice(&extents)}, SLICE("digest")});
    record_keyword_put(&keywords, &(struct record_keyword){1, 1, SLICE("$Junk")});
    for (uint64_t account = 1; account <= 2; account++)
        record_arrival_put(&arrivals, &(struct record_arrival){.account = account,
                                                              .usage = {.bytes = 20, .messages = 1, .modseq = 1},
                                                              .mailbox = 1,
                                                              .status = {.uidnext = 2, .messages = 1},
                                                              .uid = 1,
                                                              .message = message(1, 9),
                                                              .email = {9, 5, buf_slice(&places)}});
    record_queued_put(&queue, &(struct record_queued){
                                  .id = 3, .on = 1, .row = {.class = 1, .due = 100, .body = 5, .recipient = SLICE("x@y")}});
    record_ref_put(&refs, &(struct record_ref){5, 3});
    record_live_put(&segments, &(struct record_live){1, 0, {0, 20}});
    record_deliver_write(next_record(life, RECORD_DELIVER),
                         &(struct record_deliver){.request = REQUEST,
                                                  .answer = {.expires = 600, .lsn = life->n, .email = 9},
                                                  .shard = {3, 10, 6, 4},
                                                  .bodies = buf_slice(&bodies),
                                                  .arrivals = buf_slice(&arrivals),
                                                  .queue = buf_slice(&queue),
                                                  .refs = buf_slice(&refs),
                                                  .segments = buf_slice(&segments),
                                                  .keywords = buf_slice(&keywords)});
}

static void
change_flags(struct life *life)
{
    AUTO_BUF rows = BUF_INIT(4096);

    record_change_put(&rows, &(struct record_change){1, 1, message(2, 9)});
    record_flags_write(next_record(life, RECORD_FLAGS), &(struct record_flags){.account = 1,
                                                                               .usage = {.modseq = 2},
                                                                               .mailbox = 1,
                                                                               .status = {.uidnext = 2},
                                                                               .rows = buf_slice(&rows)});
}

static void
move_message(struct life *life)
{
    AUTO_BUF rows = BUF_INIT(4096), emails = BUF_INIT(4096), places = BUF_INIT(4096);

    row_place_put(&places, &(struct row_place){2, 1});
    record_copied_put(&rows, &(struct record_copied){1, 2, 3, 1, message(3, 9)});
    record_email_put(&emails, &(struct record_email){9, {9, 5, buf_slice(&places)}});
    record_copy_write(next_record(life, RECORD_COPY), &(struct record_copy){.account = 1,
                                                                            .usage = {.modseq = 3},
                                                                            .move = 1,
                                                                            .from = 1,
                                                                            .from_status = {.uidnext = 2},
                                                                            .to = 2,
                                                                            .to_status = {.uidnext = 2},
                                                                            .rows = buf_slice(&rows),
                                                                            .emails = buf_slice(&emails),
                                                                            .request = COPY_REQUEST,
                                                                            .answer = {.expires = 700, .account = 1}});
}

static void
expunge(struct life *life)
{
    AUTO_BUF rows = BUF_INIT(4096), emails = BUF_INIT(4096), refs = BUF_INIT(4096), forgotten = BUF_INIT(4096);

    record_change_put(&rows, &(struct record_change){1, 3, message(4, 9)});
    record_expunge_write(next_record(life, RECORD_EXPUNGE), &(struct record_expunge){.account = 1,
                                                                                     .usage = {.modseq = 4},
                                                                                     .mailbox = 2,
                                                                                     .at = 7,
                                                                                     .keep = 1,
                                                                                     .rows = buf_slice(&rows)});
    record_forgotten_put(&forgotten, &(struct record_forgotten){1, 4});
    record_email_put(&emails, &(struct record_email){.email = 9});
    record_ref_put(&refs, &(struct record_ref){5, 2});
    record_forget_write(next_record(life, RECORD_FORGET), &(struct record_forget){.account = 1,
                                                                                  .mailbox = 2,
                                                                                  .rows = buf_slice(&forgotten),
                                                                                  .emails = buf_slice(&emails),
                                                                                  .refs = buf_slice(&refs)});
}

static void
try_queue(struct life *life, uint8_t on, int64_t old_due, int64_t due, uint64_t refs_after)
{
    AUTO_BUF queue = BUF_INIT(4096), refs = BUF_INIT(4096);

    record_queued_put(&queue, &(struct record_queued){.id = 3,
                                                     .on = on,
                                                     .known = 1,
                                                     .old_class = 1,
                                                     .old_due = old_due,
                                                     .row = {.class = 1, .due = due, .body = 5, .tries = 1}});
    record_ref_put(&refs, &(struct record_ref){5, refs_after});
    record_queue_write(next_record(life, RECORD_QUEUE), &(struct record_queue){.shard = {3, 10, 6, 4},
                                                                               .queue = buf_slice(&queue),
                                                                               .refs = buf_slice(&refs)});
}

/* Two mailboxes exchange their names: no name row may be lost. */
static void
exchange_names(struct life *life)
{
    AUTO_BUF boxes = BUF_INIT(4096);

    record_mailbox_put(&boxes, &(struct record_mailbox){.mailbox = 1, .old_name = SLICE("INBOX"), .row = {SLICE("Sent")}});
    record_mailbox_put(&boxes, &(struct record_mailbox){.mailbox = 2, .old_name = SLICE("Sent"), .row = {SLICE("INBOX")}});
    record_mailbox_put_write(next_record(life, RECORD_MAILBOX_PUT),
                             &(struct record_mailbox_put){.account = 2, .mailboxes = buf_slice(&boxes)});
}

static void
small_records(struct life *life)
{
    AUTO_BUF rows = BUF_INIT(4096), flags = BUF_INIT(4096), requests = BUF_INIT(4096);

    record_remembered_put(&rows, &(struct record_remembered){MEMORY_VACATION, SLICE("who"), 0, 50});
    record_remembered_put(&rows, &(struct record_remembered){MEMORY_VACATION, SLICE("who"), 50, 90});
    record_memory_write(next_record(life, RECORD_MEMORY), &(struct record_memory){2, buf_slice(&rows)});
    record_subscribe_write(next_record(life, RECORD_SUBSCRIBE), &(struct record_subscribe){2, SLICE("Sent"), 1});
    record_script_write(next_record(life, RECORD_SCRIPT),
                        &(struct record_script){2, SLICE("s"), 1, SLICE("keep;"), SLICE("s")});
    record_quota_root_write(next_record(life, RECORD_QUOTA_ROOT), &(struct record_quota_root){2, SLICE(""), 1, {1, 2, 3, 4}});
    record_private_flags_put(&flags, &(struct record_private_flags){1, {.modseq = 2, .flags = 1}});
    record_private_flags_put(&flags, &(struct record_private_flags){2, {.modseq = 2, .flags = 1}});
    record_private_write(next_record(life, RECORD_PRIVATE),
                         &(struct record_private){.account = 2, .mailbox = 1, .user = 1, .rows = buf_slice(&flags)});
    buf_clear(&flags);
    record_private_flags_put(&flags, &(struct record_private_flags){2, {0}}); /* the second one goes */
    record_private_write(next_record(life, RECORD_PRIVATE),
                         &(struct record_private){.account = 2, .mailbox = 1, .user = 1, .rows = buf_slice(&flags)});
    record_request_put(&requests, &(struct record_request){REQUEST, 600});
    record_requests_forget_write(next_record(life, RECORD_REQUESTS_FORGET),
                                 &(struct record_requests_forget){buf_slice(&requests)});
}

/* A side segment with images of both accounts. */
static void
adopt(struct life *life)
{
    AUTO_BUF segments = BUF_INIT(4096), images = BUF_INIT(4096);

    record_live_put(&segments, &(struct record_live){2, 0, {.side = 1, .size = 4096, .sum = 0x1122334455667788}});
    for (uint64_t account = 1; account <= 2; account++)
        record_imaged_put(&images, &(struct record_imaged){account, {3, 2, 65536, 100, 7}});
    record_adopt_write(next_record(life, RECORD_ADOPT),
                       &(struct record_adopt){buf_slice(&segments), buf_slice(&images)});
}

static void
live(struct life *life)
{
    add_account(life, 1, "a@x");
    add_account(life, 2, "b@x");
    deliver(life);
    change_flags(life);
    move_message(life);
    expunge(life);
    try_queue(life, 1, 100, 200, 2);
    try_queue(life, 0, 200, 0, 1);
    exchange_names(life);
    small_records(life);
    adopt(life);
    record_mailbox_erase_write(next_record(life, RECORD_MAILBOX_ERASE),
                               &(struct record_mailbox_erase){.account = 2, .mailbox = 2});
    record_account_erase_write(next_record(life, RECORD_ACCOUNT_ERASE), &(struct record_account_erase){1});
}

static void
life_done(struct life *life)
{
    for (size_t i = 0; i < life->n; i++)
        buf_done(&life->meta[i]);
}

static void
apply_from(struct index *index, const struct life *life, size_t from, size_t to)
{
    struct index_batch *batch = index_batch_new();
    struct row_sink sink = index_batch_sink(batch);

    for (size_t i = from; i < to; i++) {
        CHECK_INT(i, apply_record(life->type[i], buf_slice(&life->meta[i]), &sink), ST_OK);
        CHECK_INT(i, index_write(index, batch, i + 1, NULL), ST_OK);
    }
    index_batch_free(batch);
}

static void
add_line(void *arg, struct slice text)
{
    buf_put(arg, text);
}

static void
dump_into(struct index *index, struct buf *out)
{
    buf_clear(out);
    CHECK_INT(0, index_dump(index, NULL, add_line, out, NULL), ST_OK);
    CHECK(0, buf_ok(out));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* A folder for one test; its index is in it. */
static void
make_folder(char *folder, size_t cap, char *path, size_t path_cap)
{
    (void)snprintf(folder, cap, "/tmp/estafeta-index-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, path_cap, "%s/index", folder);
}

/* In a child that dies without closing: what was flushed is at least the first `flushed` records. */
static void
crash_after(const char *path, const struct life *life, size_t flushed)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct index *index = NULL;

        if (index_open(path, NULL, &index, NULL) != ST_OK)
            _exit(2);
        apply_from(index, life, 0, flushed);
        if (index_flush(index, NULL) != ST_OK)
            _exit(3);
        apply_from(index, life, flushed, life->n);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Runs first (see there). The promise of the whole design: from every flushed prefix, replay gives the same index. */
TEST(replay_from_every_prefix)
{
    struct life life = {0};
    AUTO_BUF want = BUF_INIT(1u << 20), got = BUF_INIT(1u << 20);

    static char folder[MAX_RECORDS + 1][64], path[MAX_RECORDS + 1][80];

    live(&life);
    /* All crashes first: once this process has opened RocksDB, a forked child lacks its threads. */
    for (size_t k = 0; k <= life.n; k++) {
        make_folder(folder[k], sizeof(folder[k]), path[k], sizeof(path[k]));
        crash_after(path[k], &life, k);
    }
    for (size_t k = 0; k <= life.n; k++) {
        struct index *index = NULL;

        CHECK_INT(k, index_open(path[k], NULL, &index, NULL), ST_OK);
        CHECK_INT(k, index_applied(index), k);
        apply_from(index, &life, (size_t)index_applied(index), life.n);
        dump_into(index, &got);
        if (k == 0)
            buf_put(&want, buf_slice(&got));
        CHECK_SLICE(k, buf_slice(&got), buf_slice(&want));
        index_close(index);
        (void)nftw(folder[k], remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    life_done(&life);
}

/* Each record twice in a row is as once: nothing counts up. */
TEST(apply_twice)
{
    struct life life = {0};
    AUTO_BUF once = BUF_INIT(1u << 20), twice = BUF_INIT(1u << 20);
    char folder[64], path[80];
    struct index *index = NULL;

    live(&life);
    make_folder(folder, sizeof(folder), path, sizeof(path));
    CHECK_INT(0, index_open(path, NULL, &index, NULL), ST_OK);
    for (size_t i = 0; i < life.n; i++) {
        apply_from(index, &life, i, i + 1);
        dump_into(index, &once);
        apply_from(index, &life, i, i + 1);
        dump_into(index, &twice);
        CHECK_SLICE(i, buf_slice(&twice), buf_slice(&once));
    }
    index_close(index);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    life_done(&life);
}

/* What is left at the end, by hand: every row that should have gone has gone. */
TEST(apply_result)
{
    static const char *const want[] = {
        "applied 0 ", "format 0 ", "shard 0 ", "account_name 0 \"b@x\" ", "account_name 0 \"a@x\" ", "body 0 5 ",
        "digest 0 5 646967657374\n", "refs 0 5 0100000000000000\n", "segment 0 1 ", "account 2 ", "usage 2 ",
        "mailbox 2 1 ", "status 2 1 ", "name 2 \"INBOX\" 02", "name 2 \"Sent\" 01", "message 2 1 1 ", "change 2 1 1 1 00\n",
        "private 2 1 1 1 ", "email 2 9 ", "subscription 2 \"Sent\" \n", "quota 2 \"\" ", "script 2 \"s\" ", "active 2 ",
        "memory 2 1 \"who\" 5a", "memory_due 2 90 1 \"who\" \n",
        "request 0 \"fedcba9876543210\" ", "request_due 0 700 \"fedcba9876543210\" \n",
        "segment 0 2 01000000000000000000100000000000008877665544332211\n", "image 0 2 03000000000000000200000000000000000001000000000064000000000000000700000000000000\n",
    };
    struct life life = {0};
    AUTO_BUF text = BUF_INIT(1u << 20);
    char folder[64], path[80];
    struct index *index = NULL;
    size_t lines = 0;

    live(&life);
    make_folder(folder, sizeof(folder), path, sizeof(path));
    CHECK_INT(0, index_open(path, NULL, &index, NULL), ST_OK);
    apply_from(index, &life, 0, life.n);
    dump_into(index, &text);
    for (size_t i = 0; i < COUNT(want); i++)
        CHECK(i, slice_find_slice(buf_slice(&text), slice_of(want[i])) < text.n);
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    CHECK_INT(0, lines, COUNT(want));
    index_close(index);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    life_done(&life);
}

static void
count_put(void *arg, struct slice key, struct slice value)
{
    struct row_key got;
    unsigned *rows = arg;

    CHECK_INT(0, row_key_get(key, &got), ST_OK);
    CHECK(0, row_value_ok(got.kind, value));
    ++*rows;
}

static void
count_del(void *arg, struct slice key)
{
}

static void
count_del_range(void *arg, struct slice from, struct slice to)
{
    CHECK(0, from.n >= 8 && slice_cmp(from, to) < 0);
}

/* Cut, lengthened, with every byte changed: refused, or still rows of the right form; never more. */
TEST(apply_hostile)
{
    unsigned rows = 0;
    struct row_sink sink = {&rows, count_put, count_del, count_del_range};
    struct life life = {0};

    live(&life);
    for (size_t i = 0; i < life.n; i++) {
        struct buf *meta = &life.meta[i];

        for (size_t n = 0; n < meta->n; n++)
            CHECK_INT(i, apply_record(life.type[i], slice_sub(buf_slice(meta), 0, n), &sink), ST_CORRUPT);
        for (size_t n = 0; n < meta->n; n++) {
            meta->p[n] ^= 0xff;
            (void)(apply_record(life.type[i], buf_slice(meta), &sink) == ST_OK);
            meta->p[n] ^= 0xff;
        }
        buf_putc(meta, 0);
        CHECK_INT(i, apply_record(life.type[i], buf_slice(meta), &sink), ST_CORRUPT);
        meta->n--;
    }
    CHECK(0, rows > 0);
    CHECK_INT(1, apply_record(0, SLICE("\x01\x00"), &sink), ST_CORRUPT);
    CHECK_INT(2, apply_record(RECORD_IMAGE, SLICE("\x01\x00"), &sink), ST_CORRUPT);
    CHECK_INT(3, apply_record(RECORD_IMAGE + 1, SLICE("\x01\x00"), &sink), ST_NEWER);
    CHECK_INT(4, apply_record(RECORD_ACCOUNT_ERASE, SLICE("\x01\x00\0\0\0\0\0\0\0\0"), &sink), ST_CORRUPT);
    life_done(&life);
}

/* A record that fails half way leaves no row of it, when its batch is rolled back. */
TEST(batch_rollback)
{
    struct life life = {0};
    AUTO_BUF before = BUF_INIT(1u << 20), after = BUF_INIT(1u << 20), rows = BUF_INIT(4096), bad = BUF_INIT(4096);
    struct index_batch *batch = index_batch_new();
    struct row_sink sink = index_batch_sink(batch);
    char folder[64], path[80];
    struct index *index = NULL;

    live(&life);
    make_folder(folder, sizeof(folder), path, sizeof(path));
    CHECK_INT(0, index_open(path, NULL, &index, NULL), ST_OK);
    apply_from(index, &life, 0, 2);
    dump_into(index, &before);
    index_batch_mark(batch);
    record_change_put(&rows, &(struct record_change){1, 1, message(2, 9)});
    buf_puts(&rows, "x");
    record_flags_write(&bad, &(struct record_flags){.account = 1, .mailbox = 1, .rows = buf_slice(&rows)});
    CHECK_INT(0, apply_record(RECORD_FLAGS, buf_slice(&bad), &sink), ST_CORRUPT);
    index_batch_rollback(batch);
    CHECK_INT(0, index_write(index, batch, 2, NULL), ST_OK);
    dump_into(index, &after);
    CHECK_SLICE(0, buf_slice(&after), buf_slice(&before));
    index_batch_free(batch);
    index_close(index);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    life_done(&life);
}

/* Built beside, switched: the new one is there, the old one gone, and a snapshot shows what was. */
TEST(index_switch)
{
    struct life life = {0};
    AUTO_BUF value = BUF_INIT(64);
    char folder[64], path[80], beside[96];
    struct index *index = NULL, *fresh = NULL;
    struct index_snapshot *snapshot;
    const struct row_key shard = {0, ROW_SHARD};

    live(&life);
    make_folder(folder, sizeof(folder), path, sizeof(path));
    (void)snprintf(beside, sizeof(beside), "%s.new", path);
    for (int round = 0; round < 2; round++) { /* without an old one, then with */
        CHECK_INT(round, index_build(path, NULL, &fresh, NULL), ST_OK);
        apply_from(fresh, &life, 0, (size_t)round + 1);
        index_close(index);
        index = NULL;
        CHECK_INT(round, index_switch(path, NULL, fresh, &index, NULL), ST_OK);
        CHECK_INT(round, index_applied(index), round + 1);
        CHECK(round, access(beside, F_OK) != 0);
    }
    snapshot = index_snapshot_new(index);
    apply_from(index, &life, 2, life.n);
    buf_clear(&value);
    CHECK_INT(0, index_get(index, snapshot, &(struct row_key){0, ROW_APPLIED}, &value, NULL), ST_OK);
    CHECK_INT(0, value.p[0], 2);
    CHECK_INT(0, index_get(index, snapshot, &(struct row_key){0, ROW_REFS, {5}}, &value, NULL), ST_NOTFOUND);
    CHECK_INT(0, index_get(index, NULL, &shard, &value, NULL), ST_OK);
    index_snapshot_free(index, snapshot);
    index_close(index);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    life_done(&life);
}

/* An index of another format is refused, so that it is built anew. */
TEST(index_format)
{
    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(64);
    struct index_batch *batch = index_batch_new();
    struct row_sink sink = index_batch_sink(batch);
    char folder[64], path[80];
    struct index *index = NULL;

    make_folder(folder, sizeof(folder), path, sizeof(path));
    CHECK_INT(0, index_open(path, NULL, &index, NULL), ST_OK);
    row_key_put(&key, &(struct row_key){0, ROW_FORMAT});
    row_number_put(&value, &(struct row_number){ROW_VERSION + 1});
    sink.put(sink.arg, buf_slice(&key), buf_slice(&value));
    CHECK_INT(0, index_write(index, batch, 1, NULL), ST_OK);
    index_batch_free(batch);
    index_close(index);
    CHECK_INT(0, index_open(path, NULL, &index, NULL), ST_STALE);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TEST_MAIN(replay_from_every_prefix, apply_twice, apply_result, apply_hostile, batch_rollback, index_switch,
          index_format)
