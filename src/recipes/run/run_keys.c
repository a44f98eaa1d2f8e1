/* The keys of a run's settings, and what other trainers call them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "recipes/run/run_config.h"

#define AT(field) offsetof(so_run_config, field)
#define OF(field) offsetof(so_run_data, field)
#define MANY 9e15

/* clang-format off: a table read by line */
static const so_run_key keys[] = {
    {"name", SO_RUN_TEXT, AT(name), 0, 0, NULL, false, "of the run; the file's when not given"},
    {"stage", SO_RUN_TEXT, AT(stage), 0, 0, NULL, true, "what is learnt, from which losses: a row of 'train stages'"},
    {"model", SO_RUN_PATH, AT(model), 0, 0, NULL, false,
     "to begin with: a folder in the published layout, or a GGUF file"},
    {"out", SO_RUN_PATH, AT(out), 0, 0, NULL, false, "folder of the run"},
    {"system", SO_RUN_TEXT, AT(system), 0, 0, NULL, true, "system text of the prompts; the model's when not given"},
    {"seed", SO_RUN_WHOLE, AT(seed), 0, MANY, NULL, true, "of everything random"},
    {"plan.steps", SO_RUN_WHOLE, AT(plan.steps), 0, 1e12, NULL, false,
     "updates; with epochs, the smaller ends the run"},
    {"plan.epochs", SO_RUN_REAL, AT(plan.epochs), 0, 1e6, NULL, false,
     "passes through all data; 1 when neither steps nor epochs are given"},
    {"plan.hours", SO_RUN_REAL, AT(plan.hours), 0, 1e6, NULL, false, "time limit; 0: none"},
    {"plan.anneal", SO_RUN_TEXT, AT(plan.anneal), 0, 0, "steps time", true,
     "what the rate falls with; time is not the same twice"},
    {"plan.batch_records", SO_RUN_WHOLE, AT(plan.batch_records), 0, 1e7, NULL, true,
     "records of an update, over all ranks; one of the three is needed"},
    {"plan.batch_rows", SO_RUN_WHOLE, AT(plan.batch_rows), 0, 1e9, NULL, true, "or rows of an update"},
    {"plan.batch_units", SO_RUN_WHOLE, AT(plan.batch_units), 0, 1e9, NULL, true, "or speech units of an update"},
    {"plan.slots", SO_RUN_WHOLE, AT(plan.slots), 1, 256, NULL, true,
     "micro-batches of an update, shared among the ranks; a power of two"},
    {"plan.rows", SO_RUN_WHOLE, AT(plan.rows), 16, 1e7, NULL, true,
     "rows that are computed at once: what memory allows"},
    {"plan.longest", SO_RUN_WHOLE, AT(plan.longest), 8, 1e7, NULL, true, "rows of the longest sample"},
    {"plan.too_long", SO_RUN_TEXT, AT(plan.too_long), 0, 0, "drop cut", true,
     "what becomes of longer ones; cut: text at the end"},
    {"optim.rate", SO_RUN_REAL, AT(optim.rate), 0, 10, NULL, true,
     "peak learning rate; the stage's when not given, as all of these"},
    {"optim.floor", SO_RUN_REAL, AT(optim.floor), 0, 1, NULL, true, "of the rate at the end, as a share of the peak"},
    {"optim.warmup", SO_RUN_REAL, AT(optim.warmup), 0, 1e9, NULL, true, "share of the steps; from 1 on: steps"},
    {"optim.shape", SO_RUN_TEXT, AT(optim.shape), 0, 0, "cosine linear constant root", true, "of the rate after that"},
    {"optim.beta1", SO_RUN_REAL, AT(optim.beta1), 0, 0.999999, NULL, true, "AdamW"},
    {"optim.beta2", SO_RUN_REAL, AT(optim.beta2), 0, 0.9999999, NULL, true, "AdamW"},
    {"optim.epsilon", SO_RUN_REAL, AT(optim.epsilon), 1e-30, 1, NULL, true, "AdamW"},
    {"optim.decay", SO_RUN_REAL, AT(optim.decay), 0, 10, NULL, true, "of matrices, per unit of rate"},
    {"optim.clip", SO_RUN_REAL, AT(optim.clip), 0, 1e9, NULL, true, "largest norm of the gradient; 0: any"},
    {"optim.average", SO_RUN_REAL, AT(optim.average), 0, 0.9999999, NULL, true,
     "decay of the weights' average, which is kept as the model; 0: none"},
    {"learn", SO_RUN_TEXTS, AT(learn), 0, 0, NULL, true,
     "groups that learn: projector, vision, backbone, bottom, top; the stage's when not given"},
    {"fresh", SO_RUN_TEXTS, AT(fresh), 0, 0, NULL, true,
     "groups that learn and begin from random weights: bottom, top, projector, ..."},
    {"route", SO_RUN_TEXT, AT(route), 0, 0, "expected argmax", true,
     "what the backbone gets of speech: expected embeddings, or those of the likeliest tokens (an ablation)"},
    {"check_files", SO_RUN_BOOL, AT(check_files), 0, 0, NULL, false,
     "pictures, units and recordings that were changed since the run began are refused"},
    {"layers.bottom", SO_RUN_WHOLE, AT(layers.bottom), 0, 64, NULL, true,
     "speech layers below; of fewer than the model has the first ones are kept, more must be fresh"},
    {"layers.top", SO_RUN_WHOLE, AT(layers.top), 0, 64, NULL, true, "speech layers above, likewise"},
    {"memory.checkpoint", SO_RUN_BOOL, AT(memory.checkpoint), 0, 0, NULL, false,
     "compute layers again on the way back instead of keeping them"},
    {"memory.type", SO_RUN_TEXT, AT(memory.type), 0, 0, "f32 bf16", true, "of products of matrices while training"},
    {"lora.rank", SO_RUN_WHOLE, AT(lora.rank), 0, 512, NULL, true,
     "of adapters, which learn instead of the weights; 0: none"},
    {"lora.alpha", SO_RUN_REAL, AT(lora.alpha), 0, 1e6, NULL, true, "scale of adapters; twice the rank when not given"},
    {"lora.dropout", SO_RUN_REAL, AT(lora.dropout), 0, 0.99, NULL, true, "of their inputs"},
    {"lora.targets", SO_RUN_TEXTS, AT(lora.targets), 0, 0, NULL, true,
     "matrices that have one; all seven when not given"},
    {"image.mode", SO_RUN_TEXT, AT(image.mode), 0, 0, "square pad", true,
     "how pictures become square; the model's when not given"},
    {"image.size", SO_RUN_WHOLE, AT(image.size), 0, 4096, NULL, true, "pixels a side; the model's, and nothing else"},
    {"window.W", SO_RUN_WHOLE, AT(window.width), -1, 4096, NULL, true,
     "text tokens that the top layers see; -1: all; the model's when not given"},
    {"window.K", SO_RUN_WHOLE, AT(window.ahead), 0, 4096, NULL, true,
     "text tokens that speech waits for; the model's when not given"},
    {"fuse", SO_RUN_TEXT, AT(fuse), 0, 0, "cross add_input add_layer", true,
     "how the top layers take text in; another way than the model's must be fresh"},
    {"save.every", SO_RUN_OFTEN, AT(save.every), 0, 0, NULL, false, "checkpoints: steps (500), or time (\"20m\")"},
    {"save.keep", SO_RUN_WHOLE, AT(save.keep), 1, 1000, NULL, false,
     "so many of the last checkpoints are kept: checkpoint.so, and checkpoint-STEP.so before it"},
    {"save.async", SO_RUN_BOOL, AT(save.async), 0, 0, NULL, false,
     "checkpoints are written beside training, from a copy in memory"},
    {"save.type", SO_RUN_TEXT, AT(save.type), 0, 0, "f32 bf16 f16", false,
     "of all matrices in the finished model; as they are in memory when not given"},
    {"evaluate.every", SO_RUN_OFTEN, AT(evaluate.every), 0, 0, NULL, false, "steps; 0: only at the end"},
    {"evaluate.records", SO_RUN_WHOLE, AT(evaluate.records), 1, 1e7, NULL, false, "at most so many of each set"},
    {"evaluate.sets", SO_RUN_TEXTS, AT(evaluate.sets), 0, 0, NULL, false,
     "data entries with split = \"eval\"; all of them when not given"},
    {"evaluate.best", SO_RUN_TEXT, AT(evaluate.best), 0, 0, NULL, false,
     "keep the weights for which this is least, or right most: \"NAME.loss\", \"NAME.text_right\""},
    {"log.every", SO_RUN_WHOLE, AT(log.every), 1, 1e9, NULL, false, "steps"},
    {"log.tensorboard", SO_RUN_BOOL, AT(log.tensorboard), 0, 0, NULL, false, "event files beside log.jsonl"},
    {"log.samples", SO_RUN_WHOLE, AT(log.samples), 0, 1000, NULL, false, "samples that --dry-run shows"},
    {"ranks.exact", SO_RUN_BOOL, AT(ranks.exact), 0, 0, NULL, true, "the same bits for any number of ranks"},
    {"ranks.watchdog", SO_RUN_WHOLE, AT(ranks.watchdog), 1, 1e6, NULL, false,
     "seconds that others wait for a rank of this machine before all are ended"},
    {"ranks.restarts", SO_RUN_WHOLE, AT(ranks.restarts), 0, 1000, NULL, false,
     "from the last checkpoint, of a run that lost a rank of this machine"},
    {"data.name", SO_RUN_TEXT, OF(name), 0, 0, NULL, true,
     "told in notes and errors; the path's last part when not given"},
    {"data.path", SO_RUN_PATH, OF(path), 0, 0, NULL, false,
     "a folder of records (data index), a corpus, or \"tabletop:pictures\" and the like (docs/training.md)"},
    {"data.images", SO_RUN_PATH, OF(images), 0, 0, NULL, false, "folder of a corpus's pictures and recordings"},
    {"data.format", SO_RUN_TEXT, OF(format), 0, 0, NULL, false,
     "of a corpus, when that cannot be told by what is in it"},
    {"data.task", SO_RUN_TEXT, OF(task), 0, 0, NULL, true, "what is learnt of a record: 'train --help' lists them"},
    {"data.weight", SO_RUN_REAL, OF(weight), 0, 1e12, NULL, true,
     "share of the samples; as many as there are records when not given"},
    {"data.epochs", SO_RUN_REAL, OF(epochs), 0, 1e6, NULL, true, "instead: how often these records are met in the run"},
    {"data.take", SO_RUN_TEXT, OF(take), 0, 0, NULL, true, "all, first:N, end:N, random:N, N or a share as 10%"},
    {"data.split", SO_RUN_TEXT, OF(split), 0, 0, "train eval", true, "eval: measured, never learnt"},
    {"data.augment", SO_RUN_TEXT, OF(augment), 0, 0, "none", true,
     "speech is augmented before it becomes units (data instruct-omni --disturb)"},
};

