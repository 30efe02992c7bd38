/* Settings and batch files: what is refused changes nothing, what is taken can be shown and taken again. */
#include <assert.h>

#include "conf/batch.h"
#include "conf/conf.h"

#define FUZZ_SETTINGS(SET)                                                                                   \
    SET(bool, yes, "yes", "", "", "A bool.")                                                                 \
    SET(duration, time, "5m", "10s", "1h", "A duration.")                                                    \
    SET(bytesize, size, "50M", "64K", "2G", "A size.")                                                       \
    SET(count, count, "1000", "100", "100000", "A number.")                                                  \
    SET(text, text, "x", "0", "100", "A text.")                                                              \
    SET(addresses, hosts, "127.0.0.1", "0", "32", "Addresses.")
struct fuzz_settings {
    FUZZ_SETTINGS(SETTING_FIELD)
};
static const struct setting rows[] = {FUZZ_SETTINGS(SETTING_ROW)};
static const struct conf_table table = CONF_TABLE(fuzz, rows);

static void
one_batch(struct slice text)
{
    struct batch b;
    struct batch_row row;
    enum status st;

    batch_init(&b, "f", text);
    while ((st = batch_next(&b, &row, NULL)) != ST_NOTFOUND) {
        assert(b.line <= text.n + 1);
        if (st == ST_OK)
            assert(row.name.n > 0 && row.password.n > 0 && slice_find(row.password, '\n') == row.password.n);
    }
    assert(b.rest.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct conf_table *const all[] = {&table};
    struct slice text = slice_from(data, n);
    struct fuzz_settings got, again;
    struct err err = {0};
    enum status st;
    AUTO_BUF shown = BUF_INIT(1 << 16);
    AUTO_BUF second = BUF_INIT(1 << 16);

    one_batch(text);
    memset(&got, 0x5a, sizeof got);
    memset(&again, 0x5a, sizeof again);
    st = conf_load(&table, "f", text, &got, sizeof got, &err);
    assert(err.status == st);
    if (st != ST_OK) {
        assert(err.text[0] == 'f' && memcmp(&got, &again, sizeof got) == 0);
        assert(conf_check(all, 1, "f", text, NULL) != ST_OK);
        return 0;
    }
    st = conf_check(all, 1, "f", text, NULL);
    assert(st == ST_OK || st == ST_NOTFOUND);
    conf_show(&table, &got, &shown);
    assert(buf_ok(&shown));
    st = conf_load(&table, "f", buf_slice(&shown), &again, sizeof again, NULL);
    assert(st == ST_OK);
    conf_show(&table, &again, &second);
    assert(slice_eq(buf_slice(&shown), buf_slice(&second)));
    return 0;
}
