/* Numbers as words. See text/spoken_words.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/spoken_words.h"

#include <string.h>

static const char *const ones[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                                   "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                   "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
static const char *const tens[] = {"",      "",      "twenty",  "thirty", "forty",
                                   "fifty", "sixty", "seventy", "eighty", "ninety"};
static const char *const large[] = {"", " thousand", " million", " billion", " trillion"};
static const char *const irregular[][2] = {{"one", "first"},     {"two", "second"},   {"three", "third"},
                                           {"five", "fifth"},    {"eight", "eighth"}, {"nine", "ninth"},
                                           {"twelve", "twelfth"}};
static const char *const chinese[] = {"零", "一", "二", "三", "四", "五", "六", "七", "八", "九"};

int64_t so_digits_value(so_digits d)
{
    int64_t value = 0;
    for (size_t i = 0; i < d.size; i++) {
        if (d.text[i] == ',') continue;
        value = value * 10 + (d.text[i] - '0');
        if (value > (int64_t)1000000000000000) return -1;
    }
    return value;
}

static bool one_by_one(so_digits d) { return (d.size > 1 && d.text[0] == '0') || so_digits_value(d) < 0; }

so_status so_words_each(so_digits d, so_string *out, so_error *error)
{
    bool first = true;
    for (size_t i = 0; i < d.size; i++) {
        if (d.text[i] < '0' || d.text[i] > '9') continue;
        if (!first) SO_TRY(so_string_put(out, " ", error));
        SO_TRY(so_string_put(out, ones[d.text[i] - '0'], error));
        first = false;
    }
    return SO_OK;
}

/* 1 to 999. */
static so_status hundreds(int64_t n, so_string *out, so_error *error)
{
    if (n >= 100) {
        SO_TRY(so_string_put(out, ones[n / 100], error));
        SO_TRY(so_string_put(out, n % 100 ? " hundred " : " hundred", error));
    }
    n %= 100;
    if (n >= 20) {
        SO_TRY(so_string_put(out, tens[n / 10], error));
        if (n % 10) SO_TRY(so_string_put(out, "-", error));
        n %= 10;
    }
    return n ? so_string_put(out, ones[n], error) : SO_OK;
}

static so_status cardinal(int64_t n, so_string *out, so_error *error)
{
    int64_t unit = (int64_t)1000000000000;
    bool any = false;
    if (n == 0) return so_string_put(out, ones[0], error);
    for (int i = 4; i >= 0; i--, unit /= 1000) {
        int64_t part = n / unit % 1000;
        if (!part) continue;
        if (any) SO_TRY(so_string_put(out, " ", error));
        SO_TRY(hundreds(part, out, error));
        SO_TRY(so_string_put(out, large[i], error));
        any = true;
    }
    return SO_OK;
}

so_status so_words_cardinal(so_digits d, so_string *out, so_error *error)
{
    return one_by_one(d) ? so_words_each(d, out, error) : cardinal(so_digits_value(d) % 1000000000000000, out, error);
}

so_status so_words_ordinal(so_digits d, so_string *out, so_error *error)
{
    SO_TRY(so_words_cardinal(d, out, error));
    size_t from = out->size;
    while (from > 0 && out->data[from - 1] != ' ' && out->data[from - 1] != '-') from--;
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++)
        if (strcmp(out->data + from, irregular[i][0]) == 0) {
            out->size = from;
            return so_string_put(out, irregular[i][1], error);
        }
    if (out->data[out->size - 1] != 'y') return so_string_put(out, "th", error);
    out->size--;
    return so_string_put(out, "ieth", error);
}

so_status so_words_year(so_digits d, so_string *out, so_error *error)
{
    int64_t year = so_digits_value(d);
    if (year < 1100 || year > 2099 || (year >= 2000 && year < 2010)) return so_words_cardinal(d, out, error);
    SO_TRY(cardinal(year / 100, out, error));
    if (year % 100 == 0) return so_string_put(out, " hundred", error);
    SO_TRY(so_string_put(out, year % 100 < 10 ? " oh " : " ", error));
    return cardinal(year % 100, out, error);
}

so_status so_words_chinese_each(so_digits d, so_string *out, so_error *error)
{
    for (size_t i = 0; i < d.size; i++)
        if (d.text[i] >= '0' && d.text[i] <= '9') SO_TRY(so_string_put(out, chinese[d.text[i] - '0'], error));
    return SO_OK;
}

/* 1 to 9999. `inner`: larger places stand before it, so that ten is 一十 and gaps are 零. */
static so_status four(int64_t n, bool inner, so_string *out, so_error *error)
{
    static const char *const place[] = {"", "十", "百", "千"};
    int64_t unit = 1000;
    bool gap = inner && n < 1000, any = false;
    for (int i = 3; i >= 0; i--, unit /= 10) {
        int64_t digit = n / unit % 10;
        if (!digit) {
            gap = gap || any;
            continue;
        }
        if (gap) SO_TRY(so_string_put(out, chinese[0], error));
        gap = false;
        if (!(i == 1 && digit == 1 && !any && !inner)) SO_TRY(so_string_put(out, chinese[digit], error));
        SO_TRY(so_string_put(out, place[i], error));
        any = true;
    }
    return SO_OK;
}

so_status so_words_chinese(so_digits d, so_string *out, so_error *error)
{
    static const char *const place[] = {"", "万", "亿", "万亿"};
    int64_t n = so_digits_value(d), unit = (int64_t)1000000000000;
    bool any = false;
    if (one_by_one(d)) return so_words_chinese_each(d, out, error);
    if (n == 0) return so_string_put(out, chinese[0], error);
    for (int i = 3; i >= 0; i--, unit /= 10000) {
        int64_t part = n / unit % 10000;
        if (!part) continue;
        SO_TRY(four(part, any, out, error));
        SO_TRY(so_string_put(out, place[i], error));
        any = true;
    }
    return SO_OK;
}
