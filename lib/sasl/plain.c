#include "sasl/plain.h"

enum status
sasl_plain_parse(struct slice message, struct sasl_plain *plain)
{
    struct slice at = message;
    struct sasl_plain got = {0};

    if (message.n > SASL_MESSAGE_MAX)
        return ST_LIMIT;
    got.authzid = take_until(&at, 0);
    if (!take_byte(&at, 0))
        return ST_SYNTAX;
    got.authcid = take_until(&at, 0);
    if (!take_byte(&at, 0))
        return ST_SYNTAX;
    got.password = at;
    if (got.authzid.n > 0 && !sasl_name_ok(got.authzid))
        return ST_SYNTAX;
    if (!sasl_name_ok(got.authcid) || !sasl_password_ok(got.password))
        return ST_SYNTAX;
    *plain = got;
    return ST_OK;
}

enum status
sasl_login_step(struct sasl_login *login, bool has, struct slice message, struct slice *challenge, struct slice *password)
{
    if (login->asked == 0) {
        login->asked = 1;
        if (!has) {
            *challenge = SLICE("Username:");
            return ST_MORE;
        }
    }
    if (!has || login->asked > 2) {
        login->asked = 3;
        return ST_STATE;
    }
    if (login->asked == 1 && sasl_name_ok(message)) {
        memcpy(login->user, message.p, message.n);
        login->user_n = (uint8_t)message.n;
        login->asked = 2;
        *challenge = SLICE("Password:");
        return ST_MORE;
    }
    bool ok = login->asked == 2 && sasl_password_ok(message);

    login->asked = 3;
    if (!ok)
        return ST_SYNTAX;
    *password = message;
    return ST_OK;
}
