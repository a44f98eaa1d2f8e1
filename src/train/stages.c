/* Stages: the tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/stages.h"

#include <string.h>

/* Losses of the language model: text (cross entropy of the backbone's text), units (of the top layers' units and their
 * end), ctc (the bottom layers' transcripts of the user's and of the model's own speech), template (the bottom layers
 * on template ids, which must come out as themselves), pairs (sigmoid loss of pictures and captions). Tasks: text (a
 * line of text), chat (text question, text answer), vt-t (picture and text to text), vs-t, vs-s (picture and speech to
 * text, to speech), s-t, s-s (speech alone), asr (speech and its transcript), tts (text read aloud). */
static const so_stage stages[] = {
    {
        .name = "text",
        .about = "the backbone learns to write, from nothing",
        .network = "omni",
        .learns = {{"backbone", 1, 1}},
        .task = {{"text", 0.5}, {"chat", 0.5}},
        .loss = {{"text", 1}},
        .rate = 1e-3,
        .floor = 0.1,
        .warmup = 0.03,
        .adamw = {0.9, 0.95, 1e-8, 0.1, 1, 0},
    },
    {
        .name = "pairs",
        .about = "the vision tower learns which caption belongs to which picture (sigmoid loss), from nothing",
        .network = "omni",
        .learns = {{"vision", 1, 1}, {"projector", 1, 1}, {"pairs", 1, 0}},
        .task = {{"caption", 1}},
        .loss = {{"pairs", 1}},
        .rate = 1e-3,
        .floor = 0.1,
        .warmup = 0.05,
        .adamw = {0.9, 0.95, 1e-8, 0.05, 1, 0},
    },
    {
        .name = "vision-text",
        .about = "stage 1 of the paper: a trained vision tower meets the backbone",
        .network = "omni",
        .learns = {{"projector", 1, 1}, {"backbone", 1, 1}},
        .task = {{"vt-t", 1}},
        .loss = {{"text", 1}},
        .rate = 2e-5,
        .floor = 0,
        .warmup = 0.03,
        .adamw = {0.9, 0.999, 1e-8, 0, 1, 0},
    },
    {
        .name = "vision-text-scratch",
        .about = "stage 1 for small models: the vision tower learns too; text alone is kept in mind",
        .network = "omni",
        .learns = {{"vision", 1, 1}, {"projector", 1, 1}, {"backbone", 1, 1}},
        .task = {{"vt-t", 0.8}, {"chat", 0.2}},
        .loss = {{"text", 1}},
        .rate = 1e-3,
        .floor = 0.05,
        .warmup = 0.03,
        .adamw = {0.9, 0.95, 1e-8, 0.05, 1, 0},
    },
    {
        .name = "hear",
        .about = "stage 2, first half: the bottom layers learn to transcribe, so that alignments mean something",
        .network = "omni",
        .learns = {{"bottom", 1, 1}},
        .task = {{"asr", 0.7}, {"tts", 0.3}},
        .loss = {{"ctc", 1}, {"template", 0.5}},
        .rate = 1e-3,
        .floor = 0.1,
        .warmup = 0.05,
        .adamw = {0.9, 0.98, 1e-8, 0.05, 1, 0},
    },
    {
        .name = "speech-text",
        .about =
            "stage 2 of the paper: CTC after the bottom layers, cross entropy of units after the top layers, which see "
            "the ground-truth text through the alignment's windows",
        .network = "omni",
        .learns = {{"bottom", 1, 1}, {"top", 1, 1}},
        .task = {{"asr", 0.4}, {"tts", 0.3}, {"s-s", 0.3}},
        .loss = {{"ctc", 1}, {"units", 1}, {"template", 0.5}},
        .rate = 1e-3,
        .floor = 0.05,
        .warmup = 0.05,
        .adamw = {0.9, 0.98, 1e-8, 0.05, 1, 0},
    },
    {
        .name = "speak",
        .about = "stage 2, second half: the top layers alone, over bottom layers that already hear",
        .network = "omni",
        .learns = {{"top", 1, 1}},
        .task = {{"tts", 0.5}, {"s-s", 0.5}},
        .loss = {{"units", 1}},
        .rate = 1e-3,
        .floor = 0.05,
        .warmup = 0.05,
        .adamw = {0.9, 0.98, 1e-8, 0.05, 1, 0},
    },
    {
        /* The top layers read the answer's token ids, so that no gradient of its units reaches the backbone: V+S->S and
         * V+S->T teach it the same and differ in nothing but the data. */
        .name = "tri-modal",
        .about = "stage 3 of the paper: the backbone learns to answer what it hears and sees",
        .network = "omni",
        .learns = {{"backbone", 1, 1}},
        .task = {{"vt-t", 0.25}, {"vs-t", 0.3}, {"vs-s", 0.15}, {"s-t", 0.2}, {"chat", 0.1}},
        .loss = {{"text", 1}},
        .rate = 3e-4,
        .floor = 0.05,
        .warmup = 0.03,
        .adamw = {0.9, 0.95, 1e-8, 0.05, 1, 0},
    },
    {
        .name = "tokenizer",
        .about = "the codec's ears: an ASR encoder with a vector quantiser in its middle (straight-through, averaged "
                 "codebook); units are what is left to recognise speech by",
        .network = "tokenizer",
        .learns = {{"tokenizer", 1, 1}},
        .task = {{"asr", 1}},
        .loss = {{"ctc", 1}, {"commit", 0.25}},
        .rate = 1e-3,
        .floor = 0.05,
        .warmup = 0.05,
        .adamw = {0.9, 0.98, 1e-8, 0.01, 1, 0},
    },
    {
        .name = "flow",
        .about = "units to mel: conditional flow matching with a prefix of the target given half of the time and all "
                 "conditions dropped a fifth of the time",
        .network = "flow",
        .learns = {{"flow", 1, 1}},
        .task = {{"voice", 1}},
        .loss = {{"flow", 1}},
        .rate = 1e-3,
        .floor = 0.05,
        .warmup = 0.05,
        .adamw = {0.9, 0.98, 1e-8, 0, 1, 0.999},
    },
    {
        .name = "vocoder",
        .about = "mel to waveform: mel, multi-resolution STFT and F0 losses",
        .network = "vocoder",
        .learns = {{"hift", 1, 1}, {"f0", 1, 1}},
        .task = {{"voice", 1}},
        .loss = {{"mel", 45}, {"stft", 1}, {"f0", 1}},
        .rate = 5e-4,
        .floor = 0.1,
        .warmup = 0.02,
        .adamw = {0.8, 0.99, 1e-8, 0, 5, 0},
    },
    {
        .name = "vocoder-gan",
        .about = "the same against discriminators: adversarial and feature-matching losses besides",
        .network = "vocoder",
        .learns = {{"hift", 1, 1}, {"f0", 1, 1}},
        .task = {{"voice", 1}},
        .loss = {{"fooling", 1}, {"features", 2}, {"relative", 1}, {"mel", 45}, {"f0", 1}},
        .rate = 2e-4,
        .shape = SO_RATE_CONSTANT,
        .adamw = {0.9, 0.999, 1e-8, 0, 5, 0},
    },
};

