/*
 * smtpd: SMTP from the world, port 25. The engine is lib/smtpserver; it may deliver to anybody
 * here, relays nothing, and knows no password.
 */
#include "smtpserver/server.h"

int
main(int argc, char **argv)
{
    static const struct smtp_server kind = {.role = ROLE_SMTP, .submission = false, .daemon = "MTA"};

    return smtp_server_main(&kind, argc, argv);
}
