/* Ragged batches for the backbone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_batch.h"

#include "recipes/tabletop/part_stages.h"

#include <stddef.h>
#include <string.h>

enum { WHERE_LAYER = 3, STAND_LAYER = 5, AREA = 3 * SO_TABLETOP_SIDE * SO_TABLETOP_SIDE };

so_tt_batch *so_tt_batch_start(so_pass *pass, const so_omni *net)
{
    so_tt_batch *b = so_take(pass, sizeof *b, true);
    if (!b) return NULL;
    b->pass = pass;
    b->net = net;
    b->part_of = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->row = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->label = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->turn = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->text = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->where = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->stand = so_take(pass, SO_TT_MAX_ROWS * 4, false);
    b->pixels = so_take(pass, sizeof(float) * SO_TT_MAX_PICTURES * AREA, false);
    return b->pixels ? b : NULL;
}

void so_tt_batch_sequence(so_tt_batch *b)
{
    if (b->seqs == SO_TT_MAX_SEQS)
        so_pass_fail(b->pass, SO_ERR_LIMIT, "a batch of more than %d sequences", SO_TT_MAX_SEQS);
    else
        b->seq_rows[b->seqs++] = 0;
}

static void add_row(so_tt_batch *b, int32_t part, int32_t row)
{
    if (b->rows == SO_TT_MAX_ROWS || !b->seqs) {
        so_pass_fail(b->pass, SO_ERR_LIMIT, "a batch of more than %d rows", SO_TT_MAX_ROWS);
        return;
    }
    b->part_of[b->rows] = part;
    b->row[b->rows] = row;
    b->label[b->rows] = -1;
    b->where[b->rows] = b->stand[b->rows] = -1;
    b->turn[b->rows++] = -1;
    b->seq_rows[b->seqs - 1]++;
}

void so_tt_batch_text(so_tt_batch *b, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n && so_ok(b->pass); i++) {
        b->text[b->texts] = ids[i];
        add_row(b, 0, (int32_t)b->texts++);
    }
}

/* Whether the word at text[at] is `word`. */
static bool word_at(const char *text, size_t at, const char *word)
{
    size_t n = strlen(word);
    return (at == 0 || text[at - 1] == ' ') && strncmp(text + at, word, n) == 0 &&
           !(text[at + n] >= 'a' && text[at + n] <= 'z');
}

/* The cell of the one object of that shape (-1: any) and colour (-1: any); -1 when there is none or more than one. */
static int32_t cell_of(const so_scene *scene, int shape, int colour)
{
    int32_t cell = -1;
    for (int o = 0; o < scene->count; o++) {
        if ((shape >= 0 && (int)scene->objects[o].shape != shape) ||
            (colour >= 0 && (int)scene->objects[o].colour != colour))
            continue;
        if (cell >= 0) return -1;
        cell = (int32_t)scene->objects[o].cell;
    }
    return cell;
}

/* Cell of the object whose name ends with the word at text[at], and where that word ends; -1 when none does. */
static int32_t named_at(const so_scene *scene, const char *text, size_t at, int *colour, size_t *end)
{
    for (int i = 0; i < SO_COLOURS; i++)
        if (word_at(text, at, so_colour_name(i))) *colour = i;
    for (int i = 0; i < SO_SHAPES; i++)
        if (word_at(text, at, so_shape_name(i))) {
            *end = at + strlen(so_shape_name(i));
            return cell_of(scene, i, *colour);
        }
    if (*colour < 0 || !word_at(text, at, "object")) return -1;
    *end = at + strlen("object");
    return cell_of(scene, -1, *colour);
}

/* 0, 1 or 2: less, equal, more. */
static int32_t order(int32_t x, int32_t y) { return (x > y) - (x < y) + 1; }

void so_tt_batch_names(so_tt_batch *b, const so_tt *tt, const so_scene *scene, const char *text, const so_ids *ids,
                       const int64_t *row)
{
    int32_t named[2] = {-1, -1};
    int colour = -1, names = 0;
    for (size_t at = 0; so_ok(b->pass) && text[at]; at++) {
        size_t end = 0, reached = 0;
        int32_t cell = named_at(scene, text, at, &colour, &end);
        if (!end) continue;
        colour = -1;
        if (cell < 0) continue;
        if (names < 2) named[names++] = cell;
        so_string piece = {0};
        for (size_t i = 0; i < ids->n && reached < end; i++) {
            piece.size = 0;
            if (so_tokenizer_decode(tt->tokenizer, ids->data + i, 1, 0, &piece, &b->pass->error) != SO_OK) break;
            reached += piece.size;
            if (reached >= end) b->where[row[i]] = cell;
        }
        so_string_clear(&piece);
    }
    if (names == 2 && so_ok(b->pass))
        b->stand[row[ids->n - 1]] = 3 * order(named[0] / 3, named[1] / 3) + order(named[0] % 3, named[1] % 3);
}

void so_tt_batch_question(so_tt_batch *b, const so_tt *tt, const so_scene *scene, const char *text, so_ids *scratch)
{
    int64_t first = b->rows, *row;
    scratch->n = 0;
    if (so_tt_encode(tt, text, scratch, &b->pass->error) != SO_OK) return;
    so_tt_batch_text(b, scratch->data, (int64_t)scratch->n);
    if (!scene || !(row = so_take(b->pass, scratch->n * sizeof *row, false))) return;
    for (size_t i = 0; i < scratch->n; i++) row[i] = first + (int64_t)i;
    so_tt_batch_names(b, tt, scene, text, scratch, row);
}

