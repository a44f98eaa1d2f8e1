/* A record in the chat template, stretch by stretch, with what is learnt of it.
 *
 * Ids and what is learnt come out of one pass over the template: nothing is found again by counting.
 * Source: stream-omni.md section 4.5; LLaVA's "plain" pre-training.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <string.h>

#include "dataset/dataset.h"
#include "text/chat.h"

typedef struct render {
    so_stretch_fn each;
    void *context;
    bool pictures; /* "<image>" is one */
    int64_t learnt;
} render;

static so_status tell(render *r, const char *text, size_t size, bool learnt, so_error *error)
{
    if (size == 0) return SO_OK;
    r->learnt += learnt;
    return r->each(r->context, &(so_stretch){text, size, learnt, false}, error);
}

/* A content, trimmed, with its pictures apart. */
static so_status content(render *r, const char *text, bool learnt, so_error *error)
{
    const size_t mark = strlen(SO_IMAGE_MARK);
    size_t size = strlen(text);
    so_strip(&text, &size);
    const char *end = text + size;
    while (r->pictures) {
        const char *at = memmem(text, (size_t)(end - text), SO_IMAGE_MARK, mark);
        if (!at) break;
        SO_TRY(tell(r, text, (size_t)(at - text), learnt, error));
        SO_TRY(r->each(r->context, &(so_stretch){at, mark, false, true}, error));
        text = at + mark;
    }
    return tell(r, text, (size_t)(end - text), learnt, error);
}

static so_status header(render *r, const char *role, so_error *error)
{
    SO_TRY(tell(r, "<|start_header_id|>", 19, false, error));
    SO_TRY(tell(r, role, strlen(role), false, error));
    return tell(r, "<|end_header_id|>\n\n", 19, false, error);
}

static so_status message(render *r, const char *role, const char *text, bool learnt, so_error *error)
{
    SO_TRY(header(r, role, error));
    SO_TRY(content(r, text, learnt, error));
    return tell(r, "<|eot_id|>", 10, learnt, error);
}

/* The pictures, then the caption and what ends it. */
static so_status plain(render *r, const so_record *record, so_error *error)
{
    SO_TRY(tell(r, "<|begin_of_text|>", 17, false, error));
    for (int i = 0; i < record->images; i++)
        SO_TRY(r->each(r->context, &(so_stretch){SO_IMAGE_MARK, strlen(SO_IMAGE_MARK), false, true}, error));
    r->pictures = false;
    for (int i = 0; i < record->turns; i++)
        if (record->turn[i].role == SO_ROLE_ASSISTANT) SO_TRY(content(r, record->turn[i].text, true, error));
    return tell(r, "<|end_of_text|>", 15, true, error);
}

static so_status chat(render *r, const so_record *record, const char *system, so_error *error)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    bool own = record->turn[0].role == SO_ROLE_SYSTEM;
    SO_TRY(tell(r, "<|begin_of_text|>", 17, false, error));
    if (!own && system[0]) SO_TRY(message(r, "system", system, false, error));
    for (int i = 0; i < record->turns; i++) {
        const so_record_turn *t = &record->turn[i];
        SO_TRY(message(r, roles[t->role], t->text, t->role == SO_ROLE_ASSISTANT, error));
    }
    return SO_OK;
}

/* Speech with its transcript and no answer: the transcript is what is learnt (CTC). */
static so_status transcripts(render *r, const so_record *record, so_error *error)
{
    for (int i = 0; i < record->turns; i++)
        if (record->turn[i].audio.path || record->turn[i].units.path || record->turn[i].listed)
            SO_TRY(content(r, record->turn[i].say ? record->turn[i].say : record->turn[i].text, true, error));
    return SO_OK;
}

static bool answered(const so_record *record)
{
    for (int i = 0; i < record->turns; i++)
        if (record->turn[i].role == SO_ROLE_ASSISTANT) return true;
    return false;
}

so_status so_render(const so_record *record, const so_render_options *options, so_stretch_fn each, void *context,
                    so_error *error)
{
    const so_render_options o = options ? *options : (so_render_options){0};
    render r = {.each = each, .context = context, .pictures = record->images > 0};
    if (record->turns == 0) return so_fail(error, SO_ERR_FORMAT, "a record without turns");
    if (!answered(record))
        SO_TRY(transcripts(&r, record, error));
    else if (o.plain)
        SO_TRY(plain(&r, record, error));
    else
        SO_TRY(chat(&r, record, o.system ? o.system : so_chat_system, error));
    if (r.learnt) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "nothing of the record '%s' would be learnt", record->id);
}
