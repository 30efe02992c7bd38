#include "store/index.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>

#define MIB        ((size_t)1024 * 1024)
#define BLOOM_BITS 10.0
#define PART       ((size_t)4096)   /* of a filter or an index: what is read of one at a time */
#define FILE_BYTES ((uint64_t)(16 * MIB))
#define FILE_WRITE (MIB / 4)
#define TEXT_MAX   (64u * MIB)
#define BATCH_MAX  (1024u * MIB)
#define BATCH_KEEP (1u * MIB)

struct index {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    uint64_t applied;
};

/* A put, a delete, or a delete of a range (value is where it ends); offsets into the batch's bytes. */
enum op_kind { OP_PUT, OP_DEL, OP_RANGE };
struct op {
    size_t key, key_n, value_n; /* the value stands behind the key */
    enum op_kind kind;
};

/* Gathered here, and sorted when it is written: what is inserted near what was inserted before costs RocksDB
 * much less, and of several puts of one row only the last one is done. */
struct index_batch {
    struct buf bytes;
    struct op *ops;
    size_t n, cap;
    size_t mark_bytes, mark_n;
    bool failed; /* no memory for an op */
    rocksdb_writebatch_t *rows;
};

struct index_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
};

/* RocksDB says what failed only in words; those at the front are stable. Frees them. */
static enum status
failed(struct err *err, const char *what, char *words)
{
    enum status st = ST_IO;

    if (strncmp(words, "Corruption", strlen("Corruption")) == 0)
        st = ST_CORRUPT;
    else if (strstr(words, "No space left") != NULL)
        st = ST_NOSPACE;
    (void)err_set(err, st, "index: %s: %.180s", what, words);
    rocksdb_free(words);
    return st;
}

/* Filters and indices of the files are cut into parts, which the cache holds like any block: else all of each open
 * file stays in memory, beside the cache, and a compaction keeps 8 bytes a row until the file it writes is done. */
static void
part_tables(rocksdb_block_based_table_options_t *table)
{
    rocksdb_block_based_options_set_index_type(table,
                                               rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(table, 1);
    rocksdb_block_based_options_set_metadata_block_size(table, PART);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
}

static void
set_options(struct index *index, const struct index_settings *settings)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_options_t *o = rocksdb_options_create();

    index->cache = rocksdb_cache_create_lru(settings->cache != 0 ? settings->cache : 8 * MIB);
    rocksdb_block_based_options_set_block_cache(table, index->cache);
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(BLOOM_BITS));
    part_tables(table);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table); /* the factory has a copy */
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, settings->memtable != 0 ? settings->memtable : 32 * MIB);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_target_file_size_base(o, FILE_BYTES);
    rocksdb_options_set_writable_file_max_buffer_size(o, FILE_WRITE);
    index->options = o;
    index->read = rocksdb_readoptions_create();
    index->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(index->write, 1);
}

void
index_close(struct index *index)
{
    if (index == NULL)
        return;
    if (index->db != NULL)
        rocksdb_close(index->db);
    rocksdb_writeoptions_destroy(index->write);
    rocksdb_readoptions_destroy(index->read);
    rocksdb_options_destroy(index->options);
    rocksdb_cache_destroy(index->cache);
    free(index);
}

/* ST_NOTFOUND leaves *number. */
static enum status
get_number(struct index *index, enum row_kind kind, uint64_t *number, struct err *err)
{
    AUTO_BUF value = BUF_INIT(64);
    struct row_number row;
    enum status st = index_get(index, NULL, &(struct row_key){0, kind}, &value, err);

    if (st != ST_OK)
        return st;
    if (!row_number_get(buf_slice(&value), &row))
        return err_set(err, ST_CORRUPT, "index: bad %s row", row_kind_name(kind));
    *number = row.number;
    return ST_OK;
}

static void batch_put(void *arg, struct slice key, struct slice value);

static enum status
found_something(void *arg, struct slice key, struct slice value)
{
    return ST_EXISTS;
}

