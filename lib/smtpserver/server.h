/*
 * What smtpd and submitd are: the session engine (session.h) with the other programs of the system
 * behind it. edged brings connections, authd judges passwords, mdad digests, stored takes the
 * mail. The two programs differ by their role and by asking for a password.
 */
#pragma once
#include "ipc/messages.h"

struct smtp_server {
    enum role role;
    bool submission;    /* AUTH before MAIL */
    const char *daemon; /* in the log, as sendmail's readers know it: "MTA", "MSA" */
};

/* main() of the program. */
int smtp_server_main(const struct smtp_server *kind, int argc, char **argv);
