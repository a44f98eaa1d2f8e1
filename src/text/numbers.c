/* Number words to digits: one pass over the words with the number so far as its state.
 *
 * The number so far is kept in decimal digits, because "decillion" is beyond any machine word. It is either a plain
 * integer, to which words may add, or a string (after "oh", "point", repeats), to which words only append.
 *
 * Source: stream-omni.md section 8.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/numbers.h"

#include <stdio.h>
#include <string.h>

#include "text/unicode.h"

#define DIGITS_MAX 400 /* longer numbers are given out as they are, or in parts */

typedef enum word_class {
    PLAIN,
    ZERO,
    ONE,
    ONE_SUFFIXED,
    TEN,
    TEN_SUFFIXED,
    MULTIPLIER,
    MULTIPLIER_SUFFIXED,
    SIGN,     /* before a number */
    CURRENCY, /* after a number */
    PERCENT,
    PER,
    AND,
    REPEAT,
    POINT,
} word_class;

typedef struct word {
    word_class class;
    int value;         /* of ones and tens; zeros of a multiplier; repeats */
    const char *affix; /* suffix "th", "s", ...; prefix "$", "-" */
} word;

typedef struct piece {
    const char *text;
    size_t size;
    word word;
    bool numeric; /* digits, or digits.digits */
} piece;

typedef struct machine {
    so_string *out;
    size_t start; /* of `out` */
    const char *prefix;
    char value[DIGITS_MAX + 64];
    size_t size; /* 0: no number */
    bool string;
    so_error *error;
    so_status status;
} machine;

static const char *const ones[] = {"one",     "two",     "three",     "four",     "five",    "six",      "seven",
                                   "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen", "fourteen",
                                   "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
static const char *const tens[] = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
static const char *const multipliers[] = {"thousand",    "million",     "billion",    "trillion",
                                          "quadrillion", "quintillion", "sextillion", "septillion",
                                          "octillion",   "nonillion",   "decillion"};

static const struct {
    const char *text;
    word word;
} irregular[] = {
    {"o", {ZERO, 0, ""}},
    {"oh", {ZERO, 0, ""}},
    {"zero", {ZERO, 0, ""}},
    {"zeroth", {ONE_SUFFIXED, 0, "th"}},
    {"first", {ONE_SUFFIXED, 1, "st"}},
    {"second", {ONE_SUFFIXED, 2, "nd"}},
    {"third", {ONE_SUFFIXED, 3, "rd"}},
    {"fifth", {ONE_SUFFIXED, 5, "th"}},
    {"twelfth", {ONE_SUFFIXED, 12, "th"}},
    {"sixes", {ONE_SUFFIXED, 6, "s"}},
    {"hundred", {MULTIPLIER, 2, ""}},
    {"hundreds", {MULTIPLIER_SUFFIXED, 2, "s"}},
    {"hundredth", {MULTIPLIER_SUFFIXED, 2, "th"}},
    {"minus", {SIGN, 0, "-"}},
    {"negative", {SIGN, 0, "-"}},
    {"plus", {SIGN, 0, "+"}},
    {"positive", {SIGN, 0, "+"}},
    {"pound", {CURRENCY, 0, "£"}},
    {"pounds", {CURRENCY, 0, "£"}},
    {"euro", {CURRENCY, 0, "€"}},
    {"euros", {CURRENCY, 0, "€"}},
    {"dollar", {CURRENCY, 0, "$"}},
    {"dollars", {CURRENCY, 0, "$"}},
    {"cent", {CURRENCY, 0, "¢"}},
    {"cents", {CURRENCY, 0, "¢"}},
    {"percent", {PERCENT, 0, "%"}},
    {"per", {PER, 0, ""}},
    {"and", {AND, 0, ""}},
    {"double", {REPEAT, 2, ""}},
    {"triple", {REPEAT, 3, ""}},
    {"point", {POINT, 0, ""}},
};

static bool is(const char *text, size_t size, const char *what)
{
    return strlen(what) == size && memcmp(text, what, size) == 0;
}

/* Whether the text is `stem` without its last `cut` letters and then `ending`. */
static bool derives(const char *text, size_t size, const char *stem, size_t cut, const char *ending)
{
    size_t kept = strlen(stem) - cut;
    return size == kept + strlen(ending) && memcmp(text, stem, kept) == 0 &&
           memcmp(text + kept, ending, size - kept) == 0;
}

/* "nineth" is the ordinal the reference knows; "ninth" stays a word, as it does there. */
static bool is_ordinal(const char *text, size_t size, size_t value)
{
    const char *stem = ones[value - 1];
    if (value <= 3 || value == 5 || value == 12) return false;
    return derives(text, size, stem, 0, stem[strlen(stem) - 1] == 't' ? "h" : "th");
}

static word classify(const char *text, size_t size)
{
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++)
        if (is(text, size, irregular[i].text)) return irregular[i].word;
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++) {
        int value = (int)i + 1;
        if (is(text, size, ones[i])) return (word){ONE, value, ""};
        if (value != 6 && derives(text, size, ones[i], 0, "s")) return (word){ONE_SUFFIXED, value, "s"};
        if (is_ordinal(text, size, i + 1)) return (word){ONE_SUFFIXED, value, "th"};
    }
    for (size_t i = 0; i < sizeof tens / sizeof *tens; i++) {
        int value = 10 * ((int)i + 2);
        if (is(text, size, tens[i])) return (word){TEN, value, ""};
        if (derives(text, size, tens[i], 1, "ies")) return (word){TEN_SUFFIXED, value, "s"};
        if (derives(text, size, tens[i], 1, "ieth")) return (word){TEN_SUFFIXED, value, "th"};
    }
    for (size_t i = 0; i < sizeof multipliers / sizeof *multipliers; i++) {
        int zeros = 3 * ((int)i + 1);
        if (is(text, size, multipliers[i])) return (word){MULTIPLIER, zeros, ""};
        if (derives(text, size, multipliers[i], 0, "s")) return (word){MULTIPLIER_SUFFIXED, zeros, "s"};
        if (derives(text, size, multipliers[i], 0, "th")) return (word){MULTIPLIER_SUFFIXED, zeros, "th"};
    }
    return (word){PLAIN, 0, ""};
}

