/* Talk of the tabletop world without a picture, and its lines of text.
 * Source: the tabletop spec, "Talk without a picture".
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "dataset/tabletop/tabletop_outside.h"

enum { HIGHEST = 20, COUNT_LENGTH = 10, FIRST_TRAINED = SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS };

static const uint64_t TALK = 0x74616c6b00000000u, REPEAT = 0x7265706561740000u, TEXT = 0x7465787400000000u,
                      SCENES = 0x7363656e65730000u, DRAW = 0x6472617700000000u;

static const char *const numbers[HIGHEST + 1] = {"zero",     "one",      "two",      "three",   "four",    "five",
                                                 "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
                                                 "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                                                 "eighteen", "nineteen", "twenty"};
static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const opposites[][2] = {
    {"hot", "cold"},       {"big", "small"},    {"long", "short"},  {"fast", "slow"},      {"high", "low"},
    {"up", "down"},        {"left", "right"},   {"open", "closed"}, {"old", "young"},      {"early", "late"},
    {"happy", "sad"},      {"full", "empty"},   {"light", "dark"},  {"hard", "soft"},      {"wet", "dry"},
    {"loud", "quiet"},     {"rich", "poor"},    {"strong", "weak"}, {"thick", "thin"},     {"clean", "dirty"},
    {"day", "night"},      {"good", "bad"},     {"first", "last"},  {"near", "far"},       {"above", "below"},
    {"inside", "outside"}, {"always", "never"}, {"true", "false"},  {"easy", "difficult"}, {"asleep", "awake"}};
/* Which color is it? Named as they are said in a sentence. */
static const char *const things[][2] = {
    {"the sky", "blue"},     {"grass", "green"},     {"snow", "white"},       {"a banana", "yellow"},
    {"a lemon", "yellow"},   {"a tomato", "red"},    {"blood", "red"},        {"coal", "black"},
    {"milk", "white"},       {"a carrot", "orange"}, {"a pumpkin", "orange"}, {"a strawberry", "red"},
    {"the sun", "yellow"},   {"the sea", "blue"},    {"a frog", "green"},     {"chocolate", "brown"},
    {"an elephant", "gray"}, {"a flamingo", "pink"}, {"a cucumber", "green"}, {"a raven", "black"},
    {"lavender", "purple"},  {"a swan", "white"},    {"a fire truck", "red"}, {"an eggplant", "purple"},
    {"a pig", "pink"}};
static const char *const small[][2] = {
    {"Hello.", "Hello, how can I help you?"},
    {"Good morning.", "Good morning, how can I help you?"},
    {"Good evening.", "Good evening, how can I help you?"},
    {"Who are you?", "I am a small model that can see, hear and speak."},
    {"What can you do?", "I can describe shapes in a picture, add small numbers, count, name days and letters, and "
                         "repeat words."},
    {"How are you?", "I am fine, thank you."},
    {"Can you hear me?", "Yes, I can hear you."},
    {"Thank you.", "You are welcome."},
    {"Are you a person?", "No, I am a small model."},
    {"Nice to meet you.", "Nice to meet you too."},
    {"Good night.", "Good night, sleep well."},
    {"Goodbye.", "Goodbye, see you soon."}};

#define COUNT_OF(list) ((int64_t)(sizeof(list) / sizeof *(list)))

bool so_tabletop_has_opposite(const char *word)
{
    for (int64_t i = 0; i < COUNT_OF(opposites); i++)
        if (strcmp(word, opposites[i][0]) == 0 || strcmp(word, opposites[i][1]) == 0) return true;
    return false;
}

bool so_tabletop_has_colour(const char *word)
{
    for (int64_t i = 0; i < COUNT_OF(things); i++)
        if (strstr(things[i][0], word)) return true;
    return false;
}

static void capital(char *text) { text[0] = (char)toupper((unsigned char)text[0]); }

uint64_t so_tabletop_other_seed(so_tabletop_part part, uint64_t seed, uint64_t index)
{
    return SO_TABLETOP_OTHER_SCENE + so_tabletop_scene_seed(part, seed ^ DRAW, index);
}

uint64_t so_tabletop_scene_seed(so_tabletop_part part, uint64_t seed, uint64_t index)
{
    /* A walk through all residues: 3^18 and a million share no factor. */
    uint64_t x = seed ^ SCENES, start = so_splitmix(&x) % SO_TABLETOP_RESERVED_SCENE;
    uint64_t place = (start + index % SO_TABLETOP_RESERVED_SCENE * 387420489u) % SO_TABLETOP_RESERVED_SCENE;
    return part == SO_TABLETOP_RESERVED ? SO_TABLETOP_RESERVED_SCENE + place : place;
}

