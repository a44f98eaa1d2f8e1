/* A checkpoint of Stream-Omni against reference numbers: every case, every stage.
 * Source: README of the reference folder; docs/model.md 4 to 6.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/see.h"
#include "engine/step.h"
#include "eval/golden/golden.h"
#include "eval/golden/golden_omni.h"
#include "plan/plan.h"
#include "text/chat.h"
#include "text/transcript.h"

void so_golden_limit(so_slots *slots, int64_t limit)
{
    int64_t n = 0, kept = 0;
    for (; n < slots->n; n++)
        if (slots->slot[n].where & SO_ON_BACKBONE && ++kept > limit) break;
    if (limit > 0) slots->n = n;
}

/* Absolute limits that the reference's README suggests; M is the backbone, fed by a long float sum in the reference. */
static const so_bars usual = {5e-5, 5e-4}, backbone = {5e-4, 2e-3}, expected_bars = {5e-5, 5e-4};

enum { STEPS = 4096, WINDOW = 5 };

/* What of the pass is kept; a name ending in ".in." stands for all layers of its stack. */
enum seen {
    B_HIDDEN,
    CTC,
    EXPECT,
    M_INPUT,
    M_LAYER,
    M_HIDDEN,
    M_LOGITS,
    T_INPUT,
    T_LAYER,
    T_HIDDEN,
    U_LOGITS,
    GEN_B,
    GEN_CTC,
    SEEN
};
static const struct {
    const char *name;
    bool prompt, answer; /* kept from the prompt, from the answer */
    bool last_row;       /* only the last row */
} seen_table[SEEN] = {
    [B_HIDDEN] = {"bottom.out", true, false, false}, [CTC] = {"ctc", true, false, false},
    [EXPECT] = {"expect", true, false, false},       [M_INPUT] = {"backbone.in.0", true, true, false},
    [M_LAYER] = {"backbone.in.", true, true, true},  [M_HIDDEN] = {"backbone.out", true, true, false},
    [M_LOGITS] = {"text_logits", true, true, false}, [T_INPUT] = {"top.in.0", true, true, false},
    [T_LAYER] = {"top.in.", true, true, true},       [T_HIDDEN] = {"top.out", true, true, false},
    [U_LOGITS] = {"unit_logits", true, true, false}, [GEN_B] = {"bottom.out", false, true, false},
    [GEN_CTC] = {"ctc", false, true, false},
};

/* One case while it runs. */
typedef struct run {
    so_golden *g;
    const so_model *model;
    const json_t *json;
    const char *name;
    bool voice, speech, typed_voice;
    so_talk *talk;
    so_worker worker; /* of a device */
    so_watch watch;
    bool answering; /* the prompt is in */
    so_heap rows[SEEN];
    so_status status;
    so_error error;
    int64_t P, S;               /* speech positions, backbone positions of the prompt */
    int64_t m_prompt, t_prompt; /* layer rows watched when the prompt was in */
    int32_t *out, *m_ids, *m_step, *m_pos, *m_spoken, *t_pos, *mem_ids, *mem_pos0, *units;
    int64_t n_out, n_m, n_units;
} run;

static bool is_called(const char *name, const char *wanted)
{
    size_t n = strlen(wanted);
    return wanted[n - 1] == '.' ? strncmp(name, wanted, n) == 0 : strcmp(name, wanted) == 0;
}

static void keep(void *context, const char *name, const so_tensor *t)
{
    run *r = context;
    for (int i = 0; i < SEEN && r->status == SO_OK; i++) {
        bool now = r->answering ? seen_table[i].answer : seen_table[i].prompt;
        if (!now || !is_called(name, seen_table[i].name)) continue;
        int64_t from = seen_table[i].last_row ? so_rows(t) - 1 : 0;
        r->status = so_heap_add(&r->rows[i], so_rows(t) - from, so_cols(t), so_data(t) + from * so_cols(t), &r->error);
    }
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

so_status so_golden_picture(so_golden *g, const char *name, so_image *out, so_error *error)
{
    const char *folder = g->options.inputs ? g->options.inputs : text_of(g->root, "inputs_dir");
    const char *file = name;
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(g->root, "images"), i,
                       entry) if (strcmp(text_of(entry, "file"), name) == 0 && text_of(entry, "decoded_file")) file =
        text_of(entry, "decoded_file");
    char relative[2048], path[4096];
    snprintf(relative, sizeof relative, "%s/%s", folder ? folder : ".", file);
    return so_image_read(out, g->options.inputs ? relative : so_golden_path(g, relative, path), 0, error);
}

