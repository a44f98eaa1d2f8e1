/* The codec's losses, gradients and learning rules against reference numbers.
 *
 * Gradients of weights are compared in relative L2, the worst of them against ten times what a float32 run of the
 * reference was off; the others in absolute terms, as results are.
 * Source: README of the reference folder; docs/model.md 7.6.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/golden/golden_codec.h"
#include "nn/ops_wave.h"
#include "train/loss_adversarial.h"
#include "train/loss_flow.h"

/* ---- gradients */

static void compare_gradient(so_codec_golden *b, const char *tensor, const so_tensor *t, bool turned, double bar)
{
    if (!t || !so_ok(&b->pass)) return;
    so_tensor g = *t;
    g.data = t->grad;
    if (t->grad)
        so_codec_golden_expect_bar(b, tensor, &g, turned, bar);
    else
        so_golden_value(b->g, b->name, tensor, NAN, 0, 0);
}

static void gradient(so_codec_golden *b, const char *tensor, const so_tensor *t, bool turned)
{
    compare_gradient(b, tensor, t, turned, so_codec_golden_bar(b, tensor));
}

static double norm_of(const so_tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; i < so_count(t); i++) sum += (double)t->grad[i] * (double)t->grad[i];
    return sqrt(sum);
}

/* A gradient's distance from the stored one over its norm. Gradients that are nothing but rounding (a key's bias) are
 * measured against a share of the largest. */
typedef struct worst {
    double ratio, share;
    const char *name;
    int64_t n;
} worst;

static void measure(worst *w, const char *name, double distance, double norm)
{
    double scale = norm + w->share, ratio = scale > 0 ? distance / scale : distance > 0 ? (double)INFINITY : 0;
    w->n++;
    if (w->name && !(ratio > w->ratio)) return;
    w->ratio = ratio;
    w->name = name;
}

static void report_worst(so_codec_golden *b, const worst *w, const char *what, double bar)
{
    char text[512];
    if (!w->n) return;
    int n = snprintf(text, sizeof text, "%s of %lld weights", what, (long long)w->n);
    if (!(w->ratio <= bar)) snprintf(text + n, sizeof text - (size_t)n, ", worst: %.400s", w->name);
    json_object_set_new(b->g->told, what, json_true());
    so_golden_value(b->g, b->name, text, w->ratio, 0, bar);
}

static double parameter_bar(const so_codec_golden *b)
{
    const json_t *v = json_object_get(json_object_get(b->json, "values"), "param_grad_worst_rel_l2_fp32_vs_fp64");
    return 10 * (json_is_number(v) ? json_number_value(v) : 1e-5);
}

static void compare_stored(so_codec_golden *b, const so_store *store)
{
    const so_views *views = so_safetensors_views(b->g->single);
    char prefix[256];
    double bar = parameter_bar(b), largest = 0;
    int n = snprintf(prefix, sizeof prefix, "%s.grad.", b->name);
    worst w = {0};
    for (int round = 0; round < 2; round++) {
        for (int64_t i = 0; i < views->count; i++) {
            const so_view *v = &views->view[i];
            if (v->type != SO_F32 || strncmp(v->name, prefix, (size_t)n) != 0) continue;
            const so_weight *weight = so_store_find(store, v->name + n);
            const float *expected = v->data;
            double d2 = 0, e2 = 0;
            bool same = weight && weight->tensor.grad && so_count(&weight->tensor) == so_view_elements(v);
            for (int64_t j = 0; j < so_view_elements(v); j++) {
                double d = same ? (double)weight->tensor.grad[j] - (double)expected[j] : (double)INFINITY;
                d2 += d * d;
                e2 += (double)expected[j] * (double)expected[j];
            }
            if (round == 0)
                largest = fmax(largest, sqrt(e2));
            else
                measure(&w, v->name + n, sqrt(d2), sqrt(e2));
        }
        w.share = 1e-7 * largest / bar;
    }
    report_worst(b, &w, "grad.*", bar);
}

