/* The tabletop world: pictures, questions, talk, what is reserved.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <ctype.h>
#include <strings.h>

#include "dataset/tabletop/tabletop.h"

enum { PIXELS = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3 };

static void scenes_are_the_same_again_and_keep_the_rules(void **state)
{
    (void)state;
    int counts[5] = {0};
    static uint8_t a[PIXELS], b[PIXELS];
    for (uint64_t i = 0; i < 4000; i++) {
        so_scene s, t;
        so_scene_make(&s, i * 251);
        so_scene_make(&t, i * 251);
        assert_memory_equal(&s, &t, sizeof s);
        assert_in_range(s.count, 1, 4);
        counts[s.count]++;
        for (int k = 0; k < s.count; k++) {
            const so_scene_object *o = &s.objects[k];
            float r = o->diameter / 2, side = 112.0f / 3;
            if (o->big)
                assert_true(o->diameter >= 24 && o->diameter <= 30);
            else
                assert_true(o->diameter >= 14 && o->diameter <= 18);
            assert_true(o->x - r >= (float)(o->cell % 3) * side && o->x + r <= (float)(o->cell % 3 + 1) * side);
            assert_true(o->y - r >= (float)(o->cell / 3) * side && o->y + r <= (float)(o->cell / 3 + 1) * side);
            for (int c = 0; c < 3; c++) assert_true(abs(o->rgb[c] - so_colour_rgb(o->colour)[c]) <= 20);
            for (int j = 0; j < k; j++) {
                assert_true(s.objects[j].cell < o->cell);
                assert_false(s.objects[j].shape == o->shape && s.objects[j].colour == o->colour);
            }
        }
        if (i % 100) continue;
        so_scene_render(&s, a);
        so_scene_render(&t, b);
        assert_memory_equal(a, b, PIXELS);
    }
    for (int n = 1; n <= 4; n++) assert_in_range(counts[n], 850, 1150);
}

static void pictures_show_the_objects_where_they_are(void **state)
{
    (void)state;
    static uint8_t rgb[PIXELS];
    for (uint64_t seed = 0; seed < 200; seed++) {
        so_scene s;
        so_scene_make(&s, seed);
        so_scene_render(&s, rgb);
        for (int k = 0; k < s.count; k++) /* the middle of every shape is covered */
            for (int c = 0; c < 3; c++)
                assert_int_equal(rgb[((int)s.objects[k].y * 112 + (int)s.objects[k].x) * 3 + c], s.objects[k].rgb[c]);
        for (int cell = 0; cell < 9; cell++) {
            bool full = false, dirty = false;
            for (int k = 0; k < s.count; k++) full |= s.objects[k].cell == cell;
            for (int y = cell / 3 * 112 / 3 + 1; y < (cell / 3 + 1) * 112 / 3; y++)
                for (int x = cell % 3 * 112 / 3 + 1; x < (cell % 3 + 1) * 112 / 3; x++)
                    for (int c = 0; c < 3; c++) dirty |= abs(rgb[(y * 112 + x) * 3 + c] - s.background[c]) > 4;
            assert_int_equal(dirty, full);
        }
    }
}

static void reserved_things_stay_reserved(void **state)
{
    (void)state;
    static uint8_t seen[SO_TABLETOP_RESERVED_SCENE];
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t train = so_tabletop_scene_seed(SO_TABLETOP_TRAIN, 5, i);
        uint64_t test = so_tabletop_scene_seed(SO_TABLETOP_RESERVED, 5, i);
        assert_true(train < SO_TABLETOP_RESERVED_SCENE && test >= SO_TABLETOP_RESERVED_SCENE);
        assert_int_equal(seen[test - SO_TABLETOP_RESERVED_SCENE]++, 0);
        for (int part = 0; part < 2; part++) {
            so_qa qa;
            char first[32];
            int word = 0;
            so_tabletop_talk((so_tabletop_part)part, 5, i, 1u << SO_TALK_REPEAT, &qa);
            assert_int_equal(sscanf(qa.question, "Repeat after me: %31[a-z]", first), 1);
            while (word < SO_TABLETOP_WORDS && strcmp(so_tabletop_words[word], first) != 0) word++;
            assert_true(word < SO_TABLETOP_WORDS);
            assert_int_equal(word >= SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS, part == SO_TABLETOP_RESERVED);
        }
    }
}