/* ---- prompt */

static so_status see(run *r, int64_t first[2], int64_t *pictures, so_error *error)
{
    const char *name = text_of(r->json, "image");
    so_image image = {0};
    so_image_views views = {0};
    so_status status = SO_OK;
    int64_t n;
    *pictures = 0;
    if (!name) return SO_OK;
    SO_TRY_GO(so_golden_picture(r->g, name, &image, error));
    SO_TRY_GO(so_image_views_make(&views, &image, &r->model->pictures, r->model->pool, error));
    SO_TRY_GO(so_talk_place(r->talk, &views, &first[0], &n, error));
    SO_TRY_GO(so_talk_see(r->talk, &views, first[0], error));
    first[1] = first[0] + n;
    *pictures = 1;
done:
    so_image_views_clear(&views);
    so_image_clear(&image);
    return status;
}

static so_status encode_user(const run *r, const char *user, so_prompt *prompt, so_error *error)
{
    so_message message = {"user", user, strlen(user)};
    return so_chat_encode(r->model->tokenizer, &message, 1, NULL, prompt, error);
}

static so_status fill_slots(run *r, so_slots *slots, const so_prompt *prompt, const so_prompt *blank, so_error *error)
{
    int64_t first[2] = {0}, pictures;
    uint32_t where = r->speech ? SO_SLOT_SPEECH | SO_SLOT_EXPECT : SO_SLOT_TEXT;
    SO_TRY(see(r, first, &pictures, error));
    SO_TRY(so_slots_add(slots, prompt->ids.data, (int64_t)prompt->ids.n, where, first, pictures, error));
    so_golden_limit(slots, r->model->setup.length_limit);
    /* Labels of rows that enter no backbone are in the reference, too. */
    where = SO_SLOT_SPEECH | SO_SLOT_LABEL;
    if (r->typed_voice) SO_TRY(so_slots_add(slots, blank->ids.data, (int64_t)blank->ids.n, where, NULL, 0, error));
    return so_talk_sync(r->talk, slots->slot, slots->n, error);
}

static so_status compare_prompt(run *r, const so_prompt *prompt, const so_prompt *blank, so_error *error)
{
    so_golden *g = r->g;
    so_golden_list(g, r->name, "prompt_ids", json_object_get(r->json, "prompt_ids"), prompt->ids.data,
                   (int64_t)prompt->ids.n);
    so_golden_list(g, r->name, "prefill_ids", json_object_get(r->json, "prefill_ids"), blank->ids.data,
                   (int64_t)blank->ids.n);
    if (!r->speech) return SO_OK;
    so_string text = {0};
    so_ids kept = {0};
    so_status status;
    const int32_t *label = r->talk->label;
    so_golden_list(g, r->name, "asr_ids", json_object_get(r->json, "asr_ids"), label, r->P);
    SO_TRY_GO(so_collapse(label + prompt->label_first, prompt->label_last - prompt->label_first, r->model->blank, &kept,
                          error));
    so_golden_list(g, r->name, "asr_collapsed", json_object_get(r->json, "asr_collapsed"), kept.data, (int64_t)kept.n);
    SO_TRY_GO(so_transcript_text(r->model->tokenizer, kept.data, kept.n, &text, error));
    so_golden_text(g, r->name, "asr_text", text_of(r->json, "asr_text"), text.data);
done:
    so_ids_clear(&kept);
    so_string_clear(&text);
    return status;
}

/* ---- numbers */

static double log_sum_exp(const so_real *x, int64_t n)
{
    double top = (double)x[so_argmax(x, n)], sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
    return top + log(sum);
}

static double margin_of(const so_real *x, int64_t n)
{
    int32_t best = so_argmax(x, n);
    double second = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (i != best && (double)x[i] > second) second = (double)x[i];
    return (double)x[best] - second;
}

static so_real *numbers(int64_t n) { return malloc((size_t)n * sizeof(so_real) + 1); }

/* The logits at the ids that the reference lists, row by row. row NULL: rows 0, 1, .. */
static void top_k(run *r, const char *ids_name, const char *values_name, const so_heap *logits, const int32_t *row,
                  so_bars bars)
{
    const so_view *ids = so_golden_view(r->g, r->name, ids_name, NULL);
    if (!ids || ids->n_dims != 2) return;
    int64_t rows = ids->dim[0], k = ids->dim[1];
    so_real *found = numbers(rows * k);
    const int32_t *id = ids->data;
    for (int64_t i = 0; found && i < rows * k; i++) {
        int64_t at = row ? row[i / k] : i / k;
        found[i] = at < logits->rows && id[i] >= 0 && id[i] < logits->cols ? so_heap_at(logits, at)[id[i]] : NAN;
    }
    if (found) so_golden_numbers(r->g, r->name, values_name, found, rows * k, bars);
    free(found);
}