/* Every weight's gradient, and of all weights its norm. */
static void compare_gradients(so_codec_golden *b, const so_store *store)
{
    json_t *told = json_object_get(json_object_get(b->json, "values"), "param_grad_l2");
    const char *name;
    json_t *norm;
    double bar = parameter_bar(b), largest = 0;
    worst w = {0};
    if (!so_ok(&b->pass)) return;
    compare_stored(b, store);
    json_object_foreach(told, name, norm) largest = fmax(largest, json_number_value(norm));
    w.share = 1e-7 * largest / bar;
    json_object_foreach(told, name, norm)
    {
        const so_weight *weight = so_store_find(store, name);
        double found = weight && weight->tensor.grad ? norm_of(&weight->tensor) : (double)INFINITY;
        measure(&w, name, fabs(found - json_number_value(norm)), json_number_value(norm));
    }
    report_worst(b, &w, "param_grad_l2", bar);
}

static double scalar(const so_tensor *t) { return t ? (double)so_data(t)[0] : (double)NAN; }

/* ---- CTC, smoothed cross entropy */

/* logits[T, B, V] of the reference as rows of sequences, one after another. */
so_status so_codec_golden_ctc(so_codec_golden *b, so_error *error)
{
    (void)error;
    const so_view *v = so_codec_golden_view(b, "logits"), *labels = so_codec_golden_view(b, "targets");
    if (!v || !labels || v->n_dims != 3 || v->type != SO_F32 || labels->type != SO_I32 || labels->n_dims != 2)
        return SO_OK;
    int64_t T = v->dim[0], B = v->dim[1], V = v->dim[2], most = labels->dim[1];
    so_pass *pass = &b->pass;
    const int32_t *rows = so_codec_golden_ids(b, "input_lengths", B),
                  *n_labels = so_codec_golden_ids(b, "target_lengths", B);
    const float *expected = so_codec_golden_exactly(b, "loss", B);
    if (!rows || !n_labels || !expected || labels->dim[0] != B) return SO_OK;
    so_tensor *x = so_new2(pass, B * T, V);
    int64_t *lists = so_take(pass, (size_t)(4 * B) * sizeof *lists, false);
    so_real *each = so_take(pass, (size_t)B * sizeof *each, false);
    so_real *grad = so_take(pass, (size_t)(B * T * V) * sizeof *grad, true);
    if (!grad) return SO_OK;
    const float *from = v->data;
    for (int64_t i = 0; i < B * T * V; i++) so_data(x)[i] = from[(i / V % T * B + i / (V * T)) * V + i % V];
    double mean = 0;
    for (int64_t s = 0; s < B; s++) {
        if (rows[s] < 0 || rows[s] > T || n_labels[s] < 0 || n_labels[s] > most)
            return so_pass_fail(pass, SO_ERR_MISSING, "a length beyond its axis"), SO_OK;
        lists[s] = s * T;
        lists[B + s] = rows[s];
        lists[2 * B + s] = s * most;
        lists[3 * B + s] = n_labels[s];
    }
    x->wants_grad = pass->recording = true;
    so_ctc ctc = {
        B, lists, lists + B, lists + 2 * B, lists + 3 * B, labels->data, (int32_t)so_codec_golden_parameter(b, "blank"),
        1, each,  NULL};
    so_tensor *loss = so_ctc_loss(pass, x, &ctc);
    if (loss && so_backward(pass, loss, 1) == SO_OK) {
        double bar = fmax(so_codec_golden_bar(b, "loss"), 1e-5);
        for (int64_t s = 0; s < B; s++)
            so_golden_value(b->g, b->name, "loss", (double)each[s], (double)expected[s], bar);
        for (int64_t s = 0; s < B; s++)
            mean += isfinite(each[s]) ? (double)each[s] / fmax(1, n_labels[s]) / (double)B : 0;
        so_codec_golden_expect_value(b, "mean_reduction", mean);
        for (int64_t i = 0; x->grad && i < B * T * V; i++) grad[(i / V % T * B + i / (V * T)) * V + i % V] = x->grad[i];
        bar = fmax(so_codec_golden_bar(b, "grad_logits"), 1e-6);
        so_golden_numbers(b->g, b->name, "grad_logits", grad, B * T * V, (so_bars){bar, bar});
    }
    return SO_OK;
}

