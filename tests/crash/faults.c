/*
 * A disk that fails or waits under the real stored: exactly what was in the failed batch is refused and never
 * appears, what follows is done without a restart, and a slow flush holds up no reader.
 *
 *   faults STORED SHIM
 *
 * With ESTAFETA_BUG and a stored that was built with -DPLANT_BUGS it must fail.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/stand.h"
#include "tests/crash/world.h"

#define MESSAGES 1024u

enum fate { UNKNOWN, DONE, REFUSED };

static struct tape *tape;
static uint64_t account, handle, inbox;
static enum fate fates[MESSAGES]; /* of each token */
static uint32_t next_token;
static unsigned passed, failed;

static bool
check(const char *what, bool ok)
{
    if (!ok) {
        failed++;
        (void)printf("FAILED: %s\n", what);
    }
    return ok;
}

/* --- asking --- */

static enum status
send_one(uint32_t token)
{
    AUTO_BUF body = BUF_INIT(1u << 20);
    uint64_t id[2] = {token, 1};
    const struct deliver m = {.request = slice_from(id, sizeof(id)), .prefix = SLICE(PREFIX)};
    struct delivered got;
    enum status st;

    token_body(token, &body);
    st = peer_deliver(&peer, &m, buf_slice(&body), false, &account, 1, "", &got);
    fates[token] = st == ST_OK ? DONE : st == ST_CLOSED ? UNKNOWN : REFUSED;
    return st;
}

/* Many at once. */
static struct {
    uint32_t left, done, refused;
    enum status last;
    uint64_t longest; /* ns until an answer */
    struct wait all;
} crowd;

static void
one_of_many(void *arg)
{
    uint64_t began = clock_mono(), took;
    enum status st = send_one(next_token++);

    took = clock_mono() - began;
    if (took > crowd.longest)
        crowd.longest = took;
    if (st == ST_OK)
        crowd.done++;
    else
        crowd.refused++;
    if (st != ST_OK)
        crowd.last = st;
    if (--crowd.left == 0)
        wait_end(&crowd.all, ST_OK);
}

static void
begin_many(uint32_t n)
{
    crowd.left = n;
    crowd.done = crowd.refused = 0;
    crowd.longest = 0;
    crowd.last = ST_OK;
    crowd.all = WAIT_INIT;
    for (uint32_t i = 0; i < n; i++)
        if (fiber_spawn(peer.loop, one_of_many, NULL) != ST_OK)
            abort();
}

static bool
send_many(uint32_t n)
{
    begin_many(n);
    return wait_for(&crowd.all, loop_now(peer.loop) + SECONDS(60)) == ST_OK;
}

static bool
enter(void)
{
    return peer_rcpt(&peer, account_name(0), &account) == ST_OK &&
           peer_handle(&peer, account_name(0), &handle) == ST_OK &&
           peer_mailbox(&peer, handle, "INBOX", &inbox) == ST_OK;
}

/* Each message that was acknowledged is there once, none that was refused; and what the mailbox says of
 * itself. */
static bool
is_right(const char *when)
{
    AUTO_BUF text = BUF_INIT(1u << 20);
    uint8_t seen[MESSAGES] = {0};
    struct mailbox_status s;
    uint32_t token, there = 0;

    if (!check(when, peer_status(&peer, handle, inbox, &s) == ST_OK))
        return false;
    for (uint32_t uid = 1; uid < s.uidnext; uid++) {
        enum status st = peer_read(&peer, handle, inbox, uid, &text);

        if (st == ST_NOTFOUND || st == ST_STALE)
            continue;
        if (!check(when, st == ST_OK && token_of(buf_slice(&text), &token) && token < MESSAGES))
            return false;
        there++;
        if (seen[token]++ || fates[token] == REFUSED) {
            (void)printf("message %u: %s\n", token,
                         fates[token] == REFUSED ? "was refused and is there" : "is there twice");
            return check(when, false);
        }
    }
    for (uint32_t i = 0; i < next_token; i++)
        if (fates[i] == DONE && !seen[i]) {
            (void)printf("message %u was acknowledged and is lost\n", i);
            return check(when, false);
        }
    return check(when, there == s.messages);
}

static bool
restart(bool kill_it)
{
    (void)peer_end(&peer, kill_it);
    return check("start", stand_start(TAPE_LOAD) == NULL) && enter();
}

/* The index is what the log alone makes: a failed batch has left nothing in it. */
static bool
same_without_index(void)
{
    AUTO_BUF before = BUF_INIT(64u << 20), after = BUF_INIT(64u << 20);
    char path[160];

    if (!check("dump", stand_dump(&before) == NULL))
        return false;
    (void)peer_end(&peer, false);
    (void)snprintf(path, sizeof(path), "%s/index", stand_store);
    peer_remove_tree(path);
    return check("start without index", stand_start(TAPE_LOAD) == NULL && enter()) &&
           check("dump again", stand_dump(&after) == NULL) &&
           check("the index is what the log makes", slice_eq(buf_slice(&before), buf_slice(&after)));
}