/* The format row is written before all others, so every flushed prefix that has rows has it. */
static enum status
check_format(struct index *index, struct err *err)
{
    struct index_batch *batch;
    uint64_t format = 0;
    enum status st = get_number(index, ROW_FORMAT, &format, err);

    if (st == ST_OK && format != ROW_VERSION)
        return err_set(err, ST_STALE, "index: format %llu, this is %u", (unsigned long long)format,
                       ROW_VERSION);
    if (st == ST_OK)
        st = get_number(index, ROW_APPLIED, &index->applied, err);
    if (st != ST_NOTFOUND)
        return st;
    st = index_scan(index, NULL, SLICE(""), SLICE(""), found_something, NULL, err);
    if (st == ST_EXISTS)
        return err_set(err, ST_CORRUPT, "index: rows without format or position");
    if (st != ST_OK)
        return st;

    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(64);
    row_key_put(&key, &(struct row_key){0, ROW_FORMAT});
    row_number_put(&value, &(struct row_number){ROW_VERSION});
    if (!buf_ok(&key) || !buf_ok(&value) || (batch = index_batch_new()) == NULL)
        return err_set(err, ST_MEMORY, "index: no memory");
    batch_put(batch, buf_slice(&key), buf_slice(&value));
    st = index_write(index, batch, 0, err);
    index_batch_free(batch);
    return st;
}

enum status
index_open(const char *path, const struct index_settings *settings, struct index **index, struct err *err)
{
    static const struct index_settings usual = {0};
    struct index *made = calloc(1, sizeof(*made));
    char *words = NULL;
    enum status st;

    if (made == NULL)
        return err_set(err, ST_MEMORY, "index: no memory");
    set_options(made, settings != NULL ? settings : &usual);
    made->db = rocksdb_open(made->options, path, &words);
    st = words != NULL ? failed(err, "open", words) : check_format(made, err);
    if (st != ST_OK) {
        index_close(made);
        return st;
    }
    *index = made;
    return ST_OK;
}

uint64_t
index_applied(const struct index *index)
{
    return index->applied;
}

static enum status
beside(char *out, size_t cap, const char *path, struct err *err)
{
    int n = snprintf(out, cap, "%s.new", path);

    return n > 0 && (size_t)n < cap ? ST_OK : err_set(err, ST_LIMIT, "index: the path is too long");
}

/* Deletes a database that nobody has open; one that is not there is no failure. */
static enum status
destroy(const char *path, struct err *err)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *words = NULL;

    rocksdb_destroy_db(options, path, &words);
    rocksdb_options_destroy(options);
    if (words != NULL)
        return failed(err, "delete", words);
    return rmdir(path) == 0 || errno == ENOENT ? ST_OK : err_sys(err, "index: remove %s", path);
}

enum status
index_build(const char *path, const struct index_settings *settings, struct index **fresh, struct err *err)
{
    char name[PATH_MAX];
    enum status st = beside(name, sizeof(name), path, err);

    if (st == ST_OK)
        st = destroy(name, err);
    return st == ST_OK ? index_open(name, settings, fresh, err) : st;
}