/* The objects that fit a noun ("star", "red object", "red star", "object", in the singular or the plural). */
static int fitting(const so_scene *s, const char *noun, const so_scene_object **found)
{
    int n = 0;
    for (int k = 0; k < s->count; k++) {
        const char *shape = so_shape_name(s->objects[k].shape), *colour = so_colour_name(s->objects[k].colour);
        char name[6][48];
        bool fits = false;
        snprintf(name[0], 48, "%s", shape);
        snprintf(name[1], 48, "%s%s", shape, strcmp(shape, "cross") == 0 ? "es" : "s");
        snprintf(name[2], 48, "%s object", colour);
        snprintf(name[3], 48, "%s objects", colour);
        snprintf(name[4], 48, "%s %s", colour, shape);
        snprintf(name[5], 48, "objects");
        for (int i = 0; i < 6; i++) fits |= strcmp(noun, name[i]) == 0;
        if (fits && found) *found = &s->objects[k];
        n += fits;
    }
    return n;
}

/* Row and column by where the picture shows it. */
static int row_of(const so_scene_object *o) { return (int)(o->y * 3 / 112); }
static int column_of(const so_scene_object *o) { return (int)(o->x * 3 / 112); }
static const char *place_of(const so_scene_object *o) { return so_cell_name(row_of(o) * 3 + column_of(o)); }

/* Reads "prefix<noun>suffix"; the whole question must match. */
static bool reads(const char *question, const char *prefix, const char *suffix, char noun[64])
{
    size_t n = strlen(question), p = strlen(prefix), q = strlen(suffix);
    if (n <= p + q || n - p - q > 63 || strncmp(question, prefix, p) || strcmp(question + n - q, suffix)) return false;
    snprintf(noun, 64, "%.*s", (int)(n - p - q), question + p);
    return true;
}

static void described(const so_scene_object *o, char *out)
{
    snprintf(out, 64, "a %s %s %s", o->diameter > 20 ? "big" : "small", so_colour_name(o->colour),
             so_shape_name(o->shape));
}

/* The answer by another way than the generator's: from the question's words and the pixels' geometry. */
static void expected_answer(const so_scene *s, const char *q, char *out)
{
    static const char *const numbers[] = {"no", "one", "two", "three", "four"};
    const so_scene_object *o = NULL;
    char noun[64], text[64];
    strcpy(out, "?");
    if (reads(q, "What color is the ", "?", noun) || reads(q, "What is the color of the ", "?", noun)) {
        if (fitting(s, noun, &o) == 1) sprintf(out, "The %s is %s.", noun, so_colour_name(o->colour));
    } else if (reads(q, "What shape is the ", "?", noun)) {
        if (fitting(s, noun, &o) == 1) sprintf(out, "The %s is a %s.", noun, so_shape_name(o->shape));
    } else if (reads(q, "Which shape is ", "?", noun)) {
        strcat(noun, " object");
        if (fitting(s, noun, &o) == 1) sprintf(out, "The %s is a %s.", noun, so_shape_name(o->shape));
    } else if (reads(q, "How big is the ", "?", noun) || reads(q, "Is the ", " big or small?", noun)) {
        if (fitting(s, noun, &o) == 1) sprintf(out, "The %s is %s.", noun, o->diameter > 20 ? "big" : "small");
    } else if (reads(q, "How many ", " are there?", noun) || strcmp(q, "How many things do you see?") == 0) {
        if (q[9] == 't' && q[10] == 'h') strcpy(noun, "objects");
        int n = fitting(s, noun, NULL);
        if (n == 1) noun[strlen(noun) - (strcmp(noun, "crosses") == 0 ? 2 : 1)] = 0;
        sprintf(out, "There %s %s %s.", n == 1 ? "is" : "are", numbers[n], noun);
    } else if (reads(q, "Where is the ", "?", noun)) {
        if (fitting(s, noun, &o) == 1) sprintf(out, "The %s is in the %s.", noun, place_of(o));
    } else if (reads(q, "What is in the ", "?", noun)) {
        strcpy(text, "nothing");
        for (int k = 0; k < s->count; k++)
            if (strcmp(place_of(&s->objects[k]), noun) == 0) described(&s->objects[k], text);
        sprintf(out, "There is %s in the %s.", text, noun);
    } else if (reads(q, "Is there an ", "?", noun) || reads(q, "Is there a ", "?", noun)) {
        const char *an = noun[0] == 'o' ? "an" : "a"; /* orange */
        assert_int_equal(strncmp(q, "Is there an ", 12) == 0, noun[0] == 'o');
        if (fitting(s, noun, NULL))
            sprintf(out, "Yes, there is %s %s.", an, noun);
        else
            sprintf(out, "No, there is no %s.", noun);
    } else if (strcmp(q, "What do you see?") == 0 || strcmp(q, "Describe the picture.") == 0) {
        char *at = out + sprintf(out, "I see ");
        int said = 0;
        for (int cell = 0; cell < 9; cell++)
            for (int k = 0; k < s->count; k++) {
                if (strcmp(place_of(&s->objects[k]), so_cell_name(cell)) != 0) continue;
                described(&s->objects[k], text);
                at += sprintf(at, "%s%s", !said ? "" : said == s->count - 1 ? " and " : ", ", text);
                said++;
            }
        strcpy(at, ".");
    } else {
        static const char *const relations[] = {" above the ", " below the ", " left of the ", " right of the "};
        const so_scene_object *a = NULL, *b = NULL;
        for (int r = 0; r < 4; r++) {
            const char *at = strstr(q, relations[r]);
            if (!at || !reads(q, "Is the ", "?", text)) continue;
            *strstr(text, relations[r]) = 0;
            snprintf(noun, sizeof noun, "%.*s", (int)strcspn(at + strlen(relations[r]), "?"),
                     at + strlen(relations[r]));
            if (fitting(s, text, &a) != 1 || fitting(s, noun, &b) != 1) continue;
            bool yes = r == 0   ? row_of(a) < row_of(b)
                       : r == 1 ? row_of(a) > row_of(b)
                       : r == 2 ? column_of(a) < column_of(b)
                                : column_of(a) > column_of(b);
            sprintf(out, "%s, the %s is%s%s%s.", yes ? "Yes" : "No", text, yes ? "" : " not", relations[r], noun);
        }
    }
}