so_status so_codec_golden_smoothing(so_codec_golden *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    so_tensor *x = so_codec_golden_leaf(b, "logits");
    if (!x) return SO_OK;
    bool all = strstr(b->name, ".ce") != NULL;
    const int32_t *label = so_codec_golden_ids(b, "targets", so_rows(x));
    so_ce ce = {.smoothing = so_codec_golden_number(b, "smoothing", 0.1),
                .convention = all ? SO_SMOOTH_ALL : SO_SMOOTH_OTHERS};
    if (strstr(b->name, "batch")) ce.divide = (double)x->dim[0];
    pass->recording = true;
    so_tensor *loss = label ? so_cross_entropy_with(pass, x, label, &ce) : NULL;
    so_codec_golden_expect(b, "loss", loss, false);
    if (loss && so_backward(pass, loss, 1) == SO_OK)
        compare_gradient(b, "grad_logits", x, false, fmax(so_codec_golden_bar(b, "grad_logits"), 1e-7));
    return SO_OK;
}

/* ---- the flow */

static bool adds_mask(const so_codec_golden *b)
{
    const char *how = json_string_value(json_object_get(json_object_get(b->json, "params"), "attention_mask"));
    return how && strcmp(how, "add") == 0;
}

static so_tensor *turned_leaf(so_codec_golden *b, const char *tensor, bool turned)
{
    so_tensor *t = so_codec_golden_read(b, tensor, turned);
    if (t) t->wants_grad = true;
    return t;
}

so_status so_codec_golden_flow_matching(so_codec_golden *b, so_error *error)
{
    so_pass *pass = &b->pass;
    SO_TRY(so_codec_golden_learn_flow(b, error));
    so_codec_golden_forget(b);
    so_tensor *x1 = turned_leaf(b, "x1", true), *mu = turned_leaf(b, "mu", true),
              *z = so_codec_golden_read(b, "z", true);
    so_tensor *spks = turned_leaf(b, "spks", false), *cond = turned_leaf(b, "cond", true);
    if (!x1 || !mu || !z || !spks || !cond || x1->n_dims != 3) return SO_OK;
    int64_t B = x1->dim[0], T = x1->dim[1];
    const json_t *kept = json_object_get(json_object_get(b->json, "params"), "conditions_kept");
    so_real *keep = so_take(pass, (size_t)B * sizeof *keep, false);
    const float *t = so_codec_golden_exactly(b, "t", B), *mask = so_codec_golden_exactly(b, "mask", B * T);
    if (!keep || !t || !mask) return SO_OK;
    for (int64_t i = 0; i < B; i++) keep[i] = !json_is_false(json_array_get(kept, (size_t)i));
    pass->recording = true;
    so_flow_ask ask = {mu, spks, cond, t, mask, adds_mask(b)};
    so_codec_golden_watch(b, true);
    so_tensor *loss = so_flow_matching_loss(pass, &b->learners.flow, x1, &ask, z, keep);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "loss", loss, false);
    so_codec_golden_expect_value(b, "loss", scalar(loss));
    if (!loss) return SO_OK;
    if (so_backward(pass, loss, 1) != SO_OK) return SO_OK;
    gradient(b, "grad_x1", x1, true);
    gradient(b, "grad_mu", mu, true);
    gradient(b, "grad_spks", spks, false);
    gradient(b, "grad_cond", cond, true);
    compare_gradients(b, &b->learners.flow_part.store);
    return SO_OK;
}

/* B integers of a parameter of the case. */
static const int64_t *lengths_of(so_codec_golden *b, const char *key, int64_t B)
{
    const json_t *list = json_object_get(json_object_get(b->json, "params"), key);
    if ((int64_t)json_array_size(list) != B)
        return so_pass_fail(&b->pass, SO_ERR_MISSING, "no parameter %s of %lld numbers", key, (long long)B);
    int64_t *value = so_take(&b->pass, (size_t)(B + 1) * sizeof *value, true);
    if (value) so_codec_golden_integers(list, value, B);
    return value;
}