static enum status
flush_folder_of(const char *path, struct err *err)
{
    char copy[PATH_MAX];
    int fd, flushed;

    (void)snprintf(copy, sizeof(copy), "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "index: open the folder of %s", path);
    flushed = fsync(fd);
    (void)close(fd);
    return flushed == 0 ? ST_OK : err_unknown(err, "index: flush the folder of %s", path);
}

enum status
index_switch(const char *path, const struct index_settings *settings, struct index *fresh,
             struct index **index, struct err *err)
{
    char name[PATH_MAX];
    enum status st = index_flush(fresh, err);

    index_close(fresh);
    if (st == ST_OK)
        st = beside(name, sizeof(name), path, err);
    if (st != ST_OK)
        return st;
    /* Exchanged, so that at no moment there is none; without an old one it is a plain rename. */
    if (renameat2(AT_FDCWD, name, AT_FDCWD, path, RENAME_EXCHANGE) != 0 &&
        (errno != ENOENT || rename(name, path) != 0))
        return err_sys(err, "index: rename %s", name);
    st = flush_folder_of(path, err);
    if (st == ST_OK)
        st = destroy(name, err);
    return st == ST_OK ? index_open(path, settings, index, err) : st;
}

struct index_batch *
index_batch_new(void)
{
    struct index_batch *batch = calloc(1, sizeof(*batch));

    if (batch != NULL) {
        batch->bytes = BUF_INIT(BATCH_MAX);
        batch->rows = rocksdb_writebatch_create();
    }
    return batch;
}

void
index_batch_free(struct index_batch *batch)
{
    if (batch == NULL)
        return;
    rocksdb_writebatch_destroy(batch->rows);
    buf_done(&batch->bytes);
    free(batch->ops);
    free(batch);
}

static void
add_op(struct index_batch *batch, enum op_kind kind, struct slice key, struct slice value)
{
    if (batch->n == batch->cap) {
        size_t cap = batch->cap == 0 ? 256 : batch->cap * 2;
        struct op *grown = realloc(batch->ops, cap * sizeof(*grown));

        if (grown == NULL) {
            batch->failed = true;
            return;
        }
        batch->ops = grown;
        batch->cap = cap;
    }
    batch->ops[batch->n++] = (struct op){batch->bytes.n, key.n, value.n, kind};
    buf_put(&batch->bytes, key);
    buf_put(&batch->bytes, value);
}

static void
batch_put(void *arg, struct slice key, struct slice value)
{
    add_op(arg, OP_PUT, key, value);
}

static void
batch_del(void *arg, struct slice key)
{
    add_op(arg, OP_DEL, key, (struct slice){0});
}

static void
batch_del_range(void *arg, struct slice from, struct slice to)
{
    add_op(arg, OP_RANGE, from, to);
}

struct row_sink
index_batch_sink(struct index_batch *batch)
{
    return (struct row_sink){batch, batch_put, batch_del, batch_del_range};
}

void
index_batch_mark(struct index_batch *batch)
{
    batch->mark_bytes = batch->bytes.n;
    batch->mark_n = batch->n;
}

void
index_batch_keep(struct index_batch *batch)
{
    batch->mark_n = 0;
}

void
index_batch_rollback(struct index_batch *batch)
{
    batch->bytes.n = batch->mark_bytes;
    batch->n = batch->mark_n;
}

static int
by_key(const void *a, const void *b, void *bytes)
{
    const struct op *x = a, *y = b;
    const uint8_t *p = bytes;
    int order = memcmp(p + x->key, p + y->key, x->key_n < y->key_n ? x->key_n : y->key_n);

    if (order == 0 && x->key_n != y->key_n)
        order = x->key_n < y->key_n ? -1 : 1;
    return order != 0 ? order : x->key < y->key ? -1 : 1; /* of one key the later one last */
}

static bool
same_key(const struct index_batch *batch, const struct op *x, const struct op *y)
{
    return x->key_n == y->key_n && memcmp(batch->bytes.p + x->key, batch->bytes.p + y->key, x->key_n) == 0;
}

/* Ops between two ranges: their order matters only where they have one key. */
static void
emit_sorted(struct index_batch *batch, struct op *ops, size_t n)
{
    qsort_r(ops, n, sizeof(*ops), by_key, batch->bytes.p);
    for (size_t i = 0; i < n; i++) {
        const char *key = (const char *)batch->bytes.p + ops[i].key;

        if (i + 1 < n && same_key(batch, &ops[i], &ops[i + 1]))
            continue;
        if (ops[i].kind == OP_PUT)
            rocksdb_writebatch_put(batch->rows, key, ops[i].key_n, key + ops[i].key_n, ops[i].value_n);
        else
            rocksdb_writebatch_delete(batch->rows, key, ops[i].key_n);
    }
}

static void
emit(struct index_batch *batch)
{
    size_t from = 0;

    for (size_t i = 0; i <= batch->n; i++) {
        const char *key;

        if (i < batch->n && batch->ops[i].kind != OP_RANGE)
            continue;
        emit_sorted(batch, batch->ops + from, i - from);
        from = i + 1;
        if (i == batch->n)
            break;
        key = (const char *)batch->bytes.p + batch->ops[i].key;
        rocksdb_writebatch_delete_range(batch->rows, key, batch->ops[i].key_n, key + batch->ops[i].key_n,
                                        batch->ops[i].value_n);
    }
}

enum status
index_write(struct index *index, struct index_batch *batch, uint64_t lsn, struct err *err)
{
    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(64);
    char *words = NULL;
    bool ok;

    row_key_put(&key, &(struct row_key){0, ROW_APPLIED});
    row_number_put(&value, &(struct row_number){lsn});
    if (buf_ok(&key) && buf_ok(&value))
        batch_put(batch, buf_slice(&key), buf_slice(&value));
    ok = buf_ok(&key) && buf_ok(&value) && buf_ok(&batch->bytes) && !batch->failed;
    if (ok) {
        emit(batch);
        rocksdb_write(index->db, index->write, batch->rows, &words);
        rocksdb_writebatch_clear(batch->rows);
    }
    buf_shrink(&batch->bytes, BATCH_KEEP);
    batch->n = 0;
    batch->failed = false;
    if (!ok)
        return err_set(err, ST_MEMORY, "index: no memory");
    if (words != NULL)
        return failed(err, "write", words);
    index->applied = lsn;
    return ST_OK;
}

enum status
index_flush(struct index *index, struct err *err)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *words = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(index->db, options, &words);
    rocksdb_flushoptions_destroy(options);
    return words != NULL ? failed(err, "flush", words) : ST_OK;
}

