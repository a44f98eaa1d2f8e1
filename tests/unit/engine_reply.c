/* What one reply may be asked for: seeds, limits, what is remembered, why it ended, what it took in.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "engine/session.h"
#include "text/recite.h"
#include "text/repeat.h"
#include "text/stops.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 1, 1024); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

typedef struct told {
    char text[8192];
    int32_t unit[1024];
    size_t units;
    so_usage usage;
} told;

static so_session *open_session(const so_session_options *options)
{
    so_session *s;
    so_error error;
    CHECK_OK(so_session_open(&s, model, options, &error), error);
    return s;
}

static void collect(so_session *s, told *t)
{
    so_event e = {0};
    so_error error;
    *t = (told){0};
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(t->text, e.text);
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) t->unit[t->units++] = e.units[i];
    }
    t->usage = e.usage;
}

static void ask(so_session *s, const char *words, unsigned want, const so_reply_options *options, told *t)
{
    so_error error;
    if (words) CHECK_OK(so_feed_text(s, words, &error), error);
    CHECK_OK(so_reply_with(s, want, options, &error), error);
    collect(s, t);
}

/* The same seed gives the same answer again, in words and in units, in the same session; another one another. */
static void a_seed_is_the_answer(void **state)
{
    (void)state;
    for (int voice = 0; voice < 2; voice++) {
        told a, b, c;
        so_session *s = open_session(NULL);
        so_reply_options o = {
            .temperature = 1.5, .top_p = 0.98, .top_k = 200, .seed = 7, .max_text = 40, .max_units = 60, .forget = 1};
        unsigned want = voice ? SO_WANT_TEXT | SO_WANT_UNITS : SO_WANT_TEXT;
        ask(s, "where is the cat?", want, &o, &a);
        o.seed = 8;
        ask(s, NULL, want, &o, &b);
        o.seed = 7;
        ask(s, NULL, want, &o, &c);
        if (voice) {
            assert_int_equal(a.units, c.units);
            assert_memory_equal(a.unit, c.unit, a.units * sizeof *a.unit);
            assert_true(a.units != b.units || memcmp(a.unit, b.unit, a.units * sizeof *a.unit) != 0);
        } else {
            assert_string_equal(a.text, c.text);
            assert_string_not_equal(a.text, b.text);
        }
        so_session_close(&s);
    }
}

/* Options of one reply are gone with it. */
static void options_do_not_stay(void **state)
{
    (void)state;
    told before, after, other;
    so_session *s = open_session(&(so_session_options){.max_text = 30});
    so_reply_options greedy = {.forget = 1}, few = {.temperature = 2, .seed = 3, .max_text = 5, .forget = 1};
    ask(s, "what color is the star?", SO_WANT_TEXT, &greedy, &before);
    ask(s, NULL, SO_WANT_TEXT, &few, &other);
    assert_int_equal(other.usage.text_tokens, 5);
    assert_int_equal(other.usage.end, SO_END_LENGTH);
    ask(s, NULL, SO_WANT_TEXT, NULL, &after);
    assert_string_equal(before.text, after.text);
    assert_true(after.usage.text_tokens > 5);
    so_session_close(&s);
}

/* More than the session's limit is the session's. */
static void limits_are_the_sessions_at_most(void **state)
{
    (void)state;
    told t;
    so_session *s = open_session(&(so_session_options){.max_text = 12, .max_units = 20, .units_per_token = -1});
    ask(s, "hello", SO_WANT_UNITS, &(so_reply_options){.max_text = 1 << 30, .max_units = 1 << 30}, &t);
    assert_in_range(t.units, 1, 20);
    assert_in_range(t.usage.text_tokens, 1, 12);
    so_session_close(&s);
}

