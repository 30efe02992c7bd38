/* smtp_path_parse: eats a path or touches nothing; what it gives lies inside its input. */
#include <assert.h>

#include "smtp/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(struct slice all, bool utf8)
{
    struct slice in = all, eaten;
    struct smtp_path path = {0};
    enum status st = utf8 ? smtp_path_parse_utf8(&in, &path) : smtp_path_parse(&in, &path);

    if (st != ST_OK) {
        assert(st == ST_SYNTAX || st == ST_LIMIT);
        assert(in.p == all.p && in.n == all.n && path.local.p == NULL && path.domain.p == NULL);
        return;
    }
    eaten = slice_sub(all, 0, all.n - in.n);
    assert(eaten.n >= 2 && eaten.p[0] == '<' && eaten.p[eaten.n - 1] == '>');
    assert(path.local.n <= SMTP_LOCAL_MAX && path.domain.n <= SMTP_DOMAIN_MAX);
    assert(smtp_path_null(path) == (eaten.n == 2));
    for (size_t i = 0; i < eaten.n; i++) { /* safe for a record, a log line, a header */
        assert(eaten.p[i] >= 0x20 && eaten.p[i] != 0x7f);
        assert(utf8 || eaten.p[i] < 0x7f);
    }
    if (path.local.n > 0) {
        AUTO_BUF plain = BUF_INIT(SMTP_LOCAL_MAX);

        assert(path.local.p > all.p && path.local.p + path.local.n < all.p + all.n);
        smtp_local_unquote(&plain, path.local);
        assert(buf_ok(&plain) && plain.n > 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check(slice_from(data, n), false);
    check(slice_from(data, n), true);
    (void)smtp_is_domain(slice_from(data, n));
    (void)smtp_is_address_literal(slice_from(data, n));
    return 0;
}