static const char per_rank[] =
    "batches are of all ranks together here: plan.batch_records = per_device_train_batch_size x "
    "gradient_accumulation_steps x devices; memory is bounded by plan.rows";

static const so_run_alias aliases[] = {
    {"output_dir", "out", NULL},
    {"model_name_or_path", "model", NULL},
    {"base_model", "model", NULL},
    {"run_name", "name", NULL},
    {"max_steps", "plan.steps", NULL},
    {"num_train_epochs", "plan.epochs", NULL},
    {"num_epochs", "plan.epochs", NULL},
    {"per_device_train_batch_size", NULL, per_rank},
    {"gradient_accumulation_steps", NULL, per_rank},
    {"micro_batch_size", NULL, per_rank},
    {"global_batch_size", "plan.batch_records", NULL},
    {"train_batch_size", "plan.batch_records", NULL},
    {"cutoff_len", "plan.longest", NULL},
    {"model_max_length", "plan.longest", "rows of the longest sample, pictures' vectors included"},
    {"sequence_len", "plan.longest", NULL},
    {"learning_rate", "optim.rate", NULL},
    {"lr", "optim.rate", NULL},
    {"min_lr", NULL, "optim.floor is a share of the peak rate, not a rate"},
    {"warmup_ratio", "optim.warmup", NULL},
    {"warmup_steps", "optim.warmup", "a number of steps from 1 on, a share below"},
    {"lr_scheduler_type", "optim.shape", NULL},
    {"lr_scheduler", "optim.shape", NULL},
    {"adam_beta1", "optim.beta1", NULL},
    {"adam_beta2", "optim.beta2", NULL},
    {"adam_epsilon", "optim.epsilon", NULL},
    {"weight_decay", "optim.decay", NULL},
    {"max_grad_norm", "optim.clip", NULL},
    {"ema", "optim.average", NULL},
    {"mm_projector_lr", NULL, "optim.groups.projector.rate is a factor on optim.rate"},
    {"mm_vision_tower_lr", NULL, "optim.groups.vision.rate is a factor on optim.rate"},
    {"mm_tunable_parts", "learn", NULL},
    {"tune_mm_mlp_adapter", NULL, "learn = [\"projector\"]"},
    {"freeze_backbone", NULL, "learn names the groups that are not frozen"},
    {"freeze_mm_mlp_adapter", NULL, "learn names the groups that are not frozen"},
    {"freeze_vision_tower", NULL, "learn names the groups that are not frozen"},
    {"gradient_checkpointing", "memory.checkpoint", NULL},
    {"bf16", NULL, "memory.type = \"bf16\""},
    {"fp16", NULL, "memory.type is \"f32\" or \"bf16\""},
    {"tf32", NULL, "memory.type is \"f32\" or \"bf16\""},
    {"load_in_4bit", NULL,
     "frozen weights keep the type of the file: begin with a model of q4_k (convert --type q4_k)"},
    {"load_in_8bit", NULL,
     "frozen weights keep the type of the file: begin with a model of q8_0 (convert --type q8_0)"},
    {"lora_r", "lora.rank", NULL},
    {"lora_rank", "lora.rank", NULL},
    {"lora_alpha", "lora.alpha", NULL},
    {"lora_dropout", "lora.dropout", NULL},
    {"lora_target", "lora.targets", NULL},
    {"lora_target_modules", "lora.targets", NULL},
    {"image_aspect_ratio", "image.mode", NULL},
    {"image_grid_pinpoints", NULL, "pictures are seen whole while training: image.mode is \"square\" or \"pad\""},
    {"data_path", NULL, "[[data]] with path"},
    {"dataset", NULL, "[[data]] with path"},
    {"datasets", NULL, "[[data]] with path, one for each"},
    {"image_folder", NULL, "images in [[data]]"},
    {"data.data_path", "data.path", NULL},
    {"data.json_path", "data.path", NULL},
    {"data.image_folder", "data.images", NULL},
    {"data.sampling_strategy", "data.take", NULL},
    {"data.max_samples", "data.take", NULL},
    {"max_samples", NULL, "take in [[data]]"},
    {"save_steps", "save.every", NULL},
    {"save_strategy", NULL, "save.every = 500 or \"20m\""},
    {"save_total_limit", "save.keep", NULL},
    {"eval_steps", "evaluate.every", NULL},
    {"eval_strategy", NULL, "evaluate.every = 500"},
    {"load_best_model_at_end", NULL, "evaluate.best = \"NAME.loss\""},
    {"metric_for_best_model", "evaluate.best", NULL},
    {"resume_from_checkpoint", NULL, "a run goes on from its checkpoint when it is started again"},
    {"logging_steps", "log.every", NULL},
    {"report_to", NULL, "log.jsonl is always written; log.tensorboard = true for event files"},
    {"ddp_timeout", "ranks.watchdog", NULL},
    {"deepspeed", NULL, "moments are always shared among the ranks (ZeRO-1): train RUN.toml --ranks N"},
    {"dataloader_num_workers", NULL, "a thread of its own reads ahead"},
    {"group_by_modality_length", NULL, "batches have no padding here: nothing is to be grouped"},
    {"group_by_length", NULL, "batches have no padding here: nothing is to be grouped"},
    {"packing", NULL, "batches have no padding here: nothing is to be packed"},
    {"sample_packing", NULL, "batches have no padding here: nothing is to be packed"},
};
/* clang-format on */