static void strided(run *r, const char *what, const so_heap *logits, const int32_t *row, int64_t rows, so_bars bars)
{
    int64_t stride = json_integer_value(json_object_get(r->g->root, "logit_stride"));
    if (stride < 1 || !so_golden_view(r->g, r->name, what, NULL)) return;
    int64_t n = (logits->cols + stride - 1) / stride;
    so_real *found = numbers(rows * n);
    for (int64_t i = 0; found && i < rows * n; i++) {
        int64_t at = row ? row[i / n] : i / n;
        found[i] = at < logits->rows ? so_heap_at(logits, at)[i % n * stride] : NAN;
    }
    if (found) so_golden_numbers(r->g, r->name, what, found, rows * n, bars);
    free(found);
}

typedef double (*row_fn)(const so_real *x, int64_t n);

static void per_row(run *r, const char *what, const so_heap *logits, const int32_t *row, int64_t rows, row_fn f,
                    so_bars bars)
{
    so_real *found = numbers(rows);
    for (int64_t i = 0; found && i < rows; i++) {
        int64_t at = row ? row[i] : i;
        found[i] = at < logits->rows ? (so_real)f(so_heap_at(logits, at), logits->cols) : NAN;
    }
    if (found) so_golden_numbers(r->g, r->name, what, found, rows, bars);
    free(found);
}

static double largest_probability(const so_real *x, int64_t n)
{
    return exp((double)x[so_argmax(x, n)] - log_sum_exp(x, n));
}

static void compare_speech_in(run *r)
{
    so_golden *g = r->g;
    const so_heap *ctc = &r->rows[CTC];
    int32_t *label = malloc((size_t)r->P * sizeof *label + 1);
    for (int64_t i = 0; label && i < r->P && i < ctc->rows; i++) label[i] = so_argmax(so_heap_at(ctc, i), ctc->cols);
    if (label) so_golden_ids(g, r->name, "ctc_labels", label, r->P);
    free(label);
    so_golden_numbers(g, r->name, "b_hidden", r->rows[B_HIDDEN].data, r->rows[B_HIDDEN].rows * r->rows[B_HIDDEN].cols,
                      usual);
    so_golden_numbers(g, r->name, "soft_embed", r->rows[EXPECT].data, r->rows[EXPECT].rows * r->rows[EXPECT].cols,
                      expected_bars);
    per_row(r, "ctc_margin", ctc, NULL, r->P, margin_of, usual);
    per_row(r, "ctc_prob_max", ctc, NULL, r->P, largest_probability, usual);
    const so_view *rows = so_golden_view(g, r->name, "ctc_rows", NULL);
    if (rows) {
        const int32_t *row = rows->data;
        int64_t n = so_view_elements(rows);
        top_k(r, "ctc_topk_ids", "ctc_topk_vals", ctc, row, usual);
        per_row(r, "ctc_lse", ctc, row, n, log_sum_exp, usual);
        strided(r, "ctc_strided", ctc, row, n, usual);
    }
    if (so_golden_view(g, r->name, "ctc_full_row48", NULL) && ctc->rows > 48)
        so_golden_numbers(g, r->name, "ctc_full_row48", so_heap_at(ctc, 48), ctc->cols, usual);
}

static int64_t first_of(const run *r, const char *what, int64_t most)
{
    const so_view *view = so_golden_view(r->g, r->name, what, NULL);
    return view && view->dim[0] < most ? view->dim[0] : most;
}

/* What leaves each layer of a stack at one position, from row `at` on, and the last normed row of the prompt. */
typedef struct column {
    const so_heap *layer, *hidden;
    int64_t at, layers, rows;
} column;

static void compare_column(run *r, const char *what, const column *c, so_bars bars)
{
    int64_t width = c->hidden->cols;
    so_real *all = numbers((c->layers + 1) * width);
    if (all && c->at >= 0 && c->layer->rows >= c->at + c->layers && c->hidden->rows >= c->rows) {
        memcpy(all, so_heap_at(c->layer, c->at), (size_t)(c->layers * width) * sizeof *all);
        memcpy(all + c->layers * width, so_heap_at(c->hidden, c->rows - 1), (size_t)width * sizeof *all);
        so_golden_numbers(r->g, r->name, what, all, (c->layers + 1) * width, bars);
    }
    free(all);
}

