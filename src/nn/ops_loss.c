/* Losses: cross entropy (plain and smoothed), CTC, pairs of SigLIP, squared and absolute differences, weighted sums.
 *
 * Softmax terms come from the backend's cross_entropy kernel; what is summed over rows or alignments is summed in
 * double. Source: CTC after Graves et al. 2006 (log space, eq. 7.18-7.29 of Graves' book); sigmoid pairs after arXiv
 * 2303.15343.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

static so_tensor *one(so_pass *pass) { return so_new1(pass, 1); }

/* A copy of n elements of `size` bytes in the arena; NULL for NULL. */
static void *copied(so_pass *pass, const void *data, int64_t n, size_t size)
{
    void *p = data ? so_take(pass, (size_t)n * size, false) : NULL;
    if (p && n) memcpy(p, data, (size_t)n * size);
    return p;
}

/* ---- cross entropy */

/* Row loss = constant - keep logp[label] - each sum_v logp[v], with keep + each V = 1. */
typedef struct smooth {
    double constant, keep, each;
} smooth;

typedef struct entropy {
    int32_t *label;
    so_real *weight; /* NULL: 1 each */
    double divide;
    smooth smoothing;
} entropy;

static smooth smooth_of(const so_ce *ce, int64_t classes)
{
    double s = ce->smoothing, v = (double)classes;
    if (s == 0) return (smooth){0, 1, 0};
    if (ce->convention == SO_SMOOTH_ALL) return (smooth){0, 1 - s, s / v};
    double each = s / (v - 1);
    return (smooth){(s < 1 ? (1 - s) * log(1 - s) : 0) + s * log(each), 1 - s - each, each};
}

static double row_weight(const entropy *e, int64_t r)
{
    return e->label[r] < 0 ? 0 : e->weight ? (double)e->weight[r] : 1;
}

typedef struct entropy_job {
    const entropy *e;
    const so_real *x;
    so_real *loss, *dx;
    so_real scale;
    int64_t rows, cols;
} entropy_job;

enum { ROWS_AT_ONCE = 16 };

/* Turns lse - x[label] into the smoothed loss of a row. */
static void smooth_rows(void *p, int64_t task, int thread)
{
    (void)thread;
    const entropy_job *j = p;
    const smooth *m = &j->e->smoothing;
    int64_t end = (task + 1) * ROWS_AT_ONCE < j->rows ? (task + 1) * ROWS_AT_ONCE : j->rows;
    for (int64_t r = task * ROWS_AT_ONCE; r < end; r++) {
        if (j->e->label[r] < 0) continue;
        const so_real *x = j->x + r * j->cols;
        double sum = 0, at = (double)x[j->e->label[r]], lse = (double)j->loss[r] + at;
        for (int64_t c = 0; c < j->cols; c++) sum += (double)x[c] - lse;
        j->loss[r] = (so_real)(m->constant - m->keep * (at - lse) - m->each * sum);
    }
}

/* Turns softmax - onehot into softmax - keep onehot - each. */
static void smooth_rows_back(void *p, int64_t task, int thread)
{
    (void)thread;
    const entropy_job *j = p;
    const smooth *m = &j->e->smoothing;
    int64_t end = (task + 1) * ROWS_AT_ONCE < j->rows ? (task + 1) * ROWS_AT_ONCE : j->rows;
    for (int64_t r = task * ROWS_AT_ONCE; r < end; r++) {
        if (j->e->label[r] < 0) continue;
        so_real w = j->scale * (so_real)row_weight(j->e, r), each = w * (so_real)m->each;
        so_real *dx = j->dx + r * j->cols;
        for (int64_t c = 0; c < j->cols; c++) dx[c] -= each;
        dx[j->e->label[r]] += w * (so_real)(1 - m->keep);
    }
}

