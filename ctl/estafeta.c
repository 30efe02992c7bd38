/* estafeta: the administrator's command. Global options here; all else is in table.c. */
#include <stdlib.h>

#include "ctl/command.h"
#include "root/root.h"

int
main(int argc, char **argv)
{
    const char *given = getenv("ESTAFETA_ROOT");
    char root[4096];
    struct invocation in = {.root = root};
    const struct command *command;
    struct err err = {0};
    int at = 1, status;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            command_help(stdout);
            return EX_OK;
        }
        if (strcmp(argv[at], "--manual") == 0) { /* for the build: estafeta(8) */
            command_manual(stdout);
            return EX_OK;
        }
        if (strcmp(argv[at], "--version") == 0)
            return printf("estafeta (Estafeta) %s\n", ESTAFETA_VERSION) > 0 ? EX_OK : EX_IOERR;
        if (strncmp(argv[at], "--root=", 7) == 0)
            given = argv[at] + 7;
        else if (strcmp(argv[at], "--root") == 0 && at + 1 < argc)
            given = argv[++at];
        else
            return fail(EX_USAGE, "%s: no such option, or it wants a value; see estafeta --help", argv[at]);
    }
    status = command_parse(argc - at, argv + at, &command, &in);
    if (command == NULL)
        return status;
    if (root_absolute(given != NULL ? given : ROOT_STANDARD, root, &err) != ST_OK)
        return fail(EX_USAGE, "%s", err.text);
    status = command->run(&in);
    if (fflush(stdout) != 0)
        return fail(EX_IOERR, "the output could not be written");
    return status;
}
