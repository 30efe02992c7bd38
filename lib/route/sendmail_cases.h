/* clang-format off */
/* What sendmail 8.17.1.9 (Debian's sendmail-bin) answered to -bv, with the tables of sendmail_test.c. Each row: the
 * address, its recipients sorted; "err" is a refusal, whatever its words. Where ours is other, it stands behind. */
static const struct {
    const char *address, *sendmail, *ours;
} cases[] = {
    {"postmaster", "box lp", NULL},
    {"root", "box lp", NULL},
    {"staff", "box games; box man; to ann@away.example; to carla@elsewhere.example", NULL},
    {"man", "box man; to ann@away.example", NULL},
    {"backup", "box backup; to b2@away.example", NULL},
    {"selfat", "err", NULL},
    {"ping", "err", NULL},
    {"pong", "err", NULL},
    {"ring1", "err", NULL},
    {"ring2", "err", NULL},
    {"ring3", "err", NULL},
    {"games2", "box news", NULL},
    {"news2u", "box news", NULL},
    {"crew", "box games", NULL},
    {"userloop", "box news", NULL},
    {"news3", "box news", NULL},
    {"mailloop", "box mail", NULL},
    {"mail", "box mail", NULL},
    {"moved", "err", NULL},
    {"movedlist", "box games; err", NULL},
    {"robot", "run /usr/bin/robot -x 'a b'", NULL},
    {"robotq", "run /usr/bin/robot \"a b\" c", NULL},
    {"robot2", "run /usr/bin/robot", NULL},
    {"robots", "run /usr/bin/robot a; run /usr/bin/robot b", NULL},
    {"archive", "file /var/mail/archive", NULL},
    {"archive2", "file /var/mail/archive", NULL},
    {"both", "box games; file /var/mail/archive; run /usr/bin/robot", NULL},
    {"devnull", "file /dev/null", NULL},
    {"newslist", "box games; box news; to carla@elsewhere.example", NULL},
    {"newslistq", "box games; box news; to carla@elsewhere.example", NULL},
    {"missing", "err", NULL},
    {"selfinc", "box games", NULL},
    {"emptyinc", "err", NULL},
    {"nest", "box games; box lp; box news; to carla@elsewhere.example", NULL},
    {"comments", "box games; box lp; box news", NULL},
    {"dev", "box games; to dora@far.example", NULL},
    {"owner-dev", "box games", NULL},
    {"dev-request", "box news", NULL},
    {"plus+x", "box games", NULL},
    {"plus+*", "box news", NULL},
    {"plus", "to ann@away.example", NULL},
    {"onlystar+*", "box games", NULL},
    {"raw", "box games", NULL},
    {"rawalias", "box man", NULL},
    {"rawunknown", "err", NULL},
    {"dup", "box games; box man; to Carla@elsewhere.example; to ann@away.example; to carla@elsewhere.example", NULL},
    {"atlocal", "box games", NULL},
    {"atalso", "box games", NULL},
    {"dupdomains", "box games", NULL},
    {"continued", "box games; box lp; box news", NULL},
    {"MixedCase", "box games", NULL},
    {"spaces", "box games; box news", NULL},
    {"paren", "box games; box news", NULL},
    {"angle", "box games", NULL},
    {"anglef", "to ann@away.example", NULL},
    {"unknown", "err", NULL},
    {"partial", "box games; err", NULL},
    {"literal", "to x@[192.0.2.9]", NULL},
    {"ulit", "to games@[192.0.2.9]", NULL},
    {"dotted", "to x@host.away.example", NULL},
    {"plusremote", "to ann+x@away.example", NULL},
    {"plusdetail", "box games+lists", NULL},
    {"plusdetail2", "box games; box games+a; box games+b", NULL},
    {"percent", "to ann@away.example", "err"},
    {"viavirt", "box games", NULL},
    {"viaall", "to any@elsewhere.example", NULL},
    {"virtloop", "err", NULL},
    {"route", "to x@mt.example by [192.0.2.5]", NULL},
    {"d0", "err", NULL},
    {"d1", "err", NULL},
    {"d2", "box games", NULL},
    {"d3", "box games", NULL},
    {"d4", "box games", NULL},
    {"d5", "box games", NULL},
    {"d6", "box games", NULL},
    {"d7", "box games", NULL},
    {"d8", "box games", NULL},
    {"d9", "box games", NULL},
    {"d10", "box games", NULL},
    {"d11", "box games", NULL},
    {"emptyitem", "box games; box news", NULL},
    {"upper", "box games", NULL},
    {"remoteupper", "to ANN@away.example", NULL},
    {"slashuser", "err", NULL},
    {"slashat", "to /c=us/@away.example", NULL},
    {"games", "box games", NULL},
    {"GAMES", "box games", NULL},
    {"games+x", "box games+x", NULL},
    {"games@main.example", "box games", NULL},
    {"games@MAIN.Example", "box games", NULL},
    {"games@also.example", "box games", NULL},
    {"games@main.example.", "box games", NULL},
    {"nosuchuser", "err", NULL},
    {"nosuchuser@main.example", "err", NULL},
    {"man+x", "box man; to ann@away.example", NULL},
    {"plus+x@main.example", "box games", NULL},
    {"plus+y", "box news", NULL},
    {"plus+", "box news", NULL},
    {"onlystar", "err", NULL},
    {"onlystar+z", "box games", NULL},
    {"onlystar+", "box games", NULL},
    {"postmaster@main.example", "box lp", NULL},
    {"POSTMASTER", "box lp", NULL},
    {"list", "box list; to x@away.example", NULL},
    {"proxy", "to proxy2@away.example", NULL},
    {"sync", "box sync; box uucp", "box sync"},
    {"uucp", "box sync; box uucp", "box uucp"},
    {"irc", "box irc; err", "box irc; run /usr/bin/vacation irc"},
    {"sys", "box sys", NULL},
    {"daemon", "box daemon", NULL},
    {"x@elsewhere.example", "to x@elsewhere.example", NULL},
    {"X@Elsewhere.Example", "to X@elsewhere.example", NULL},
    {"x@[192.0.2.9]", "to x@[192.0.2.9]", NULL},
    {"info@virtual.example", "box games", NULL},
    {"INFO@Virtual.Example", "box games", NULL},
    {"info+x@virtual.example", "box games", NULL},
    {"info2@virtual.example", "box games; box man; to ann@away.example; to carla@elsewhere.example", NULL},
    {"sales@virtual.example", "to sales@virtual.example", "err"},
    {"sales+eu@virtual.example", "box news+eu", NULL},
    {"sales+@virtual.example", "box news", NULL},
    {"star+q@virtual.example", "box games", NULL},
    {"star@virtual.example", "to star@virtual.example", "err"},
    {"pp@virtual.example", "box news", NULL},
    {"pp+d@virtual.example", "box lp", NULL},
    {"pp+@virtual.example", "box news", NULL},
    {"gone@virtual.example", "err", NULL},
    {"shut@virtual.example", "err", NULL},
    {"later@virtual.example", "err", NULL},
    {"words@virtual.example", "err", NULL},
    {"far@virtual.example", "to x@elsewhere.example", NULL},
    {"vl@virtual.example", "err", NULL},
    {"rest@virtual.example", "to rest@elsewhere.example", NULL},
    {"two@virtual.example", "box games", NULL},
    {"games@virtual.example", "to games@virtual.example", "err"},
    {"nobody9@virtual.example", "to nobody9@virtual.example", "err"},
    {"any@all.example", "to any@elsewhere.example", NULL},
    {"any+one@all.example", "to any+one@elsewhere.example", NULL},
    {"keep@all.example", "box games", NULL},
    {"keep+x@all.example", "box games", NULL},
    {"det+q@all.example", "to det-q@elsewhere.example", NULL},
    {"det@all.example", "to det@elsewhere.example", NULL},
    {"x@fallback.example", "box lp", NULL},
    {"x+y@fallback.example", "box lp", NULL},
    {"info@main.example", "box news", NULL},
    {"info", "err", NULL},
    {"info@also.example", "err", NULL},
    {"x@direct.example", "to x@direct.example by gate.example", NULL},
    {"x@mx.example", "to x@mx.example by gate.example", NULL},
    {"x@under.example", "to x@under.example", NULL},
    {"x@a.under.example", "to x@a.under.example by a.relay.example", NULL},
    {"x@a.b.under.example", "to x@a.b.under.example by a.b.relay.example", NULL},
    {"x@two.example", "to x@two.example by a.example:b.example", NULL},
    {"x@refused.example", "err", NULL},
    {"x@nohost.example", "err", NULL},
    {"games@here.example", "box games", NULL},
    {"x@here.example", "box games", NULL},
    {"games@orig.example", "box games", NULL},
    {"x@other.example", "to bob@gate.example by gate.example", NULL},
    {"x@mt.example", "to x@mt.example by [192.0.2.5]", NULL},
    {"x@sub.mt.example", "to x@sub.mt.example", NULL},
    {"x@new.example.REDIRECT", "err", NULL},
    {"x%away.example@main.example", "to x@away.example", "err"},
    {"x%away.example", "to x@away.example", "err"},
    {"away.example!x", "to x@away.example", "err"},
    {"\"a b\"@away.example", "to a b@away.example", NULL},
    {"\"games\"", "box games", NULL},
    {"\"|/bin/sh\"@main.example", "err", NULL},
    {"/etc/passwd", "err", NULL},
    {"mailer-daemon", "err", NULL},
};
static const char alias_text[] =
    "# one line, several members\n"
    "postmaster: root\n"
    "root: lp\n"
    "staff: man, games, carla@elsewhere.example\n"
    "man: man, ann@away.example\n"
    "backup: \\backup, b2@away.example\n"
    "selfat: selfat@main.example\n"
    "ping: pong\n"
    "pong: ping\n"
    "ring1: ring2\n"
    "ring2: ring3\n"
    "ring3: ring1\n"
    "games2: news2u\n"
    "news2u: games2, news\n"
    "team: crew, games\n"
    "crew: team, games\n"
    "userloop: news3\n"
    "news3: userloop, news\n"
    "mailloop: mail\n"
    "mail: mailloop\n"
    "moved: moved@new.example.REDIRECT\n"
    "movedlist: games, gone@new.example.REDIRECT\n"
    "robot: \"|/usr/bin/robot -x 'a b'\"\n"
    "robotq: \"|/usr/bin/robot \\\"a b\\\" c\"\n"
    "robot2: |/usr/bin/robot\n"
    "robots: \"|/usr/bin/robot a\", \"|/usr/bin/robot b\", \"|/usr/bin/robot a\"\n"
    "archive: /var/mail/archive\n"
    "archive2: \"/var/mail/archive\"\n"
    "both: games, /var/mail/archive, \"|/usr/bin/robot\"\n"
    "devnull: /dev/null\n"
    "newslist: :include:/opt/smtest/lists/news\n"
    "newslistq: \":include:/opt/smtest/lists/news\"\n"
    "missing: :include:/opt/smtest/lists/missing\n"
    "selfinc: :include:/opt/smtest/lists/self\n"
    "emptyinc: :include:/opt/smtest/lists/empty\n"
    "nest: :include:/opt/smtest/lists/nest\n"
    "comments: :include:/opt/smtest/lists/comments\n"
    "dev: games, dora@far.example\n"
    "owner-dev: games\n"
    "dev-request: news\n"
    "plus+x: games\n"
    "plus+*: news\n"
    "plus: ann@away.example\n"
    "onlystar+*: games\n"
    "raw: \\games, games\n"
    "rawalias: \\man\n"
    "rawunknown: \\nosuch\n"
    "twice: games, games, GAMES, Games\n"
    "dup: staff, games, carla@elsewhere.example, Carla@Elsewhere.Example, carla@ELSEWHERE.example\n"
    "atlocal: games@main.example\n"
    "atalso: games@also.example\n"
    "dupdomains: games, games@main.example, games@also.example\n"
    "continued: games,\n"
    "\tnews,\n"
    "  lp\n"
    "MixedCase: games\n"
    "\"quoted name\": games\n"
    "\"quo:ted\": news\n"
    "spaces   :   games  ,   news\n"
    "hash: games # news\n"
    "paren: games (the player), news\n"
    "angle: The Player <games>\n"
    "anglef: \"Far, Ann\" <ann@away.example>\n"
    "quotedlocal: \"a b\"@away.example\n"
    "unknown: nosuchuser\n"
    "partial: games, nosuchuser\n"
    "badaddr: user@\n"
    "literal: x@[192.0.2.9]\n"
    "ulit: games@[192.0.2.9]\n"
    "dotted: x@host.away.example.\n"
    "plusremote: ann+x@away.example\n"
    "plusdetail: games+lists\n"
    "plusdetail2: games+a, games+b, games\n"
    "percent: ann%away.example@main.example\n"
    "viavirt: info@virtual.example\n"
    "viaall: any@all.example\n"
    "virtloop: vl@virtual.example\n"
    "route: x@mt.example\n"
    "d0: d1\n"
    "d1: d2\n"
    "d2: d3\n"
    "d3: d4\n"
    "d4: d5\n"
    "d5: d6\n"
    "d6: d7\n"
    "d7: d8\n"
    "d8: d9\n"
    "d9: d10\n"
    "d10: d11\n"
    "d11: games\n"
    "emptyitem: games,,news\n"
    "trailing: games,\n"
    "upper: GAMES\n"
    "remoteupper: ANN@AWAY.EXAMPLE\n"
    "slashuser: games/x\n"
    "slashat: /c=us/@away.example\n";