static void compare_backbone(run *r)
{
    so_golden *g = r->g;
    const so_heap *h = &r->rows[M_HIDDEN], *z = &r->rows[M_LOGITS];
    int64_t width = h->cols, layers = r->model->net.backbone.layers;
    so_golden_numbers(g, r->name, "m_input", r->rows[M_INPUT].data, r->S * width, r->speech ? expected_bars : usual);
    so_golden_numbers(g, r->name, "m_first_hidden", h->data, r->S * width, backbone);
    compare_column(r, "m_first_layers", &(column){&r->rows[M_LAYER], h, r->m_prompt - layers, layers, r->S}, backbone);
    int64_t k = first_of(r, "m_hidden", r->n_m);
    so_golden_numbers(g, r->name, "m_hidden", so_heap_at(h, r->S - 1), k * width, backbone);
    top_k(r, "m_topk_ids", "m_topk_vals", z, NULL, backbone);
    per_row(r, "m_lse", z, NULL, r->n_m, log_sum_exp, backbone);
    per_row(r, "m_margin", z, NULL, r->n_m, margin_of, backbone);
    strided(r, "m_first_strided", z, NULL, 1, backbone);
    so_golden_ids(g, r->name, "m_pos", r->m_pos, r->n_m);
}

static void compare_top(run *r)
{
    so_golden *g = r->g;
    const so_heap *h = &r->rows[T_HIDDEN], *z = &r->rows[U_LOGITS];
    int64_t width = h->cols, layers = r->model->net.top.layers;
    so_golden_numbers(g, r->name, "t_input", r->rows[T_INPUT].data, r->P * width, usual);
    so_golden_numbers(g, r->name, "t_prefill_hidden", h->data, r->P * width, usual);
    compare_column(r, "t_prefill_layers", &(column){&r->rows[T_LAYER], h, r->t_prompt, layers, r->P}, usual);
    int64_t k = first_of(r, "t_hidden", r->n_out);
    so_golden_numbers(g, r->name, "t_hidden", so_heap_at(h, r->P - 1), k * width, usual);
    top_k(r, "unit_topk_ids", "unit_topk_vals", z, NULL, usual);
    per_row(r, "unit_lse", z, NULL, r->n_out, log_sum_exp, usual);
    per_row(r, "unit_margin", z, NULL, r->n_out, margin_of, usual);
    strided(r, "unit_first_strided", z, NULL, 1, usual);
    so_golden_ids(g, r->name, "t_pos", r->t_pos, r->n_out);
    so_golden_ids(g, r->name, "mem_ids", r->mem_ids, r->n_out * WINDOW);
    so_golden_ids(g, r->name, "mem_pos0", r->mem_pos0, r->n_out);
    so_golden_ids(g, r->name, "m_pronounceable", r->m_spoken, r->n_m);
    so_golden_ids(g, r->name, "m_step", r->m_step, r->n_m);
    so_golden_ids(g, r->name, "prev_ids", r->talk->memory_ids, r->talk->n_memory);
    so_golden_ids(g, r->name, "gen_labels", r->talk->label + r->P, r->talk->bottom.len - r->P);
    so_golden_list(g, r->name, "units", json_object_get(r->json, "units"), r->units, r->n_units);
    so_golden_numbers(g, r->name, "gen_b_hidden", r->rows[GEN_B].data, r->rows[GEN_B].rows * width, usual);
    per_row(r, "gen_ctc_margin", &r->rows[GEN_CTC], NULL, r->rows[GEN_CTC].rows, margin_of, usual);
}

static so_status compare_text(run *r, so_error *error)
{
    so_string text = {0};
    so_status status;
    SO_TRY_GO(so_tokenizer_decode(r->model->tokenizer, r->m_ids, (size_t)r->n_m, SO_DECODE_SKIP_SPECIAL, &text, error));
    /* The reference strips what it shows. */
    const char *trimmed = text.data ? text.data : "";
    size_t size = text.size;
    so_golden_text(r->g, r->name, "llm_text", text_of(r->json, "llm_text"), trimmed);
    (void)size;
    so_golden_text(r->g, r->name, "stopped_by", text_of(r->json, "stopped_by"),
                   r->talk->end == SO_END_STOP ? "eos" : "max_new_tokens");
done:
    so_string_clear(&text);
    return status;
}

