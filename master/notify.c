#include "master/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/loop.h"

static struct sockaddr_un to;
static socklen_t to_n; /* 0: nobody wants to know */

void
notify_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t n = name != NULL ? strlen(name) : 0;

    if (n >= 2 && n < sizeof(to.sun_path) && (name[0] == '/' || name[0] == '@')) {
        to.sun_family = AF_UNIX;
        memcpy(to.sun_path, name, n);
        if (name[0] == '@') /* of the abstract name space */
            to.sun_path[0] = '\0';
        to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    }
    (void)unsetenv("NOTIFY_SOCKET");
}

static void
tell(const char *words)
{
    AUTO_FD fd = -1;

    if (to_n == 0)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) /* lost words cost nothing but a wrong state in a list */
        (void)sendto(fd, words, strlen(words), MSG_NOSIGNAL, (const struct sockaddr *)&to, to_n);
}

void
notify_ready(void)
{
    char words[64];

    (void)snprintf(words, sizeof(words), "READY=1\nMAINPID=%d\n", (int)getpid());
    tell(words);
}

void
notify_reloading(void)
{
    char words[64];

    (void)snprintf(words, sizeof(words), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                   (unsigned long long)(clock_mono() / 1000u));
    tell(words);
}

void
notify_stopping(void)
{
    tell("STOPPING=1\n");
}