so_status so_codec_golden_flow_training(so_codec_golden *b, so_error *error)
{
    so_pass *pass = &b->pass;
    SO_TRY(so_codec_golden_learn_flow(b, error));
    so_codec_golden_forget(b);
    const so_flow *net = &b->learners.flow;
    const so_view *tokens = so_codec_golden_view(b, "tokens"), *feat = so_codec_golden_view(b, "feat");
    if (!tokens || !feat || tokens->n_dims != 2 || feat->n_dims != 3) return SO_OK;
    int64_t B = tokens->dim[0], N = tokens->dim[1], T = feat->dim[1], M = net->config.mels;
    so_tensor *z = so_codec_golden_read(b, "z", true);
    so_flow_lesson lesson = {B,
                             N,
                             T,
                             so_codec_golden_ids(b, "tokens", B * N),
                             lengths_of(b, "token_lengths", B),
                             lengths_of(b, "frame_lengths", B),
                             so_codec_golden_exactly(b, "feat", B * T * M),
                             so_codec_golden_exactly(b, "embedding", B * net->config.speaker),
                             lengths_of(b, "cond_frames", B),
                             z && so_count(z) == B * T * M ? so_data(z) : NULL,
                             so_codec_golden_exactly(b, "t", B),
                             NULL,
                             adds_mask(b)};
    if (!so_ok(pass) || !lesson.z) return SO_OK;
    pass->recording = true;
    so_codec_golden_watch(b, true);
    so_tensor *mu, *loss = so_flow_loss(pass, net, &lesson, &mu);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "mu", mu, false);
    so_codec_golden_expect(b, "loss", loss, false);
    so_codec_golden_expect_value(b, "loss", scalar(loss));
    if (loss && so_backward(pass, loss, 1) == SO_OK) compare_gradients(b, &b->learners.flow_part.store);
    return SO_OK;
}

/* ---- attention, codebook */

so_status so_codec_golden_relative_attention(so_codec_golden *b, so_error *error)
{
    (void)error;
    static const char *const names[] = {"linear_q.weight", "linear_q.bias", "linear_k.weight",   "linear_k.bias",
                                        "linear_v.weight", "linear_v.bias", "linear_out.weight", "linear_out.bias",
                                        "pos_bias_u",      "pos_bias_v",    "linear_pos.weight"};
    so_pass *pass = &b->pass;
    so_tensor *w[11], *x = so_codec_golden_leaf(b, "x");
    char name[64];
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "param.%s", names[i]);
        w[i] = so_codec_golden_leaf(b, name);
    }
    if (!so_ok(pass) || x->n_dims != 2) return SO_OK;
    int64_t T = x->dim[0], D = x->dim[1];
    const so_view *mask = so_codec_golden_view(b, "key_mask");
    so_real *bias = so_take(pass, (size_t)T * sizeof *bias, true);
    for (int64_t i = 0; bias && mask && mask->type == SO_U8 && so_view_elements(mask) == T && i < T; i++)
        bias[i] = ((const uint8_t *)mask->data)[i] ? 0 : (so_real)-1e10;
    pass->recording = true;
    so_tensor *pos = so_relative_positions(pass, T, D);
    so_codec_golden_expect(b, "pos", pos, false);
    so_score score = {so_codec_golden_parameter(b, "heads"), bias, NULL, so_linear(pass, pos, w[10], NULL), w[8], w[9]};
    so_tensor *q = so_linear(pass, x, w[0], w[1]), *k = so_linear(pass, x, w[2], w[3]);
    so_tensor *y = so_score_attention(pass, q, k, so_linear(pass, x, w[4], w[5]), &score);
    y = so_linear(pass, y, w[6], w[7]);
    so_codec_golden_expect(b, "y", y, false);
    const float *dy = so_codec_golden_exactly(b, "dy", T * D);
    so_tensor *upstream = dy && y ? so_constant(pass, 2, (int64_t[]){T, D}, dy) : NULL;
    if (!upstream) return SO_OK;
    y->grad = so_data(upstream);
    if (so_backward_from(pass) != SO_OK) return SO_OK;
    gradient(b, "grad_x", x, false);
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "grad.%s", names[i]);
        compare_gradient(b, name, w[i], false, fmax(so_codec_golden_bar(b, name), 1e-6));
    }
    return SO_OK;
}