/* Files that no newer one covers are rewritten as well: a tombstone must meet what it deletes. */
static void
compact_range(struct index *index, struct slice from, struct slice to)
{
    rocksdb_compactoptions_t *o = rocksdb_compactoptions_create();

    rocksdb_compactoptions_set_bottommost_level_compaction(o, 2); /* force */
    rocksdb_compact_range_opt(index->db, o, (const char *)from.p, from.n, (const char *)to.p, to.n);
    rocksdb_compactoptions_destroy(o);
}

enum status
index_purge(struct index *index, uint64_t account, struct err *err)
{
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);
    enum status st = index_flush(index, err);

    if (st != ST_OK)
        return st;
    buf_put_be64(&from, account);
    row_range_end(&to, buf_slice(&from));
    if (!buf_ok(&from) || !buf_ok(&to))
        return err_set(err, ST_MEMORY, "index: no memory");
    compact_range(index, buf_slice(&from), buf_slice(&to));
    buf_clear(&from);
    buf_clear(&to);
    row_prefix_put(&from, &(struct row_key){0, ROW_ACCOUNT_NAME}, 0);
    row_prefix_put(&to, &(struct row_key){0, ROW_QUEUE}, 0);
    if (!buf_ok(&from) || !buf_ok(&to))
        return err_set(err, ST_MEMORY, "index: no memory");
    compact_range(index, buf_slice(&from), buf_slice(&to));
    return ST_OK;
}

struct index_snapshot *
index_snapshot_new(struct index *index)
{
    struct index_snapshot *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return NULL;
    made->snapshot = rocksdb_create_snapshot(index->db);
    made->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(made->read, made->snapshot);
    return made;
}

void
index_snapshot_free(struct index *index, struct index_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    rocksdb_readoptions_destroy(snapshot->read);
    rocksdb_release_snapshot(index->db, snapshot->snapshot);
    free(snapshot);
}

enum status
index_get(struct index *index, const struct index_snapshot *snapshot, const struct row_key *key,
          struct buf *value, struct err *err)
{
    AUTO_BUF bytes = BUF_INIT(2048);
    rocksdb_pinnableslice_t *got;
    char *words = NULL;
    const char *p;
    size_t n;

    row_key_put(&bytes, key);
    if (!buf_ok(&bytes))
        return err_set(err, ST_SYNTAX, "index: not a key");
    got = rocksdb_get_pinned(index->db, snapshot != NULL ? snapshot->read : index->read,
                             (const char *)bytes.p, bytes.n, &words);
    if (words != NULL)
        return failed(err, "read", words);
    if (got == NULL)
        return ST_NOTFOUND;
    p = rocksdb_pinnableslice_value(got, &n);
    buf_put(value, slice_from(p, n));
    rocksdb_pinnableslice_destroy(got);
    return buf_ok(value) ? ST_OK : err_set(err, ST_MEMORY, "index: a row of %zu bytes", n);
}