bool so_numbers_can_be_halved(const char *text, size_t size)
{
    word_class class = classify(text, size).class;
    return class == ZERO || class == ONE || class == TEN || class == MULTIPLIER;
}

static size_t prefix_length(const char *text, size_t size)
{
    static const char *const prefixes[] = {"$", "-", "+", "¢", "€", "£"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        if (size >= n && memcmp(text, prefixes[i], n) == 0) return n;
    }
    return 0;
}

static const char *prefix_string(const char *text, size_t length)
{
    return length == 0         ? NULL
           : *text == '$'      ? "$"
           : *text == '-'      ? "-"
           : *text == '+'      ? "+"
           : length == 3       ? "€"
           : text[1] == '\xa2' ? "¢"
                               : "£";
}

/* Digits of any script, with a point between or not. In ASCII they go to `plain` (may be NULL), which has room. */
static bool is_numeric(const char *text, size_t size, char *plain)
{
    size_t digits = 0, points = 0;
    for (size_t at = 0; at < size;) {
        int32_t c;
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        int value = so_digit_value(c);
        bool point = c == '.' && digits && !points && at < size;
        if (value < 0 && !point) return false;
        if (plain) *plain++ = point ? '.' : (char)('0' + value);
        points += point;
        digits += !point;
    }
    if (plain) *plain = 0;
    return digits > 0;
}

static void emit(machine *m, const char *text, size_t size, const char *suffix)
{
    const char *const parts[] = {m->out->size > m->start ? " " : "", m->prefix ? m->prefix : ""};
    for (size_t i = 0; i < 2 && m->status == SO_OK; i++) m->status = so_string_put(m->out, parts[i], m->error);
    if (m->status == SO_OK) m->status = so_string_add(m->out, text, size, m->error);
    if (m->status == SO_OK) m->status = so_string_put(m->out, suffix, m->error);
    m->prefix = NULL;
    m->size = 0;
    m->string = false;
}

static void emit_value(machine *m, const char *suffix)
{
    if (m->size) emit(m, m->value, m->size, suffix);
}

static void set_value(machine *m, const char *digits, size_t size, bool string)
{
    if (size > DIGITS_MAX) size = DIGITS_MAX;
    memcpy(m->value, digits, size);
    m->size = size;
    m->string = string;
}

static void append(machine *m, const char *digits, size_t size)
{
    if (m->size + size > DIGITS_MAX) emit_value(m, "");
    if (size > DIGITS_MAX) size = DIGITS_MAX;
    memcpy(m->value + m->size, digits, size);
    m->size += size;
    m->string = true;
}