/* One batch through the codebook; false when there is none of this number. */
static bool codebook_batch(so_codec_golden *b, int i, const so_vq_rule *rule, so_tensor *codes, so_tensor *sum,
                           so_tensor *count)
{
    static const char *const parts[] = {"x",     "quantized", "cluster_size", "embed_avg",
                                        "embed", "ids",       "commit_loss",  "grad_x"};
    so_pass *pass = &b->pass;
    char name[8][32];
    for (int j = 0; j < 8; j++) snprintf(name[j], sizeof name[j], "%s%d", parts[j], i);
    if (!so_codec_golden_view(b, name[0])) return false;
    so_tensor *x = so_codec_golden_leaf(b, name[0]);
    int32_t *ids = x ? so_take(pass, (size_t)(so_rows(x) + 1) * sizeof *ids, true) : NULL;
    pass->recording = true;
    if (!ids || so_vq_nearest(pass, x, codes, ids) != SO_OK) return false;
    so_golden_ids(b->g, b->name, name[5], ids, so_rows(x));
    so_tensor *q = so_vq_pass(pass, x, codes, ids);
    so_codec_golden_expect(b, name[1], q, false);
    so_tensor *fixed = q ? so_constant(pass, 2, q->dim, so_data(q)) : NULL, *commit = so_mse(pass, x, fixed, NULL);
    so_codec_golden_expect(b, name[6], commit, false);
    if (!commit || so_backward(pass, commit, 1) != SO_OK) return false;
    gradient(b, name[7], x, false);
    so_vq_update(rule, &(so_vq_book){so_rows(codes), so_cols(codes), so_data(count), so_data(sum), so_data(codes)},
                 so_rows(x), so_data(x), ids, NULL);
    so_codec_golden_expect(b, name[2], count, false);
    so_codec_golden_expect(b, name[3], sum, false);
    so_codec_golden_expect(b, name[4], codes, false);
    return true;
}

so_status so_codec_golden_codebook(so_codec_golden *b, so_error *error)
{
    (void)error;
    const json_t *params = json_object_get(b->json, "params");
    so_vq_rule rule = {.decay = so_codec_golden_number(b, "decay", 0.95),
                       .epsilon = so_codec_golden_number(b, "epsilon", 1e-5),
                       .sparse = json_is_true(json_object_get(params, "sparse_update")),
                       .unit_length = json_is_true(json_object_get(params, "normalized_input"))};
    so_tensor *codes = so_codec_golden_read(b, "embed_init", false),
              *sum = so_codec_golden_read(b, "embed_init", false);
    so_tensor *count = codes ? so_new1(&b->pass, so_rows(codes)) : NULL;
    if (!count || codes->n_dims != 2) return SO_OK;
    for (int64_t i = 0; i < so_rows(codes); i++) so_data(count)[i] = 1;
    for (int i = 0; i < 1000 && codebook_batch(b, i, &rule, codes, sum, count); i++) {
    }
    return SO_OK;
}

/* ---- the vocoder's game */

static so_wave_mel loss_mel(const so_codec_golden *b)
{
    const so_hift_config *c = &b->codec.hift.config;
    int64_t hop = so_hift_samples(c);
    return (so_wave_mel){c->rate, 4 * hop, hop, c->mels, 0, (double)c->rate / 2};
}

static so_tensor *mel_loss(so_codec_golden *b, so_tensor *made, so_tensor *real)
{
    so_wave_mel mel = loss_mel(b);
    return so_l1(&b->pass, so_wave_log_mel(&b->pass, made, &mel), so_wave_log_mel(&b->pass, real, &mel), NULL);
}

/* "mpd2", ..., "mrd2048", ... with .real or .generated. */
static void compare_verdicts(so_codec_golden *b, const so_discrimination *v, const char *of)
{
    const so_discriminators_config *c = &b->learners.discriminators.config;
    for (int i = 0; i < v->n; i++) {
        char name[64];
        if (i < c->periods)
            snprintf(name, sizeof name, "mpd%lld.%s", (long long)c->period[i], of);
        else
            snprintf(name, sizeof name, "mrd%lld.%s", (long long)c->window[i - c->periods], of);
        so_codec_golden_expect(b, name, v->out[i], false);
    }
}

enum game { FOOLING, FEATURES, MEL, RELATIVE, GAMES };

/* One loss on real and made speech; its value, and its gradient with respect to the made. */
static void play(so_codec_golden *b, enum game game)
{
    static const char *const what[] = {"gen", "fm", "mel", "tpr"};
    so_pass *pass = &b->pass;
    const so_discriminators *net = &b->learners.discriminators;
    so_discrimination vr, vm;
    char name[64];
    so_arena_release(&b->arena, 0);
    pass->tape = NULL;
    pass->recording = true;
    so_tensor *real = so_codec_golden_read(b, "real", false), *made = so_codec_golden_leaf(b, "generated"), *loss;
    if (!real || !made || !so_discriminate(pass, net, real, &vr) || !so_discriminate(pass, net, made, &vm)) return;
    switch (game) {
    case FOOLING:
        loss = so_generator_loss(pass, &vm);
        break;
    case FEATURES:
        loss = so_feature_loss(pass, &vr, &vm);
        break;
    case MEL:
        loss = mel_loss(b, made, real);
        break;
    default:
        loss = so_relative_loss(pass, &vr, &vm, so_codec_golden_number(b, "tau", 0.04));
        break;
    }
    if (game == FOOLING) {
        compare_verdicts(b, &vr, "real");
        compare_verdicts(b, &vm, "generated");
    }
    snprintf(name, sizeof name, "loss_%s", what[game]);
    so_codec_golden_expect(b, name, loss, false);
    if (!loss || so_backward(pass, loss, 1) != SO_OK) return;
    snprintf(name, sizeof name, "grad_%s", what[game]);
    gradient(b, name, made, false);
}

