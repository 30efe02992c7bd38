#include "ctl/password.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "conf/batch.h"
#include "sys/fd.h"

void
secret_done(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

enum status
file_read(const char *file, struct buf *out, struct err *err)
{
    bool input = strcmp(file, "-") == 0;
    AUTO_FD fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "%s", input ? "standard input" : file);
    /* All the room at once: growing would leave copies of secrets in freed memory. */
    if (buf_reserve(out, out->max - out->n) == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    for (;;) {
        ssize_t n = read(fd, out->p + out->n, out->max - out->n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "%s", input ? "standard input" : file);
        if (n == 0)
            return ST_OK;
        out->n += (size_t)n;
        if (out->n == out->max)
            return err_set(err, ST_LIMIT, "%s: more than %zu bytes", input ? "standard input" : file,
                           out->max);
    }
}

/* One line from the terminal, without its end. */
static bool
ask(int tty, const char *prompt, const char *name, struct buf *out)
{
    AUTO_BUF words = BUF_INIT(1000);
    uint8_t c;

    buf_printf(&words, "%s %s: ", prompt, name);
    if (!write_all(tty, buf_slice(&words)))
        return false;
    while (read(tty, &c, 1) == 1 && c != '\n')
        buf_putc(out, c);
    (void)!write(tty, "\n", 1);
    return buf_ok(out);
}

static enum status
ask_twice(int tty, const char *name, struct buf *out, struct err *err)
{
    AUTO_SECRET again = BUF_INIT(BATCH_PASSWORD_MAX + 1);
    struct termios shown, hidden;
    sigset_t end, old;
    bool ok;

    if (buf_reserve(&again, again.max) == NULL || buf_reserve(out, BATCH_PASSWORD_MAX + 1) == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    if (tcgetattr(tty, &shown) != 0)
        return err_sys(err, "the terminal");
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG); /* ^C is a byte then, so that the echo always comes back */
    (void)sigemptyset(&end);
    (void)sigaddset(&end, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &end, &old);
    (void)tcsetattr(tty, TCSAFLUSH, &hidden);
    ok = ask(tty, "New password of", name, out) && memchr(out->p, 3, out->n) == NULL &&
         ask(tty, "Once more for", name, &again);
    (void)tcsetattr(tty, TCSAFLUSH, &shown);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    if (!ok)
        return err_set(err, ST_CANCELLED, "no password was given");
    return slice_eq(buf_slice(out), buf_slice(&again)) ? ST_OK
                                                       : err_set(err, ST_SYNTAX, "the two passwords differ");
}

enum status
password_read(const char *file, const char *name, struct buf *out, struct err *err)
{
    enum status st;
    struct slice text, line;

    if (file == NULL && isatty(STDIN_FILENO)) {
        AUTO_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

        st = tty < 0 ? err_sys(err, "/dev/tty") : ask_twice(tty, name, out, err);
        if (st != ST_OK)
            return st;
    } else {
        st = file_read(file != NULL ? file : "-", out, err);
        if (st != ST_OK)
            return st;
        text = buf_slice(out);
        line = take_until(&text, '\n');
        if (text.n > 1)
            return err_set(err, ST_SYNTAX, "a password is one line");
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        out->n = line.n;
    }
    if (out->n == 0 || out->n > BATCH_PASSWORD_MAX)
        return err_set(err, ST_SYNTAX, "a password has 1 to %u bytes", BATCH_PASSWORD_MAX);
    return ST_OK;
}
