#include "sys/log.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

static char text[200000];

static size_t
read_back(int fd)
{
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return (size_t)n;
}

static size_t
lines(void)
{
    size_t n = 0;

    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n';
    return n;
}

TEST(shape)
{
    int fd = memfd_create("log", 0), day, h, m, s, pid;
    char month[4], host[65], program[32];

    log_start("smtpd", fd, LOG_LEVEL_INFO);
    log_mail(LOG_LEVEL_INFO, "%s: from=<%s>, size=%d", "abc", "a\r\nb\x1b", 7);
    log_mail(LOG_LEVEL_DEBUG, "not seen");
    read_back(fd);
    CHECK_INT(0, sscanf(text, "%3s %d %d:%d:%d %64s %31[^[][%d]:", month, &day, &h, &m, &s, host, program, &pid), 8);
    assert_string_equal(program, "smtpd");
    CHECK_INT(0, pid, getpid());
    CHECK(0, strstr(text, "]: abc: from=<a??b?>, size=7\n") != NULL);
    CHECK_INT(0, lines(), 1);
    close(fd);
}

TEST(long_line_is_cut)
{
    int fd = memfd_create("log", 0);

    log_start("smtpd", fd, LOG_LEVEL_INFO);
    log_mail(LOG_LEVEL_INFO, "%05000d", 7);
    CHECK_INT(0, read_back(fd), LOG_LINE);
    CHECK_INT(0, lines(), 1);
    CHECK(0, text[LOG_LINE - 1] == '\n');
    close(fd);
}

TEST(rate)
{
    int fd = memfd_create("log", 0);
    size_t n;

    log_start("smtpd", fd, LOG_LEVEL_INFO);
    for (int i = 0; i < 1000; i++)
        log_at(LOG_LEVEL_WARNING, "bad %d", i);
    read_back(fd);
    n = lines();
    CHECK(0, n >= LOG_RATE && n <= 2 * LOG_RATE + 1); /* a second may have ended meanwhile */
    for (int i = 0; i < 100; i++)
        log_mail(LOG_LEVEL_INFO, "mail %d", i);
    read_back(fd);
    CHECK_INT(0, lines(), n + 100);
    close(fd);
}

TEST(gathering)
{
    int fd = memfd_create("log", 0);

    log_start("smtpd", fd, LOG_LEVEL_INFO);
    log_gather(true);
    log_mail(LOG_LEVEL_INFO, "one");
    log_mail(LOG_LEVEL_INFO, "two");
    CHECK_INT(0, read_back(fd), 0);
    log_mail(LOG_LEVEL_ERR, "three"); /* takes the others along, in order */
    read_back(fd);
    CHECK_INT(0, lines(), 3);
    CHECK(0, strstr(text, "one\n") < strstr(text, "two\n") && strstr(text, "two\n") < strstr(text, "three\n"));
    for (int i = 0; i < 500; i++)
        log_mail(LOG_LEVEL_INFO, "%0200d", i);
    log_gather(false);
    read_back(fd);
    CHECK_INT(0, lines(), 503);
    close(fd);
    log_start("smtpd", STDERR_FILENO, LOG_LEVEL_INFO);
}

TEST_MAIN(shape, long_line_is_cut, rate, gathering)