/* After a fault: right now, after two restarts, and from the log alone. */
static bool
is_right_for_good(const char *what)
{
    return is_right(what) && same_without_index() && restart(true) && is_right(what) && restart(false) &&
           is_right(what);
}

/* --- the faults --- */

/* A flush fails: all of its batch is refused, and the next request is done. The first time it is the flush of the
 * segment that batches go to, so that it is a batch's; then of three files, the segments made meanwhile too. */
static bool
flush_fails(void)
{
    for (uint32_t times = 1; times <= 3; times += 2) {
        if (!check("one before", send_one(next_token++) == ST_OK)) /* so that batch_segment is known */
            return false;
        crowd.refused = 0;
        for (int i = 0; i < 10 && crowd.refused == 0; i++) { /* a segment may just have been full */
            tape->faults.failed = 0;
            tape->faults.flush_segment = times == 1 ? tape->faults.batch_segment : 0;
            tape->faults.flush_fails_in = 1;
            tape->faults.flush_fails = times;
            if (!check("answers", send_many(20)))
                return false;
            if (times == 1 && !check("what failed was refused", tape->faults.failed == 0 || crowd.refused > 0))
                return false;
        }
        if (!check("a flush failed and its batch was refused", crowd.refused > 0 && tape->faults.failed > 0))
            return false;
        for (int i = 0; i < 200 && tape->faults.flush_fails > 0; i++)
            fiber_sleep_until(loop_now(peer.loop) + MSEC(20));
        if (!check("the next is done", send_one(next_token++) == ST_OK && !peer_has_ended(&peer)))
            return false;
        if (!is_right_for_good("after a failed flush"))
            return false;
    }
    return true;
}

/* One request alone in the batch, then the same with a write that fails. */
static bool
write_fails(void)
{
    static const int errnos[] = {EIO, ENOSPC};

    for (size_t i = 0; i < COUNT(errnos); i++) {
        enum status st = ST_OK;

        for (int k = 0; k < 10 && st == ST_OK; k++) {
            tape->faults.write_errno = (uint32_t)errnos[i];
            tape->faults.write_fails_in = 1;
            tape->faults.write_fails = 1;
            st = send_one(next_token++);
        }
        (void)printf("  write fails with %s: %s\n", strerror(errnos[i]), status_name(st));
        if (!check("a write that failed is refused",
                   st == (errnos[i] == ENOSPC ? ST_NOSPACE : ST_UNAVAILABLE)))
            return false;
        if (!check("and the next is done",
                   send_one(next_token++) == ST_OK && send_many(10) && crowd.refused == 0))
            return false;
        if (!is_right_for_good("after a failed write"))
            return false;
    }
    return true;
}

/* The disk takes nothing for a while, not even the word that a batch is void: its requests hear nothing until
 * it is, all others are refused, reads go on, and then mail is taken again. */
static bool
disk_is_full(void)
{
    enum status st = ST_OK;

    tape->faults.write_errno = ENOSPC;
    tape->faults.write_fails_in = 1;
    tape->faults.write_fails = UINT32_MAX;
    begin_many(3);
    fiber_sleep_until(loop_now(peer.loop) + MSEC(5500));
    for (int i = 0; i < 3; i++) {
        st = send_one(next_token++);
        if (!check("refused while the disk is full", st == ST_NOSPACE || st == ST_UNAVAILABLE))
            return false;
        if (!check("read while the disk is full", is_right("while the disk is full")))
            return false;
    }
    tape->faults.write_fails = 0;
    if (!check("all were refused",
               wait_for(&crowd.all, loop_now(peer.loop) + SECONDS(10)) == ST_OK && crowd.done == 0))
        return false;
    for (int i = 0; i < 100 && (st = send_one(next_token++)) != ST_OK; i++)
        fiber_sleep_until(loop_now(peer.loop) + MSEC(50));
    return check("taken again", st == ST_OK && !peer_has_ended(&peer)) &&
           is_right_for_good("after a full disk");
}

/* A flush of 6.5 s: who waits for the next batch is refused after 5 s, reads are answered at once, and the
 * batch itself is done in the end. */
static bool
flush_is_slow(void)
{
    uint64_t began = clock_mono(), refused_at = 0;
    unsigned reads = 0, slow = 0;
    struct mailbox_status s;
    uint32_t first = next_token;

    tape->faults.flush_us = 6500000;
    begin_many(1);
    fiber_sleep_until(loop_now(peer.loop) + MSEC(100)); /* it is being flushed */
    for (int i = 0; i < 5; i++, crowd.left++)
        if (fiber_spawn(peer.loop, one_of_many, NULL) != ST_OK)
            abort();
    while (clock_mono() - began < SECONDS(6)) {
        uint64_t asked = clock_mono();

        if (!check("a read", peer_status(&peer, handle, inbox, &s) == ST_OK))
            return false;
        reads++;
        slow += clock_mono() - asked > MSEC(50);
        if (crowd.refused == 5 && refused_at == 0) {
            refused_at = clock_mono() - began;
            tape->faults.flush_us = 0;
            if (!check("what comes is refused too", send_one(next_token++) == ST_UNAVAILABLE))
                return false;
        }
        fiber_sleep_until(loop_now(peer.loop) + MSEC(10));
    }
    (void)printf("  slow flush: refused after %llu ms, %u of %u reads took over 50 ms\n",
                 (unsigned long long)(refused_at / 1000000), slow, reads);
    if (!check("who waits is refused after 5 s", refused_at > SECONDS(4) && crowd.last == ST_UNAVAILABLE) ||
        !check("reads are answered below 50 ms", slow <= reads / 20)) /* but for a busy machine */
        return false;
    if (!check("the slow batch",
               wait_for(&crowd.all, loop_now(peer.loop) + SECONDS(20)) == ST_OK && fates[first] == DONE))
        return false;
    return check("the next is done", send_one(next_token++) == ST_OK) &&
           is_right_for_good("after a slow flush");
}

