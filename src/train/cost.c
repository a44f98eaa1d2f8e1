/* What a run costs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/cost.h"

#include <string.h>

static double layer_of(const so_llama_config *c)
{
    double d = (double)c->width, heads = (double)(c->heads * c->head_width), kv = (double)(c->kv_heads * c->head_width);
    return 2 * d * heads + 2 * d * kv + 3 * d * (double)c->ff;
}

static double tower_of(const so_siglip_config *c)
{
    double d = (double)c->width;
    return (double)c->layers * (4 * d * d + 2 * d * (double)c->ff) + 3 * d * (double)(c->patch * c->patch);
}

/* A stack: parameters that a row passes, and tables that it only looks up. */
typedef struct stack {
    const char *group;
    double products, tables, rows;
    bool wants; /* a gradient passes it, whether it learns or not */
} stack;

enum { VISION, PROJECTOR, BACKBONE, BOTTOM, TOP, STACKS };

static bool learns(const so_stage *stage, const char *group)
{
    for (int i = 0; i < SO_STAGE_GROUPS && stage->learns[i].group; i++)
        if (strcmp(stage->learns[i].group, group) == 0) return true;
    return false;
}

static void fill(const so_omni_config *c, const so_stage *stage, const so_cost_rows *rows, stack s[STACKS])
{
    double d = (double)c->llama.width, layer = layer_of(&c->llama), text = (double)c->text_rows * d;
    double audio = (double)c->audio_rows * d, cross = 4 * d * (double)(c->llama.heads * c->llama.head_width);
    int64_t grid = c->vision ? so_siglip_grid(&c->siglip) : 0;
    bool writes = so_stage_weight(stage, "text") > 0, speaks = so_stage_weight(stage, "units") > 0;
    double patches = writes ? rows->pictures * (double)(grid * grid) : 0;
    memset(s, 0, STACKS * sizeof *s);
    if (c->vision) {
        s[VISION] = (stack){"vision", tower_of(&c->siglip), 0, patches, false};
        s[PROJECTOR] = (stack){"projector", (double)c->siglip.width * d + d * d, 0, patches, false};
    }
    /* By the convention the backbone's N has its table of embeddings, too. */
    s[BACKBONE] = (stack){"backbone", (double)c->backbone * layer + 2 * text, 0, writes ? rows->backbone : 0, false};
    if (!c->speech) return;
    s[BOTTOM] = (stack){"bottom", (double)c->bottom * layer + text, audio, rows->bottom, false};
    s[TOP] = (stack){"top", (double)c->top * (layer + (c->fuse == SO_FUSE_CROSS ? cross : 0)) + audio, audio,
                     speaks ? rows->top : 0, false};
}

void so_cost_of(const so_omni_config *config, const so_stage *stage, const so_cost_rows *rows, bool again, so_cost *out)
{
    stack s[STACKS];
    fill(config, stage, rows, s);
    for (int i = 0; i < STACKS; i++) s[i].wants = s[i].group && learns(stage, s[i].group);
    /* Gradients reach what lies before a stack through that stack. */
    s[PROJECTOR].wants |= s[VISION].wants;
    s[BACKBONE].wants |= s[PROJECTOR].wants || (s[BOTTOM].wants && s[BACKBONE].rows > 0);
    s[TOP].wants |= s[BOTTOM].wants;
    *out = (so_cost){0};
    for (int i = 0; i < STACKS; i++) {
        if (!s[i].group) continue;
        double n = s[i].products, work = n * s[i].rows;
        bool learning = learns(stage, s[i].group);
        out->parameters += n + s[i].tables;
        if (learning) out->learning += n + s[i].tables;
        if (s[i].rows > 0 || learning) out->used += n + s[i].tables;
        if (!s[i].wants) {
            out->frozen += 2 * work;
            continue;
        }
        out->forward += 2 * work;
        out->back += (learning ? 4 : 2) * work;
        if (again) out->again += 2 * work;
    }
}

so_cost_machine so_cost_h800(void)
{
    return (so_cost_machine){.gpus = 8, .node = 8, .peak = 989e12, .share = 0.35, .link = 160e9, .wire = 45e9};
}

void so_cost_run(const so_cost *cost, const so_cost_machine *m, double records, double batch, so_cost_time *out)
{
    double rate = m->gpus * m->peak * m->share, work = cost->forward + cost->back + cost->again + cost->frozen;
    double gradient = 2 * cost->learning, n = m->gpus;
    int inside = m->gpus < m->node ? m->gpus : m->node;
    double nodes = n / inside;
    *out = (so_cost_time){.seconds = records * work / rate, .compute = batch * work / rate};
    /* Sent and received by each device: the gradient's pieces, then the weights'. */
    out->within = 2 * (inside - 1) / (double)inside * gradient / m->link;
    out->between = 2 * (nodes - 1) / nodes * gradient / inside / m->wire;
    double kept = 2 * cost->used + 12 * cost->learning / n;
    out->least = kept + 2 * cost->learning;
    out->most = kept + 4 * cost->learning;
}