/* For what begins or goes on with a string: an integer 0 before it is forgotten, as in the reference. */
static void forget_zero(machine *m)
{
    if (!m->string && m->size == 1 && m->value[0] == '0') m->size = 0;
}

static void append_number(machine *m, int number)
{
    char digits[16];
    append(m, digits, (size_t)snprintf(digits, sizeof digits, "%d", number));
}

static bool ends_in_zeros(const machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i < m->size && m->value[m->size - 1 - i] != '0') return false;
    return true;
}

/* Adds decimal digits to the integer so far. */
static void add(machine *m, const char *digits, size_t size)
{
    char sum[sizeof m->value];
    size_t n = (size > m->size ? size : m->size) + 1;
    int carry = 0;
    for (size_t i = 0; i < n; i++) {
        int x = i < m->size ? m->value[m->size - 1 - i] - '0' : 0, y = i < size ? digits[size - 1 - i] - '0' : 0;
        sum[n - 1 - i] = (char)('0' + (x + y + carry) % 10);
        carry = (x + y + carry) / 10;
    }
    const char *from = sum;
    while (n > 1 && *from == '0') from++, n--;
    set_value(m, from, n, false);
}

static void add_number(machine *m, int number)
{
    char digits[16];
    add(m, digits, (size_t)snprintf(digits, sizeof digits, "%d", number));
}

/* Puts a units or tens word to the number so far. `previous` is the word before it. */
static void put_number(machine *m, word w, const piece *previous)
{
    bool unit = w.class == ONE || w.class == ONE_SUFFIXED;
    bool after_unit = unit && previous && previous->word.class == ONE;
    bool after_ten = unit && previous && previous->word.class == TEN;
    if (m->size == 0) {
        append_number(m, w.value);
        m->string = false;
    } else if (m->string || after_unit) {
        if (after_ten && w.value < 10) m->size--; /* "twenty" left a final 0 for its unit */
        append_number(m, w.value);
    } else if (ends_in_zeros(m, unit && w.value < 10 ? 1 : 2)) {
        add_number(m, w.value);
    } else {
        append_number(m, w.value);
    }
}

/* The number so far, which is a string of digits with at most one point, times 10^zeros, if that is an integer. */
static bool scale(machine *m, size_t zeros)
{
    char digits[DIGITS_MAX + 64];
    size_t n = 0, decimals = 0, points = 0;
    for (size_t i = 0; i < m->size;) {
        int32_t c;
        i += (size_t)so_utf8_next(m->value + i, m->size - i, &c);
        int value = so_digit_value(c);
        if (c == '.')
            points++;
        else if (value >= 0)
            digits[n++] = (char)('0' + value), decimals += points > 0;
    }
    if (points > 1 || n == 0) return false;
    for (; decimals > zeros; decimals--)
        if (digits[--n] != '0') return false;
    if (n + zeros - decimals > DIGITS_MAX) return false;
    for (; decimals < zeros; decimals++) digits[n++] = '0';
    size_t from = 0;
    while (from + 1 < n && digits[from] == '0') from++;
    set_value(m, digits + from, n - from, false);
    return true;
}

/* floor(v / 1000) * 1000 + (v mod 1000) * 10^zeros. */
static void multiply_rest(machine *m, size_t zeros)
{
    char rest[64];
    size_t n = m->size < 3 ? m->size : 3;
    memcpy(rest, m->value + m->size - n, n);
    memset(m->value + m->size - n, '0', n);
    memset(rest + n, '0', zeros);
    add(m, rest, n + zeros);
}

static void put_power(machine *m, size_t zeros)
{
    set_value(m, "1", 1, false);
    scale(m, zeros);
}

static void put_multiplier(machine *m, word w)
{
    size_t zeros = (size_t)w.value;
    if (m->size == 0) {
        put_power(m, zeros);
    } else if (m->string) {
        if (!scale(m, zeros)) {
            emit_value(m, "");
            put_power(m, zeros);
        }
    } else {
        multiply_rest(m, zeros);
    }
}

static void put_digits(machine *m, const piece *p)
{
    size_t skip = prefix_length(p->text, p->size);
    if (m->size && m->string && m->value[m->size - 1] == '.') {
        append(m, p->text, p->size);
        return;
    }
    emit_value(m, "");
    if (skip) m->prefix = prefix_string(p->text, skip);
    char plain[DIGITS_MAX + 1];
    is_numeric(p->text + skip, p->size - skip, plain);
    set_value(m, plain, strlen(plain), true);
    if (!scale(m, 0)) set_value(m, p->text + skip, p->size - skip, true); /* no integer: as it stands there */
}

