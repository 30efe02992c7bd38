/* The parsing of a command line, over a table of its own. */
#include "ctl/command.h"
#include "base/test.h"

static int
run(const struct invocation *in)
{
    return EX_OK;
}

const struct command commands[] = {
    {"status",     "",          run, "", "", {{0}}                                             },
    {"user add",   "[NAME]",    run, "", "", {{"--batch", "FILE", ""}, {"--quota", "SIZE", ""}}},
    {"user del",   "NAME",      run, "", "", {{"--purge", NULL, ""}}                           },
    {"user quota", "NAME SIZE", run, "", "", {{0}}                                             },
};
const size_t n_commands = COUNT(commands);

TEST(command_parse)
{
    static const struct {
        const char *line; /* words between single spaces */
        int want;
        const char *command, *args[2], *options[2];
    } cases[] = {
        {"status",                       EX_OK,    "status",     {0},         {0}         },
        {"status now",                   EX_USAGE, NULL,         {0},         {0}         },
        {"statu",                        EX_USAGE, NULL,         {0},         {0}         },
        {"user",                         EX_USAGE, NULL,         {0},         {0}         },
        {"user ad",                      EX_USAGE, NULL,         {0},         {0}         },
        {"add user",                     EX_USAGE, NULL,         {0},         {0}         },
        {"user add",                     EX_OK,    "user add",   {0},         {0}         },
        {"user add a",                   EX_OK,    "user add",   {"a"},       {0}         },
        {"user add --batch f",           EX_OK,    "user add",   {0},         {"f"}       },
        {"user add --batch=f",           EX_OK,    "user add",   {0},         {"f"}       },
        {"user add --batch=",            EX_OK,    "user add",   {0},         {""}        },
        {"user add --batch=a=b",         EX_OK,    "user add",   {0},         {"a=b"}     },
        {"user add a --quota 1G",        EX_OK,    "user add",   {"a"},       {NULL, "1G"}},
        {"user add --quota 1G a",        EX_OK,    "user add",   {"a"},       {NULL, "1G"}},
        {"user add --quota --batch f",
         EX_OK,                                    "user add",
         {"f"},
         {NULL, "--batch"}                                                                }, /* a value may look like an option */
        {"user add --batch",             EX_USAGE, NULL,         {0},         {0}         },
        {"user add --batch f --batch g", EX_USAGE, NULL,         {0},         {0}         },
        {"user add --bat f",             EX_USAGE, NULL,         {0},         {0}         },
        {"user add -- --batch",          EX_OK,    "user add",   {"--batch"}, {0}         },
        {"user add -",                   EX_OK,    "user add",   {"-"},       {0}         },
        {"user del",                     EX_USAGE, NULL,         {0},         {0}         },
        {"user del --purge",             EX_USAGE, NULL,         {0},         {0}         },
        {"user del --purge a",           EX_OK,    "user del",   {"a"},       {""}        },
        {"user del --purge=1 a",         EX_USAGE, NULL,         {0},         {0}         },
        {"user quota a",                 EX_USAGE, NULL,         {0},         {0}         },
        {"user quota a 1G",              EX_OK,    "user quota", {"a", "1G"}, {0}         },
        {"user quota a 1G b",            EX_USAGE, NULL,         {0},         {0}         },
        {"user quota --help",            EX_OK,    NULL,         {0},         {0}         },
        {"user quota --help a b c",      EX_OK,    NULL,         {0},         {0}         },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[100], *argv[10], *rest = line;
        struct invocation in = {.root = "/r"};
        const struct command *command = &commands[0];
        int argc = 0;

        (void)snprintf(line, sizeof(line), "%s", cases[i].line);
        while ((argv[argc] = strsep(&rest, " ")) != NULL)
            argc++;
        CHECK_INT(i, command_parse(argc, argv, &command, &in), cases[i].want);
        CHECK_SLICE(i, slice_of(command != NULL ? command->name : NULL), slice_of(cases[i].command));
        CHECK_SLICE(i, slice_of(in.root), "/r");
        for (size_t j = 0; j < 2; j++) {
            CHECK(i, (in.args[j] == NULL) == (cases[i].args[j] == NULL));
            CHECK_SLICE(i, slice_of(in.args[j]), slice_of(cases[i].args[j]));
            CHECK(i, (in.options[j] == NULL) == (cases[i].options[j] == NULL));
            CHECK_SLICE(i, slice_of(in.options[j]), slice_of(cases[i].options[j]));
        }
    }
}

TEST_MAIN(command_parse)
