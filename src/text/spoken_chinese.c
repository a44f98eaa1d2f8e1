/* What Chinese text is read otherwise than it is written. See text/spoken_rules.h.
 * Source: docs/spoken.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/spoken_rules.h"

typedef so_digits span;

static so_status put(so_string *out, const char *words, so_error *error) { return so_string_put(out, words, error); }
static bool same(span a, const char *b) { return a.size == strlen(b) && memcmp(a.text, b, a.size) == 0; }

static so_status number(span whole, span part, so_string *out, so_error *error)
{
    SO_TRY(so_words_chinese(whole, out, error));
    if (!part.size) return SO_OK;
    SO_TRY(put(out, "点", error));
    return so_words_chinese_each(part, out, error);
}

static so_status say_words(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)g;
    return put(out, with, error);
}

static so_status say_number(const span *g, const char *with, so_string *out, so_error *error)
{
    SO_TRY(number(g[0], g[1], out, error));
    return put(out, with ? with : "", error);
}

static so_status say_each(const span *g, const char *with, so_string *out, so_error *error)
{
    for (int i = 0; i < SO_SPOKEN_GROUPS; i++) SO_TRY(so_words_chinese_each(g[i], out, error));
    return put(out, with ? with : "", error);
}

static so_status say_percent(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(put(out, "百分之", error));
    return number(g[0], g[1], out, error);
}

static span unpadded(span n)
{
    if (n.size == 2 && n.text[0] == '0') n.text++, n.size--;
    return n;
}

/* Groups: year, month, day. */
static so_status say_date(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(so_words_chinese_each(g[0], out, error));
    SO_TRY(put(out, "年", error));
    SO_TRY(so_words_chinese(unpadded(g[1]), out, error));
    SO_TRY(put(out, "月", error));
    SO_TRY(so_words_chinese(unpadded(g[2]), out, error));
    return put(out, "日", error);
}

/* Groups: hour, minutes. */
static so_status say_time(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    bool two = same(unpadded(g[0]), "2");
    SO_TRY(two ? put(out, "两", error) : so_words_chinese(unpadded(g[0]), out, error));
    SO_TRY(put(out, "点", error));
    if (!g[1].size || so_digits_value(g[1]) == 0) return put(out, "整", error);
    if (g[1].text[0] == '0') SO_TRY(put(out, "零", error));
    SO_TRY(so_words_chinese(unpadded(g[1]), out, error));
    return put(out, "分", error);
}

/* Groups: sign, whole, part, 万 or 亿. */
static so_status say_money(const span *g, const char *with, so_string *out, so_error *error)
{
    static const char *const names[][2] = {{"$", "美元"}, {"€", "欧元"}, {"£", "英镑"}, {"¥", "元"}, {"￥", "元"}};
    span part = g[2];
    (void)with;
    while (part.size && part.text[part.size - 1] == '0') part.size--;
    SO_TRY(number(g[1], part, out, error));
    SO_TRY(so_string_add(out, g[3].text ? g[3].text : "", g[3].size, error));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(g[0], names[i][0])) return put(out, names[i][1], error);
    return SO_OK;
}

static so_status say_range(const span *g, const char *with, so_string *out, so_error *error)
{
    SO_TRY(so_words_chinese(g[0], out, error));
    SO_TRY(put(out, with, error));
    return so_words_chinese(g[1], out, error);
}

static so_status say_fraction(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    SO_TRY(so_words_chinese(g[1], out, error));
    SO_TRY(put(out, "分之", error));
    return so_words_chinese(g[0], out, error);
}

/* Groups: whole, part, unit. */
static so_status say_unit(const span *g, const char *with, so_string *out, so_error *error)
{
    static const char *const names[][2] = {
        {"km/h", "公里每小时"}, {"km", "公里"},  {"cm", "厘米"},   {"mm", "毫米"}, {"m", "米"},
        {"kg", "公斤"},         {"mg", "毫克"},  {"g", "克"},      {"ml", "毫升"}, {"L", "升"},
        {"°C", "摄氏度"},       {"℃", "摄氏度"}, {"°F", "华氏度"}, {"°", "度"},    {"km²", "平方公里"},
        {"m²", "平方米"},       {"m³", "立方米"}};
    (void)with;
    SO_TRY(number(g[0], g[1], out, error));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(g[2], names[i][0])) return put(out, names[i][1], error);
    return SO_OK;
}