const so_stage *so_stage_at(int i) { return i >= 0 && i < (int)(sizeof stages / sizeof *stages) ? &stages[i] : NULL; }

const so_stage *so_stage_find(const char *name)
{
    for (int i = 0; so_stage_at(i); i++)
        if (strcmp(stages[i].name, name) == 0) return &stages[i];
    return NULL;
}

double so_stage_weight(const so_stage *stage, const char *loss)
{
    for (int i = 0; i < SO_STAGE_LOSSES && stage->loss[i].name; i++)
        if (strcmp(stage->loss[i].name, loss) == 0) return stage->loss[i].weight;
    return 0;
}

const char *so_stage_draw(const so_stage *stage, so_rng *rng)
{
    double sum = 0, at;
    int n = 0;
    for (; n < SO_STAGE_TASKS && stage->task[n].name; n++) sum += stage->task[n].share;
    at = so_rng_uniform(rng) * sum;
    for (int i = 0; i < n; i++)
        if ((at -= stage->task[i].share) < 0) return stage->task[i].name;
    return stage->task[n - 1].name;
}

static int groups_of(const so_stage *stage)
{
    int n = 0;
    while (n < SO_STAGE_GROUPS && stage->learns[n].group) n++;
    return n;
}

so_status so_stage_ready(const so_stage *stage, so_store *store, so_optim *optim, so_error *error)
{
    int n = groups_of(stage);
    SO_TRY(so_store_learn(store, NULL, false, error));
    for (int i = 0; i < n; i++) SO_TRY(so_store_learn(store, stage->learns[i].group, true, error));
    SO_TRY(so_optim_open(optim, &stage->adamw, error));
    SO_TRY(so_optim_add(optim, store, stage->learns, n, error));
    if (optim->count == 0)
        return so_fail(error, SO_ERR_MISSING, "stage '%s' finds no weights of its groups (the first is '%s')",
                       stage->name, stage->learns[0].group);
    return SO_OK;
}

void so_stage_plan(const so_stage *stage, so_train_plan *plan)
{
    plan->schedule =
        (so_schedule){stage->shape, stage->rate, stage->floor, (int64_t)(stage->warmup * (double)plan->steps)};
}
