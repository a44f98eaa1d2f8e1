/* Records for people.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/plain.h"
#include "dataset/views.h"
#include "text/chat.h"

typedef struct showing {
    const so_show_options *o;
    so_string *out;
    so_tokenizer *tokenizer;
    so_ids ids;
    int64_t learnt, pictures;
    bool marked;
} showing;

static so_status put(so_string *out, so_error *error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static so_status put(so_string *out, so_error *error, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) return so_fail(error, SO_ERR_NOMEM, "no memory for a text");
    so_status status = so_string_add(out, text, (size_t)n, error);
    free(text);
    return status;
}

/* Nothing in it commands the terminal. */
static so_status put_plain(so_string *out, const char *text, size_t size, so_error *error)
{
    char one[8];
    for (size_t n; size; text += n, size -= n) {
        n = so_plain_one(text, size, true, one);
        SO_TRY(so_string_put(out, one, error));
    }
    return SO_OK;
}

static so_status stretch(void *context, const so_stretch *s, so_error *error)
{
    showing *w = context;
    if (s->learnt != w->marked) SO_TRY(so_string_put(w->out, s->learnt ? w->o->learn : w->o->plain, error));
    w->marked = s->learnt;
    SO_TRY(put_plain(w->out, s->picture ? "[picture]" : s->text, s->picture ? 9 : s->size, error));
    w->pictures += s->picture;
    if (!w->tokenizer || s->picture) return SO_OK;
    size_t before = w->ids.n;
    SO_TRY(so_tokenizer_encode(w->tokenizer, s->text, s->size, SO_ENCODE_SPECIAL | SO_ENCODE_ADDED, &w->ids, error));
    if (s->learnt) w->learnt += (int64_t)(w->ids.n - before);
    return SO_OK;
}

static so_status about_turn(so_string *out, const so_record_turn *t, int number, so_error *error)
{
    int64_t n = t->units.path ? (int64_t)t->units.size / 2 : t->n_listed;
    if (!t->audio.path && !n) return SO_OK;
    SO_TRY(put(out, error, "  turn %d:", number));
    if (t->audio.path) {
        SO_TRY(put(out, error, " %.2f s of ", t->seconds));
        SO_TRY(put_plain(out, t->audio.path, strlen(t->audio.path), error));
        if (t->end > 0) SO_TRY(put(out, error, " from %.2f to %.2f", t->begin, t->end));
    }
    if (n) SO_TRY(put(out, error, " %lld units", (long long)n));
    return put(out, error, "%s%s\n", t->speaker ? " by " : "", t->speaker ? t->speaker : "");
}

static so_status describe(const so_record *r, int64_t i, so_string *out, so_error *error)
{
    SO_TRY(put(out, error, "record %lld: ", (long long)i));
    SO_TRY(put_plain(out, r->id, strlen(r->id), error));
    SO_TRY(put(out, error, "%s%s%s%s\n", r->source ? " of " : "", r->source ? r->source : "", r->lang ? ", " : "",
               r->lang ? r->lang : ""));
    for (int k = 0; k < r->images; k++) {
        SO_TRY(put(out, error, "  picture %d: ", k + 1));
        SO_TRY(put_plain(out, r->image[k].path, strlen(r->image[k].path), error));
        if (r->image[k].size) SO_TRY(put(out, error, " at byte %llu", (unsigned long long)r->image[k].offset));
        SO_TRY(put(out, error, "\n"));
    }
    for (int k = 0; k < r->turns; k++) SO_TRY(about_turn(out, &r->turn[k], k + 1, error));
    return SO_OK;
}

static so_status open_tokenizer(const char *path, so_tokenizer **out, so_error *error)
{
    struct stat st;
    char inside[4096];
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(inside, sizeof inside, "%.4000s/tokenizer.json", path);
        path = inside;
    }
    return so_tokenizer_load_json(out, path, error);
}

so_status so_dataset_show(const so_dataset *d, int64_t i, const so_show_options *options, so_string *out,
                          so_error *error)
{
    showing w = {.o = options, .out = out};
    so_record record = {0};
    so_status status = so_dataset_read(d, i, &record, error);
    if (status != SO_OK) return status;
    if (options->tokenizer) SO_TRY_GO(open_tokenizer(options->tokenizer, &w.tokenizer, error));
    SO_TRY_GO(describe(&record, i, out, error));
    SO_TRY_GO(so_render(&record, &options->render, stretch, &w, error));
    SO_TRY_GO(so_string_put(out, w.marked ? options->plain : "", error));
    if (w.tokenizer)
        SO_TRY_GO(put(out, error, "\n  %zu ids and %lld pictures, %lld ids learnt", w.ids.n, (long long)w.pictures,
                      (long long)w.learnt));
    status = so_string_put(out, "\n\n", error);
done:
    so_ids_clear(&w.ids);
    so_tokenizer_close(&w.tokenizer);
    so_record_clear(&record);
    return status;
}