/* A forgotten answer leaves no trace in what comes after. */
static void a_forgotten_answer_leaves_no_trace(void **state)
{
    (void)state;
    told a[2], again;
    for (int i = 0; i < 2; i++) {
        so_session *s = open_session(&(so_session_options){.max_text = 25, .max_units = 30});
        if (i) ask(s, "one two", SO_WANT_TEXT | SO_WANT_UNITS, &(so_reply_options){.seed = 9, .forget = 1}, &again);
        ask(s, i ? NULL : "one two", SO_WANT_TEXT, NULL, &a[i]);
        ask(s, "three four", SO_WANT_TEXT | SO_WANT_UNITS, NULL, &a[i]);
        so_session_close(&s);
    }
    assert_string_equal(a[0].text, a[1].text);
    assert_int_equal(a[0].units, a[1].units);
    assert_memory_equal(a[0].unit, a[1].unit, a[0].units * sizeof *a[0].unit);
    assert_int_equal(a[0].usage.prompt_positions, a[1].usage.prompt_positions);
}

static void positions_are_told_apart(void **state)
{
    (void)state;
    told t;
    so_error error;
    int32_t units[30];
    uint8_t rgb[20 * 20 * 3] = {0};
    so_session *s = open_session(&(so_session_options){.max_text = 20});
    for (int i = 0; i < 30; i++) units[i] = i;
    CHECK_OK(so_feed_image(s, rgb, 20, 20, &error), error);
    CHECK_OK(so_feed_units(s, units, 30, &error), error);
    ask(s, NULL, SO_WANT_TEXT, NULL, &t);
    int first = t.usage.prompt_positions;
    assert_int_equal(t.usage.audio_in, 30);
    assert_int_equal(t.usage.image_in, 16);
    assert_true(t.usage.text_in > 0);
    assert_int_equal(t.usage.text_in + t.usage.audio_in + t.usage.image_in, first);
    assert_int_equal(t.usage.cached_positions, 0);
    ask(s, "what color is the star?", SO_WANT_TEXT, NULL, &t);
    assert_int_equal(t.usage.text_in + t.usage.audio_in + t.usage.image_in, t.usage.prompt_positions);
    assert_true(t.usage.cached_positions > 0 && t.usage.cached_positions < t.usage.prompt_positions);
    so_session_close(&s);
}

static void ends_have_reasons(void **state)
{
    (void)state;
    told t;
    so_error error;
    so_session *s = open_session(&(so_session_options){.max_text = 200});
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    so_session_stop(s);
    collect(s, &t);
    assert_int_equal(t.usage.end, SO_END_STOPPED);
    ask(s, "hello", SO_WANT_UNITS, &(so_reply_options){.max_units = 3}, &t);
    assert_int_equal(t.usage.end, SO_END_LENGTH);
    so_session_close(&s);
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    so_error error;
    so_session *s = open_session(NULL);
    const so_reply_options bad[] = {{.temperature = -1}, {.temperature = NAN},    {.temperature = INFINITY},
                                    {.top_p = 1.5},      {.top_p = NAN},          {.top_k = -1},
                                    {.max_text = -1},    {.max_units = INT32_MIN}};
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &bad[i], &error), SO_ERR_ARG);
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.top_k = INT32_MAX, .max_text = 2}, &error), error);
    assert_int_equal(so_reply_with(s, SO_WANT_TEXT, NULL, &error), SO_ERR_STATE);
    so_session_close(&s);
}

/* ---- stop strings */

