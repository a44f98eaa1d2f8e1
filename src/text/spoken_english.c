/* What English text is read otherwise than it is written. See text/spoken_rules.h.
 * Source: docs/spoken.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/spoken_rules.h"

typedef so_digits span;

static so_status put(so_string *out, const char *words, so_error *error) { return so_string_put(out, words, error); }

static bool is_one(span whole, span part) { return whole.size == 1 && whole.text[0] == '1' && part.size == 0; }

static bool same(span a, const char *b) { return a.size == strlen(b) && memcmp(a.text, b, a.size) == 0; }

/* "three point one four". */
static so_status number(span whole, span part, so_string *out, so_error *error)
{
    SO_TRY(so_words_cardinal(whole, out, error));
    if (!part.size) return SO_OK;
    SO_TRY(put(out, " point ", error));
    return so_words_each(part, out, error);
}

static so_status say_number(const span *g, const char *with, so_string *out, so_error *error)
{
    SO_TRY(number(g[0], g[1], out, error));
    return put(out, with ? with : "", error);
}

static so_status say_words(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)g;
    return put(out, with, error);
}

static so_status say_ordinal(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    return so_words_ordinal(g[0], out, error);
}

static so_status say_year(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    return so_words_year(g[0], out, error);
}

/* "nineteen nineties". */
static so_status say_decade(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(so_words_year(g[0], out, error));
    if (out->data[out->size - 1] != 'y') return put(out, "s", error);
    out->size--;
    return put(out, "ies", error);
}

static so_status say_each(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    for (int i = 0; i < SO_SPOKEN_GROUPS; i++) {
        if (!g[i].size) continue;
        if (i && g[i - 1].size) SO_TRY(put(out, ", ", error));
        SO_TRY(so_words_each(g[i], out, error));
    }
    return SO_OK;
}

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};

/* Groups: year, month, day; `with`: the order they stand in. */
static so_status say_date(const span *g, const char *with, so_string *out, so_error *error)
{
    bool us = strcmp(with, "mdy") == 0;
    span year = us ? g[2] : g[0], month = us ? g[0] : g[1], day = us ? g[1] : g[2];
    if (day.text[0] == '0') day.text++, day.size--;
    SO_TRY(put(out, months[so_digits_value(month) - 1], error));
    SO_TRY(put(out, " ", error));
    SO_TRY(so_words_ordinal(day, out, error));
    SO_TRY(put(out, ", ", error));
    return so_words_year(year, out, error);
}

/* Groups: hour, minutes, a or p. */
static so_status say_time(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    int64_t hour = so_digits_value(g[0]), minutes = g[1].size ? so_digits_value(g[1]) : 0;
    span h = g[0], m = g[1];
    if (h.size == 2 && h.text[0] == '0') h.text++, h.size--;
    SO_TRY(so_words_cardinal(h, out, error));
    if (m.size && m.text[0] == '0') m.text++, m.size--;
    if (minutes == 0 && !g[2].size) SO_TRY(put(out, hour > 12 || hour == 0 ? " hundred" : " o'clock", error));
    if (minutes) {
        SO_TRY(put(out, minutes < 10 ? " oh " : " ", error));
        SO_TRY(so_words_cardinal(m, out, error));
    }
    if (!g[2].size) return SO_OK;
    return put(out, g[2].text[0] == 'a' || g[2].text[0] == 'A' ? " a m" : " p m", error);
}

typedef struct money {
    const char *sign, *one, *many, *cent, *cents;
} money;
static const money moneys[] = {
    {"$", "dollar", "dollars", "cent", "cents"},   {"£", "pound", "pounds", "penny", "pence"},
    {"€", "euro", "euros", "cent", "cents"},       {"¥", "yen", "yen", "sen", "sen"},
    {"USD", "dollar", "dollars", "cent", "cents"}, {"EUR", "euro", "euros", "cent", "cents"},
    {"GBP", "pound", "pounds", "penny", "pence"},  {"JPY", "yen", "yen", "sen", "sen"},
    {"CNY", "yuan", "yuan", "fen", "fen"},         {"CHF", "franc", "francs", "centime", "centimes"}};