/* ---- the loop */

static void note_text(run *r, const so_made *made)
{
    r->m_ids[r->n_m] = made->id;
    r->m_step[r->n_m] = (int32_t)r->talk->n_units;
    r->m_pos[r->n_m] = r->n_m ? (int32_t)made->position : 0;
    r->m_spoken[r->n_m++] = so_model_spoken(r->model, made->id);
}

static void note_unit(run *r, const so_made *made)
{
    const so_talk *t = r->talk;
    int64_t n = t->n_memory, from = n > WINDOW ? n - WINDOW : 0;
    for (int64_t i = 0; i < WINDOW; i++)
        r->mem_ids[r->n_out * WINDOW + i] = from + i < n ? t->memory_ids[from + i] : -1;
    r->mem_pos0[r->n_out] = (int32_t)from;
    r->t_pos[r->n_out] = r->n_out ? (int32_t)made->position : 0;
    int32_t unit = so_tokenizer_unit_of(r->model->tokenizer, made->id);
    if (unit >= 0) r->units[r->n_units++] = unit;
    r->out[r->n_out++] = made->id;
}

static so_status generate(run *r, so_error *error)
{
    so_made made;
    SO_TRY(so_talk_begin(r->talk, r->voice, error));
    for (;;) {
        SO_TRY(so_talk_step(r->talk, &made, error));
        if (made.kind == SO_STEP_END) break;
        if (made.kind == SO_STEP_TEXT && r->n_m < STEPS) note_text(r, &made);
        if (made.kind == SO_STEP_UNIT && r->n_out < STEPS) note_unit(r, &made);
    }
    return r->status == SO_OK ? SO_OK : so_fail(error, r->status, "%s", r->error.text);
}

static so_status open_run(run *r, so_error *error)
{
    int64_t most = json_integer_value(json_object_get(r->json, "max_new_tokens"));
    so_talk_options options = {.sees = true, .speaks = r->voice, .context = 4096};
    options.lookahead = json_integer_value(json_object_get(json_object_get(r->g->root, "special"), "look_ahead"));
    options.window = json_integer_value(json_object_get(json_object_get(r->g->root, "special"), "window"));
    if (r->voice)
        options.max_units = most;
    else
        options.max_text = most;
    int32_t *lists = calloc(13 * STEPS, sizeof *lists);
    if (!lists) return so_fail(error, SO_ERR_NOMEM, "no memory for a case");
    r->out = lists;
    r->m_ids = lists + STEPS;
    r->m_step = lists + 2 * STEPS;
    r->m_pos = lists + 3 * STEPS;
    r->m_spoken = lists + 4 * STEPS;
    r->t_pos = lists + 5 * STEPS;
    r->mem_pos0 = lists + 6 * STEPS;
    r->units = lists + 7 * STEPS;
    r->mem_ids = lists + 8 * STEPS;
    if (r->model->device) {
        /* All logits of a prompt are watched, which takes more than a conversation is given. */
        SO_TRY(so_golden_worker(&r->worker, r->model, error));
        options.worker = &r->worker;
    }
    SO_TRY(so_talk_open(&r->talk, r->model, &options, error));
    r->watch = (so_watch){.tensor = keep, .context = r};
    so_talk_watch(r->talk, &r->watch);
    return SO_OK;
}

/* The expected embeddings of rows that enter no backbone, which generation does not compute. */
static so_status expect_blank(run *r, so_error *error)
{
    const so_heap *ctc = &r->rows[CTC];
    so_worker worker;
    SO_TRY(so_golden_worker(&worker, r->model, error));
    so_pass *pass = so_worker_begin(&worker);
    so_tensor *z = so_constant(pass, 2, (int64_t[]){ctc->rows, ctc->cols}, ctc->data);
    so_tensor *e = so_omni_expect(pass, &r->model->net, z);
    const so_real *seen = so_read(pass, e);
    so_status status = seen ? so_heap_add(&r->rows[EXPECT], so_rows(e), so_cols(e), seen, error)
                            : so_fail(error, pass->error.status, "%s", pass->error.text);
    so_worker_clear(&worker);
    return status;
}