static void stop_strings_are_found_and_held(void **state)
{
    (void)state;
    so_error error;
    so_stops stops = {0};
    const char *const three[] = {"end", "a.b", "\xe4\xbd\xa0\xe5\xa5\xbd"};
    CHECK_OK(so_stops_set(&stops, three, 3, &error), error);
    assert_int_equal(so_stops_find(&stops, "the end a.b", 11, 0), 4);
    assert_int_equal(so_stops_find(&stops, "the end a.b", 11, 7), 8);
    assert_int_equal(so_stops_find(&stops, "the end a.b", 11, 11), SIZE_MAX);
    assert_int_equal(so_stops_find(&stops, "a.bend", 6, 0), 0);
    assert_int_equal(so_stops_held(&stops, "an e", 4), 1);
    assert_int_equal(so_stops_held(&stops, "an en", 5), 2);
    assert_int_equal(so_stops_held(&stops, "an a.", 5), 2);
    assert_int_equal(so_stops_held(&stops, "\xe4\xbd\xa0", 3), 3);
    assert_int_equal(so_stops_held(&stops, "ende", 4), 1);
    assert_int_equal(so_stops_held(&stops, "", 0), 0);
    const char *const bad[][1] = {{""}, {NULL}, {"\xff"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(so_stops_set(&stops, bad[i], 1, &error), SO_ERR_ARG);
    assert_int_equal(so_stops_set(&stops, NULL, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_stops_set(&stops, three, -1, &error), SO_ERR_ARG);
    assert_int_equal(so_stops_set(&stops, three, INT32_MAX, &error), SO_ERR_ARG);
    CHECK_OK(so_stops_set(&stops, NULL, 0, &error), error);
    assert_int_equal(so_stops_find(&stops, "end", 3, 0), SIZE_MAX);
    so_stops_clear(&stops);
}

/* Whatever piece of an answer is the stop string, the answer is what stands before it. */
static void an_answer_ends_before_its_stop_string(void **state)
{
    (void)state;
    told whole, t;
    so_session *s = open_session(&(so_session_options){.max_text = 40});
    ask(s, "where is the cat?", SO_WANT_TEXT, &(so_reply_options){.forget = 1}, &whole);
    size_t size = strlen(whole.text);
    assert_true(size > 30);
    for (size_t at = 0; at + 3 < size && at < 40; at++)
        for (size_t length = 1; length <= 7 && at + length <= size; length += 3) {
            char stop[8] = "";
            memcpy(stop, whole.text + at, length);
            if (!so_utf8_valid(stop, length)) continue;
            const char *stops[] = {"never there", stop};
            so_reply_options o = {.stop = stops, .n_stop = 2, .forget = 1};
            ask(s, NULL, SO_WANT_TEXT, &o, &t);
            size_t first = (size_t)(strstr(whole.text, stop) - whole.text);
            assert_int_equal(strlen(t.text), first);
            assert_memory_equal(t.text, whole.text, first);
            assert_int_equal(t.usage.end, SO_END_STOP_TEXT);
        }
    so_session_close(&s);
}

/* What is held back because it may be a stop string is told and spoken when it is none, and changes nothing. */
static void a_stop_string_that_does_not_come_changes_nothing(void **state)
{
    (void)state;
    told whole, t;
    unsigned want = SO_WANT_TEXT | SO_WANT_UNITS;
    so_session *s = open_session(&(so_session_options){.max_text = 40, .max_units = 120, .units_per_token = -1});
    ask(s, "where is the cat?", want, &(so_reply_options){.forget = 1}, &whole);
    for (size_t at = 0; at < 12; at++) {
        char stop[32];
        snprintf(stop, sizeof stop, "%.9s\x01", whole.text + at);
        if (!so_utf8_valid(stop, strlen(stop))) continue;
        ask(s, NULL, want, &(so_reply_options){.stop = (const char *[]){stop}, .n_stop = 1, .forget = 1}, &t);
        assert_string_equal(t.text, whole.text);
        assert_int_equal(t.units, whole.units);
        assert_memory_equal(t.unit, whole.unit, t.units * sizeof *t.unit);
        assert_int_equal(t.usage.end, whole.usage.end);
    }
    so_session_close(&s);
}

/* No token of a stop string comes to where the top layers could speak it, or into the history. */
static void a_stop_string_is_neither_spoken_nor_remembered(void **state)
{
    (void)state;
    told whole, t;
    unsigned want = SO_WANT_TEXT | SO_WANT_UNITS;
    so_session *s = open_session(&(so_session_options){.max_text = 40, .max_units = 80, .units_per_token = -1});
    ask(s, "where is the cat?", want, &(so_reply_options){.forget = 1}, &whole);
    int32_t memory[40];
    int64_t n = s->talk->n_memory;
    assert_true(n > 6 && strlen(whole.text) > 12);
    memcpy(memory, s->talk->memory_ids, (size_t)n * sizeof *memory);
    char stop[16];
    for (size_t at = 6, size = 0; size == 0; at++) { /* three characters, wherever some are whole */
        size = 6;
        snprintf(stop, sizeof stop, "%.6s", whole.text + at);
        if (!so_utf8_valid(stop, size)) size = 0;
    }
    size_t first = (size_t)(strstr(whole.text, stop) - whole.text);
    ask(s, NULL, want, &(so_reply_options){.stop = (const char *[]){stop}, .n_stop = 1}, &t);
    assert_int_equal(strlen(t.text), first);
    assert_true(s->talk->n_memory < n);
    size_t spoken = 0;
    for (int64_t i = 0; i < s->talk->n_memory; i++) {
        size_t bytes;
        so_tokenizer_piece(model->tokenizer, s->talk->memory_ids[i], &bytes);
        spoken += so_model_stops(model, s->talk->memory_ids[i]) ? 0 : bytes;
    }
    assert_true(spoken > 0 && spoken <= first);
    so_string text = {0};
    so_ids ids = {0};
    so_error error;
    for (int64_t i = s->answer_at; i < s->slots.n; i++)
        if (s->slots.slot[i].where == SO_SLOT_TEXT && s->slots.slot[i].id != model->eot)
            CHECK_OK(so_ids_put(&ids, s->slots.slot[i].id, &error), error);
    CHECK_OK(so_tokenizer_decode(model->tokenizer, ids.data, ids.n, 0, &text, &error), error);
    so_ids_clear(&ids);
    assert_string_equal(text.data ? text.data : "", t.text);
    so_string_clear(&text);
    so_session_close(&s);
}

/* ---- log-probabilities */

typedef struct odds {
    char text[8192];
    double sum; /* of the chosen */
    size_t n;
} odds;

static void collect_odds(so_session *s, int likeliest, bool greedy, odds *o)
{
    so_event e = {0};
    so_error error;
    so_string text = {0};
    *o = (odds){0};
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        assert_true(e.kind == SO_EVENT_TEXT || (!e.logprobs && !e.n_logprobs));
        for (size_t i = 0; i < e.n_logprobs; i++) {
            const so_token_logprob *l = &e.logprobs[i];
            double all = 0;
            CHECK_OK(so_string_add(&text, l->text, l->bytes, &error), error);
            o->sum += (double)l->logprob;
            o->n++;
            assert_true(l->logprob <= 0 && isfinite(l->logprob));
            assert_int_equal(l->n_likeliest, likeliest);
            for (int k = 0; k < l->n_likeliest; k++) {
                all += exp((double)l->likeliest[k].logprob);
                assert_true(k == 0 || l->likeliest[k].logprob <= l->likeliest[k - 1].logprob);
            }
            assert_true(all <= 1.0001);
            if (greedy && likeliest) assert_int_equal(l->likeliest[0].id, l->id);
            if (greedy && likeliest) assert_true(l->likeliest[0].logprob == l->logprob);
        }
    }
    so_string lossy = {0};
    CHECK_OK(so_utf8_add_lossy(&lossy, text.data ? text.data : "", text.size, &error), error);
    snprintf(o->text, sizeof o->text, "%s", lossy.data ? lossy.data : "");
    so_string_clear(&text);
    so_string_clear(&lossy);
}

static void log_probabilities_are_of_the_text(void **state)
{
    (void)state;
    so_error error;
    told plain;
    odds a, b;
    so_session *s = open_session(&(so_session_options){.max_text = 30});
    ask(s, "where is the cat?", SO_WANT_TEXT, &(so_reply_options){.forget = 1}, &plain);
    for (int likeliest = 0; likeliest <= SO_LIKELIEST; likeliest += 10) {
        so_reply_options o = {.logprobs = 1, .likeliest = likeliest, .forget = 1};
        CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &o, &error), error);
        collect_odds(s, likeliest, true, &a);
        assert_int_equal(a.n, 30);
        assert_string_equal(a.text, plain.text);
        if (likeliest) assert_true(a.sum == b.sum);
        b = a;
    }
    so_reply_options warm = {.temperature = 3, .seed = 4, .logprobs = 1, .likeliest = 2, .forget = 1};
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &warm, &error), error);
    collect_odds(s, 2, false, &b);
    assert_true(b.sum < a.sum); /* what is sampled is less likely than the likeliest */
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, NULL, &error), error);
    collect_odds(s, 0, true, &b);
    assert_int_equal(b.n, 0);
    assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.likeliest = 21}, &error), SO_ERR_STATE);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.likeliest = 21}, &error), SO_ERR_ARG);
    so_session_close(&s);
}