static so_status spell(span letters, so_string *out, so_error *error)
{
    int32_t c;
    for (size_t i = 0, n; i < letters.size; i += n) {
        n = (size_t)so_utf8_next(letters.text + i, letters.size - i, &c);
        if (i) SO_TRY(put(out, " ", error));
        SO_TRY(so_string_add(out, letters.text + i, n, error));
    }
    return SO_OK;
}

/* Groups: sign, whole, part, a word of scale, a letter of scale. The whole may be absent: "$.50". */
static so_status amount(const span *g, so_string *out, so_error *error)
{
    static const char *const scale[][2] = {{"k", " thousand"}, {"m", " million"}, {"b", " billion"}};
    const money *m = &moneys[0];
    for (size_t i = 0; i < sizeof moneys / sizeof *moneys; i++)
        if (same(g[0], moneys[i].sign)) m = &moneys[i];
    span part = g[2];
    bool cents = part.size == 2 && !g[3].size && !g[4].size;
    if (cents && so_digits_value(part) == 0) part.size = 0, cents = false;
    if (cents) {
        if (part.text[0] == '0') part.text++, part.size--;
        int64_t whole = so_digits_value(g[1]);
        if (whole) {
            SO_TRY(so_words_cardinal(g[1], out, error));
            SO_TRY(put(out, " ", error));
            SO_TRY(put(out, whole == 1 ? m->one : m->many, error));
            SO_TRY(put(out, " and ", error));
        }
        SO_TRY(so_words_cardinal(part, out, error));
        SO_TRY(put(out, " ", error));
        return put(out, so_digits_value(part) == 1 ? m->cent : m->cents, error);
    }
    SO_TRY(g[1].size ? number(g[1], part, out, error) : number((span){"0", 1}, part, out, error));
    if (g[3].size) {
        SO_TRY(put(out, " ", error));
        SO_TRY(so_string_add(out, g[3].text, g[3].size, error));
    }
    for (int i = 0; i < 3; i++)
        if (g[4].size && (g[4].text[0] | 32) == scale[i][0][0]) SO_TRY(put(out, scale[i][1], error));
    SO_TRY(put(out, " ", error));
    return put(out, is_one(g[1], part) && !g[3].size && !g[4].size ? m->one : m->many, error);
}

static so_status say_money(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    return amount(g, out, error);
}

/* Groups: the least, the most, both whole. */
static so_status say_moneys(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(so_words_cardinal(g[1], out, error));
    SO_TRY(put(out, " to ", error));
    return amount((const span[]){g[0], g[2], {0}, {0}, {0}}, out, error);
}

/* "U S dollars". Groups: whose, sign, whole, part, word and letter of scale. */
static so_status say_whose(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(spell(g[0], out, error));
    SO_TRY(put(out, " ", error));
    return amount(g + 1, out, error);
}

/* Groups: whole, part, sign or code behind. */
static so_status say_code(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    return amount((const span[]){g[2], g[0], g[1], {0}, {0}}, out, error);
}

