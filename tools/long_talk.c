/* Whether a conversation stays right and small however long it becomes: long_talk MODEL [TURNS [CONTEXT]].
 *
 * Questions of the tabletop world's reserved part: a new picture and four questions about it, then one without a
 * picture, and so on, all in one conversation of TURNS turns (1000), whose oldest turns leave. Beside it many
 * conversations of ten turns, with the same kinds of questions. Prints answers that are right, by turn, and memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset/tabletop/tabletop.h"
#include "eval/tabletop/scores.h"
#include "so.h"

enum { ABOUT = 4, SHORT = 10, CONVERSATIONS = 20, SEED = 5 };

static so_model *model;

static void must(so_status status, const so_error *error)
{
    if (status == SO_OK) return;
    fprintf(stderr, "long_talk: %s\n", error->text);
    exit(1);
}

static double resident_mb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Answers to turns of one stretch. */
typedef struct stretch {
    int first, last, n, right, forgot;
    double mb; /* at its end */
} stretch;

static void answer(so_session *s, char *text, size_t size, int *forgot)
{
    so_error error = {0};
    so_event e;
    size_t n = 0;
    text[0] = 0;
    must(so_reply(s, SO_WANT_TEXT, &error), &error);
    do {
        must(so_next(s, &e, &error), &error);
        if (e.kind == SO_EVENT_FORGOT) *forgot += atoi(e.text);
        if (e.kind == SO_EVENT_TEXT && n < size) n += (size_t)snprintf(text + n, size - n, "%s", e.text);
    } while (e.kind != SO_EVENT_DONE);
}

/* Turn number `turn` of conversation `which`, all from their seeds. */
static void take_turn(so_session *s, uint64_t which, int turn, stretch *to)
{
    static uint8_t rgb[SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3];
    so_error error = {0};
    so_dialogue d;
    so_qa talk;
    const so_qa *qa = &talk;
    char text[1024];
    uint64_t round = which * 1000 + (uint64_t)(turn / (ABOUT + 1));
    int place = turn % (ABOUT + 1);
    if (place < ABOUT) {
        so_tabletop_dialogue(SO_TABLETOP_RESERVED, SEED, round, ABOUT, &d);
        qa = &d.turn[place];
        so_scene_render(&d.scene, rgb);
        if (place == 0) must(so_feed_image(s, rgb, SO_TABLETOP_SIDE, SO_TABLETOP_SIDE, &error), &error);
    } else {
        so_tabletop_talk(SO_TABLETOP_RESERVED, SEED, round, 0, &talk);
    }
    must(so_feed_text(s, qa->question, &error), &error);
    answer(s, text, sizeof text, &to->forgot);
    to->n++;
    to->right += so_tabletop_match(qa->answer, text);
}

static void tell(const char *what, const stretch *t)
{
    printf("%-34s %4d of %4d right, %5.1f %%; %4d turns left; %6.1f MB resident\n", what, t->right, t->n,
           100.0 * t->right / t->n, t->forgot, t->mb);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int ends[] = {10, 29, 100, 300, 1000, 1000000};
    so_error error = {0};
    so_session *s;
    int turns = argc > 2 ? atoi(argv[2]) : 1000;
    stretch all = {0};
    char what[64];
    if (argc < 2 || turns < 1) return fprintf(stderr, "usage: long_talk MODEL [TURNS [CONTEXT]]\n"), 2;
    must(so_model_open(&model, argv[1], &(so_model_options){.context = argc > 3 ? atoi(argv[3]) : 0}, &error), &error);
    for (uint64_t i = 0; i < CONVERSATIONS; i++) {
        must(so_session_open(&s, model, NULL, &error), &error);
        for (int k = 0; k < SHORT; k++) take_turn(s, 1 + i, k, &all);
        so_session_close(&s);
    }
    all.mb = resident_mb();
    tell("turns 1 to 10 of 20 conversations", &all);
    must(so_session_open(&s, model, NULL, &error), &error);
    for (int k = 0, b = 0; k < turns; b++) {
        stretch t = {.first = k + 1};
        for (; k < turns && k < ends[b]; k++) take_turn(s, 0, k, &t);
        t.mb = resident_mb();
        snprintf(what, sizeof what, "turns %d to %d of one", t.first, k);
        tell(what, &t);
    }
    so_session_close(&s);
    so_model_close(&model);
    return 0;
}