/* Where heads are screened, all rows are multiplied for log-probabilities, and the answer stays the same. */
static void log_probabilities_of_a_screened_head(void **state)
{
    (void)state;
    char path[512];
    so_error error;
    so_model *own = model, *small;
    told plain;
    odds a;
    toy_path(path, folder, "model.gguf");
    CHECK_OK(so_model_save(model, path, &(so_save_options){.type = "q8_0"}, &error), error);
    so_model_options options = {.threads = 1, .context = 1024, .keep_types = 1, .precision = SO_PRECISION_INT8};
    CHECK_OK(so_model_open(&small, path, &options, &error), error);
    assert_non_null(small->text_reach);
    model = small;
    so_session *s = open_session(&(so_session_options){.max_text = 30});
    ask(s, "where is the cat?", SO_WANT_TEXT, NULL, &plain);
    so_session_close(&s);
    s = open_session(&(so_session_options){.max_text = 30}); /* whose prompt is computed alike: a row rounds as its
                                                                company does */
    CHECK_OK(so_feed_text(s, "where is the cat?", &error), error);
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.likeliest = 5}, &error), error);
    collect_odds(s, 5, true, &a);
    assert_string_equal(a.text, plain.text);
    so_session_close(&s);
    so_model_close(&small);
    model = own;
}