static const char *const units[][3] = {{"km/h", "kilometer per hour", "kilometers per hour"},
                                       {"kph", "kilometer per hour", "kilometers per hour"},
                                       {"mph", "mile per hour", "miles per hour"},
                                       {"m/s", "meter per second", "meters per second"},
                                       {"km", "kilometer", "kilometers"},
                                       {"cm", "centimeter", "centimeters"},
                                       {"mm", "millimeter", "millimeters"},
                                       {"m", "meter", "meters"},
                                       {"mi", "mile", "miles"},
                                       {"ft", "foot", "feet"},
                                       {"yd", "yard", "yards"},
                                       {"kg", "kilogram", "kilograms"},
                                       {"mg", "milligram", "milligrams"},
                                       {"g", "gram", "grams"},
                                       {"lb", "pound", "pounds"},
                                       {"lbs", "pound", "pounds"},
                                       {"oz", "ounce", "ounces"},
                                       {"TB", "terabyte", "terabytes"},
                                       {"GB", "gigabyte", "gigabytes"},
                                       {"MB", "megabyte", "megabytes"},
                                       {"KB", "kilobyte", "kilobytes"},
                                       {"kB", "kilobyte", "kilobytes"},
                                       {"GHz", "gigahertz", "gigahertz"},
                                       {"MHz", "megahertz", "megahertz"},
                                       {"kHz", "kilohertz", "kilohertz"},
                                       {"Hz", "hertz", "hertz"},
                                       {"kWh", "kilowatt hour", "kilowatt hours"},
                                       {"kW", "kilowatt", "kilowatts"},
                                       {"W", "watt", "watts"},
                                       {"V", "volt", "volts"},
                                       {"ml", "milliliter", "milliliters"},
                                       {"mL", "milliliter", "milliliters"},
                                       {"l", "liter", "liters"},
                                       {"L", "liter", "liters"},
                                       {"ms", "millisecond", "milliseconds"},
                                       {"s", "second", "seconds"},
                                       {"sec", "second", "seconds"},
                                       {"min", "minute", "minutes"},
                                       {"h", "hour", "hours"},
                                       {"hr", "hour", "hours"},
                                       {"hrs", "hour", "hours"},
                                       {"dB", "decibel", "decibels"},
                                       {"px", "pixel", "pixels"},
                                       {"°C", "degree Celsius", "degrees Celsius"},
                                       {"°F", "degree Fahrenheit", "degrees Fahrenheit"},
                                       {"℃", "degree Celsius", "degrees Celsius"},
                                       {"℉", "degree Fahrenheit", "degrees Fahrenheit"},
                                       {"°", "degree", "degrees"}};

/* Groups: whole, part, unit, its power. */
static so_status say_unit(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(number(g[0], g[1], out, error));
    SO_TRY(put(out, same(g[3], "²") ? " square " : same(g[3], "³") ? " cubic " : " ", error));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (same(g[2], units[i][0])) return put(out, units[i][is_one(g[0], g[1]) ? 1 : 2], error);
    return so_string_add(out, g[2].text, g[2].size, error);
}

static so_status one_end(span n, bool year, so_string *out, so_error *error)
{
    return year ? so_words_year(n, out, error) : so_words_cardinal(n, out, error);
}

static so_status say_range(const span *g, const char *with, so_string *out, so_error *error)
{
    bool years = g[0].size == 4 && g[1].size == 4;
    SO_TRY(one_end(g[0], years, out, error));
    SO_TRY(put(out, with, error));
    return one_end(g[1], years, out, error);
}

static so_status say_fraction(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    if (same(g[0], "1") && same(g[1], "2")) return put(out, "one half", error);
    SO_TRY(so_words_cardinal(g[0], out, error));
    SO_TRY(put(out, " over ", error));
    return so_words_cardinal(g[1], out, error);
}

/* "3.5.1". */
static so_status say_points(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    for (size_t from = 0, at = 0; at <= g[0].size; at++) {
        if (at < g[0].size && g[0].text[at] != '.') continue;
        if (from) SO_TRY(put(out, " point ", error));
        SO_TRY(so_words_cardinal((span){g[0].text + from, at - from}, out, error));
        from = at + 1;
    }
    return SO_OK;
}

/* Groups: a title with its names, Roman digits. `with`: "the" for rulers. */
static so_status say_roman(const span *g, const char *with, so_string *out, so_error *error)
{
    static const char letters[] = "IVXL";
    static const int values[] = {1, 5, 10, 50};
    int sum = 0, last = 100;
    char digits[8];
    for (size_t i = 0; i < g[1].size; i++) {
        const char *at = strchr(letters, g[1].text[i]);
        int value = at ? values[at - letters] : 0;
        sum += value > last ? value - 2 * last : value;
        last = value;
    }
    size_t n = 0;
    if (sum >= 10) digits[n++] = (char)('0' + sum / 10);
    digits[n++] = (char)('0' + sum % 10);
    SO_TRY(so_string_add(out, g[0].text, g[0].size, error));
    SO_TRY(put(out, *with ? " the " : " ", error));
    return *with ? so_words_ordinal((span){digits, n}, out, error) : so_words_cardinal((span){digits, n}, out, error);
}

