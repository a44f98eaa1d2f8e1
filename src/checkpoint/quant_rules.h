/* Which tensor is stored in which type: named mixes, tables that people write, and what each column of a matrix
 * matters.
 *
 * A table is text, one rule a line; the first rule whose pattern matches a tensor's name decides:
 *
 *     # pattern                  type   [some]
 *     lm_head.weight             q6_k
 *     *.v_proj.weight            q6_k   some      only in the first and last eighth of the layers and every third
 * between codec.*                    f16
 *     *                          q4_k
 *
 * In patterns * stands for any text, ? for one character. Whatever a table says, vectors are f32; tensors of more than
 * two axes keep their float type (in the codec: f16) where a block type is asked for; and rows that are no multiple of
 * a type's block become q5_0 (for q4_k), q8_0 (for q5_k and q6_k) or f16, of which the notes tell.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_QUANT_RULES_H
#define SO_CHECKPOINT_QUANT_RULES_H

#include "base/error.h"
#include "base/type.h"
#include "so.h"

typedef struct so_quant_rules so_quant_rules;

/* From options->type, ->types and ->importance (see so.h); NULL: everything keeps its type. A table's rules come before
 * the mix's. SO_ERR_ARG for an unknown name, SO_ERR_FORMAT names the line of a table that cannot be read. */
so_status so_quant_rules_open(so_quant_rules **out, const so_save_options *options, so_error *error);
void so_quant_rules_close(so_quant_rules **rules);
/* Tells the rules of a tensor before any type is asked for, so that it knows how many layers a stack has. */
so_status so_quant_rules_learn(so_quant_rules *rules, const char *name, so_error *error);
/* The type to store the tensor in; `stored` is the type it has. Vectors are f32. */
so_type so_quant_rules_type(so_quant_rules *rules, const char *name, so_type stored, int n_dims, const int64_t *dim);
/* The importance of the columns of a matrix of k columns, or NULL; lives until close. */
const float *so_quant_rules_importance(const so_quant_rules *rules, const char *name, int64_t k);
/* Tells `note`, a line at a time, what became of tensors that could not have the type they were to have. */
void so_quant_rules_tell(const so_quant_rules *rules, void (*note)(void *context, const char *line), void *context);
/* "f32, bf16, ..., q4_0": what `type` may be. */
const char *so_quant_rules_names(void);

#endif