static void cross_entropy_back(so_pass *pass, const so_step *step)
{
    const entropy *e = step->saved;
    so_tensor *x = step->in[0];
    so_real *dx = so_grad(pass, x);
    int64_t rows = so_rows(x), cols = so_cols(x);
    size_t mark = so_arena_mark(pass->arena);
    so_real *scratch = so_take(pass, (size_t)rows * sizeof *scratch, false);
    if (!dx || !scratch || pass->dry || e->divide == 0) {
        so_arena_release(pass->arena, mark);
        return;
    }
    so_real scale = step->out->grad[0] / (so_real)e->divide;
    for (int64_t r = 0, end; r < rows; r = end) { /* runs of one weight */
        for (end = r + 1; end < rows && (!e->weight || e->weight[end] == e->weight[r]);) end++;
        so_real w = e->weight ? e->weight[r] : 1;
        pass->k->cross_entropy(pass->pool, &(so_label_loss){.rows = end - r,
                                                            .cols = cols,
                                                            .x = so_data(x) + r * cols,
                                                            .label = e->label + r,
                                                            .scale = scale * w,
                                                            .loss = scratch,
                                                            .dx = dx + r * cols});
    }
    if (e->smoothing.each != 0) {
        entropy_job job = {e, so_data(x), NULL, dx, scale, rows, cols};
        so_pool_for(pass->pool, (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, smooth_rows_back, &job);
    }
    so_arena_release(pass->arena, mark);
}

static bool entropy_init(so_pass *pass, entropy *e, const so_tensor *x, const int32_t *label, const so_ce *ce)
{
    int64_t rows = so_rows(x), cols = so_cols(x);
    for (int64_t r = 0; r < rows; r++)
        if (label[r] >= cols)
            return so_pass_fail(pass, SO_ERR_ARG, "cross_entropy: label %d, expected below %lld", label[r],
                                (long long)cols);
    if (!(ce->smoothing >= 0 && ce->smoothing <= 1) || (ce->smoothing > 0 && cols < 2))
        return so_pass_fail(pass, SO_ERR_ARG, "cross_entropy: smoothing %g over %lld classes", ce->smoothing,
                            (long long)cols);
    e->smoothing = smooth_of(ce, cols);
    e->label = copied(pass, label, rows, sizeof *label);
    e->weight = copied(pass, ce->weight, rows, sizeof *ce->weight);
    e->divide = ce->divide;
    for (int64_t r = 0; so_ok(pass) && ce->divide == 0 && r < rows; r++) e->divide += row_weight(e, r);
    return so_ok(pass);
}

so_tensor *so_cross_entropy_with(so_pass *pass, so_tensor *logits, const int32_t *label, const so_ce *ce)
{
    entropy e;
    if (!so_want_f32(pass, "cross_entropy", logits) || !entropy_init(pass, &e, logits, label, ce)) return NULL;
    int64_t rows = so_rows(logits), cols = so_cols(logits);
    so_tensor *y = one(pass);
    so_step *step = so_tape_put(pass, "cross_entropy", cross_entropy_back, y, 1, &logits, sizeof e);
    if (step) *(entropy *)step->saved = e;
    size_t mark = so_ok(pass) ? so_arena_mark(pass->arena) : 0;
    so_real *loss = so_take(pass, (size_t)rows * sizeof *loss, false);
    if (!loss) return NULL;
    if (!pass->dry) {
        pass->k->cross_entropy(
            pass->pool,
            &(so_label_loss){.rows = rows, .cols = cols, .x = so_data(logits), .label = label, .loss = loss});
        entropy_job job = {&e, so_data(logits), loss, NULL, 0, rows, cols};
        if (e.smoothing.each != 0) so_pool_for(pass->pool, (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, smooth_rows, &job);
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            if (label[r] >= 0) sum += row_weight(&e, r) * (double)loss[r];
        so_data(y)[0] = e.divide != 0 ? (so_real)(sum / e.divide) : 0;
    }
    so_arena_release(pass->arena, mark);
    return y;
}

so_tensor *so_cross_entropy(so_pass *pass, so_tensor *logits, const int32_t *label)
{
    return so_cross_entropy_with(pass, logits, label, &(so_ce){0});
}

/* ---- CTC */

typedef struct ctc_seq {
    int64_t row0, rows, n_labels;
    const int32_t *label, *earliest;
    so_real *posterior; /* [rows, 2 n_labels + 1]; NULL when nothing is recorded */
    double *alpha;      /* the same shape, scratch */
    double loss;
} ctc_seq;

typedef struct ctc {
    int64_t n_seqs, cols;
    ctc_seq *seq;
    int32_t *row_label; /* [all rows]: blank where a feasible sequence owns the row, else -1 */
    int32_t blank;
    double divide;
    const so_real *x, *nll; /* logits; lse - x[blank] per row */
} ctc;

/* A term this far below the largest does not reach a double's last bit. */
static const double NOTHING = -45;

static inline double log_add(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    return low - high > NOTHING ? high + log1p(exp(low - high)) : high;
}

static inline double log_add3(double a, double b, double c)
{
    double high = a > b ? a : b, low = a > b ? b : a, more = 0;
    if (c > high) {
        double was = high;
        high = c;
        c = was;
    }
    if (low - high > NOTHING) more += exp(low - high);
    if (c - high > NOTHING) more += exp(c - high);
    return more > 0 ? high + log1p(more) : high;
}

/* State s of the extended labels (blank, l0, blank, l1, ..., blank). */
static inline int32_t state_label(const ctc *c, const ctc_seq *q, int64_t s)
{
    return s & 1 ? q->label[s / 2] : c->blank;
}
static inline bool may_skip(const ctc_seq *q, int64_t s)
{
    return (s & 1) && s >= 3 && q->label[s / 2] != q->label[s / 2 - 1];
}

static inline double log_p(const ctc *c, const ctc_seq *q, int64_t t, int64_t s)
{
    if ((s & 1) && q->earliest && t < q->earliest[s / 2]) return -INFINITY;
    const so_real *x = c->x + (q->row0 + t) * c->cols;
    double lse = (double)c->nll[q->row0 + t] + (double)x[c->blank];
    return (double)x[state_label(c, q, s)] - lse;
}

/* First and last state that frame t can hold on a whole path. */
static inline int64_t first_state(const ctc_seq *q, int64_t t)
{
    int64_t s = 2 * q->n_labels + 1 - 2 * (q->rows - t);
    return s > 0 ? s : 0;
}
static inline int64_t last_state(const ctc_seq *q, int64_t t)
{
    int64_t s = 2 * t + 1, top = 2 * q->n_labels;
    return s < top ? s : top;
}

static double ctc_forward(const ctc *c, ctc_seq *q)
{
    int64_t S = 2 * q->n_labels + 1;
    for (int64_t i = 0; i < q->rows * S; i++) q->alpha[i] = -INFINITY;
    for (int64_t t = 0; t < q->rows; t++) {
        double *now = q->alpha + t * S;
        const double *before = now - S;
        for (int64_t s = first_state(q, t), top = last_state(q, t); s <= top; s++) {
            double reach = 0;
            if (t) {
                double stay = before[s], from = s ? before[s - 1] : -(double)INFINITY;
                reach = may_skip(q, s) ? log_add3(stay, from, before[s - 2]) : log_add(stay, from);
            }
            now[s] = reach + log_p(c, q, t, s);
        }
    }
    if (!q->rows) return q->n_labels ? -(double)INFINITY : 0;
    const double *end = q->alpha + (q->rows - 1) * S;
    return S == 1 ? end[0] : log_add(end[S - 1], end[S - 2]);
}

/* posterior[t, s] = probability that frame t stands on state s. beta (two rows) leaves out the frame's own emission. */
static void ctc_backward(const ctc *c, ctc_seq *q, double total, double *beta)
{
    int64_t S = 2 * q->n_labels + 1;
    double *now = beta, *after = beta + S;
    for (int64_t t = q->rows - 1; t >= 0; t--) {
        for (int64_t s = 0; s < S; s++) {
            if (t == q->rows - 1) {
                now[s] = s >= S - 2 ? 0 : -INFINITY;
            } else {
                double stay = after[s], next = s + 1 < S ? after[s + 1] : -(double)INFINITY;
                now[s] = s + 2 < S && may_skip(q, s + 2) ? log_add3(stay, next, after[s + 2]) : log_add(stay, next);
            }
            q->posterior[t * S + s] = (so_real)exp(q->alpha[t * S + s] + now[s] - total);
        }
        for (int64_t s = 0; s < S; s++) after[s] = now[s] == -(double)INFINITY ? now[s] : now[s] + log_p(c, q, t, s);
    }
}

static void ctc_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const ctc *c = p;
    ctc_seq *q = &c->seq[task];
    double total = ctc_forward(c, q);
    q->loss = -total;
    for (int64_t t = 0; t < q->rows; t++)
        if (!isfinite((double)c->nll[q->row0 + t])) q->loss = NAN;
    if (q->posterior && isfinite(q->loss)) ctc_backward(c, q, total, q->alpha + q->rows * (2 * q->n_labels + 1));
}

static void ctc_back(so_pass *pass, const so_step *step)
{
    const ctc *c = step->saved;
    so_tensor *x = step->in[0];
    so_real *dx = so_grad(pass, x);
    size_t mark = so_arena_mark(pass->arena);
    so_real *scratch = so_take(pass, (size_t)so_rows(x) * sizeof *scratch, false);
    if (dx && scratch && !pass->dry) {
        so_real scale = (so_real)((double)step->out->grad[0] / c->divide);
        pass->k->cross_entropy(pass->pool, &(so_label_loss){.rows = so_rows(x),
                                                            .cols = c->cols,
                                                            .x = so_data(x),
                                                            .label = c->row_label,
                                                            .scale = scale,
                                                            .loss = scratch,
                                                            .dx = dx});
        for (int64_t i = 0; i < c->n_seqs; i++) {
            const ctc_seq *q = &c->seq[i];
            int64_t S = 2 * q->n_labels + 1;
            for (int64_t t = 0; t < q->rows && isfinite(q->loss); t++) {
                so_real *row = dx + (q->row0 + t) * c->cols;
                row[c->blank] += scale;
                for (int64_t s = 0; s < S; s++) row[state_label(c, q, s)] -= scale * q->posterior[t * S + s];
            }
        }
    }
    so_arena_release(pass->arena, mark);
}

static bool ctc_check(so_pass *pass, const so_tensor *x, const so_ctc *in)
{
    int64_t V = so_cols(x);
    if (in->blank < 0 || in->blank >= V || in->divide == 0)
        return so_pass_fail(pass, SO_ERR_ARG, "ctc_loss: blank %d of %lld classes, divided by %g", in->blank,
                            (long long)V, in->divide);
    for (int64_t i = 0; i < in->n_seqs; i++) {
        if (in->row0[i] < 0 || in->rows[i] < 0 || in->row0[i] + in->rows[i] > so_rows(x) || in->n_labels[i] < 0)
            return so_pass_fail(pass, SO_ERR_ARG, "ctc_loss: sequence %lld owns rows %lld to %lld of %lld",
                                (long long)i, (long long)in->row0[i], (long long)(in->row0[i] + in->rows[i]),
                                (long long)so_rows(x));
        for (int64_t l = 0; l < in->n_labels[i]; l++) {
            int32_t id = in->labels[in->label0[i] + l];
            if (id < 0 || id >= V || id == in->blank)
                return so_pass_fail(pass, SO_ERR_ARG, "ctc_loss: label %d of %lld classes with blank %d", id,
                                    (long long)V, in->blank);
        }
    }
    return true;
}

/* Copies what the way back needs; `keep` says whether posteriors are wanted. */
static bool ctc_init(so_pass *pass, ctc *c, const so_tensor *x, const so_ctc *in, bool keep)
{
    int64_t R = so_rows(x);
    *c = (ctc){.n_seqs = in->n_seqs, .cols = so_cols(x), .blank = in->blank, .divide = in->divide, .x = so_data(x)};
    c->seq = so_take(pass, (size_t)in->n_seqs * sizeof *c->seq, false);
    c->row_label = so_take(pass, (size_t)R * sizeof *c->row_label, false);
    if (!c->row_label) return false;
    for (int64_t r = 0; r < R; r++) c->row_label[r] = -1;
    for (int64_t i = 0; i < in->n_seqs; i++) {
        int64_t rows = in->rows[i], S = 2 * in->n_labels[i] + 1;
        c->seq[i] = (ctc_seq){.row0 = in->row0[i], .rows = rows, .n_labels = in->n_labels[i]};
        c->seq[i].label =
            copied(pass, in->labels ? in->labels + in->label0[i] : &in->blank, in->n_labels[i], sizeof(int32_t));
        if (in->earliest)
            c->seq[i].earliest = copied(pass, in->earliest + in->label0[i], in->n_labels[i], sizeof(int32_t));
        if (keep) c->seq[i].posterior = so_take(pass, (size_t)(rows * S) * sizeof(so_real), false);
        for (int64_t t = 0; t < rows; t++) c->row_label[in->row0[i] + t] = in->blank;
    }
    return so_ok(pass);
}

static so_real ctc_sum(ctc *c, const so_ctc *in)
{
    double sum = 0;
    for (int64_t i = 0; i < c->n_seqs; i++) {
        ctc_seq *q = &c->seq[i];
        if (in->per_sequence) in->per_sequence[i] = (so_real)q->loss;
        if (!isinf(q->loss)) {
            sum += q->loss;
            continue;
        }
        for (int64_t t = 0; t < q->rows; t++) c->row_label[q->row0 + t] = -1;
        if (in->infeasible) ++*in->infeasible;
    }
    return (so_real)(sum / c->divide);
}

so_tensor *so_ctc_loss(so_pass *pass, so_tensor *logits, const so_ctc *in)
{
    if (!so_want_f32(pass, "ctc_loss", logits) || !ctc_check(pass, logits, in)) return NULL;
    so_tensor *y = one(pass);
    so_step *step = so_tape_put(pass, "ctc_loss", ctc_back, y, 1, &logits, sizeof(ctc));
    ctc local, *c = step ? step->saved : &local;
    if (!y || !ctc_init(pass, c, logits, in, step != NULL)) return NULL;
    size_t mark = so_arena_mark(pass->arena);
    so_real *nll = so_take(pass, (size_t)so_rows(logits) * sizeof *nll, false);
    for (int64_t i = 0; i < c->n_seqs; i++)
        c->seq[i].alpha =
            so_take(pass, (size_t)((c->seq[i].rows + 2) * (2 * c->seq[i].n_labels + 1)) * sizeof(double), false);
    if (!so_ok(pass)) return NULL;
    if (!pass->dry) {
        c->nll = nll;
        pass->k->cross_entropy(
            pass->pool,
            &(so_label_loss){
                .rows = so_rows(logits), .cols = c->cols, .x = so_data(logits), .label = c->row_label, .loss = nll});
        so_pool_for(pass->pool, c->n_seqs, ctc_task, c);
        so_data(y)[0] = ctc_sum(c, in);
    }
    so_arena_release(pass->arena, mark);
    return y;
}

/* ---- sums */

static void weighted_sum_back(so_pass *pass, const so_step *step)
{
    const so_real *weight = step->saved;
    for (int i = 0; i < SO_MAX_INPUTS && step->in[i]; i++) {
        so_real *dx = so_grad(pass, step->in[i]);
        if (dx && !pass->dry) dx[0] += weight[i] * step->out->grad[0];
    }
}

so_tensor *so_weighted_sum(so_pass *pass, int n, so_tensor *const *loss, const so_real *weight)
{
    if (!so_ok(pass)) return NULL;
    if (n < 1 || n > SO_MAX_INPUTS)
        return so_pass_fail(pass, SO_ERR_ARG, "weighted_sum: %d losses, expected 1 to %d", n, SO_MAX_INPUTS);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (!so_want_f32(pass, "weighted_sum", loss[i])) return NULL;
        if (so_count(loss[i]) != 1)
            return so_pass_fail(pass, SO_ERR_SHAPE, "weighted_sum: part %d has %lld elements, expected 1", i,
                                (long long)so_count(loss[i]));
        if (!pass->dry) sum += (double)weight[i] * (double)so_data(loss[i])[0];
    }
    so_tensor *y = one(pass);
    if (!y) return NULL;
    if (!pass->dry) so_data(y)[0] = (so_real)sum;
    so_step *step = so_tape_put(pass, "weighted_sum", weighted_sum_back, y, n, loss, (size_t)n * sizeof *weight);
    if (step) memcpy(step->saved, weight, (size_t)n * sizeof *weight);
    return y;
}

