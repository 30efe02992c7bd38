#include "store/record.h"

enum status
record_version(struct slice *meta)
{
    struct slice at = *meta;
    uint16_t version;

    if (!take_le16(&at, &version) || version == 0)
        return ST_CORRUPT;
    if (version > RECORD_VERSION)
        return ST_NEWER;
    *meta = at;
    return ST_OK;
}

const char *
record_type_name(uint16_t type)
{
    static const char *const names[] = {
        [RECORD_ACCOUNT_ADD] = "account_add",
        [RECORD_ACCOUNT_CHANGE] = "account_change",
        [RECORD_ACCOUNT_ERASE] = "account_erase",
        [RECORD_MAILBOX_PUT] = "mailbox_put",
        [RECORD_MAILBOX_ERASE] = "mailbox_erase",
        [RECORD_SUBSCRIBE] = "subscribe",
        [RECORD_DELIVER] = "deliver",
        [RECORD_APPEND] = "append",
        [RECORD_FLAGS] = "flags",
        [RECORD_COPY] = "copy",
        [RECORD_EXPUNGE] = "expunge",
        [RECORD_FORGET] = "forget",
        [RECORD_KEYWORDS] = "keywords",
        [RECORD_PRIVATE] = "private",
        [RECORD_QUOTA_ROOT] = "quota_root",
        [RECORD_SCRIPT] = "script",
        [RECORD_QUEUE] = "queue",
        [RECORD_MEMORY] = "memory",
        [RECORD_REQUESTS_FORGET] = "requests_forget",
        [RECORD_ADOPT] = "adopt",
        [RECORD_MOVED] = "moved",
        [RECORD_IMAGE] = "image",
    };

    return type < COUNT(names) && names[type] != NULL ? names[type] : "?";
}
