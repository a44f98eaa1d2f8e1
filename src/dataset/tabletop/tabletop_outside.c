/* Where the tabletop world ends: what is asked there, and what is answered honestly; what the model can do, chat.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_outside.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "dataset/tabletop/tabletop_outside_lists.h"

enum { FIRST_TRAINED = SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS };

#define COUNT_OF(list) ((int64_t)(sizeof(list) / sizeof *(list)))

static const char *const declines[SO_DECLINES] = {
    [SO_DECLINE_WORLD] = "I am a small model. I only know this little world of shapes, numbers and words.",
    [SO_DECLINE_DEED] = "I can not do that. I only know shapes, numbers and words.",
    [SO_DECLINE_NOW] = "I do not know that. I am only a small model.",
    [SO_DECLINE_SUM] = "I only add and take away numbers up to twenty.",
    [SO_DECLINE_LANGUAGE] = "I do not understand that. I only know a little English.",
    [SO_DECLINE_NO_PICTURE] = "I do not see a picture.",
    [SO_DECLINE_PICTURE] = "This is not a picture I know.",
    [SO_DECLINE_SHAPES] = "I only see shapes in this picture.",
    [SO_DECLINE_SOUND] = "I heard nothing."};

static const char ABLE[] =
    "I can describe shapes in a picture, add small numbers, count, name days and letters, and repeat words.";
static const char *const able[2][14] = {
    {"What can you do?", "What do you know?", "What are you good at?", "What can you do for me?", "Help.",
     "Can you help me?", "How can you help me?", "Tell me what you can do.", "What can I ask?", "What are you for?",
     "How does this work?", "What can I do here?", "What can I say?", "Please help me."},
    {"What can I ask you?", "What are you able to do?", "Tell me what you know.", "I need help."}};
static const char *const chat[][2] = {
    {"Hi.", "Hello, how can I help you?"},
    {"Hey.", "Hello, how can I help you?"},
    {"Hello there.", "Hello, how can I help you?"},
    {"Hello, how are you?", "I am fine, thank you."},
    {"Good afternoon.", "Good afternoon, how can I help you?"},
    {"Good day.", "Good day, how can I help you?"},
    {"How are you doing?", "I am fine, thank you."},
    {"How are you today?", "I am fine, thank you."},
    {"Are you there?", "Yes, I am here."},
    {"Can you see me?", "No, I only see pictures."},
    {"Can you see?", "Yes, I can see pictures."},
    {"Can you speak?", "Yes, I can speak."},
    {"Do you hear me?", "Yes, I can hear you."},
    {"What is your name?", "I have no name. I am a small model."},
    {"What are you?", "I am a small model that can see, hear and speak."},
    {"How old are you?", "I am very young."},
    {"Are you a robot?", "No, I am a small model."},
    {"Are you alive?", "No, I am a small model."},
    {"Are you happy?", "Yes, I am happy to help you."},
    {"Thanks.", "You are welcome."},
    {"Thank you very much.", "You are welcome."},
    {"Well done.", "Thank you."},
    {"Very good.", "Thank you."},
    {"You are great.", "Thank you."},
    {"Sorry.", "That is fine."},
    {"Yes.", "Good."},
    {"No.", "That is fine."},
    {"Bye.", "Goodbye, see you soon."},
    {"See you later.", "Goodbye, see you soon."},
    {"See you tomorrow.", "Goodbye, see you soon."},
    {"Have a nice day.", "Thank you, you too."},
    {"Tell me a joke.", "Why was the circle tired? It was going around all day."},
    {"Tell me another joke.", "What did the star say to the square? You have no point."},
    {"Do you know a joke?", "Why was the circle tired? It was going around all day."},
    {"Make me laugh.", "What did the star say to the square? You have no point."},
    {"Tell me a story.",
     "A small star met a big circle. They played all day. Then it was night, and they went to sleep."},
    {"Tell me another story.", "A black square was alone. Then a pink cross came. Now they are friends."},
    {"Tell me a story about a star.", "A small star met a big circle. They played all day. Then it was night, and they "
                                      "went to sleep."},
    {"Tell me a story about a square.", "A black square was alone. Then a pink cross came. Now they are friends."},
    {"Tell me a story about a circle.", "A big circle went down a hill. It went faster and faster. At last it was "
                                        "in the sea."},
    {"Do you know a story?", "A big circle went down a hill. It went faster and faster. At last it was in the sea."}};

const char *so_tabletop_decline(so_decline which) { return declines[which]; }

/* The next letter or digit of a text in lower case, 0 at the end. */
static int next_letter(const char **at)
{
    while (**at && !isalnum((unsigned char)**at)) ++*at;
    return **at ? tolower((unsigned char)*(*at)++) : 0;
}

