/*
 * submitd: SMTP from users who prove who they are, ports 587 and 465 (RFC 6409). The engine is
 * lib/smtpserver; passwords go to authd, which answers with a name.
 */
#include "smtpserver/server.h"

int
main(int argc, char **argv)
{
    static const struct smtp_server kind = {.role = ROLE_SUBMIT, .submission = true, .daemon = "MSA"};

    return smtp_server_main(&kind, argc, argv);
}