enum { KEYS = sizeof keys / sizeof keys[0], ALIASES = sizeof aliases / sizeof aliases[0] };

const so_run_key *so_run_key_at(int i) { return i >= 0 && i < KEYS ? &keys[i] : NULL; }

const so_run_key *so_run_key_find(const char *name)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0) return &keys[i];
    return NULL;
}

const so_run_alias *so_run_alias_find(const char *name)
{
    for (int i = 0; i < ALIASES; i++)
        if (strcmp(aliases[i].name, name) == 0) return &aliases[i];
    return NULL;
}

/* Letters to change, add, leave out, or exchange with a neighbour; texts of up to 63. */
static int distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    int row[3][MOST], n = (int)strlen(a), m = (int)strlen(b);
    if (n >= MOST || m >= MOST) return MOST;
    for (int j = 0; j <= m; j++) row[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = row[i % 3], *up = row[(i + 2) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best) best = up[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && two[j - 2] + 1 < best) best = two[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *so_run_key_near(const char *name)
{
    const char *best = NULL, *last = strrchr(name, '.');
    int least = 1000;
    last = last ? last + 1 : name;
    for (int i = 0; i < KEYS; i++) {
        const char *end = strrchr(keys[i].name, '.');
        int d = 2 * distance(name, keys[i].name);
        /* The right word in the wrong table is near, too. */
        int e = 2 * distance(last, end ? end + 1 : keys[i].name) + 1;
        if (e < d) d = e;
        if (d < least) least = d, best = keys[i].name;
    }
    int length = (int)strlen(last);
    return least <= 2 * (1 + length / 3) ? best : NULL;
}