static void say_sum(so_rng *rng, bool minus, so_qa *out)
{
    int a = (int)so_rng_range(rng, 0, HIGHEST), b = (int)so_rng_range(rng, 0, minus ? a : HIGHEST - a);
    const char *sign = minus ? "minus" : "plus";
    snprintf(out->question, sizeof out->question, "What is %s %s %s?", numbers[a], sign, numbers[b]);
    snprintf(out->answer, sizeof out->answer, "%s %s %s is %s.", numbers[a], sign, numbers[b],
             numbers[minus ? a - b : a + b]);
    capital(out->answer);
}

static void say_counting(so_rng *rng, so_qa *out)
{
    int from = (int)so_rng_range(rng, 0, HIGHEST - 1), most = from + COUNT_LENGTH - 1;
    int to = (int)so_rng_range(rng, from + 1, most < HIGHEST ? most : HIGHEST), at = 0;
    snprintf(out->question, sizeof out->question, "Count from %s to %s.", numbers[from], numbers[to]);
    for (int n = from; n <= to; n++)
        at += snprintf(out->answer + at, sizeof out->answer - (size_t)at, "%s%s", numbers[n], n < to ? ", " : ".");
    capital(out->answer);
}

static void say_next(so_rng *rng, const char *what, const char *const *names, int count, so_qa *out)
{
    int asked = (int)so_rng_below(rng, count);
    bool before = so_rng_below(rng, 2);
    const char *word = before ? "before" : "after";
    snprintf(out->question, sizeof out->question, "What %s comes %s %s?", what, word, names[asked]);
    snprintf(out->answer, sizeof out->answer, "%s comes %s %s.", names[(asked + (before ? count - 1 : 1)) % count],
             word, names[asked]);
}

/* Never an answer that opens with "A": espeak-ng would speak it as the article. */
static void say_letter(so_rng *rng, so_qa *out)
{
    bool before = so_rng_below(rng, 2);
    int asked = (int)(before ? so_rng_range(rng, 'C', 'Z') : so_rng_range(rng, 'A', 'Y'));
    const char *word = before ? "before" : "after";
    snprintf(out->question, sizeof out->question, "What letter comes %s %c?", word, asked);
    snprintf(out->answer, sizeof out->answer, "%c comes %s %c.", asked + (before ? -1 : 1), word, asked);
}

static void say_opposite(so_rng *rng, so_qa *out)
{
    const char *const *pair = opposites[so_rng_below(rng, COUNT_OF(opposites))];
    int side = (int)so_rng_below(rng, 2);
    snprintf(out->question, sizeof out->question, "What is the opposite of %s?", pair[side]);
    snprintf(out->answer, sizeof out->answer, "The opposite of %s is %s.", pair[side], pair[!side]);
}

static void say_thing(so_rng *rng, so_qa *out)
{
    const char *const *thing = things[so_rng_below(rng, COUNT_OF(things))];
    snprintf(out->question, sizeof out->question, "What color is %s?", thing[0]);
    snprintf(out->answer, sizeof out->answer, "%s is %s.", thing[0], thing[1]);
    capital(out->answer);
}

static void say_small(so_rng *rng, so_qa *out)
{
    const char *const *pair = small[so_rng_below(rng, COUNT_OF(small))];
    snprintf(out->question, sizeof out->question, "%s", pair[0]);
    snprintf(out->answer, sizeof out->answer, "%s", pair[1]);
}

static bool listed(const int *words, int count, int word)
{
    for (int i = 0; i < count; i++)
        if (words[i] == word) return true;
    return false;
}

static void say_repeat(so_tabletop_part part, so_rng *rng, int least, int most, so_qa *out)
{
    bool reserved = part == SO_TABLETOP_RESERVED;
    int words[SO_TABLETOP_REPEAT_MAX], count = (int)so_rng_range(rng, least, most), at = 0;
    words[0] = (int)so_rng_range(rng, reserved ? FIRST_TRAINED : 0, (reserved ? SO_TABLETOP_WORDS : FIRST_TRAINED) - 1);
    for (int i = 1; i < count; i++) do
            words[i] = (int)so_rng_below(rng, SO_TABLETOP_WORDS);
        while (listed(words, i, words[i]));
    for (int i = 0; i < count; i++)
        at += snprintf(out->answer + at, sizeof out->answer - (size_t)at, "%s%s", so_tabletop_words[words[i]],
                       i < count - 1 ? ", " : ".");
    snprintf(out->question, sizeof out->question, "Repeat after me: %.140s", out->answer);
    capital(out->answer);
    out->kind = SO_TALK_REPEAT;
    out->group = count;
    out->language[0] = 0;
}