enum status
index_scan(struct index *index, const struct index_snapshot *snapshot, struct slice from, struct slice to,
           index_scan_fn *fn, void *arg, struct err *err)
{
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_iterator_t *it;
    enum status st = ST_OK;
    char *words = NULL;
    const char *key, *value;
    size_t key_n, value_n;

    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(read, snapshot->snapshot);
    if (to.n > 0) /* borrowed until the iterator is gone */
        rocksdb_readoptions_set_iterate_upper_bound(read, (const char *)to.p, to.n);
    it = rocksdb_create_iterator(index->db, read);
    if (from.n > 0)
        rocksdb_iter_seek(it, (const char *)from.p, from.n);
    else
        rocksdb_iter_seek_to_first(it);
    for (; st == ST_OK && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        key = rocksdb_iter_key(it, &key_n);
        value = rocksdb_iter_value(it, &value_n);
        st = fn(arg, slice_from(key, key_n), slice_from(value, value_n));
    }
    if (st == ST_OK)
        rocksdb_iter_get_error(it, &words);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(read);
    return words != NULL ? failed(err, "scan", words) : st;
}

struct index_cursor {
    rocksdb_readoptions_t *read;
    rocksdb_iterator_t *it;
    bool placed; /* it stands on a row, or behind the last */
};

struct index_cursor *
index_cursor_new(struct index *index, const struct index_snapshot *snapshot)
{
    struct index_cursor *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->read = rocksdb_readoptions_create();
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(c->read, snapshot->snapshot);
    c->it = rocksdb_create_iterator(index->db, c->read);
    return c;
}

void
index_cursor_free(struct index_cursor *c)
{
    if (c == NULL)
        return;
    rocksdb_iter_destroy(c->it);
    rocksdb_readoptions_destroy(c->read);
    free(c);
}

/* Does it stand on this row? */
static bool
stands_on(const struct index_cursor *c, struct slice key)
{
    const char *p;
    size_t n;

    if (!rocksdb_iter_valid(c->it))
        return false;
    p = rocksdb_iter_key(c->it, &n);
    return slice_eq(slice_from(p, n), key);
}

enum status
index_cursor_get(struct index_cursor *c, const struct row_key *key, struct slice *value, struct err *err)
{
    AUTO_BUF bytes = BUF_INIT(2048);
    char *words = NULL;
    const char *p;
    size_t n;

    row_key_put(&bytes, key);
    if (!buf_ok(&bytes))
        return err_set(err, ST_SYNTAX, "index: not a key");
    if (c->placed && rocksdb_iter_valid(c->it) && !stands_on(c, buf_slice(&bytes)))
        rocksdb_iter_next(c->it);
    if (!c->placed || !stands_on(c, buf_slice(&bytes)))
        rocksdb_iter_seek(c->it, (const char *)bytes.p, bytes.n);
    c->placed = true;
    if (!stands_on(c, buf_slice(&bytes))) {
        rocksdb_iter_get_error(c->it, &words);
        return words != NULL ? failed(err, "read", words) : ST_NOTFOUND;
    }
    p = rocksdb_iter_value(c->it, &n);
    *value = slice_from(p, n);
    return ST_OK;
}

struct dump {
    struct buf text;
    void (*line)(void *arg, struct slice text);
    void *arg;
};

static enum status
dump_row(void *arg, struct slice key, struct slice value)
{
    struct dump *dump = arg;

    buf_clear(&dump->text);
    row_text(&dump->text, key, value);
    if (!buf_ok(&dump->text))
        return ST_MEMORY;
    dump->line(dump->arg, buf_slice(&dump->text));
    return ST_OK;
}

enum status
index_dump(struct index *index, const struct index_snapshot *snapshot,
           void (*line)(void *arg, struct slice text), void *arg, struct err *err)
{
    struct dump dump = {BUF_INIT(TEXT_MAX), line, arg};
    enum status st = index_scan(index, snapshot, SLICE(""), SLICE(""), dump_row, &dump, err);

    buf_done(&dump.text);
    return st;
}