/* ---- pairs */

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double sigmoid(double x) { return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

/* dots[B, B] becomes d loss / d logit (times B); returns B times the loss and adds what the two scalars get. */
static double pair_terms(int64_t B, so_real *dots, double scale, double bias, double *dscale, double *dbias)
{
    double sum = 0;
    for (int64_t i = 0; i < B; i++)
        for (int64_t j = 0; j < B; j++) {
            double z = i == j ? 1 : -1, dot = (double)dots[i * B + j], logit = scale * dot + bias;
            sum += softplus(-z * logit);
            double g = -z * sigmoid(-z * logit);
            *dscale += g * dot * scale;
            *dbias += g;
            dots[i * B + j] = (so_real)g;
        }
    return sum;
}

static void sigmoid_pairs_back(so_pass *pass, const so_step *step)
{
    so_tensor *a = step->in[0], *b = step->in[1];
    const so_real *g = step->saved; /* [B, B] and, behind it, the gradients of log_scale and bias */
    int64_t B = so_rows(a), D = so_cols(a);
    so_real *da = so_grad(pass, a), *db = so_grad(pass, b);
    so_real *dscale = so_grad(pass, step->in[2]), *dbias = so_grad(pass, step->in[3]);
    size_t mark = so_arena_mark(pass->arena);
    so_real *w = so_take(pass, (size_t)(B * B) * sizeof *w, false);
    if (w && !pass->dry) {
        so_real seed = step->out->grad[0] / (so_real)B, scale = seed * (so_real)exp((double)so_data(step->in[2])[0]);
        for (int64_t i = 0; i < B * B; i++) w[i] = scale * g[i];
        if (da)
            pass->k->gemm(
                pass->pool,
                &(so_gemm){
                    .m = B, .n = D, .k = B, .a = w, .lda = B, .b = so_data(b), .ldb = D, .beta = 1, .c = da, .ldc = D});
        if (db)
            pass->k->gemm(pass->pool, &(so_gemm){.ta = true,
                                                 .m = B,
                                                 .n = D,
                                                 .k = B,
                                                 .a = w,
                                                 .lda = B,
                                                 .b = so_data(a),
                                                 .ldb = D,
                                                 .beta = 1,
                                                 .c = db,
                                                 .ldc = D});
        if (dscale) dscale[0] += seed * g[B * B];
        if (dbias) dbias[0] += seed * g[B * B + 1];
    }
    so_arena_release(pass->arena, mark);
}

so_tensor *so_sigmoid_pairs(so_pass *pass, so_tensor *a, so_tensor *b, so_tensor *log_scale, so_tensor *bias)
{
    if (!so_want_dims(pass, "sigmoid_pairs", a, 2) || !so_want_dims(pass, "sigmoid_pairs", b, 2)) return NULL;
    if (!so_want_same(pass, "sigmoid_pairs", a, b) || !so_want_cols(pass, "sigmoid_pairs", log_scale, 1)) return NULL;
    if (!so_want_same(pass, "sigmoid_pairs", log_scale, bias) || !so_want_f32(pass, "sigmoid_pairs", log_scale))
        return NULL;
    int64_t B = so_rows(a), D = so_cols(a);
    if (B < 1 || so_count(log_scale) != 1)
        return so_pass_fail(pass, SO_ERR_SHAPE, "sigmoid_pairs: %lld pairs, one scale and one bias expected",
                            (long long)B);
    so_tensor *y = one(pass);
    so_step *step = so_tape_put(pass, "sigmoid_pairs", sigmoid_pairs_back, y, 4, (so_tensor *[]){a, b, log_scale, bias},
                                (size_t)(B * B + 2) * sizeof(so_real));
    so_real *g = step ? step->saved : so_take(pass, (size_t)(B * B + 2) * sizeof(so_real), false);
    if (!y || !g || pass->dry) return y;
    pass->k->gemm(pass->pool, &(so_gemm){.tb = true,
                                         .m = B,
                                         .n = B,
                                         .k = D,
                                         .a = so_data(a),
                                         .lda = D,
                                         .b = so_data(b),
                                         .ldb = D,
                                         .c = g,
                                         .ldc = B});
    double dscale = 0, dbias = 0;
    double sum = pair_terms(B, g, exp((double)so_data(log_scale)[0]), (double)so_data(bias)[0], &dscale, &dbias);
    g[B * B] = (so_real)dscale;
    g[B * B + 1] = (so_real)dbias;
    so_data(y)[0] = (so_real)(sum / (double)B);
    return y;
}

/* ---- differences */

typedef struct difference {
    so_real *weight; /* NULL: 1 each */
    double divide;   /* columns times the sum of weights */
    bool absolute;
} difference;

static void difference_back(so_pass *pass, const so_step *step)
{
    const difference *d = step->saved;
    so_tensor *x = step->in[0], *target = step->in[1];
    so_real *dx = so_grad(pass, x), *dt = so_grad(pass, target);
    int64_t cols = so_cols(x);
    if (pass->dry || d->divide == 0) return;
    so_real scale = (so_real)((double)step->out->grad[0] / d->divide);
    for (int64_t r = 0; r < so_rows(x); r++) {
        so_real w = scale * (d->weight ? d->weight[r] : 1);
        if (w == 0) continue;
        for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
            so_real e = so_data(x)[i] - so_data(target)[i];
            so_real g = d->absolute ? w * (so_real)((e > 0) - (e < 0)) : 2 * w * e;
            if (dx) dx[i] += g;
            if (dt) dt[i] -= g;
        }
    }
}