/* "Candle begins with C.": words with a capital, which lists have only where they open. Half of the time one of the
 * words that open no list in training. */
static void say_initial(so_rng *rng, so_qa *out)
{
    int word = (int)so_rng_range(rng, so_rng_below(rng, 2) ? FIRST_TRAINED : 0, SO_TABLETOP_WORDS - 1);
    snprintf(out->question, sizeof out->question, "What letter does %s begin with?", so_tabletop_words[word]);
    snprintf(out->answer, sizeof out->answer, "%s begins with %c.", so_tabletop_words[word],
             toupper((unsigned char)so_tabletop_words[word][0]));
    capital(out->answer);
}

/* "Which word comes first: candle, river?" Again words with a capital. */
static void say_first(so_rng *rng, so_qa *out)
{
    int first = (int)so_rng_range(rng, so_rng_below(rng, 2) ? FIRST_TRAINED : 0, SO_TABLETOP_WORDS - 1),
        count = (int)so_rng_range(rng, 1, 4);
    int at = snprintf(out->question, sizeof out->question, "Which word comes first: %s", so_tabletop_words[first]);
    for (int i = 0; i < count; i++)
        at += snprintf(out->question + at, sizeof out->question - (size_t)at, ", %s",
                       so_tabletop_words[so_rng_below(rng, SO_TABLETOP_WORDS)]);
    snprintf(out->question + at, sizeof out->question - (size_t)at, "?");
    snprintf(out->answer, sizeof out->answer, "%s comes first.", so_tabletop_words[first]);
    capital(out->answer);
}

static int clamp(int x, int lo, int hi) { return x < lo ? lo : x > hi ? hi : x; }

void so_tabletop_repeat(so_tabletop_part part, uint64_t seed, uint64_t index, int least, int most, so_qa *out)
{
    so_rng rng;
    so_rng_init(&rng, seed ^ REPEAT ^ (uint64_t)part << 60, index);
    least = clamp(least, 1, SO_TABLETOP_REPEAT_MAX);
    say_repeat(part, &rng, least, clamp(most, least, SO_TABLETOP_REPEAT_MAX), out);
}

static int pick_kind(so_rng *rng, uint32_t kinds)
{
    const uint32_t repeat = 1u << SO_TALK_REPEAT;
    if (kinds == repeat || ((kinds & repeat) && so_rng_below(rng, 5) < 2)) return SO_TALK_REPEAT;
    kinds &= ~repeat;
    int nth = (int)so_rng_below(rng, __builtin_popcount(kinds));
    while (nth-- > 0) kinds &= kinds - 1;
    return __builtin_ctz(kinds);
}

static void say_kind(so_tabletop_part part, so_tabletop_kind kind, bool spelled, so_rng *rng, so_qa *out)
{
    out->kind = kind;
    out->group = 0;
    out->language[0] = 0;
    switch (kind) {
    case SO_TALK_SUM:
        say_sum(rng, false, out);
        break;
    case SO_TALK_DIFFERENCE:
        say_sum(rng, true, out);
        break;
    case SO_TALK_COUNTING:
        say_counting(rng, out);
        break;
    case SO_TALK_DAY:
        say_next(rng, "day", days, COUNT_OF(days), out);
        break;
    case SO_TALK_MONTH:
        say_next(rng, "month", months, COUNT_OF(months), out);
        break;
    case SO_TALK_LETTER:
        say_letter(rng, out);
        break;
    case SO_TALK_OPPOSITE:
        say_opposite(rng, out);
        break;
    case SO_TALK_THING:
        say_thing(rng, out);
        break;
    case SO_TALK_SMALL:
        say_small(rng, out);
        break;
    case SO_TALK_INITIAL:
        say_initial(rng, out);
        break;
    case SO_TALK_FIRST:
        say_first(rng, out);
        break;
    case SO_TALK_REPEAT:
        say_repeat(part, rng, SO_TABLETOP_REPEAT_MIN, SO_TABLETOP_REPEAT_MAX, out);
        break;
    default:
        so_tabletop_wider(part, kind, spelled, rng, out);
    }
}