static so_status say_letters(const span *g, const char *with, so_string *out, so_error *error)
{
    (void)with;
    for (size_t i = 0; i < g[0].size; i++) {
        if (i) SO_TRY(put(out, " ", error));
        SO_TRY(so_string_add(out, g[0].text + i, 1, error));
    }
    return SO_OK;
}

/* Group: an address of mail or web. */
static so_status say_address(const span *g, const char *with, so_string *out, so_error *error)
{
    static const char *const signs[][2] = {{".", "点"}, {"/", "斜杠"}, {"-", "横杠"}, {"_", "下划线"}, {"@", "艾特"}};
    span a = g[0];
    (void)with;
    while (a.size && a.text[a.size - 1] == '/') a.size--;
    for (size_t i = 0; i < a.size; i++) {
        const char *sign = NULL;
        for (size_t k = 0; k < sizeof signs / sizeof *signs; k++)
            if (a.text[i] == signs[k][0][0]) sign = signs[k][1];
        bool digit = a.text[i] >= '0' && a.text[i] <= '9';
        if (sign)
            SO_TRY(put(out, sign, error));
        else if (digit)
            SO_TRY(so_words_chinese_each((span){a.text + i, 1}, out, error));
        else
            SO_TRY(so_string_add(out, a.text + i, 1, error));
    }
    return SO_OK;
}

#define NUMBER "([0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\\.([0-9]+))?"
#define FREE "(?<![0-9.])"

#define HERE "(?<![A-Za-z0-9])"
#define LABELS "[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)"

static const so_spoken_rule rules[] = {
    {HERE "([A-Za-z0-9][A-Za-z0-9._-]*@" LABELS "+)", say_address, NULL},
    {HERE "(?:https?|ftp)://(?:www\\.)?(" LABELS "*(?:/[A-Za-z0-9._/-]*[A-Za-z0-9_/-])?)", say_address, NULL},
    {HERE "www\\.(" LABELS "*(?:/[A-Za-z0-9._/-]*[A-Za-z0-9_/-])?)", say_address, NULL},
    {FREE "([0-9]{4})[-/.](0?[1-9]|1[0-2])[-/.](0?[1-9]|[12][0-9]|3[01])(?![0-9])", say_date, NULL},
    {FREE "([0-9]{4}|[0-9]{2})年", say_each, "年"},
    {FREE "([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?(?![0-9])", say_time, NULL},
    {FREE "([01]?[0-9]|2[0-3])点([0-5][0-9])分", say_time, NULL},
    {"([$€£¥￥])\\s?" NUMBER "([万亿]?)(?:美元|欧元|英镑|日元|元|块)?", say_money, NULL},
    {FREE NUMBER "\\s?%", say_percent, NULL},
    {FREE NUMBER "\\s?(km/h|km²|m²|m³|km|cm|mm|kg|mg|ml|°C|°F|℃|°|m|g|L)(?![A-Za-z])", say_unit, NULL},
    {FREE "([0-9]{7,})(?![0-9])", say_each, NULL},
    {FREE "([0-9]{3,4})-([0-9]{7,8})(?![0-9])", say_each, NULL},
    {FREE "([0-9]{1,4})\\s?[-–~～]\\s?([0-9]{1,4})(?![0-9.])", say_range, "到"},
    {FREE "([0-9]{1,3})/([0-9]{1,3})(?![0-9])", say_fraction, NULL},
    {FREE "2(?=\\s?[个只条本张位件天次名块座辆杯瓶把双对种场岁颗间家层台部])", say_words, "两"},
    {"(?<![0-9\\p{L}])[-−](?=[0-9])", say_words, "负"},
    {"(?<=\\p{Han})[-−](?=[0-9])", say_words, "负"},
    {FREE NUMBER, say_number, NULL},
    {"([0-9]+)", say_each, NULL},
    {"(?<![A-Za-z])([A-Z]{2,5})(?![A-Za-z])", say_letters, NULL},
    {"\\s?\\+\\s?", say_words, "加"},
    {"\\s?=\\s?", say_words, "等于"},
    {"\\s?&\\s?", say_words, "和"},
    {"\\s?×\\s?", say_words, "乘以"},
    {"\\s?÷\\s?", say_words, "除以"},
    {"²", say_words, "平方"},
    {"³", say_words, "立方"},
    {"\\s-\\s", say_words, "，"},
    {"%", say_words, "百分之"},
};

const so_spoken_rule *so_spoken_chinese(int *n)
{
    *n = (int)(sizeof rules / sizeof *rules);
    return rules;
}