static bool is_word(span s)
{
    static const char *const words[] = {"NASA", "NATO", "LASER", "RADAR", "SCUBA", "AIDS", "COVID", "UNICEF", "UNESCO",
                                        "OPEC", "RAM",  "ROM",   "GIF",   "JPEG",  "PIN",  "SIM",   "ZIP",    "LAN",
                                        "OK",   "I",    "A",     "FIFA",  "IKEA",  "LEGO", "SWAT",  "YOLO",   "BIOS"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (same(s, words[i])) return true;
    return false;
}

/* Groups: capitals, an s of the plural, digits behind. */
static so_status say_letters(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(is_word(g[0]) ? so_string_add(out, g[0].text, g[0].size, error) : spell(g[0], out, error));
    if (g[1].size) SO_TRY(put(out, "s", error));
    if (!g[2].size) return SO_OK;
    SO_TRY(put(out, " ", error));
    return so_words_cardinal(g[2], out, error);
}

/* An address, sign by sign. */
static so_status address(span a, so_string *out, so_error *error)
{
    static const char *const signs[][2] = {
        {".", " dot "},    {"/", " slash "}, {"-", " dash "}, {"_", " underscore "}, {"?", " question mark "},
        {"=", " equals "}, {"&", " and "},   {"#", " hash "}, {"%", " percent "},    {"+", " plus "},
        {"~", " tilde "},  {":", " colon "}, {"@", " at "}};
    while (a.size && a.text[a.size - 1] == '/') a.size--;
    for (size_t i = 0; i < a.size;) {
        size_t digits = 0;
        while (i + digits < a.size && a.text[i + digits] >= '0' && a.text[i + digits] <= '9') digits++;
        if (digits) {
            if (i) SO_TRY(put(out, " ", error));
            SO_TRY(so_words_cardinal((span){a.text + i, digits}, out, error));
            i += digits;
            if (i < a.size && !strchr("./-_?=&#%+~:@", a.text[i])) SO_TRY(put(out, " ", error));
            continue;
        }
        bool sign = false;
        for (size_t k = 0; k < sizeof signs / sizeof *signs && !sign; k++)
            if (a.text[i] == signs[k][0][0]) {
                SO_TRY(put(out, signs[k][1], error));
                sign = true;
            }
        if (!sign) SO_TRY(so_string_add(out, a.text + i, 1, error));
        i++;
    }
    return SO_OK;
}

static so_status say_address(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(address(g[0], out, error));
    if (!g[1].size) return SO_OK;
    SO_TRY(put(out, " at ", error));
    return address(g[1], out, error);
}

#define HERE "(?<![\\p{L}\\p{N}])"
#define END "(?![\\p{L}\\p{N}])"
#define WHOLE "([0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
#define NUMBER WHOLE "(?:\\.([0-9]+))?"
#define SUM WHOLE "(?:\\.([0-9]+))?(?:\\s?(thousand|million|billion|trillion)" END "|([kKmMbB])" END ")?"
#define TOP "(?:com|org|net|edu|gov|io|ai|dev|co|uk|de|fr|eu|info|cn|jp|me|tv|app)"

static const so_spoken_rule rules[] = {
    {HERE "([A-Za-z0-9][A-Za-z0-9._+-]*)@([A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)+)", say_address, NULL},
    {HERE "(?:https?|ftp)://(?:www\\.)?([^\\s<>\"]+?)(?=[.,;:!?)\\]]*(?:\\s|$))", say_address, NULL},
    {HERE "(?:www\\.)?((?:[A-Za-z0-9-]+\\.)+" TOP "(?:/[\\w%~+-]+(?:[.?=&#][\\w%~+-]+)*)*/?)" END, say_address, NULL},
    {HERE "www\\.((?:[A-Za-z0-9-]+\\.)*[A-Za-z0-9-]+(?:/[\\w%~+-]+(?:[.?=&#][\\w%~+-]+)*)*/?)" END, say_address, NULL},
    {HERE "([\\w-]+\\.(?:txt|pdf|html?|csv|json|md|png|jpe?g|gif|wav|mp[34]|zip|docx?|xlsx?|pptx?|py|js|exe))" END,
     say_address, NULL},
    {HERE "([0-9]{4})-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])" END, say_date, "ymd"},
    {HERE "(0?[1-9]|1[0-2])/(0?[1-9]|[12][0-9]|3[01])/([0-9]{4})" END, say_date, "mdy"},
    {HERE "([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?\\s?([AaPp])\\.?(?:[Mm]\\.(?!\\s+\\p{Lu}|\\s*$)|[Mm])" END,
     say_time, NULL},
    {HERE "([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?(?![\\p{L}\\p{N}:])", say_time, NULL},
    {HERE "(1[0-2]|0?[1-9])()\\s?([AaPp])\\.?(?:[Mm]\\.(?!\\s+\\p{Lu}|\\s*$)|[Mm])" END, say_time, NULL},
    {HERE "((?:1[1-9]|20)[0-9]0)s" END, say_decade, NULL},
    {"([$£€¥])\\s?" WHOLE "\\s?[-–]\\s?(?:[$£€¥]\\s?)?" WHOLE "(?![\\p{L}\\p{N}]|\\.[0-9])", say_moneys, NULL},
    {HERE "(US|CA|AU|HK|NZ|C|A)([$])" SUM, say_whose, NULL},
    {"([$£€¥])\\s?" SUM, say_money, NULL},
    {"([$£€¥])()\\.([0-9]{2})" END, say_money, NULL},
    {HERE "([0-9]+)(?:[.,]([0-9]{2}))?\\s?([$£€¥])(?!\\s?[0-9])", say_code, NULL},
    {HERE NUMBER "\\s?(USD|EUR|GBP|JPY|CNY|CHF)" END, say_code, NULL},
    {HERE NUMBER "\\s?%", say_number, " percent"},
    {HERE NUMBER "\\s?(°C|°F|℃|℉|°)", say_unit, NULL},
    {HERE NUMBER "\\s?(km/h|kph|mph|m/"
                 "s|km|cm|mm|mi|ft|yd|kg|mg|lbs?|oz|[TGMKk]B|[GMk]?Hz|kWh|kW|ml|mL|ms|sec|min|hrs?|dB|px)([²³]?)" END,
     say_unit, NULL},
    {HERE NUMBER "\\s?(m)([²³])" END, say_unit, NULL},
    {HERE NUMBER "\\s?(m|g|s|h|l|L|W|V)" END "(?!')", say_unit, NULL},
    {HERE WHOLE "(?:st|nd|rd|th)" END, say_ordinal, NULL},
    {"\\+?([0-9]{1,3})[ -]\\(?([0-9]{3})\\)?[ -]([0-9]{3})-([0-9]{4})" END, say_each, NULL},
    {HERE "\\(?([0-9]{3})\\)?[ -]([0-9]{3})-([0-9]{4})" END, say_each, NULL},
    {HERE "([0-9]{3})-([0-9]{4})" END "(?!-)", say_each, NULL},
    {HERE "\\+?([0-9]{7,})" END, say_each, NULL},
    {HERE "([0-9]+(?:\\.[0-9]+){2,})" END, say_points, NULL},
    {HERE "([0-9]{1,4})\\s?[-–]\\s?([0-9]{1,4})(?![\\p{L}\\p{N}.-]|\\.[0-9])", say_range, " to "},
    {HERE "([0-9]{1,4})(?<!1)\\s?[-–]\\s?([0-9]{1,4})(?=\\.(?:\\s|$))", say_range, " to "},
    {HERE "([0-9]{1,4})\\s?[x×]\\s?([0-9]{1,4})" END, say_range, " by "},
    {HERE "([0-9]{1,3})/([0-9]{1,3})(?![\\p{L}\\p{N}/])", say_fraction, NULL},
    {"(?<![\\p{L}\\p{N}] |[\\p{L}\\p{N}])[-−](?=[$£€¥]?[0-9])", say_words, "minus "},
    {"(?<=[\\p{L}\\p{N}] )[-−](?=[$£€¥]?[0-9])", say_words, "minus "},
    {HERE WHOLE "\\.([0-9]+)", say_number, NULL},
    {HERE "(1[1-9][0-9][0-9]|20[0-9][0-9])(?![\\p{L}\\p{N}]|,[0-9])", say_year, NULL},
    {HERE WHOLE, say_number, NULL},
    {"([0-9]+)", say_number, NULL},
    {HERE "((?:King|Queen|Pope)(?:\\s+\\p{Lu}\\p{Ll}+){1,3})\\s+([IVXL]{1,6})" END, say_roman, "the"},
    {HERE "(Chapter|Part|Section|Volume|Act|World\\s+War)\\s+([IVXL]{1,6})" END, say_roman, ""},
    {HERE "Mr\\.?(?=\\s)", say_words, "Mister"},
    {HERE "Mrs\\.?(?=\\s)", say_words, "Missus"},
    {HERE "Ms\\.(?=\\s)", say_words, "Miz"},
    {HERE "Dr\\.(?=\\s+\\p{Lu})", say_words, "Doctor"},
    {HERE "Prof\\.(?=\\s)", say_words, "Professor"},
    {"(?<=\\p{Ll} )St\\.(?!\\s+\\p{Lu})", say_words, "Street"},
    {HERE "St\\.(?=\\s+\\p{Lu})", say_words, "Saint"},
    {"(?<=\\p{Ll} )Ave\\.", say_words, "Avenue"},
    {HERE "Jr\\.", say_words, "Junior"},
    {HERE "Sr\\.", say_words, "Senior"},
    {HERE "[Ee]\\.g\\.,?", say_words, "for example,"},
    {HERE "[Ii]\\.e\\.,?", say_words, "that is,"},
    {HERE "etc\\.(?=\\s+\\p{Lu}|\\s*$)", say_words, "et cetera."},
    {HERE "etc\\.", say_words, "et cetera"},
    {HERE "vs\\.?" END, say_words, "versus"},
    {HERE "approx\\.", say_words, "approximately"},
    {HERE "No\\.\\s?(?=[0-9])", say_words, "number "},
    {HERE "([AaPp])\\.[Mm]\\.", say_letters, NULL},
    {HERE "((?:\\p{Lu}\\.){2,})", say_address, NULL},
    {HERE "(?<!\\p{Lu}{2} )(\\p{Lu}{2,5})(s?)" END "(?! \\p{Lu}{2}|-[0-9]|[0-9])", say_letters, NULL},
    {HERE "(\\p{Lu}{1,5})()-?([0-9]{1,3})" END, say_letters, NULL},
    {"½", say_words, " one half"},
    {"¼", say_words, " one quarter"},
    {"¾", say_words, " three quarters"},
    {"\\s?&\\s?", say_words, " and "},
    {"#(?=[0-9])", say_words, "number "},
    {"[#©®™]", say_words, ""},
    {"№\\s?", say_words, "number "},
    {"\\s?@\\s?", say_words, " at "},
    {"[~≈]\\s?(?=[0-9])", say_words, "about "},
    {"\\s?×\\s?", say_words, " times "},
    {"(?<=[0-9])\\s?\\*\\s?(?=[0-9])", say_words, " times "},
    {"\\s?÷\\s?", say_words, " divided by "},
    {"\\s?±\\s?", say_words, " plus or minus "},
    {"\\s?\\+\\s?(?=\\S)", say_words, " plus "},
    {"\\s?=\\s?", say_words, " equals "},
    {"\\s?≤\\s?", say_words, " at most "},
    {"\\s?≥\\s?", say_words, " at least "},
    {"\\s?≠\\s?", say_words, " is not equal to "},
    {"\\s<\\s", say_words, " less than "},
    {"\\s>\\s", say_words, " greater than "},
    {"²", say_words, " squared"},
    {"³", say_words, " cubed"},
    {"∞", say_words, " infinity"},
    {"(?<=[0-9$£€¥%])\\s?/\\s?(?=\\p{L})", say_words, " per "},
    {"(?<=\\p{L})/(?=\\p{L})", say_words, " or "},
    {"\\s?%", say_words, " percent"},
    {"[$£€¥]", say_words, ""},
};

const so_spoken_rule *so_spoken_english(int *n)
{
    *n = (int)(sizeof rules / sizeof *rules);
    return rules;
}