static bool same_words(const char *a, const char *b)
{
    for (;;) {
        int x = next_letter(&a), y = next_letter(&b);
        if (x != y) return false;
        if (!x) return true;
    }
}

bool so_tabletop_declines(const char *answer)
{
    for (int i = 0; answer && i < SO_DECLINES; i++)
        if (same_words(answer, declines[i])) return true;
    return false;
}

static const char *pick(const so_list *list, so_rng *rng) { return list->item[so_rng_below(rng, list->count)]; }

const char *so_tabletop_foreign_thing(so_tabletop_part part, so_rng *rng)
{
    return pick(&so_outside_things[part == SO_TABLETOP_RESERVED], rng);
}

/* A word that there is not: two or three syllables. */
static const char *invent(so_rng *rng, char word[16])
{
    static const char *const heads[] = {"b", "d", "f", "g", "k",  "l",  "m",  "n",  "p",  "r",
                                        "s", "t", "v", "z", "tr", "gl", "st", "br", "sh", "fl"};
    static const char *const tails[] = {"a", "o", "i", "u", "e", "an", "ork", "im", "ush", "el", "ax", "oon", "ist"};
    int at = 0, syllables = (int)so_rng_range(rng, 2, 3);
    for (int i = 0; i < syllables; i++)
        at += snprintf(word + at, (size_t)(16 - at), "%s%s", heads[so_rng_below(rng, COUNT_OF(heads))],
                       tails[so_rng_below(rng, COUNT_OF(tails))]);
    return word;
}

/* A word of the lists, of which the world does not know the opposite (what 'o') or the colour ('w'). */
static const char *known_word(bool reserved, int what, so_rng *rng)
{
    for (;;) {
        const char *word = so_tabletop_words[so_rng_range(rng, reserved ? FIRST_TRAINED : 0,
                                                          (reserved ? SO_TABLETOP_WORDS : FIRST_TRAINED) - 1)];
        if ((what != 'o' || !so_tabletop_has_opposite(word)) && (what != 'w' || !so_tabletop_has_colour(word)))
            return word;
    }
}

