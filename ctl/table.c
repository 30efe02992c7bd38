#include "ctl/handlers.h"

/* name, arguments, handler, one line, more of it, options */
const struct command commands[] = {
    {"init", "", do_init, "Make a new system: folders, configuration, certificates.",
     "The configuration, etc/estafeta.conf, explains itself. The certificates are signed by their own keys, for tests and "
     "for the first days; put others in etc/tls in their place. A system that is there is left as it is.",
     {{"--domain", "D", "the mail domain (default: the host's name)"},
      {"--hostname", "H", "this host's name (default: as the system says)"},
      {"--port-offset", "N", "add N to all standard ports, e.g. 10000, to try it without root"}}},
    {"start", "", do_start, "Start the system; returns when it is ready.", "Runs estafetad(8).",
     {{"--foreground", NULL, "stay, until ^C or SIGTERM"},
      {"--programs", "DIR", "where the programs are (default: beside this one)"}}},
    {"stop", "", do_stop, "Stop the system; returns when it has stopped.",
     "No new connections are taken, commands under way are finished, and what was accepted is on disk.", {{0}}},
    {"status", "", do_status, "Show the programs, how they do, and the ports.", "", {{0}}},
    {"reload", "", do_reload, "Read the configuration again.",
     "A configuration with a mistake is refused whole, with its line, and the old one stays.", {{0}}},
    {"user add", "[NAME]", do_user_add, "Make an account, or many.",
     "A name without @ gets the domain of the configuration. The password is asked for on the terminal, or is the first line "
     "of standard input; it is never an argument, where other processes could see it.",
     {{"--batch", "FILE", "many: each line a name, white space, a password; # begins a comment line; - is standard input"},
      {"--password-file", "FILE", "the password is the first line of FILE"},
      {"--quota", "SIZE", "how much mail it may hold: 500M, 2G, none"}}},
    {"user del", "NAME", do_user_del, "Remove an account and its mail.", "From then on nobody can log in as NAME; its mail is removed.",
     {{"--purge", NULL, "return only when its mail is no longer on the disk either"}}},
    {"user passwd", "NAME", do_user_passwd, "Give an account a new password.", "",
     {{"--password-file", "FILE", "the password is the first line of FILE; - is standard input"}}},
    {"user list", "", do_user_list, "Show all accounts and what they hold.", "", {{0}}},
    {"user quota", "NAME SIZE", do_user_quota, "Bound what an account may hold.", "SIZE is a number of bytes, 500M, 2G, or none.", {{0}}},
    {"mailbox list", "NAME", do_mailbox_list, "Show the mailboxes of an account.", "", {{0}}},
    {"config check", "[FILE]", do_config_check, "Judge the configuration, or FILE as one.", "", {{0}}},
    {"config show", "[NAME]", do_config_show, "Show all settings as they hold, or one.", "", {{0}}},
    {"config sample", "", do_config_sample, "Print a configuration with every setting explained.", "", {{0}}},
    {"config manual", "", do_config_manual, "Print estafeta.conf(5), the manual page of the settings.", "", {{0}}},
    {"dns", "NAME [TYPE]", do_dns, "Ask the system's resolver.",
     "Prints what came of it, how far DNSSEC vouches for it, for how long it holds, and the records. TYPE is A, AAAA, MX, TXT, "
     "PTR, CNAME, NS, TLSA or DNSKEY; without it A.", {{0}}},
    {"check", "", do_check, "Read the whole store and say what is wrong.", "Runs beside a running system or on a stopped one.", {{0}}},
    {"rebuild", "", do_rebuild, "Make the index anew from the log.", "The system must be stopped. The log holds the mail; the index is a view of it.", {{0}}},
    {"backup", "DIR", do_backup, "Back up the mail of the running system, to backup/DIR below the root.",
     "Segments of the log that no longer change are linked, not copied. Copy the folder away from this disk.", {{0}}},
    {"restore", "DIR", do_restore, "Put a backup in the place of a store that is empty.", "The system must be stopped.", {{0}}},
    {"compact", "", do_compact, "Give the space of removed mail back now.", "It also happens by itself.", {{0}}},
    {"dump", "", do_dump, "Print the index as text, for tests.", "", {{0}}},
};
const size_t n_commands = COUNT(commands);