/* Some features of made waveforms: [B, H, W, C] here, [B, C, H, W] there. */
static void compare_feature(so_codec_golden *b, const char *tensor, const so_tensor *t)
{
    const so_view *v = so_codec_golden_view(b, tensor);
    if (!v || !t || t->n_dims != 4) return;
    int64_t n = so_count(t), all = n / t->dim[0], C = t->dim[3], each = all / C;
    float *copy = malloc((size_t)n * sizeof *copy + 1);
    for (int64_t i = 0; copy && i < n; i++) copy[i / all * all + i % C * each + i % all / C] = (float)so_data(t)[i];
    double bar = 2 * so_codec_golden_bar(b, tensor);
    if (copy) so_golden_numbers(b->g, b->name, tensor, copy, n, (so_bars){bar, bar});
    free(copy);
}

static void compare_features(so_codec_golden *b, const so_discrimination *made)
{
    const so_discriminators_config *c = &b->learners.discriminators.config;
    char tensor[64];
    int at = 0;
    for (int64_t p = 0; p < c->periods; p++)
        for (int i = 0; i <= SO_DISCRIMINATOR_LAYERS; i++) { /* the last is the decision */
            snprintf(tensor, sizeof tensor, "mpd%lld.generated.feat%d", (long long)c->period[p], i);
            compare_feature(b, tensor, made->feature[at++]);
        }
    for (int64_t w = 0; w < c->windows; w++)
        for (int i = 0; i <= SO_DISCRIMINATOR_BANDS * (SO_DISCRIMINATOR_LAYERS - 1); i++) {
            snprintf(tensor, sizeof tensor, "mrd%lld.generated.feat%d", (long long)c->window[w], i);
            compare_feature(b, tensor, made->feature[at++]);
        }
}

so_status so_codec_golden_discriminators(so_codec_golden *b, so_error *error)
{
    so_pass *pass = &b->pass;
    so_discrimination vr, vm;
    SO_TRY(so_codec_golden_learn_discriminators(b, error));
    for (int game = 0; game < GAMES && so_ok(pass); game++) play(b, (enum game)game);
    if (!so_ok(pass)) return SO_OK;
    so_arena_release(&b->arena, 0);
    pass->tape = NULL;
    so_codec_golden_forget(b);
    so_tensor *real = so_codec_golden_read(b, "real", false), *made = so_codec_golden_read(b, "generated", false);
    if (!so_discriminate(pass, &b->learners.discriminators, real, &vr) ||
        !so_discriminate(pass, &b->learners.discriminators, made, &vm))
        return SO_OK;
    so_tensor *loss = so_discriminator_loss(pass, &vr, &vm);
    so_codec_golden_expect(b, "loss_disc", loss, false);
    so_tensor *total = so_add(pass, loss, so_relative_loss(pass, &vr, &vm, so_codec_golden_number(b, "tau", 0.04)));
    compare_features(b, &vm);
    if (total && so_backward(pass, total, 1) == SO_OK) compare_gradients(b, &b->learners.disc_part.store);
    return SO_OK;
}