static void answers_follow_from_the_picture(void **state)
{
    (void)state;
    static so_qa all[SO_TABLETOP_QA_MAX];
    int seen[SO_QA_PICTURE_KINDS] = {0}, most = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        so_scene s;
        so_scene_make(&s, seed);
        int n = so_scene_questions(&s, all);
        assert_true(n < SO_TABLETOP_QA_MAX); /* else some may have been left out */
        if (n > most) most = n;
        for (int i = 0; i < n; i++) {
            char expected[256];
            expected_answer(&s, all[i].question, expected);
            if (strcmp(expected, all[i].answer) != 0)
                fail_msg("scene %d: '%s' is answered '%s', expected '%s'", (int)seed, all[i].question, all[i].answer,
                         expected);
            seen[all[i].kind]++;
            for (int j = 0; j < i; j++) assert_string_not_equal(all[i].question, all[j].question);
        }
        int cells = 9, existence = 40;
        for (int i = 0; i < n; i++) {
            cells -= all[i].kind == SO_QA_WHAT_AT;
            existence -= all[i].kind == SO_QA_EXISTENCE;
        }
        assert_int_equal(cells, 0);
        assert_int_equal(existence, 0);
    }
    for (int k = 0; k < SO_QA_PICTURE_KINDS; k++) assert_true(seen[k] > 1000);
    assert_in_range(most, 120, SO_TABLETOP_QA_MAX - 1);
}

static void dialogues_are_balanced_and_never_ask_twice(void **state)
{
    (void)state;
    int kinds[SO_QA_PICTURE_KINDS] = {0}, groups[SO_QA_PICTURE_KINDS][3] = {0}, turns = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        so_dialogue d, again;
        int wanted = 1 + (int)(i % SO_TABLETOP_TURNS_MAX);
        memset(&d, 0, sizeof d);
        memset(&again, 0, sizeof again);
        so_tabletop_dialogue(SO_TABLETOP_TRAIN, 9, i, wanted, &d);
        so_tabletop_dialogue(SO_TABLETOP_TRAIN, 9, i, wanted, &again);
        assert_memory_equal(&d, &again, sizeof d);
        assert_int_equal(d.turns, wanted);
        assert_true(d.scene.seed < SO_TABLETOP_RESERVED_SCENE);
        for (int t = 0; t < d.turns; t++) {
            char expected[256];
            expected_answer(&d.scene, d.turn[t].question, expected);
            assert_string_equal(expected, d.turn[t].answer);
            for (int u = 0; u < t; u++) assert_string_not_equal(d.turn[t].question, d.turn[u].question);
            if (t >= 4) continue;
            kinds[d.turn[t].kind]++;
            groups[d.turn[t].kind][d.turn[t].group]++;
            turns++;
        }
    }
    for (int k = 0; k < SO_QA_PICTURE_KINDS; k++)
        if (k != SO_QA_RELATION) assert_in_range(kinds[k], turns / 15, turns / 7);
    assert_in_range(groups[SO_QA_EXISTENCE][1], kinds[SO_QA_EXISTENCE] * 45 / 100, kinds[SO_QA_EXISTENCE] * 55 / 100);
    assert_in_range(groups[SO_QA_RELATION][1], kinds[SO_QA_RELATION] * 45 / 100, kinds[SO_QA_RELATION] * 55 / 100);
    assert_in_range(groups[SO_QA_WHAT_AT][1], kinds[SO_QA_WHAT_AT] * 45 / 100, kinds[SO_QA_WHAT_AT] * 55 / 100);
    assert_in_range(groups[SO_QA_COUNT_SOME][0], kinds[SO_QA_COUNT_SOME] / 4, kinds[SO_QA_COUNT_SOME] / 2);
}