/* What stands for %code of a question. `low`: the number that the question's %l was, or -1. */
static const char *filler(int code, so_tabletop_part part, so_rng *rng, int *low, char room[16])
{
    static const char *const numbers[] = {"zero",     "one",      "two",      "three",   "four",    "five",
                                          "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
                                          "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                                          "eighteen", "nineteen", "twenty"};
    bool reserved = part == SO_TABLETOP_RESERVED;
    switch (code) {
    case 'p':
        return pick(&so_outside_people[reserved], rng);
    case 'c':
        return pick(&so_outside_places[reserved], rng);
    case 'n':
        return pick(&so_outside_things[reserved], rng);
    case 't':
        return pick(&so_outside_topics[reserved], rng);
    case 'd':
        return pick(&so_outside_dishes[reserved], rng);
    case 'x':
        return invent(rng, room);
    case 'b':
        return pick(&so_outside_numbers, rng);
    case 'l':
        return numbers[*low = (int)so_rng_below(rng, 20)];
    case 'h':
        return numbers[so_rng_range(rng, *low + 1, 20)];
    case 's':
        return numbers[so_rng_range(rng, 2, 20)];
    default:
        return known_word(reserved, code, rng);
    }
}

/* The words of a filler as the ears would write them: numbers and words of the world as they are. */
static void put_filler(char *text, size_t size, int code, bool spelled, const char *word)
{
    size_t at = strlen(text);
    /* "a" before a vowel becomes "an" */
    if (spelled && at >= 3 && strcmp(text + at - 3, " a ") == 0 && strchr("aeiouAEIOU", word[0])) {
        strcpy(text + at - 1, "n ");
        at++;
    }
    if (spelled || strchr("bslhkow", code)) {
        snprintf(text + at, size - at, "%s", word);
        return;
    }
    for (const char *w = word; *w; w += strcspn(w, " ")) {
        w += *w == ' ';
        at += (size_t)snprintf(text + at, size - at, "%s%s", w == word ? "" : " ", SO_TABLETOP_UNKNOWN);
    }
}

static void ask(const char *form, so_tabletop_part part, bool spelled, so_rng *rng, so_qa *out)
{
    char text[sizeof out->question + 64] = "", room[16];
    int low = -1;
    for (const char *p = form; *p && strlen(text) < sizeof out->question; p++) {
        if (*p == '%' && p[1]) {
            int code = *++p;
            put_filler(text, sizeof text, code, spelled, filler(code, part, rng, &low, room));
        } else {
            strncat(text, p, 1);
        }
    }
    text[0] = (char)toupper((unsigned char)text[0]);
    snprintf(out->question, sizeof out->question, "%.159s", text);
}

static void outside(so_tabletop_part part, bool spelled, so_rng *rng, so_qa *out)
{
    int64_t lot = so_rng_below(rng, 20); /* knowledge half, deeds and here and now a fifth each, sums a tenth */
    int what = lot < 10 ? SO_DECLINE_WORLD : lot < 14 ? SO_DECLINE_DEED : lot < 18 ? SO_DECLINE_NOW : SO_DECLINE_SUM;
    ask(pick(&so_outside_questions[what][part == SO_TABLETOP_RESERVED], rng), part, spelled, rng, out);
    snprintf(out->answer, sizeof out->answer, "%s", declines[what]);
    out->group = what;
}

static void foreign(so_tabletop_part part, bool spelled, so_rng *rng, so_qa *out)
{
    const so_pairs *list = &so_outside_languages[part == SO_TABLETOP_RESERVED];
    const char *const *line = list->item[so_rng_below(rng, list->count)];
    snprintf(out->language, sizeof out->language, "%s", line[0]);
    snprintf(out->answer, sizeof out->answer, "%s", declines[SO_DECLINE_LANGUAGE]);
    if (spelled) {
        snprintf(out->question, sizeof out->question, "%s", line[1]);
        return;
    }
    size_t at = 0;
    for (const char *w = line[1]; *w; w += strcspn(w, " ")) {
        w += *w == ' ';
        at +=
            (size_t)snprintf(out->question + at, sizeof out->question - at, "%s%s", at ? " " : "", SO_TABLETOP_UNKNOWN);
    }
    snprintf(out->question + at, sizeof out->question - at, ".");
}

static void no_picture(so_tabletop_part part, so_rng *rng, so_qa *out)
{
    so_scene_ask_other(part, rng, out);
    snprintf(out->answer, sizeof out->answer, "%s", declines[SO_DECLINE_NO_PICTURE]);
}

void so_tabletop_wider(so_tabletop_part part, so_tabletop_kind kind, bool spelled, so_rng *rng, so_qa *out)
{
    bool reserved = part == SO_TABLETOP_RESERVED;
    const char *const *pair = NULL;
    out->language[0] = 0;
    out->group = 0;
    switch (kind) {
    case SO_TALK_OUTSIDE:
        outside(part, spelled, rng, out);
        break;
    case SO_TALK_FOREIGN:
        foreign(part, spelled, rng, out);
        break;
    case SO_TALK_ABLE:
        snprintf(out->question, sizeof out->question, "%s", able[reserved][so_rng_below(rng, reserved ? 4 : 14)]);
        snprintf(out->answer, sizeof out->answer, "%s", ABLE);
        break;
    case SO_TALK_CHAT:
        pair = chat[so_rng_below(rng, COUNT_OF(chat))];
        snprintf(out->question, sizeof out->question, "%s", pair[0]);
        snprintf(out->answer, sizeof out->answer, "%s", pair[1]);
        break;
    case SO_TALK_NO_PICTURE:
        no_picture(part, rng, out);
        break;
    default:
        out->question[0] = 0;
        snprintf(out->answer, sizeof out->answer, "%s", declines[SO_DECLINE_SOUND]);
    }
    out->kind = kind;
}
