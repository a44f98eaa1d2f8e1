/* POST /tokenize and /detokenize: text as the model's tokens, and back. Both the names of llama.cpp's server (content,
 * tokens) and of vLLM's (prompt, tokens) are taken.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/inside.h"

typedef struct tokens {
    const so_model *model;
    bool back; /* from tokens to text */
    so_bytes body;
    so_fault fault;
    json_t *answer;
} tokens;

static void free_tokens(void *own)
{
    tokens *t = own;
    so_bytes_clear(&t->body);
    json_decref(t->answer);
    free(t);
}

/* Names beside the one that matters; what has no effect here is none of them. */
static bool known(json_t *root, const char *const *names, so_fault *fault)
{
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        int k = 0;
        while (names[k] && strcmp(names[k], name)) k++;
        if (!names[k]) return so_fault_set(fault, name, "the field '%.60s' is not supported", name);
    }
    return true;
}

static bool failed(tokens *t, so_status status, const so_error *error, const char *param)
{
    so_fault_of(&t->fault, status, error->text);
    snprintf(t->fault.param, sizeof t->fault.param, "%s", param);
    return false;
}

static bool to_tokens(tokens *t, json_t *root)
{
    static const char *const names[] = {"content",       "prompt", "add_special", "add_special_tokens",
                                        "parse_special", "model",  NULL};
    const char *name = json_object_get(root, "prompt") ? "prompt" : "content";
    const char *text = json_string_value(json_object_get(root, name));
    const json_t *special = json_object_get(root, "parse_special"), *bos = json_object_get(root, "add_special");
    if (!bos) bos = json_object_get(root, "add_special_tokens");
    if (!known(root, names, &t->fault)) return false;
    if (!text) return so_fault_set(&t->fault, name, "%s must be a text", name);
    unsigned flags =
        (!special || json_is_true(special) ? SO_TOKENS_SPECIAL : 0u) | (json_is_true(bos) ? SO_TOKENS_BOS : 0u);
    int32_t *ids = NULL;
    size_t n = 0;
    so_error error = {0};
    so_status status = so_text_tokens(t->model, text, flags, &ids, &n, &error);
    if (status != SO_OK) return failed(t, status, &error, name);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(ids[i]));
    so_free(ids);
    t->answer = json_pack("{s:o,s:I}", "tokens", list, "count", (json_int_t)n);
    return true;
}

static bool to_text(tokens *t, json_t *root)
{
    static const char *const names[] = {"tokens", "model", NULL};
    const json_t *list = json_object_get(root, "tokens");
    size_t n = json_array_size(list);
    if (!known(root, names, &t->fault)) return false;
    int32_t *ids = json_is_array(list) ? malloc((n + 1) * sizeof *ids) : NULL;
    if (!ids) return so_fault_set(&t->fault, "tokens", "tokens must be a list of numbers");
    bool fine = true;
    for (size_t i = 0; i < n && fine; i++) {
        json_int_t id = json_integer_value(json_array_get(list, i));
        fine = json_is_integer(json_array_get(list, i)) && id >= 0 && id <= INT32_MAX;
        ids[i] = fine ? (int32_t)id : 0;
    }
    char *text = NULL;
    so_error error = {0};
    so_status status = fine ? so_tokens_text(t->model, ids, n, &text, &error) : SO_OK;
    free(ids);
    if (!fine) return so_fault_set(&t->fault, "tokens", "tokens must be a list of numbers from 0");
    if (status != SO_OK) return failed(t, status, &error, "tokens");
    t->answer = json_pack("{s:s,s:s}", "content", text, "prompt", text);
    so_free(text);
    return true;
}

static void work(void *own)
{
    tokens *t = own;
    json_t *root = so_json_read(so_bytes_front(&t->body), so_bytes_left(&t->body), &t->fault);
    bool fine = root && (t->back ? to_text(t, root) : to_tokens(t, root));
    if (fine && !t->answer) {
        t->fault.status = 503;
        so_fault_set(&t->fault, NULL, "no memory for the answer");
    }
    json_decref(root);
}

static void done(so_ask *ask)
{
    tokens *t = ask->own;
    if (t->fault.status)
        so_ask_fault(ask, &t->fault);
    else
        so_ask_json(ask, 200, json_incref(t->answer));
}

static void answer(so_ask *ask, bool back)
{
    tokens *t = calloc(1, sizeof *t);
    if (!t) {
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    *t = (tokens){.model = so_desk_model(ask->server->desk), .back = back, .body = ask->body};
    ask->body = (so_bytes){0};
    ask->own = t;
    ask->free = free_tokens;
    so_ask_work(ask, work, done);
}

void so_answer_tokenize(so_ask *ask) { answer(ask, false); }
void so_answer_detokenize(so_ask *ask) { answer(ask, true); }
