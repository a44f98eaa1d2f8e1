/* What a run would do, told without doing it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "recipes/run/training.h"
#include "text/chat.h"

static void tell_data(const so_run *run)
{
    const so_run_config *c = &run->config;
    int64_t samples = run->samples;
    if (!samples || run->steps < run->batches.options.total)
        samples = c->plan.batch_records ? run->steps * c->plan.batch_records : run->samples;
    if (run->samples && samples > run->samples) samples = run->samples;
    for (int i = 0; i < run->sources; i++) {
        const so_run_set *set = &run->set[run->source_set[i]];
        double epochs = so_order_epochs(&run->order, i, samples);
        so_run_say(run, "data '%s': %s, %lld of %lld records (%lld lack what the task needs), %.1f %% of the samples%s",
                   set->data->name, set->task->name, (long long)set->count, (long long)set->dataset->count,
                   (long long)set->lacking, 100.0 * (double)run->order.share[i] / (double)run->order.block,
                   samples ? "" : ", epochs follow from the lengths");
        if (samples) so_run_say(run, "  %.2f epochs%s", epochs, epochs > 4 ? ": more than four teach by heart" : "");
    }
    for (int i = 0; i < run->sets; i++)
        if (run->set[i].eval)
            so_run_say(run, "data '%s': measured, %lld records", run->set[i].data->name, (long long)run->set[i].count);
}

static so_status tell_plan(so_run *run, so_error *error)
{
    int portions = 0;
    int64_t largest = 0;
    SO_TRY(so_batches_plan(&run->batches, 0, error));
    const so_batches *b = &run->batches;
    for (int64_t i = 0, rows = 0; i < b->n; i++) {
        bool begins = i == 0 || b->item[i].slot != b->item[i - 1].slot || b->item[i].portion != b->item[i - 1].portion;
        portions += begins;
        rows = begins ? b->item[i].rows : rows + b->item[i].rows;
        if (rows > largest) largest = rows;
    }
    so_run_say(run,
               "plan: %lld updates; the first has %lld samples, about %lld rows, in %d slots and %d portions of up "
               "to %lld rows",
               (long long)run->steps, (long long)b->n, (long long)b->rows, b->options.slots, portions,
               (long long)largest);
    return SO_OK;
}

static void tell_weights(const so_run *run)
{
    char learns[200] = "";
    const so_store *store = run->codec ? so_run_codec_store(run) : &run->store;
    for (int i = 0; i < SO_STAGE_GROUPS && run->stage.learns[i].group; i++) {
        size_t used = strlen(learns);
        int64_t n = so_store_parameters(store, run->stage.learns[i].group);
        snprintf(learns + used, sizeof learns - used, "%s%s %.4g M", i ? ", " : "", run->stage.learns[i].group,
                 (double)n * 1e-6);
    }
    if (run->lora.count)
        snprintf(learns, sizeof learns, "adapters of %lld matrices (%s) %.4g M", (long long)run->lora.count,
                 run->lora.targets, (double)so_store_parameters(&run->lora.store, NULL) * 1e-6);
    so_run_say(run, "learns: %s of %.4g M parameters", learns, (double)so_store_parameters(store, NULL) * 1e-6);
    if (so_run_codec_judges(run))
        so_run_say(run, "  against discriminators, %.4g M parameters, which are not kept",
                   (double)so_store_parameters(so_run_codec_judges(run), NULL) * 1e-6);
}

/* ---- samples, as people may read them */

typedef struct marks {
    const char *begin, *end;
} marks;

static marks marks_of(const so_run *run)
{
    const char *m = run->options->learnt;
    return m ? (marks){m, m + strlen(m) + 1} : (marks){"[", "]"};
}

