#include "master/table.h"

/* role, calls, paths, arena, files, memory, tasks, stop, exposed, notes */
const struct program_row programs[] = {
    {ROLE_KEY,    "key",    "read=etc/tls",             0,  64,    64,   8,  3, 0},
    {ROLE_STORE,  "store",  "write=store write=backup", 0,  12000, 4096, 64, 4, 0},
    {ROLE_AUTH,   "auth",   "write=auth",               0,  256,   512,  32, 3, 0},
    {ROLE_MDA,    "parser", "",                         0,  64,    256,  8,  3, 2},
    {ROLE_SMTP,   "parser", "",                         64, 20000, 512,  8,  1, 2},
    {ROLE_SUBMIT, "parser", "",                         64, 20000, 512,  8,  1, 2},
    {ROLE_LOGIN,  "parser", "",                         0,  20000, 512,  8,  1, 2},
    {ROLE_IMAP,   "parser", "",                         64, 20000, 1024, 8,  2, 2, true},
    {ROLE_POP3,   "parser", "",                         0,  20000, 512,  8,  2, 2, true},
    {ROLE_DNS,    "dns",    "",                         0,  2048,  256,  8,  3, 2},
    /* After the services, whose last words it carries; new clients are told meanwhile that there is no service. */
    {ROLE_EDGE,   "edge",   "",                         0,  41000, 1024, 8,  3, 1},
};
const size_t n_programs = COUNT(programs);

const struct link_row links[] = {
    {ROLE_EDGE,   ROLE_KEY,    false, 0 },
    {ROLE_EDGE,   ROLE_AUTH,   false, 0 },
    {ROLE_EDGE,   ROLE_SMTP,   false, 0 },
    {ROLE_EDGE,   ROLE_SUBMIT, false, 0 },
    {ROLE_EDGE,   ROLE_LOGIN,  false, 0 },
    {ROLE_EDGE,   ROLE_IMAP,   false, 0 },
    {ROLE_EDGE,   ROLE_POP3,   false, 0 },
    {ROLE_LOGIN,  ROLE_AUTH,   false, 0 },
    {ROLE_LOGIN,  ROLE_IMAP,   false, 0 },
    {ROLE_LOGIN,  ROLE_POP3,   false, 0 },
    {ROLE_SUBMIT, ROLE_AUTH,   false, 0 },
    {ROLE_IMAP,   ROLE_AUTH,   false, 0 },
    {ROLE_POP3,   ROLE_AUTH,   false, 0 },
    {ROLE_AUTH,   ROLE_STORE,  false, 0 },
    {ROLE_SMTP,   ROLE_MDA,    true,  0 },
    {ROLE_SUBMIT, ROLE_MDA,    true,  0 },
    {ROLE_IMAP,   ROLE_MDA,    true,  0 },
    {ROLE_SMTP,   ROLE_STORE,  true,  0 },
    {ROLE_SUBMIT, ROLE_STORE,  true,  0 },
    {ROLE_IMAP,   ROLE_STORE,  true,  16},
    {ROLE_POP3,   ROLE_STORE,  false, 16},
    {ROLE_SMTP,   ROLE_DNS,    false, 0 },
};
const size_t n_links = COUNT(links);
