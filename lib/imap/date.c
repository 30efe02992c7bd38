#include "imap/date.h"

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days from 1970-01-01. Years are counted from March, so that the leap day is a year's last. */
static int32_t
days_of(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year, shifted = (month + 9) % 12;
    int in_year = (153 * shifted + 2) / 5 + day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + in_year - 719468;
}

static int
month_days(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool
take_digits(struct slice *in, size_t n, int *out)
{
    int v = 0;

    if (in->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!ascii_digit(in->p[i]))
            return false;
        v = v * 10 + (in->p[i] - '0');
    }
    *in = slice_skip(*in, n);
    *out = v;
    return true;
}

/* "-Feb-1994" after the day. */
static bool
take_month_year(struct slice *in, int day, int32_t *days)
{
    int month = 0, year;

    if (!take_byte(in, '-'))
        return false;
    while (month < 12 && !take_literal_nocase(in, slice_of(months[month])))
        month++;
    if (month++ == 12 || !take_byte(in, '-') || !take_digits(in, 4, &year))
        return false;
    if (year < 1 || day < 1 || day > month_days(year, month))
        return false;
    *days = days_of(year, month, day);
    return true;
}

enum status
imap_take_date(struct slice *in, int32_t *days)
{
    struct slice at = *in;
    bool quoted = take_byte(&at, '"');
    int day;
    int32_t got;

    if (!take_digits(&at, 2, &day) && !take_digits(&at, 1, &day))
        return ST_SYNTAX;
    if (!take_month_year(&at, day, &got) || (quoted && !take_byte(&at, '"')))
        return ST_SYNTAX;
    *in = at;
    *days = got;
    return ST_OK;
}

/* " 02:44:25 -0700" */
static bool
take_time_zone(struct slice *in, int *seconds, int *zone)
{
    int h, m, s, zh, zm;
    bool west;

    if (!take_byte(in, ' ') || !take_digits(in, 2, &h) || !take_byte(in, ':') || !take_digits(in, 2, &m) ||
        !take_byte(in, ':') || !take_digits(in, 2, &s) || !take_byte(in, ' '))
        return false;
    west = take_byte(in, '-');
    if (!west && !take_byte(in, '+'))
        return false;
    if (!take_digits(in, 2, &zh) || !take_digits(in, 2, &zm))
        return false;
    if (h > 23 || m > 59 || s > 60 || zh > 23 || zm > 59)
        return false;
    *seconds = h * 3600 + m * 60 + s;
    *zone = (west ? -1 : 1) * (zh * 60 + zm);
    return true;
}

enum status
imap_take_date_time(struct slice *in, struct imap_time *out)
{
    struct slice at = *in;
    int day, seconds, zone;
    int32_t days;

    if (!take_byte(&at, '"'))
        return ST_SYNTAX;
    if (take_byte(&at, ' ') ? !take_digits(&at, 1, &day) : !take_digits(&at, 2, &day))
        return ST_SYNTAX; /* date-day-fixed: " 1" or "01" */
    if (!take_month_year(&at, day, &days) || !take_time_zone(&at, &seconds, &zone) || !take_byte(&at, '"'))
        return ST_SYNTAX;
    *in = at;
    *out = (struct imap_time){(int64_t)days * 86400 + seconds - zone * 60, (int16_t)zone};
    return ST_OK;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int32_t
imap_time_day(struct imap_time t)
{
    return (int32_t)floor_div(t.seconds + t.zone * 60, 86400);
}

void
imap_put_date_time(struct buf *b, struct imap_time t)
{
    int64_t local = t.seconds + t.zone * 60, least = (int64_t)days_of(1, 1, 1) * 86400;
    int64_t most = (int64_t)days_of(9999, 12, 31) * 86400 + 86399;
    int year = 1970, month = 1, zone = t.zone < 0 ? -t.zone : t.zone, second;
    int32_t day;

    local = local < least ? least : local > most ? most : local;
    day = (int32_t)floor_div(local, 86400);
    second = (int)(local - (int64_t)day * 86400);
    year += day / 366; /* near, and never past by more than the loops below mend */
    while (days_of(year, 1, 1) > day)
        year--;
    while (days_of(year + 1, 1, 1) <= day)
        year++;
    while (month < 12 && days_of(year, month + 1, 1) <= day)
        month++;
    buf_printf(b, "\"%2d-%s-%04d %02d:%02d:%02d %c%02d%02d\"", day - days_of(year, month, 1) + 1, months[month - 1],
               year, second / 3600, second / 60 % 60, second % 60, t.zone < 0 ? '-' : '+', zone / 60, zone % 60);
}