static so_tensor *differ(so_pass *pass, const char *op, so_tensor *x, so_tensor *target, const so_real *weight,
                         bool absolute)
{
    if (!so_want_same(pass, op, x, target) || !so_want_f32(pass, op, x) || !so_want_f32(pass, op, target)) return NULL;
    int64_t rows = so_rows(x), cols = so_cols(x);
    so_tensor *y = one(pass);
    if (!y) return NULL;
    double sum = 0, weights = 0;
    for (int64_t r = 0; r < rows; r++) {
        double w = weight ? (double)weight[r] : 1, part = 0;
        weights += w;
        for (int64_t i = r * cols; i < (r + 1) * cols && w != 0 && !pass->dry; i++) {
            double e = (double)so_data(x)[i] - (double)so_data(target)[i];
            part += absolute ? fabs(e) : e * e;
        }
        sum += w * part;
    }
    double divide = weights * (double)cols;
    if (!pass->dry) so_data(y)[0] = divide != 0 ? (so_real)(sum / divide) : 0;
    so_step *step = so_tape_put(pass, op, difference_back, y, 2, (so_tensor *[]){x, target}, sizeof(difference));
    if (step) *(difference *)step->saved = (difference){copied(pass, weight, rows, sizeof *weight), divide, absolute};
    return so_ok(pass) ? y : NULL;
}

so_tensor *so_mse(so_pass *pass, so_tensor *x, so_tensor *target, const so_real *weight)
{
    return differ(pass, "mse", x, target, weight, false);
}

so_tensor *so_l1(so_pass *pass, so_tensor *x, so_tensor *target, const so_real *weight)
{
    return differ(pass, "l1", x, target, weight, true);
}