static so_status put_ids(const so_run *run, const int32_t *ids, const uint8_t *learn, int64_t n, so_string *out,
                         so_error *error)
{
    marks m = marks_of(run);
    bool learnt = false;
    int64_t units = 0;
    char text[60];
    for (int64_t i = 0; i <= n; i++) {
        bool unit = i < n && ids[i] >= run->first_unit && ids[i] < run->first_unit + run->units;
        if (units && !unit) {
            snprintf(text, sizeof text, "<%lld units>", (long long)units);
            SO_TRY(so_string_put(out, text, error));
        }
        units = unit ? units + 1 : 0;
        bool now = i < n && learn && learn[i];
        if (now != learnt) SO_TRY(so_string_put(out, now ? m.begin : m.end, error));
        learnt = now;
        if (i == n || unit) continue;
        if (ids[i] == SO_PICTURE_ID)
            SO_TRY(so_string_put(out, SO_IMAGE_MARK, error));
        else
            SO_TRY(so_tokenizer_decode(run->source.tokenizer, &ids[i], 1, 0, out, error));
    }
    return SO_OK;
}

static so_status put_part(const so_run *run, const char *title, const int32_t *ids, int64_t n, so_string *out,
                          so_error *error)
{
    marks m = marks_of(run);
    if (!n) return SO_OK;
    SO_TRY(so_string_put(out, title, error));
    SO_TRY(so_string_put(out, m.begin, error));
    SO_TRY(put_ids(run, ids, NULL, n, out, error));
    return so_string_put(out, m.end, error);
}

static so_status show_sample(so_run *run, int64_t g, so_error *error)
{
    so_order_place at = so_order_at(&run->order, g);
    const so_run_set *set = &run->set[run->source_set[at.source]];
    so_arena memory = {0};
    so_string out = {0};
    so_sample s;
    bool fits;
    so_arena_grow(&memory);
    so_status status = so_run_sample(run, set, at.index, g, &memory, &s, &fits, error);
    if (status == SO_OK) {
        so_run_say(run, "sample %lld: data '%s', record %d, %lld rows%s", (long long)g, set->data->name,
                   set->record[at.index], (long long)so_run_sample_rows(run, &s),
                   fits             ? ""
                   : s.n || s.sound ? ", too long: left out"
                                    : ", lacks what the task needs: left out");
        status = put_ids(run, s.ids, s.learn, s.n, &out, error);
    }
    if (status == SO_OK) status = put_part(run, "\n  heard: ", s.heard, s.n_heard, &out, error);
    if (status == SO_OK) status = put_part(run, "\n  answer: ", s.text, s.n_text, &out, error);
    if (status == SO_OK) status = put_part(run, "\n  answer's speech: ", s.units, s.n_units, &out, error);
    if (status == SO_OK && run->options->say) run->options->say(run->options->say_context, out.data);
    so_string_clear(&out);
    so_arena_clear(&memory);
    return status;
}

so_status so_run_dry(so_run *run, so_error *error)
{
    SO_TRY(so_run_learn(run, error));
    run->lesson.source = so_run_source(run);
    tell_weights(run);
    tell_data(run);
    SO_TRY(tell_plan(run, error));
    SO_TRY(so_run_plan_here(run, error));
    run->blind = true;
    int64_t n = run->config.log.samples;
    if (run->samples && n > run->samples) n = run->samples;
    for (int64_t g = 0; g < n; g++) SO_TRY(show_sample(run, g, error));
    return SO_OK;
}

so_status so_run_show_order(so_run *run, int64_t step, so_error *error)
{
    SO_TRY(so_batches_plan(&run->batches, step, error));
    const so_batches *b = &run->batches;
    so_run_say(run, "update %lld: samples %lld to %lld", (long long)step, (long long)b->first, (long long)b->next - 1);
    for (int64_t i = 0; i < b->n; i++) {
        const so_batch_item *item = &b->item[i];
        const so_run_set *set = &run->set[run->source_set[item->place.source]];
        so_record record;
        SO_TRY(so_dataset_read(set->dataset, set->record[item->place.index], &record, error));
        so_run_say(run, "slot %d.%d  sample %lld  %s record %d '%s'  epoch %lld  about %lld rows", item->slot,
                   item->portion, (long long)item->g, set->data->name, set->record[item->place.index], record.id,
                   (long long)item->place.epoch, (long long)item->rows);
        so_record_clear(&record);
    }
    return SO_OK;
}