/* ---- going round in circles */

static void circles_are_noticed(void **state)
{
    (void)state;
    int32_t ids[400];
    for (int period = 1; period <= 40; period += 3) {
        so_repeat repeat = {0};
        int at = 0, needed = 64 > 3 * period ? 64 : 3 * period;
        for (int i = 0; i < 400 && !at; i++) {
            ids[i] = i < 50 ? 1000 + i : i % period;
            if (so_repeat_add(&repeat, ids, i + 1)) at = i + 1;
        }
        assert_int_equal(at, period <= 32 ? 50 + period + needed : 0);
    }
    so_repeat never = {0};
    for (int i = 0; i < 400; i++) {
        ids[i] = i % 20 ? i % 7 : i;
        assert_false(so_repeat_add(&never, ids, i + 1));
    }
}

/* ---- where a voice is in its text */

/* Letters stand for words, and marks for themselves. */
static int32_t letter(char c) { return so_tokenizer_find(model->tokenizer, &c, 1); }

static int64_t letters(const char *text, int32_t *ids)
{
    int64_t n = 0;
    for (; *text; text++) {
        ids[n] = letter(*text);
        assert_true(ids[n] >= 0);
        n++;
    }
    return n;
}

static void the_place_is_found_again(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at;
        char heard;
        int64_t on;
    } cases[] = {
        {"abcbde", 0, 'a', 1},                        /* as it goes */
        {"abcbde", 0, 'b', 2}, {"abcbde", 0, 'c', 3}, /* one or two words were not heard */
        {"abcbde", 0, 'd', 1},                        /* too far: another word, or one heard badly */
        {"abcbde", 1, 'a', 0},                        /* the last one once more */
        {"abcbde", 2, 'b', 2},                        /* where the text has it twice, the next one */
        {"abcbde", 3, 'b', 1}, {"abcbde", 5, 'e', 1}, {"abcbde", 6, 'e', 0},
        {"abcbde", 6, 'z', 1}, {"abcbde", 9, 'e', 1}, {"abcbde", 0, 'z', 1},
        {"abcbde", 3, 'z', 1}, {"", 0, 'a', 1},       {"a,b.", 1, '.', 1}, /* a voice that falls at a comma */
        {"a,b.", 1, ',', 1},   {"a,b.", 2, '.', 2},   {"a,b.", 2, ',', 2},
        {"abcde.", 0, '.', 1}, {"a.", 2, '.', 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t text[8];
        int64_t n = letters(cases[i].text, text);
        assert_int_equal(so_recite_on(model->tokenizer, text, n, cases[i].at, letter(cases[i].heard)), cases[i].on);
    }
}

