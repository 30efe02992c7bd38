#include "mime/date.h"

#include "mime/fields.h"

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days since 1970-01-01 of the proleptic Gregorian calendar; years counted from March. */
static int64_t
days_from_civil(int64_t y, unsigned m, unsigned d)
{
    int64_t era, yoe, doy, doe;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

int64_t
mime_civil_seconds(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second)
{
    return days_from_civil(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
}

static bool
take_month(struct slice *in, unsigned *month)
{
    for (unsigned i = 0; i < 12; i++) {
        if (take_literal_nocase(in, slice_of(month_names[i]))) {
            (void)take_while(in, ascii_alpha); /* "September" */
            *month = i + 1;
            return true;
        }
    }
    return false;
}

/* RFC 5322 4.3. Military letters and unknown names count as -0000. */
static int
named_zone(struct slice name)
{
    static const struct {
        const char *name;
        int minutes;
    } zones[] = {{"EDT", -240}, {"EST", -300}, {"CDT", -300}, {"CST", -360},
                 {"MDT", -360}, {"MST", -420}, {"PDT", -420}, {"PST", -480}};

    for (size_t i = 0; i < COUNT(zones); i++)
        if (slice_eq_nocase(name, slice_of(zones[i].name)))
            return zones[i].minutes;
    return 0;
}

static bool
take_zone(struct slice *in, int *minutes)
{
    bool minus = slice_starts(*in, '-');
    uint64_t number;

    *minutes = 0;
    if (in->n == 0)
        return true;
    if (!minus && !slice_starts(*in, '+')) {
        *minutes = named_zone(take_while(in, ascii_alpha));
        return true;
    }
    *in = slice_skip(*in, 1);
    if (!take_number(in, 9999, &number) || number % 100 > 59)
        return false;
    *minutes = (int)(number / 100 * 60 + number % 100);
    if (minus)
        *minutes = -*minutes;
    return true;
}

/* RFC 5322 4.3: 49 is 2049, 50 is 1950, 102 is 2002. */
static bool
take_year(struct slice *in, uint64_t *year)
{
    size_t before = in->n, digits;

    if (!take_number(in, 9999, year))
        return false;
    digits = before - in->n;
    if (digits < 2 || (digits > 3 && *year == 0))
        return false;
    if (digits == 2)
        *year += *year < 50 ? 2000 : 1900;
    else if (digits == 3)
        *year += 1900;
    return true;
}

static bool
leap(uint64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static bool
take_time(struct slice *in, uint64_t *hour, uint64_t *minute, uint64_t *second)
{
    *second = 0;
    if (!take_number(in, 23, hour))
        return false;
    skip_cfws(in);
    if (!take_byte(in, ':'))
        return false;
    skip_cfws(in);
    if (!take_number(in, 59, minute))
        return false;
    skip_cfws(in);
    if (!take_byte(in, ':'))
        return true;
    skip_cfws(in);
    return take_number(in, 60, second); /* a leap second is 60 */
}

enum status
mime_date_parse(struct slice value, int64_t *utc, int16_t *zone_minutes)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t day, year, hour, minute, second;
    unsigned month = 0;
    int zone;

    skip_cfws(&value);
    (void)take_while(&value, ascii_alpha); /* the weekday is not believed */
    skip_cfws(&value);
    (void)take_byte(&value, ',');
    skip_cfws(&value);
    if (!take_number(&value, 31, &day) || day == 0)
        return ST_SYNTAX;
    skip_cfws(&value);
    (void)take_byte(&value, '-'); /* "17-Jul-1996" is seen in the wild */
    if (!take_month(&value, &month))
        return ST_SYNTAX;
    skip_cfws(&value);
    (void)take_byte(&value, '-');
    if (!take_year(&value, &year))
        return ST_SYNTAX;
    if (day > days[month - 1] + (month == 2 && leap(year) ? 1u : 0u))
        return ST_SYNTAX;
    skip_cfws(&value);
    if (!take_time(&value, &hour, &minute, &second))
        return ST_SYNTAX;
    skip_cfws(&value);
    if (!take_zone(&value, &zone))
        return ST_SYNTAX;
    *utc = mime_civil_seconds((int64_t)year, month, (unsigned)day, (unsigned)hour, (unsigned)minute,
                              (unsigned)second) -
           (int64_t)zone * 60;
    *zone_minutes = (int16_t)zone;
    return ST_OK;
}

void
mime_put_internaldate(struct buf *out, int64_t utc, int16_t zone_minutes)
{
    const int64_t least = mime_civil_seconds(1, 1, 1, 0, 0, 0), most = mime_civil_seconds(9999, 12, 31, 23, 59, 59);
    int zone = zone_minutes < -5999 || zone_minutes > 5999 ? 0 : zone_minutes;
    int64_t local, days, era, yoe, doe, doy, y, s;
    unsigned mp, d, m;

    local = utc < least || utc > most ? (utc < least ? least : most) : utc + (int64_t)zone * 60;
    if (local < least || local > most)
        local = local < least ? least : most;
    days = local / 86400;
    s = local % 86400;
    if (s < 0) {
        s += 86400;
        days--;
    }
    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (unsigned)((5 * doy + 2) / 153);
    d = (unsigned)doy - (153 * mp + 2) / 5 + 1;
    m = mp < 10 ? mp + 3 : mp - 9;
    y = yoe + era * 400 + (m <= 2);
    buf_printf(out, "\"%2u-%s-%04d %02d:%02d:%02d %c%02d%02d\"", d, month_names[m - 1], (int)y, (int)(s / 3600),
               (int)(s / 60 % 60), (int)(s % 60), zone < 0 ? '-' : '+', (zone < 0 ? -zone : zone) / 60,
               (zone < 0 ? -zone : zone) % 60);
}