static const char virtual_text[] =
    "info@virtual.example\tgames\n"
    "info2@virtual.example\tstaff\n"
    "sales+*@virtual.example\tnews+%2\n"
    "star+*@virtual.example\tgames\n"
    "pp++@virtual.example\tlp\n"
    "pp@virtual.example\tnews\n"
    "gone@virtual.example\terror:nouser 550 No such user here\n"
    "shut@virtual.example\terror:5.7.0:550 Address invalid\n"
    "later@virtual.example\terror:4.3.0:451 Come back later\n"
    "words@virtual.example\terror:Nobody here\n"
    "far@virtual.example\tx@elsewhere.example\n"
    "vl@virtual.example\tvl2@virtual.example\n"
    "vl2@virtual.example\tvirtloop\n"
    "rest@virtual.example\t%1@elsewhere.example\n"
    "two@virtual.example\tinfo@virtual.example\n"
    "@all.example\t%1%3@elsewhere.example\n"
    "keep@all.example\tgames\n"
    "det+*@all.example\t%1-%2@elsewhere.example\n"
    "@fallback.example\tlp\n"
    "info@main.example\tnews\n";
static const char mailer_text[] =
    "direct.example\tesmtp:[gate.example]\n"
    "mx.example\tsmtp:gate.example\n"
    ".under.example\tsmtp:%1.relay.example\n"
    "two.example\trelay:a.example:b.example\n"
    "refused.example\terror:5.7.1:550 not there\n"
    "nohost.example\terror:nohost no such place\n"
    "here.example\tlocal:games\n"
    "orig.example\tlocal:\n"
    "other.example\tsmtp:bob@gate.example\n"
    "mt.example\trelay:[192.0.2.5]\n";