static so_status run_case(run *r, so_error *error)
{
    so_status status;
    so_prompt prompt = {0}, blank = {0};
    so_slots slots = {.capacity = 8192};
    SO_TRY_GO(open_run(r, error));
    slots.slot = malloc((size_t)slots.capacity * sizeof *slots.slot);
    if (!slots.slot) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for a prompt");
        goto done;
    }
    SO_TRY_GO(encode_user(r, text_of(r->json, "user"), &prompt, error));
    SO_TRY_GO(encode_user(r, " ", &blank, error));
    SO_TRY_GO(fill_slots(r, &slots, &prompt, &blank, error));
    r->P = r->talk->bottom.len;
    r->S = r->talk->backbone.len;
    r->m_prompt = r->rows[M_LAYER].rows;
    r->t_prompt = r->rows[T_LAYER].rows;
    r->answering = true;
    if (r->typed_voice) SO_TRY_GO(expect_blank(r, error));
    SO_TRY_GO(compare_prompt(r, &prompt, &blank, error));
    SO_TRY_GO(generate(r, error));
    so_golden_list(r->g, r->name, "out_ids", json_object_get(r->json, "out_ids"), r->voice ? r->out : r->m_ids,
                   r->voice ? r->n_out : r->n_m);
    so_golden_list(r->g, r->name, "m_ids", json_object_get(r->json, "m_ids"), r->m_ids, r->n_m);
    SO_TRY_GO(compare_text(r, error));
    if (r->P) compare_speech_in(r);
    compare_backbone(r);
    if (r->voice) compare_top(r);
done:
    so_prompt_clear(&prompt);
    so_prompt_clear(&blank);
    free(slots.slot);
    return status;
}

static so_status one_case(so_golden *g, const so_model *model, const json_t *json, so_error *error)
{
    const char *mode = text_of(json, "inference_type"), *name = text_of(json, "name");
    if (!mode || !name || !text_of(json, "user"))
        return so_fail(error, SO_ERR_FORMAT, "golden.json: a case without a name");
    if (!so_golden_wants(g, name)) return SO_OK;
    run r = {.g = g, .model = model, .json = json, .name = name};
    r.speech = strncmp(mode, "speech_", 7) == 0;
    r.voice = strstr(mode, "_to_speech") != NULL;
    r.typed_voice = r.voice && !r.speech;
    so_status status = run_case(&r, error);
    for (int i = 0; i < SEEN; i++) free(r.rows[i].data);
    free(r.out);
    so_talk_close(&r.talk);
    so_worker_clear(&r.worker);
    g->result->sets++;
    return status == SO_OK ? SO_OK : so_fail_in(error, "case %s", name);
}

so_status so_golden_worker(so_worker *worker, const so_model *model, so_error *error)
{
    so_site place = so_model_place(model);
    so_need need = {(size_t)4 << 30, 0, 0};
    if (model->device) {
        size_t most = so_device_largest(model->device), left = so_device_left(model->device) / 2 / 4096 * 4096;
        need.device = most < left ? most : left;
        if (need.device > (size_t)512 << 20) need.device = (size_t)512 << 20;
    }
    return so_worker_open_on(worker, &place, need, error);
}

static so_status open_model(so_golden *g, so_model **model, so_error *error)
{
    char folder[4096], tokenizer[4096];
    const char *at = g->options.tokenizer;
    if (!at && text_of(g->root, "tokenizer_dir")) at = so_golden_path(g, text_of(g->root, "tokenizer_dir"), tokenizer);
    so_model_options options = {.threads = g->options.threads, .keep_types = g->options.keep_types, .tokenizer = at};
    options.device = g->options.device;
    if (g->device || options.device) options.precision = SO_PRECISION_EXACT;
    const char *path = so_golden_path(g, "model", folder);
    if (!g->device) return so_model_open(model, path, &options, error);
    so_device *lent = g->device;
    g->device = NULL; /* the model closes it */
    return so_model_open_on(model, path, &options, lent, error);
}

so_status so_golden_omni(so_golden *g, so_error *error)
{
    so_model *model = NULL;
    so_status status;
    size_t i;
    json_t *json;
    SO_TRY_GO(open_model(g, &model, error));
    json_array_foreach(json_object_get(g->root, "cases"), i, json) SO_TRY_GO(one_case(g, model, json, error));
    if (model->setup.omni.vision) {
        SO_TRY_GO(so_golden_pictures(g, model, error));
        SO_TRY_GO(so_golden_vision(g, model, error));
        if (!model->device) SO_TRY_GO(so_golden_merge(g, model, error));
    }
    if (!model->device) SO_TRY_GO(so_golden_fusion(g, model, error));
    if (model->device) so_golden_skip(g, "merge, tlayer", NULL, "only the host computes them");
done:
    so_model_close(&model);
    return status;
}
