/* Rendering conversations.
 * Source: stream-omni.md sections 4.2, 4.5 and 6.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

const char so_chat_system[] =
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language.";

static const char line_breaks[] = "\n\n";

static so_status render_turn(so_string *text, const char *role, const char *content, size_t size, so_error *error)
{
    so_strip(&content, &size);
    SO_TRY(so_string_put(text, "<|start_header_id|>", error));
    SO_TRY(so_string_put(text, role, error));
    SO_TRY(so_string_put(text, "<|end_header_id|>\n\n", error));
    SO_TRY(so_string_add(text, content, size, error));
    return so_string_put(text, "<|eot_id|>", error);
}

so_status so_chat_render(const so_message *messages, size_t n, const so_chat_options *options, so_string *text,
                         so_error *error)
{
    const char *system = options && options->system ? options->system : so_chat_system;
    SO_TRY(so_string_put(text, "<|begin_of_text|>", error));
    SO_TRY(render_turn(text, "system", system, strlen(system), error));
    for (size_t i = 0; i < n; i++)
        if (messages[i].size) SO_TRY(render_turn(text, messages[i].role, messages[i].content, messages[i].size, error));
    return so_string_put(text, "<|start_header_id|>assistant<|end_header_id|>\n\n", error);
}

/* A prompt being encoded, part by part. */
typedef struct builder {
    const so_tokenizer *t;
    so_prompt *prompt;
    so_string span;    /* text between two special tokens */
    size_t part;       /* where the current part begins in the ids */
    bool drop;         /* the first id of the current part is still to be dropped */
    bool drops;        /* parts after the first lose their first id */
    unsigned flags;    /* of contents */
    int32_t break_ids; /* ids of the line breaks after a header */
} builder;

static int32_t position(const builder *b) { return (int32_t)b->prompt->ids.n - b->prompt->images; }

static void settle(builder *b)
{
    so_ids *ids = &b->prompt->ids;
    if (!b->drop || ids->n == b->part) return;
    memmove(ids->data + b->part, ids->data + b->part + 1, (ids->n - b->part - 1) * sizeof *ids->data);
    ids->n--;
    b->drop = false;
}

static so_status put_id(builder *b, int32_t id, so_error *error)
{
    SO_TRY(so_ids_put(&b->prompt->ids, id, error));
    settle(b);
    return SO_OK;
}

static so_status put_text(builder *b, const char *text, size_t size, so_error *error)
{
    SO_TRY(so_tokenizer_encode(b->t, text, size, b->flags, &b->prompt->ids, error));
    settle(b);
    return SO_OK;
}

static so_status begin_part(builder *b, so_error *error)
{
    b->part = b->prompt->ids.n;
    b->drop = b->drops;
    SO_TRY(so_tokenizer_encode(b->t, "", 0, SO_ENCODE_BOS, &b->prompt->ids, error));
    settle(b);
    return SO_OK;
}

/* A span of text with pictures: the parts begin anew after each. */
static so_status put_span(builder *b, const char *text, size_t size, so_error *error)
{
    static const size_t mark = sizeof SO_IMAGE_MARK - 1;
    const char *found;
    while ((found = memmem(text, size, SO_IMAGE_MARK, mark))) {
        SO_TRY(put_text(b, text, (size_t)(found - text), error));
        SO_TRY(so_ids_put(&b->prompt->ids, SO_IMAGE_ID, error));
        b->prompt->images++;
        SO_TRY(begin_part(b, error));
        size -= (size_t)(found - text) + mark;
        text = found + mark;
    }
    return put_text(b, text, size, error);
}

static so_status put_header(builder *b, const char *role, so_error *error)
{
    SO_TRY(put_id(b, so_tokenizer_names(b->t)->start_header, error));
    SO_TRY(put_text(b, role, strlen(role), error));
    return put_id(b, so_tokenizer_names(b->t)->end_header, error);
}