/* Told to stop while its threads are at work, it ends in order: the maker of segments, a read. */
static bool
stops(void)
{
    for (int round = 0; round < 10; round++) {
        AUTO_BUF list = BUF_INIT(100);

        tape->faults.flush_us = 20000;
        if (!check("done", send_one(next_token++) == ST_OK))
            return false;
        mailbox_ref_put(&list, &(struct mailbox_ref){handle, inbox});
        for (int i = 0; i < 20; i++) /* nobody waits for the answers */
            (void)ipc_send(peer.imap, (enum msg)MSG_MAILBOX_STATUS, buf_slice(&list), -1);
        if (!check("it stops", peer_end(&peer, false) == 0) ||
            !check("start", stand_start(TAPE_LOAD) == NULL) || !enter())
            return false;
    }
    tape->faults.flush_us = 0;
    return is_right("after stops");
}

/* A removal that a failing disk stopped goes on by itself. */
static bool
removal_fails(void)
{
    AUTO_BUF reply = BUF_INIT(100), text = BUF_INIT(64u << 20);
    struct msg_id box = {0};
    struct appended got;
    uint64_t id[2] = {MESSAGES, 2};

    if (!check("create", PEER_ASK(&peer, peer.imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, handle,
                                  SLICE("vieja"), 0) == ST_OK) ||
        !check("its number", msg_id_get(buf_slice(&reply), &box)))
        return false;
    const struct append m = {.handle = handle, .request = slice_from(id, sizeof(id)), .mailbox = box.id};
    if (!check("append", peer_append(&peer, &m, &(struct append_message){0}, &SLICE("Subject: x\r\n\r\n"), 1, false, &got) == ST_OK))
        return false;
    fiber_sleep_until(loop_now(peer.loop) +
                      MSEC(300));    /* a segment made ahead of need has been flushed by then */
    tape->faults.flush_fails_in = 2; /* not the answer's, but the next */
    tape->faults.flush_fails = 1;
    return check("remove", PEER_ASK(&peer, peer.imap, MSG_MAILBOX_DELETE, mailbox_ref, NULL, handle,
                                    box.id) == ST_OK) &&
           check("the removal goes on", stand_dump(&text) == NULL) &&
           check("a flush of it failed", tape->faults.failed == 1) &&
           is_right_for_good("after a failed removal");
}

/* The index cannot be written: stored says so and ends, or goes on; either way nothing that it acknowledged
 * is lost. */
static bool
index_fails(void)
{
    for (int round = 0; round < 3; round++) {
        tape->faults.index_fails = round == 2 ? 1000 : 1;
        for (int i = 0; i < 20 && !peer_has_ended(&peer); i++)
            (void)send_many(10);
        tape->faults.index_fails = 0;
        if (!restart(true) || !is_right_for_good("after a failing index"))
            return false;
        /* what was neither acknowledged nor refused may be there */
    }
    return true;
}

static void
run(const char *name, bool (*test)(void))
{
    struct tape_faults none = {0};

    (void)printf("%s\n", name);
    tape->faults = none;
    if (test())
        passed++;
    (void)fflush(stdout);
}

static void
all(void *arg)
{
    tape = tapes[TAPE_LOAD];
    if (check("start", stand_new_root(NULL) == NULL && stand_start(TAPE_LOAD) == NULL) &&
        check("account", PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_ADD, account_add, NULL,
                                  slice_of(account_name(0)), 0) == ST_OK) &&
        check("handle", enter())) {
        run("a flush fails", flush_fails);
        if (failed == 0)
            run("a write fails", write_fails);
        if (failed == 0)
            run("the disk is full", disk_is_full);
        if (failed == 0)
            run("it stops", stops);
        if (failed == 0)
            run("a removal fails", removal_fails);
        if (failed == 0)
            run("the index fails", index_fails);
        if (failed == 0)
            run("a flush is slow", flush_is_slow);
    }
    (void)peer_end(&peer, true);
    loop_stop(peer.loop);
}

int
main(int argc, char **argv)
{
    if (argc != 3 || !stand_setup(argv[1], argv[2]))
        return 2;
    if (fiber_spawn(peer.loop, all, NULL) != ST_OK || loop_run(peer.loop, NULL) != ST_OK)
        failed++;
    if (failed > 0)
        stand_tell_log();
    stand_done();
    (void)printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}