void so_tabletop_talk(so_tabletop_part part, uint64_t seed, uint64_t index, uint32_t kinds, so_qa *out)
{
    const uint32_t every = (1u << SO_TALK_INITIAL) - (1u << SO_QA_PICTURE_KINDS);
    so_rng rng;
    so_rng_init(&rng, seed ^ TALK ^ (uint64_t)part << 60, index);
    kinds &= (1u << SO_QA_ABSENT) - (1u << SO_QA_PICTURE_KINDS);
    say_kind(part, (so_tabletop_kind)pick_kind(&rng, kinds ? kinds : every), true, &rng, out);
}

/* Of a hundred exchanges of a speaking corpus: about a picture, ones that name what it has not, and other pictures;
 * then talk from where the world ends. The rest is talk of the world. */
enum { OF_PICTURES = 36, OF_ABSENT = 3, OF_OTHER = 2, OF_OUTSIDE = 8, OF_WIDER = 5, OF_NOTHING = 2 };

void so_tabletop_draw(so_tabletop_part part, uint64_t seed, uint64_t index, so_qa *out, uint64_t *scene_seed)
{
    so_rng rng;
    so_scene scene;
    so_rng_init(&rng, seed ^ DRAW ^ (uint64_t)part << 60, index);
    int64_t lot = so_rng_below(&rng, 100);
    *scene_seed = so_tabletop_scene_seed(part, seed, index);
    so_scene_make(&scene, *scene_seed);
    if (lot < OF_PICTURES) {
        so_scene_ask(&scene, 0, &rng, out);
        return;
    }
    if ((lot -= OF_PICTURES) < OF_ABSENT) {
        so_scene_ask_wider(&scene, &rng, out);
        return;
    }
    if ((lot -= OF_ABSENT) < OF_OTHER) {
        *scene_seed = so_tabletop_other_seed(part, seed, index);
        so_scene_ask_other(part, &rng, out);
        return;
    }
    *scene_seed = SO_TABLETOP_NO_SCENE;
    lot -= OF_OTHER;
    uint32_t kinds = lot < OF_OUTSIDE                           ? 1u << SO_TALK_OUTSIDE
                     : lot < OF_OUTSIDE + OF_WIDER              ? SO_TALK_WIDER & ~(1u << SO_TALK_OUTSIDE)
                     : lot < OF_OUTSIDE + OF_WIDER + OF_NOTHING ? 1u << SO_TALK_NOTHING
                                                                : 0;
    so_tabletop_talk(part, seed, index, kinds, out);
}

/* A line of text in so many is from where the world ends. */
enum { TEXT_WIDER = 8 };

size_t so_tabletop_text(so_tabletop_part part, uint64_t seed, uint64_t index, char *text, size_t size)
{
    so_rng rng;
    so_qa qa;
    so_rng_init(&rng, seed ^ TEXT ^ (uint64_t)part << 60, index);
    if (index % TEXT_WIDER == TEXT_WIDER - 1) {
        say_kind(part, (so_tabletop_kind)pick_kind(&rng, SO_TALK_WIDER | 1u << SO_TALK_NOTHING), false, &rng, &qa);
        if (so_rng_below(&rng, 4) == 0) {
            so_scene scene;
            so_scene_make(&scene, so_tabletop_scene_seed(part, seed, index));
            so_scene_ask_wider(&scene, &rng, &qa);
            if (qa.group == 5) /* names a thing from outside */
                snprintf(qa.question, sizeof qa.question, "Is there a %s?", SO_TABLETOP_UNKNOWN);
        } else if (so_rng_below(&rng, 10) == 0) {
            so_scene_ask_other(part, &rng, &qa);
        }
    } else if (so_rng_below(&rng, 2)) {
        so_scene scene;
        so_scene_make(&scene, so_tabletop_scene_seed(part, seed, index));
        so_scene_ask(&scene, 0, &rng, &qa);
    } else {
        so_tabletop_talk(part, seed ^ TEXT, index, so_rng_below(&rng, 16) ? 0 : 1u << SO_TALK_INITIAL, &qa);
    }
    int n = snprintf(text, size, "%s\n%s", qa.question, qa.answer);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size ? size - 1 : 0;
}