/* The content is encoded together with the line breaks before it, as it would be inside the whole text. */
static so_status put_turn(builder *b, const char *role, const char *content, size_t size, so_error *error)
{
    SO_TRY(put_header(b, role, error));
    b->prompt->last_message = position(b) + b->break_ids;
    so_strip(&content, &size);
    b->span.size = 0;
    SO_TRY(so_string_put(&b->span, line_breaks, error));
    SO_TRY(so_string_add(&b->span, content, size, error));
    SO_TRY(put_span(b, b->span.data, b->span.size, error));
    return put_id(b, so_tokenizer_names(b->t)->eot, error);
}

static so_status check_names(const so_tokenizer *t, so_error *error)
{
    const so_token_names *names = so_tokenizer_names(t);
    const char *missing = names->bos < 0            ? "<|begin_of_text|>"
                          : names->start_header < 0 ? "<|start_header_id|>"
                          : names->end_header < 0   ? "<|end_header_id|>"
                          : names->eot < 0          ? "<|eot_id|>"
                                                    : NULL;
    if (missing)
        return so_fail(error, SO_ERR_MISSING, "the chat template needs %s, which the vocabulary lacks", missing);
    return SO_OK;
}

static so_status begin(builder *b, so_error *error)
{
    so_ids *ids = &b->prompt->ids;
    SO_TRY(check_names(b->t, error));
    SO_TRY(so_tokenizer_encode(b->t, line_breaks, sizeof line_breaks - 1, 0, ids, error));
    b->break_ids = (int32_t)ids->n;
    ids->n = 0;
    SO_TRY(begin_part(b, error));
    SO_TRY(put_id(b, so_tokenizer_names(b->t)->bos, error));
    b->drops = true; /* the template begins with BOS */
    return SO_OK;
}

so_status so_chat_encode(const so_tokenizer *t, const so_message *messages, size_t n, const so_chat_options *options,
                         so_prompt *prompt, so_error *error)
{
    so_status status;
    bool literal = options && options->literal_contents;
    const char *system = options && options->system ? options->system : so_chat_system;
    builder b = {.t = t, .prompt = prompt, .flags = SO_ENCODE_ADDED | (literal ? 0 : SO_ENCODE_SPECIAL)};
    so_prompt_clear(prompt);
    SO_TRY_GO(begin(&b, error));
    SO_TRY_GO(put_turn(&b, "system", system, strlen(system), error));
    for (size_t i = 0; i < n; i++) {
        if (messages[i].size == 0) continue;
        SO_TRY_GO(put_turn(&b, messages[i].role, messages[i].content, messages[i].size, error));
        if (prompt->prefix == 0) prompt->prefix = prompt->last_message;
    }
    if (prompt->prefix == 0) {
        status = so_fail(error, SO_ERR_ARG, "a prompt without a message");
        goto done;
    }
    prompt->suffix = 1 - position(&b);
    SO_TRY_GO(put_header(&b, "assistant", error));
    SO_TRY_GO(put_text(&b, line_breaks, sizeof line_breaks - 1, error));
    prompt->suffix += position(&b);
    prompt->label_first = prompt->prefix - b.break_ids - 1;
    prompt->label_last = position(&b) - (prompt->suffix - 2);
done:
    so_string_clear(&b.span);
    if (status != SO_OK) so_prompt_clear(prompt);
    return status;
}

void so_prompt_clear(so_prompt *prompt)
{
    so_ids_clear(&prompt->ids);
    *prompt = (so_prompt){0};
}

so_status so_chat_content(so_string *text, int32_t images, const char *words, const int32_t *units, size_t n_units,
                          so_error *error)
{
    for (int32_t i = 0; i < images; i++) SO_TRY(so_string_put(text, SO_IMAGE_MARK "\n", error));
    if (words) SO_TRY(so_string_put(text, words, error));
    for (size_t i = 0; i < n_units; i++) {
        char unit[32];
        int size = snprintf(unit, sizeof unit, "<Audio_%d>", units[i]);
        SO_TRY(so_string_add(text, unit, (size_t)size, error));
    }
    return SO_OK;
}