so_status so_tt_aids_bind(so_tt_aids *aids, const so_tt *tt, so_store *store, int64_t width, so_error *error)
{
    static const so_bind_row table[] = {
        {offsetof(so_tt_aids, where_w), "aids.where", "9 D", "aids", SO_INIT_FAN_IN, 1, false},
        {offsetof(so_tt_aids, stand_w), "aids.stand", "9 D", "aids", SO_INIT_FAN_IN, 1, false},
    };
    so_rng rng;
    so_rng_init(&rng, tt->seed, 5);
    so_binder binder = {.store = store, .rng = &rng};
    binder.sizes.of['D'] = width;
    return SO_BIND(&binder, "", 0, table, aids, error);
}

void so_tt_batch_picture(so_tt_batch *b, uint64_t scene)
{
    int64_t patches = so_siglip_grid(&b->net->siglip.config) * so_siglip_grid(&b->net->siglip.config);
    if (b->pictures == SO_TT_MAX_PICTURES) {
        so_pass_fail(b->pass, SO_ERR_LIMIT, "a batch of more than %d pictures", SO_TT_MAX_PICTURES);
        return;
    }
    so_tt_picture(scene, b->pixels + b->pictures * AREA);
    for (int64_t p = 0; p < patches; p++) add_row(b, 1, (int32_t)(b->pictures * patches + p));
    b->pictures++;
}

void so_tt_batch_heard(so_tt_batch *b, int64_t n)
{
    for (int64_t i = 0; i < n && so_ok(b->pass); i++) add_row(b, 2, (int32_t)b->heard_used++);
}

void so_tt_batch_answer(so_tt_batch *b, const int32_t *ids, int64_t n, int32_t eot)
{
    for (int64_t i = 0; i <= n && so_ok(b->pass); i++) {
        b->label[b->rows - 1] = i < n ? ids[i] : eot;
        b->turn[b->rows - 1] = b->turns;
        if (i < n) so_tt_batch_text(b, &ids[i], 1);
    }
    b->turns++;
}

static void mark_wrong(const so_tt_batch *b, const so_tensor *logits, const int32_t *at, uint8_t *right)
{
    int64_t c = so_cols(logits);
    for (int64_t r = 0; r < so_rows(logits); r++) {
        const so_real *x = so_data(logits) + r * c;
        int64_t best = 0;
        for (int64_t i = 1; i < c; i++)
            if (x[i] > x[best]) best = i;
        if (best != b->label[at[r]]) right[b->turn[at[r]]] = 0;
    }
}

so_tensor *so_tt_batch_loss(so_tt_batch *b, uint8_t *right)
{
    so_pass *pass = b->pass;
    if (!so_ok(pass)) return NULL;
    int64_t n = 0;
    int32_t *at = so_take(pass, (size_t)b->rows * 4, false), *label = so_take(pass, (size_t)b->rows * 4, false);
    if (!label) return NULL;
    for (int64_t r = 0; r < b->rows; r++)
        if (b->label[r] >= 0) {
            at[n] = (int32_t)r;
            label[n++] = b->label[r];
        }
    int32_t none = 0;
    so_tensor *part[3] = {so_omni_read(pass, b->net, b->texts, b->text)};
    part[1] = b->pictures ? so_omni_see(pass, b->net, b->pictures, b->pixels) : so_omni_read(pass, b->net, 1, &none);
    part[2] = b->heard;
    so_tensor *x = so_splice(pass, b->heard ? 3 : 2, part, b->rows, b->part_of, b->row);
    so_batch *batch = so_batch_many(pass, b->seqs, b->seq_rows, NULL);
    const so_llama *backbone = &b->net->backbone;
    so_tensor *where = so_llama_layers(pass, backbone, x, batch, 0, WHERE_LAYER);
    so_tensor *stand = so_llama_layers(pass, backbone, where, batch, WHERE_LAYER, STAND_LAYER);
    x = so_llama_layers(pass, backbone, stand, batch, STAND_LAYER, backbone->layers);
    so_tensor *hidden = so_llama_norm(pass, backbone, x);
    so_tensor *logits = so_omni_write(pass, b->net, so_take_rows(pass, hidden, n, at));
    so_tensor *loss[3] = {so_cross_entropy(pass, logits, label)};
    if (so_ok(pass) && right) mark_wrong(b, logits, at, right);
    if (!b->aids || right) return loss[0];
    loss[1] = so_cross_entropy(pass, so_linear(pass, where, b->aids->where_w, NULL), b->where);
    loss[2] = so_cross_entropy(pass, so_linear(pass, stand, b->aids->stand_w, NULL), b->stand);
    if (!so_ok(pass)) return NULL;
    so_notes_add(b->notes, "where", so_data(loss[1])[0], 1);
    so_notes_add(b->notes, "stand", so_data(loss[2])[0], 1);
    return so_weighted_sum(pass, 3, loss,
                           (so_real[]){1, so_tt_weight(b->part, "where"), so_tt_weight(b->part, "stand")});
}