/* A turn of the generator: the gradient from all five losses; and the losses of the discriminators' turn. */
so_status so_codec_golden_generator(so_codec_golden *b, so_error *error)
{
    so_pass *pass = &b->pass;
    double tau = so_codec_golden_number(b, "tau", 0.04);
    SO_TRY(so_codec_golden_learn_discriminators(b, error));
    SO_TRY(so_codec_golden_learn_hift(b, error));
    so_codec_golden_forget(b);
    pass->recording = true;
    const so_hift *net = &b->learners.hift;
    so_tensor *mel = so_codec_golden_batched(b, so_codec_golden_read(b, "mel", true)),
              *real = so_codec_golden_read(b, "real", false);
    so_tensor *harmonics = so_codec_golden_batched(b, so_codec_golden_read(b, "harmonics", true)),
              *f0 = so_hift_f0(pass, net, mel);
    so_tensor *made = so_hift_wave(pass, net, mel, so_hift_source(pass, net, harmonics));
    json_object_set_new(b->g->told, "harmonics", json_true()); /* an input, whatever its role says */
    so_codec_golden_expect(b, "generated", made, false);
    so_discrimination vr, vm;
    const so_discriminators *discriminators = &b->learners.discriminators;
    if (!real || !made || !so_discriminate(pass, discriminators, real, &vr) ||
        !so_discriminate(pass, discriminators, made, &vm))
        return SO_OK;
    so_tensor *loss[5] = {so_generator_loss(pass, &vm), so_feature_loss(pass, &vr, &vm), mel_loss(b, made, real),
                          so_relative_loss(pass, &vr, &vm, tau),
                          so_l1(pass, f0, so_codec_golden_read(b, "pitch", false), NULL)};
    so_tensor *total = so_weighted_sum(pass, 5, loss, (so_real[]){1, 2, 45, 1, 1});
    if (!total) return SO_OK;
    static const char *const names[] = {"loss", "loss_gen", "loss_fm", "loss_mel", "loss_tpr", "loss_f0"};
    const float *expected = so_codec_golden_exactly(b, "losses", 6);
    for (int i = 0; expected && i < 6; i++) {
        double found = scalar(i ? loss[i - 1] : total);
        so_golden_value(b->g, b->name, "losses", found, (double)expected[i], 1e-5 * fabs((double)expected[i]));
        so_codec_golden_expect_value(b, names[i], found);
    }
    so_codec_golden_expect_value(b, "disc_turn.loss_disc", scalar(so_discriminator_loss(pass, &vr, &vm)));
    so_codec_golden_expect_value(b, "disc_turn.loss_tpr", scalar(loss[3]));
    if (so_backward(pass, total, 1) == SO_OK) compare_gradients(b, &b->learners.hift_part.store);
    return SO_OK;
}

so_status so_codec_golden_relative_loss(so_codec_golden *b, so_error *error)
{
    (void)error;
    so_pass *pass = &b->pass;
    int64_t n = so_codec_golden_parameter(b, "discriminators");
    so_discrimination vr = {0}, vm = {0};
    char name[64];
    if (n < 1 || n > SO_DISCRIMINATORS) return SO_OK;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "real%d", i);
        vr.out[i] = so_codec_golden_leaf(b, name);
        snprintf(name, sizeof name, "generated%d", i);
        vm.out[i] = so_codec_golden_leaf(b, name);
    }
    if (!so_ok(pass)) return SO_OK;
    vr.n = vm.n = (int)n;
    pass->recording = true;
    so_tensor *loss = so_relative_loss(pass, &vr, &vm, so_codec_golden_number(b, "tau", 0.04));
    /* A float32 run of the reference counts the median itself: its noise says nothing. */
    so_codec_golden_expect_bar(b, "loss", loss, false, 1e-7);
    if (!loss || so_backward(pass, loss, 1) != SO_OK) return SO_OK;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "grad_real%d", i);
        compare_gradient(b, name, vr.out[i], false, 1e-6);
        snprintf(name, sizeof name, "grad_generated%d", i);
        compare_gradient(b, name, vm.out[i], false, 1e-6);
    }
    return SO_OK;
}

/* ---- the speaker's vector */

so_status so_codec_golden_speaker(so_codec_golden *b, so_error *error)
{
    so_pass *pass = &b->pass;
    SO_TRY(so_codec_golden_learn_cam(b, error));
    const so_cam *net = &b->learners.cam;
    so_tensor *feat = so_codec_golden_read(b, "feat", false);
    if (!feat) return SO_OK;
    so_codec_golden_expect(b, "head", so_cam_head(pass, net, feat), true);
    so_codec_golden_watch(b, true);
    so_tensor *vector = so_cam_vector(pass, net, feat);
    so_codec_golden_watch(b, false);
    so_codec_golden_expect(b, "embedding", vector, false);
    if (so_codec_golden_view(b, "feat_long"))
        so_codec_golden_expect(b, "embedding_long",
                               so_cam_vector(pass, net, so_codec_golden_read(b, "feat_long", false)), false);
    return SO_OK;
}