/* Marks and what ends a turn are no words to wait for. */
static void words_are_left_to_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at;
        bool left;
    } cases[] = {{"a,b.", 0, true},  {"a,b.", 1, true},  {"a,b.", 2, true}, {"a,b.", 3, false}, {"a,b.", 4, false},
                 {"a,b.", 9, false}, {".,!?", 0, false}, {"7", 0, true},    {"", 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t text[8];
        int64_t n = letters(cases[i].text, text);
        text[n++] = model->eot;
        assert_int_equal(so_recite_left(model->tokenizer, text, n, cases[i].at), cases[i].left);
    }
}

static void text_runs_away_no_further(void **state)
{
    (void)state;
    told t, free_run;
    so_tensor *head = model->net.text_head;
    size_t bytes = (size_t)so_count(head) * sizeof(so_real);
    so_real *kept = malloc(bytes);
    assert_non_null(kept);
    memcpy(kept, head->data, bytes);
    memset(head->data, 0, bytes); /* the same token for ever */
    for (int never = 0; never < 2; never++) {
        so_session *s = open_session(&(so_session_options){.max_text = 600, .units_per_token = never ? -1 : 0});
        ask(s, "where is the cat?", SO_WANT_TEXT, NULL, never ? &free_run : &t);
        so_session_close(&s);
    }
    memcpy(head->data, kept, bytes);
    free(kept);
    assert_int_equal(free_run.usage.text_tokens, 600);
    assert_int_equal(free_run.usage.ran_away, 0);
    assert_true(t.usage.text_tokens < 600);
    assert_int_equal(t.usage.ran_away, 1);
    assert_int_equal(t.usage.end, SO_END_RUN_AWAY);
    assert_memory_equal(t.text, free_run.text, strlen(t.text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_the_answer),
        cmocka_unit_test(options_do_not_stay),
        cmocka_unit_test(limits_are_the_sessions_at_most),
        cmocka_unit_test(a_forgotten_answer_leaves_no_trace),
        cmocka_unit_test(positions_are_told_apart),
        cmocka_unit_test(ends_have_reasons),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(stop_strings_are_found_and_held),
        cmocka_unit_test(an_answer_ends_before_its_stop_string),
        cmocka_unit_test(a_stop_string_that_does_not_come_changes_nothing),
        cmocka_unit_test(a_stop_string_is_neither_spoken_nor_remembered),
        cmocka_unit_test(log_probabilities_are_of_the_text),
        cmocka_unit_test(log_probabilities_of_a_screened_head),
        cmocka_unit_test(circles_are_noticed),
        cmocka_unit_test(the_place_is_found_again),
        cmocka_unit_test(words_are_left_to_say),
        cmocka_unit_test(text_runs_away_no_further),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
