/* The commands' handlers, by file; command.h says what they are given. */
#pragma once
#include "ctl/command.h"

/* system.c */
int do_start(const struct invocation *in);
int do_stop(const struct invocation *in);
int do_status(const struct invocation *in);
int do_reload(const struct invocation *in);
/* init.c */
int do_init(const struct invocation *in);
/* config.c */
int do_config_check(const struct invocation *in);
int do_config_show(const struct invocation *in);
int do_config_sample(const struct invocation *in);
int do_config_manual(const struct invocation *in);
/* user.c */
int do_user_add(const struct invocation *in);
int do_user_del(const struct invocation *in);
int do_user_passwd(const struct invocation *in);
int do_user_list(const struct invocation *in);
int do_user_quota(const struct invocation *in);
int do_mailbox_list(const struct invocation *in);
/* store.c */
int do_check(const struct invocation *in);
int do_rebuild(const struct invocation *in);
int do_backup(const struct invocation *in);
int do_restore(const struct invocation *in);
int do_compact(const struct invocation *in);
int do_dump(const struct invocation *in);
/* dns.c */
int do_dns(const struct invocation *in);
/* route.c */
int do_route(const struct invocation *in);