static void put_plain(machine *m, const piece *p)
{
    emit_value(m, "");
    emit(m, p->text, p->size, "");
}

static bool is_number_word(const piece *p) { return p && (p->word.class != PLAIN || p->numeric); }

/* "and", "double", "triple", "point". Returns whether the next word is used up. */
static bool put_special(machine *m, const piece *p, const piece *previous, const piece *next)
{
    word_class class = next ? next->word.class : PLAIN;
    if (!is_number_word(next)) {
        put_plain(m, p);
    } else if (p->word.class == AND) {
        if (!previous || previous->word.class != MULTIPLIER) put_plain(m, p);
    } else if (p->word.class == REPEAT) {
        if (class != ONE && class != ZERO) {
            put_plain(m, p);
            return false;
        }
        forget_zero(m);
        for (int i = 0; i < p->word.value; i++) append_number(m, next->word.value);
        return true;
    } else if (class == ONE || class == TEN || class == ZERO || next->numeric) {
        forget_zero(m);
        append(m, ".", 1);
    }
    return false;
}

/* "percent", "per". Returns whether the next word is used up. */
static bool put_percent(machine *m, const piece *p, const piece *next)
{
    bool two = p->word.class == PER;
    if (m->size == 0 || (two && !(next && is(next->text, next->size, "cent")))) {
        put_plain(m, p);
        return false;
    }
    emit_value(m, "%");
    return two;
}

/* One word. Returns whether the next is used up. */
static bool step(machine *m, const piece *p, const piece *previous, const piece *next)
{
    size_t skip = prefix_length(p->text, p->size);
    if (is_numeric(p->text + skip, p->size - skip, NULL) && p->size - skip <= DIGITS_MAX) {
        put_digits(m, p);
        return false;
    }
    switch (p->word.class) {
    case PLAIN:
        put_plain(m, p);
        break;
    case ZERO:
        forget_zero(m);
        append(m, "0", 1);
        break;
    case ONE:
    case TEN:
        put_number(m, p->word, previous);
        break;
    case ONE_SUFFIXED:
    case TEN_SUFFIXED:
        put_number(m, p->word, previous);
        emit_value(m, p->word.affix);
        break;
    case MULTIPLIER:
        put_multiplier(m, p->word);
        break;
    case MULTIPLIER_SUFFIXED:
        put_multiplier(m, p->word);
        emit_value(m, p->word.affix);
        break;
    case SIGN:
        emit_value(m, "");
        if (is_number_word(next))
            m->prefix = p->word.affix;
        else
            put_plain(m, p);
        break;
    case CURRENCY:
        if (m->size == 0) {
            put_plain(m, p);
        } else {
            m->prefix = p->word.affix;
            emit_value(m, "");
        }
        break;
    case PERCENT:
    case PER:
        return put_percent(m, p, next);
    default:
        return put_special(m, p, previous, next);
    }
    return false;
}

/* The word at the front of the text, and past it. */
static bool next_piece(const char **text, const char *end, piece *p)
{
    int32_t c;
    int length = 0;
    while (*text < end && (length = so_utf8_next(*text, (size_t)(end - *text), &c), so_is_space(c))) *text += length;
    p->text = *text;
    while (*text < end && (length = so_utf8_next(*text, (size_t)(end - *text), &c), !so_is_space(c))) *text += length;
    p->size = (size_t)(*text - p->text);
    p->word = classify(p->text, p->size);
    p->numeric = is_numeric(p->text, p->size, NULL);
    return p->size > 0;
}

so_status so_numbers_rewrite(const char *text, size_t size, so_string *out, so_error *error)
{
    const char *end = text + size;
    machine m = {.out = out, .start = out->size, .error = error};
    piece previous, current, next;
    bool has_previous = false, has_next = false, skip = false;
    SO_TRY(so_string_add(out, "", 0, error));
    if (size == 0 || !next_piece(&text, end, &current)) return SO_OK;
    do {
        has_next = next_piece(&text, end, &next);
        skip = skip ? false : step(&m, &current, has_previous ? &previous : NULL, has_next ? &next : NULL);
        previous = current;
        has_previous = true;
        current = next;
    } while (has_next && m.status == SO_OK);
    emit_value(&m, "");
    return m.status;
}
