/* Alignment of speech units and text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/align.h"

#include <math.h>
#include <stdlib.h>

typedef struct path {
    const so_real *scores;
    int64_t cols, states; /* blank, l0, blank, l1, ..., blank */
    const int32_t *labels;
    int32_t blank;
    double *now, *before;
    unsigned char *step; /* [rows, states] how many states back the best path came from */
} path;

static int32_t label_of(const path *p, int64_t s) { return s & 1 ? p->labels[s / 2] : p->blank; }

static void advance(path *p, int64_t t)
{
    double *swap = p->before;
    p->before = p->now;
    p->now = swap;
    for (int64_t s = 0; s < p->states; s++) {
        double best = p->before[s];
        unsigned char step = 0;
        if (s >= 1 && p->before[s - 1] > best) best = p->before[s - 1], step = 1;
        if ((s & 1) && s >= 3 && p->labels[s / 2] != p->labels[s / 2 - 1] && p->before[s - 2] > best)
            best = p->before[s - 2], step = 2;
        p->now[s] = best + (double)p->scores[t * p->cols + label_of(p, s)];
        p->step[t * p->states + s] = step;
    }
}

static void trace(const path *p, int64_t rows, int32_t *heard, int32_t *state)
{
    int64_t s = p->states - 1;
    if (s > 0 && p->now[s - 1] > p->now[s]) s--;
    for (int64_t t = rows - 1; t >= 0; t--) {
        heard[t] = (int32_t)((s + 1) / 2);
        if (state) state[t] = s & 1 ? (int32_t)(s / 2) : -1;
        if (t) s -= p->step[t * p->states + s];
    }
}

static so_status check_labels(const int32_t *labels, int64_t n, int64_t rows, int64_t cols, int32_t blank,
                              so_error *error)
{
    int64_t need = n;
    if (blank < 0 || blank >= cols)
        return so_fail(error, SO_ERR_ARG, "alignment: blank %d of %lld classes", blank, (long long)cols);
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] < 0 || labels[i] >= cols || labels[i] == blank)
            return so_fail(error, SO_ERR_ARG, "alignment: label %d of %lld classes, blank %d", labels[i],
                           (long long)cols, blank);
        need += i > 0 && labels[i] == labels[i - 1];
    }
    if (rows < need)
        return so_fail(error, SO_ERR_LIMIT, "alignment: %lld units for a text that needs %lld", (long long)rows,
                       (long long)need);
    return SO_OK;
}

so_status so_ctc_align(const so_ctc_ask *ask, int32_t *heard, int32_t *state, so_error *error)
{
    const int64_t rows = ask->rows;
    SO_TRY(check_labels(ask->labels, ask->n, rows, ask->cols, ask->blank, error));
    if (rows == 0) return SO_OK;
    path p = {ask->scores, ask->cols, 2 * ask->n + 1, ask->labels, ask->blank, NULL, NULL, NULL};
    double *sums = malloc((size_t)p.states * 2 * sizeof *sums);
    p.step = malloc((size_t)(rows * p.states));
    if (!sums || !p.step) {
        free(sums);
        free(p.step);
        return so_fail(error, SO_ERR_NOMEM, "no memory to align %lld labels", (long long)ask->n);
    }
    p.now = sums;
    p.before = sums + p.states;
    for (int64_t s = 0; s < p.states; s++) p.now[s] = s < 2 ? (double)ask->scores[label_of(&p, s)] : -(double)INFINITY;
    for (int64_t t = 1; t < rows; t++) advance(&p, t);
    trace(&p, rows, heard, state);
    free(sums);
    free(p.step);
    return SO_OK;
}

int64_t so_ctc_greedy(const so_real *scores, int64_t rows, int64_t cols, int32_t blank, int32_t *heard, int32_t *labels)
{
    int64_t count = 0;
    int32_t last = blank;
    for (int64_t t = 0; t < rows; t++) {
        const so_real *row = scores + t * cols;
        int32_t best = 0;
        for (int64_t c = 1; c < cols; c++)
            if (row[c] > row[best]) best = (int32_t)c;
        if (best != blank && best != last) {
            if (labels) labels[count] = best;
            last = best;
            count++;
        }
        if (heard) heard[t] = (int32_t)count;
    }
    return count;
}

void so_window_of(const so_window *window, int64_t heard, int64_t n_text, int32_t *lo, int32_t *hi)
{
    int64_t seen = heard + window->ahead < n_text ? heard + window->ahead : n_text;
    if (seen < 0) seen = 0;
    int64_t from = window->width > 0 && seen > window->width ? seen - window->width : 0;
    *lo = (int32_t)from;
    *hi = (int32_t)seen;
}