static int number_of(const char *word)
{
    static const char *const names[] = {"zero",     "one",      "two",      "three",   "four",    "five",
                                        "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
                                        "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                                        "eighteen", "nineteen", "twenty"};
    for (int i = 0; i <= 20; i++)
        if (strcasecmp(word, names[i]) == 0) return i;
    return -1;
}

static void sums_are_right(const so_qa *qa)
{
    char a[16], sign[8], b[16], c[16], d[16], e[16];
    assert_int_equal(sscanf(qa->question, "What is %15[a-z] %7[a-z] %15[a-z]?", a, sign, b), 3);
    assert_int_equal(sscanf(qa->answer, "%15[A-Za-z] %*s %15[a-z] is %15[a-z].", c, d, e), 3);
    int x = number_of(a), y = number_of(b), z = number_of(e);
    assert_true(x >= 0 && y >= 0 && z >= 0);
    assert_int_equal(number_of(c), x);
    assert_int_equal(number_of(d), y);
    assert_int_equal(z, strcmp(sign, "plus") == 0 ? x + y : x - y);
    assert_string_equal(sign, qa->kind == SO_TALK_SUM ? "plus" : "minus");
}

static void counting_is_right(const so_qa *qa)
{
    char a[16], b[16], text[sizeof qa->answer];
    assert_int_equal(sscanf(qa->question, "Count from %15[a-z] to %15[a-z].", a, b), 2);
    int n = number_of(a);
    strcpy(text, qa->answer);
    assert_int_equal(text[strlen(text) - 1], '.');
    for (char *save, *word = strtok_r(text, ", .", &save); word; word = strtok_r(NULL, ", .", &save))
        assert_int_equal(number_of(word), n++);
    assert_int_equal(number_of(b), n - 1);
}

static void talk_is_right_and_well_formed(void **state)
{
    (void)state;
    int kinds[SO_TABLETOP_KINDS] = {0};
    for (uint64_t i = 0; i < 30000; i++) {
        so_qa qa, again;
        memset(&qa, 0, sizeof qa);
        memset(&again, 0, sizeof again);
        so_tabletop_part part = i % 2 ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN;
        so_tabletop_talk(part, 2, i, 0, &qa);
        so_tabletop_talk(part, 2, i, 0, &again);
        assert_memory_equal(&qa, &again, sizeof qa);
        kinds[qa.kind]++;
        assert_true(qa.question[0] >= 'A' && qa.question[0] <= 'Z' && qa.answer[0] >= 'A' && qa.answer[0] <= 'Z');
        assert_non_null(strchr(".?", qa.question[strlen(qa.question) - 1]));
        assert_non_null(strchr(".?", qa.answer[strlen(qa.answer) - 1]));
        assert_true(strlen(qa.question) < sizeof qa.question - 20 && strlen(qa.answer) < sizeof qa.answer - 20);
        char a[24], b[24], c[24], d[24];
        if (qa.kind == SO_TALK_SUM || qa.kind == SO_TALK_DIFFERENCE) sums_are_right(&qa);
        if (qa.kind == SO_TALK_COUNTING) counting_is_right(&qa);
        if (qa.kind == SO_TALK_LETTER) {
            assert_int_equal(sscanf(qa.question, "What letter comes %9[a-z] %1[A-Z]?", a, b), 2);
            assert_int_equal(sscanf(qa.answer, "%1[A-Z] comes %9[a-z] %1[A-Z].", c, d, a + 12), 3);
            assert_string_equal(a, d);
            assert_int_equal(c[0], b[0] + (strcmp(a, "after") == 0 ? 1 : -1));
            assert_int_equal(b[0], a[12]);
            assert_int_not_equal(c[0], 'A');
        }
        if (qa.kind == SO_TALK_REPEAT) {
            const char *list = qa.question + strlen("Repeat after me: ");
            assert_int_equal(strcasecmp(list, qa.answer), 0);
            int commas = 0;
            for (const char *p = list; *p; p++) commas += *p == ',';
            assert_in_range(commas, 2, 5);
        }
    }
    assert_in_range(kinds[SO_TALK_REPEAT], 11500, 12500);
    for (int k = SO_TALK_SUM; k < SO_TALK_REPEAT; k++) assert_in_range(kinds[k], 1800, 2200);
    assert_int_equal(kinds[SO_TALK_INITIAL] + kinds[SO_TALK_FIRST], 0);
}

static void words_with_a_capital_are_taught_when_asked_for(void **state)
{
    (void)state;
    int last = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        so_qa qa;
        char word[24], capital[24], letter[2];
        so_tabletop_talk(SO_TABLETOP_TRAIN, 2, i, 1u << SO_TALK_INITIAL, &qa);
        assert_int_equal(qa.kind, SO_TALK_INITIAL);
        assert_int_equal(sscanf(qa.question, "What letter does %23[a-z] begin with?", word), 1);
        assert_int_equal(sscanf(qa.answer, "%23[a-zA-Z] begins with %1[A-Z].", capital, letter), 2);
        assert_int_equal(strcasecmp(word, capital), 0);
        assert_int_equal(capital[0], letter[0]);
        for (int w = SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS; w < SO_TABLETOP_WORDS; w++)
            last += strcmp(word, so_tabletop_words[w]) == 0;
    }
    assert_in_range(last, 1500, 1800);
    for (uint64_t i = 0; i < 3000; i++) {
        so_qa qa;
        char first[24], capital[24];
        so_tabletop_talk(SO_TABLETOP_TRAIN, 2, i, 1u << SO_TALK_FIRST, &qa);
        assert_int_equal(sscanf(qa.question, "Which word comes first: %23[a-z], ", first), 1);
        assert_int_equal(sscanf(qa.answer, "%23[a-zA-Z] comes first.", capital), 1);
        assert_int_equal(strcasecmp(first, capital), 0);
        assert_int_equal(qa.question[strlen(qa.question) - 1], '?');
    }
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void text_is_rich_and_clean(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    static char *lines[LINES];
    char text[384], tiny[8];
    for (int i = 0; i < LINES; i++) {
        size_t n = so_tabletop_text(SO_TABLETOP_TRAIN, 1, (uint64_t)i, text, sizeof text);
        assert_int_equal(n, strlen(text));
        assert_true(n > 8 && n < 330);
        for (size_t k = 0; k < n; k++)
            assert_true(isalpha((unsigned char)text[k]) || strchr(" .,:?\n" SO_TABLETOP_UNKNOWN, text[k]));
        lines[i] = strdup(text);
    }
    qsort(lines, LINES, sizeof *lines, by_text);
    int different = 1;
    for (int i = 1; i < LINES; i++) different += strcmp(lines[i], lines[i - 1]) != 0;
    assert_in_range(different, 6000, 8000);
    for (int i = 0; i < LINES; i++) free(lines[i]);
    assert_int_equal(so_tabletop_text(SO_TABLETOP_TRAIN, 1, 0, tiny, sizeof tiny), 7);
}

static void words_differ_and_names_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < SO_TABLETOP_WORDS; i++) {
        for (const char *p = so_tabletop_words[i]; *p; p++) assert_true(*p >= 'a' && *p <= 'z');
        for (int j = 0; j < i; j++) assert_string_not_equal(so_tabletop_words[i], so_tabletop_words[j]);
    }
    for (int k = 0; k < SO_TABLETOP_KINDS; k++) assert_int_equal(so_tabletop_kind_find(so_tabletop_kind_name(k)), k);
    assert_int_equal(so_shape_find("hexagon"), -1);
    assert_int_equal(so_colour_find(NULL), -1);
    assert_null(so_cell_name(9));
    assert_null(so_tabletop_kind_name(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes_are_the_same_again_and_keep_the_rules),
        cmocka_unit_test(pictures_show_the_objects_where_they_are),
        cmocka_unit_test(reserved_things_stay_reserved),
        cmocka_unit_test(answers_follow_from_the_picture),
        cmocka_unit_test(dialogues_are_balanced_and_never_ask_twice),
        cmocka_unit_test(talk_is_right_and_well_formed),
        cmocka_unit_test(words_with_a_capital_are_taught_when_asked_for),
        cmocka_unit_test(text_is_rich_and_clean),
        cmocka_unit_test(words_differ_and_names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
