/* The codec's networks in a run from a file: the speech tokenizer (recordings and their transcripts), the flow (units
 * to mel), the vocoder (mel to samples; run_vocoder.c).
 *
 * What a stage needs besides the model's tensors (the tokenizer's second half, its heads, the averages behind its
 * codes) begins at random and does not become part of the model. Transcripts are learnt as bytes of lower-case text.
 *
 * Source: docs/model.md 7.6.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/record.h"
#include "media/resample.h"
#include "recipes/run/run_codec.h"
#include "train/loss_flow.h"

int64_t so_run_codec_rate(const so_run *run) { return run->codec->what == EARS ? EARS_RATE : VOICE_RATE; }
bool so_run_codec_wants_units(const so_run *run) { return run->codec && run->codec->what == FLOW; }
bool so_run_codec_voice(const so_run *run) { return run->codec && run->codec->what != EARS; }
so_store *so_run_codec_store(const so_run *run) { return &run->codec->store; }
so_store *so_run_codec_judges(const so_run *run)
{
    return run->codec && run->codec->contest ? &run->codec->judging : NULL;
}
const so_extra *so_run_codec_extra(const so_run *run, int *n)
{
    *n = run->codec && run->codec->what == EARS ? 3 : 0;
    return run->codec ? run->codec->extra : NULL;
}

/* ---- opening */

/* Random numbers by a row's rule, as so_bind makes them. */
static void fill_random(const so_bind_row *row, const so_view *view, float *out, so_rng *rng)
{
    int64_t n = so_view_elements(view), fan = view->n_dims > 1 && view->dim[0] ? n / view->dim[0] : 1;
    double scale = row->init == SO_INIT_FAN_IN ? row->scale / sqrt((double)fan) : row->scale;
    for (int64_t i = 0; i < n; i++) out[i] = (float)(row->init == SO_INIT_VALUE ? scale : scale * so_rng_normal(rng));
}

/* Adds what the network has beyond the model's tensors. */
static so_status complete(so_run *run, const so_manifest *manifest, so_error *error)
{
    so_views *views = &run->source.views;
    so_rng rng;
    so_rng_init(&rng, (uint64_t)run->config.seed, 0x636f646563u);
    for (int64_t i = 0; i < manifest->views.count; i++) {
        so_view view = manifest->views.view[i];
        if (so_views_find(views, view.name) || manifest->row[i].optional) continue;
        float *data = so_views_own(views, view.bytes);
        if (!data) return so_fail(error, SO_ERR_NOMEM, "no memory for '%s'", view.name);
        fill_random(&manifest->row[i], &view, data, &rng);
        view.data = data;
        SO_TRY(so_views_add(views, so_span_of(view.name), &view, error));
    }
    return SO_OK;
}

static so_status bind_part(so_run *run, so_binder *binder, so_error *error)
{
    struct so_run_codec *c = run->codec;
    const so_codec *codec = &run->source.codec;
    so_speech_tokenizer_config ears = codec->tokenizer.config;
    so_flow_config flow = codec->flow.config;
    so_hift_config hift = codec->hift.config;
    ears.second_layers = 2;
    ears.vocab = BYTES;
    ears.inner_layer = ears.layers;
    binder->group = NULL;
    if (c->what == EARS) return so_speech_tokenizer_bind(&c->ears, &ears, "codec.tokenizer.", binder, error);
    if (c->what == FLOW) return so_flow_bind(&c->flow, &flow, "codec.flow.", binder, error);
    return so_hift_bind(&c->hift, &hift, "codec.hift.", binder, error);
}

static so_status bind(so_run *run, so_error *error)
{
    struct so_run_codec *c = run->codec;
    so_manifest manifest = {0};
    so_store list;
    bool averages = so_views_find(&run->source.views, "codec.tokenizer.quantizer._codebook.embed_avg") != NULL;
    SO_TRY(so_store_open(&list, 0, error));
    so_binder lister = {.store = &list, .source = &run->source.views, .manifest = &manifest};
    so_status status = bind_part(run, &lister, error);
    if (status == SO_OK) status = complete(run, &manifest, error);
    so_manifest_clear(&manifest);
    so_store_close(&list);
    SO_TRY(status);
    SO_TRY(so_store_open(&c->store, 0, error));
    so_binder binder = {.store = &c->store,
                        .source = &run->source.views,
                        .pool = run->pool,
                        .kernels = run->kernels,
                        .expand = true,
                        .check_finite = true};
    SO_TRY(bind_part(run, &binder, error));
    SO_TRY(so_binder_finish(&binder, run->config.model, error));
    if (c->what == EARS && !averages) /* sums begin as the codes, each met once */
        memcpy(c->ears.code_sum->data, c->ears.codes->data, (size_t)so_count(c->ears.codes) * sizeof(so_real));
    return SO_OK;
}

static so_status check_part(const so_run *run, so_error *error)
{
    const so_codec *codec = &run->source.codec;
    bool has = run->codec->what == EARS ? codec->has_tokenizer : codec->has_vocoder;
    if (!has)
        return so_fail(error, SO_ERR_MISSING, "'%s' has no %s, which the stage '%s' trains", run->config.model,
                       run->stage.network, run->stage.name);
    if (run->codec->what != EARS && (codec->flow.config.rate != VOICE_RATE || codec->flow.config.hop != HOP))
        return so_fail(error, SO_ERR_UNSUPPORTED, "a codec of %lld Hz and %lld samples a frame, expected %d and %d",
                       (long long)codec->flow.config.rate, (long long)codec->flow.config.hop, VOICE_RATE, HOP);
    if (run->codec->what == EARS && run->config.plan.slots != 1)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "plan.slots is %lld: the codes follow what one micro-batch quantised, expected 1",
                       (long long)run->config.plan.slots);
    if (run->config.lora.rank || run->config.fresh.n)
        return so_fail(error, SO_ERR_UNSUPPORTED, "lora and fresh are for the language model, not for its codec");
    return SO_OK;
}

so_status so_run_codec_open(so_run *run, so_error *error)
{
    struct so_run_codec *c = run->codec = calloc(1, sizeof *c);
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory for a codec");
    c->what = strcmp(run->stage.network, "tokenizer") == 0 ? EARS
              : strcmp(run->stage.network, "flow") == 0    ? FLOW
                                                           : VOCODER;
    SO_TRY(check_part(run, error));
    SO_TRY(so_mel_open(&c->mel, c->what == EARS ? SO_MEL_WHISPER : SO_MEL_VOCODER, error));
    SO_TRY(bind(run, error));
    SO_TRY(so_run_vocoder_open(run, error));
    so_speech_tokenizer *e = &c->ears;
    if (c->what == EARS) {
        c->extra[0] = (so_extra){"codes", e->codes->data, (size_t)so_count(e->codes) * sizeof(so_real)};
        c->extra[1] = (so_extra){"code_count", e->code_count->data, (size_t)so_count(e->code_count) * sizeof(so_real)};
        c->extra[2] = (so_extra){"code_sum", e->code_sum->data, (size_t)so_count(e->code_sum) * sizeof(so_real)};
    }
    int64_t width = run->source.codec.flow.config.speaker;
    c->vector = calloc((size_t)width + 1, sizeof *c->vector);
    if (!c->vector) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    if (run->source.n_voices) memcpy(c->vector, run->source.voice, (size_t)width * sizeof *c->vector);
    return SO_OK;
}

void so_run_codec_close(so_run *run)
{
    struct so_run_codec *c = run->codec;
    if (!c) return;
    so_mel_close(&c->mel);
    so_store_close(&c->store);
    so_store_close(&c->judging);
    free(c->vector);
    free(c);
    run->codec = NULL;
}

/* ---- a sample: a recording at the rate that the network wants */

static so_status resample(so_audio *audio, int rate, so_error *error)
{
    float *out;
    int64_t n;
    if (audio->rate == rate) return SO_OK;
    SO_TRY(so_resample_to(audio->rate, rate, audio->samples, audio->n, &out, &n, error));
    free(audio->samples);
    audio->samples = out;
    audio->n = n;
    audio->rate = rate;
    return SO_OK;
}

static bool usable(const so_run *run, const so_record_turn *t)
{
    if (!t->audio.path && !t->samples) return false;
    if (run->codec->what == EARS) return t->text[0] != 0;
    return run->codec->what == VOCODER || t->units.path || t->listed;
}

/* One of the turns that fit, the model's own where it has one: the voice is the assistant's. */
static const so_record_turn *draw_turn(const so_run *run, const so_record *record, int64_t g)
{
    so_rng rng;
    int n = 0;
    bool own = false;
    for (int i = 0; i < record->turns && run->codec->what != EARS; i++)
        own = own || (record->turn[i].role == SO_ROLE_ASSISTANT && usable(run, &record->turn[i]));
    so_rng_init(&rng, (uint64_t)run->config.seed ^ 0x736f756e64u, (uint64_t)g);
    for (int i = 0; i < record->turns; i++)
        n += usable(run, &record->turn[i]) && (!own || record->turn[i].role == SO_ROLE_ASSISTANT);
    int which = n ? (int)so_rng_below(&rng, n) : -1;
    for (int i = 0; i < record->turns && n; i++) {
        const so_record_turn *t = &record->turn[i];
        if (usable(run, t) && (!own || t->role == SO_ROLE_ASSISTANT) && which-- == 0) return t;
    }
    return NULL;
}

static so_status put_labels(const so_record_turn *turn, so_arena *memory, so_sample *out, so_error *error)
{
    const char *text = turn->say ? turn->say : turn->text;
    int32_t *label = so_arena_alloc(memory, strlen(text) * sizeof *label + 4);
    if (!label) return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    out->heard = label;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        label[out->n_heard++] = c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    return SO_OK;
}

static so_status put_units(const so_run *run, const so_record_turn *turn, so_arena *memory, so_sample *out,
                           so_error *error)
{
    uint16_t *units;
    int64_t n, known = run->source.codec.flow.config.units;
    SO_TRY(so_turn_listed(turn, &units, &n, error));
    int32_t *kept = so_arena_alloc(memory, (size_t)(n + 1) * sizeof *kept);
    so_status status = kept ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld units", (long long)n);
    for (int64_t i = 0; i < n && status == SO_OK; i++) {
        kept[i] = units[i];
        if (units[i] >= known)
            status = so_fail(error, SO_ERR_FORMAT, "the unit %d, the codec knows %lld", units[i], (long long)known);
    }
    free(units);
    out->units = kept;
    out->n_units = n;
    return status;
}

so_status so_run_codec_sample(const so_run *run, const so_record *record, int64_t g, so_arena *memory, so_sample *out,
                              so_error *error)
{
    const so_record_turn *turn = draw_turn(run, record, g);
    so_clips clips = {0};
    so_audio audio;
    *out = (so_sample){.n = 0};
    if (!turn)
        return so_fail(error, SO_ERR_FORMAT, "no turn has a recording with what the stage '%s' needs", run->stage.name);
    SO_TRY(so_clips_read(&clips, turn, &audio, error));
    so_status status = resample(&audio, (int)so_run_codec_rate(run), error);
    float *kept = so_arena_alloc(memory, (size_t)(audio.n + 1) * sizeof *kept);
    if (status == SO_OK && !kept) status = so_fail(error, SO_ERR_NOMEM, "no memory for a recording");
    if (status == SO_OK) {
        memcpy(kept, audio.samples, (size_t)audio.n * sizeof *kept);
        out->sound = kept;
        out->n_sound = audio.n;
        if (run->codec->what == EARS) status = put_labels(turn, memory, out, error);
        if (run->codec->what == FLOW) status = put_units(run, turn, memory, out, error);
    }
    so_audio_clear(&audio);
    so_clips_clear(&clips);
    return status;
}

/* ---- the tokenizer */

typedef struct heard {
    int64_t n, *frames, *label0, *labels, total;
    int32_t *label;
    so_tensor *mel;
} heard;

static bool hear(const so_run *run, so_pass *pass, const so_sample *s, int64_t n, heard *h)
{
    const so_mel *mel = run->codec->mel;
    int64_t bins = so_mel_bins(mel), longest = 0, labels = 0;
    *h = (heard){.n = n, .frames = so_take(pass, (size_t)(3 * n) * sizeof *h->frames, false)};
    if (!h->frames) return false;
    h->label0 = h->frames + n;
    h->labels = h->label0 + n;
    for (int64_t i = 0; i < n; i++) {
        h->frames[i] = so_mel_frames(mel, s[i].n_sound);
        longest = h->frames[i] > longest ? h->frames[i] : longest;
        labels += s[i].n_heard;
    }
    h->mel = so_new3(pass, n, longest, bins);
    h->label = so_take(pass, (size_t)(labels + 1) * sizeof *h->label, false);
    for (int64_t i = 0; i < n && h->label && h->mel && so_ok(pass); i++) {
        so_real *to = so_data(h->mel) + i * longest * bins;
        memset(to, 0, (size_t)(longest * bins) * sizeof *to);
        so_error error;
        if (so_mel_compute(mel, s[i].sound, s[i].n_sound, to, NULL, &error) != SO_OK)
            so_pass_fail(pass, error.status, "%s", error.text);
        h->label0[i] = h->total;
        h->labels[i] = s[i].n_heard;
        memcpy(h->label + h->total, s[i].heard, (size_t)s[i].n_heard * sizeof *h->label);
        h->total += s[i].n_heard;
    }
    return so_ok(pass);
}

static so_tensor *transcript_loss(so_pass *pass, const heard *h, const so_batch *batch, so_tensor *logits)
{
    int64_t *row0 = so_take(pass, (size_t)(2 * h->n) * sizeof *row0, false), *rows = row0 + h->n;
    if (!row0 || !batch) return NULL;
    for (int64_t i = 0; i < h->n; i++) row0[i] = batch->seq[i].row0, rows[i] = batch->seq[i].rows;
    so_ctc spec = {.n_seqs = h->n,
                   .row0 = row0,
                   .rows = rows,
                   .label0 = h->label0,
                   .n_labels = h->labels,
                   .labels = h->label,
                   .divide = (double)(h->total ? h->total : 1)};
    return so_ctc_loss(pass, logits, &spec);
}

static so_tensor *learn_ears(so_run *run, so_pass *pass, so_micro *m, const so_sample *s, int64_t n)
{
    struct so_run_codec *c = run->codec;
    heard h;
    so_batch *batch;
    so_tensor *inner = NULL, *unit = NULL;
    c->unit = NULL;
    if (!hear(run, pass, s, n, &h)) return NULL;
    so_tensor *x = so_speech_tokenizer_encode(pass, &c->ears, h.mel, h.frames, &batch, &inner);
    if (!x) return NULL;
    c->rows = so_rows(x);
    c->ids = so_take(pass, (size_t)(c->rows + 1) * sizeof *c->ids, false);
    if (!c->ids) return NULL;
    so_tensor *codes = so_speech_tokenizer_quantise(pass, &c->ears, x, c->ids, &unit);
    so_tensor *logits = so_speech_tokenizer_recognise(pass, &c->ears, codes, batch);
    so_tensor *fixed = codes ? so_constant(pass, 2, (int64_t[]){c->rows, so_cols(x)}, so_data(codes)) : NULL;
    so_tensor *loss[] = {transcript_loss(pass, &h, batch, inner), transcript_loss(pass, &h, batch, logits),
                         so_mse(pass, unit, fixed, NULL)};
    if (!so_ok(pass)) return NULL;
    if (pass->recording) c->unit = so_data(unit), c->rng = m->rng;
    so_real width = (so_real)so_cols(x), ctc = (so_real)so_stage_weight(&run->stage, "ctc");
    m->tokens += c->rows;
    so_notes_add(m->notes, "inner", (double)so_data(loss[0])[0], (double)h.total);
    so_notes_add(m->notes, "ctc", (double)so_data(loss[1])[0], (double)h.total);
    so_notes_add(m->notes, "commit", (double)(so_data(loss[2])[0] * width), (double)c->rows);
    return so_weighted_sum(pass, 3, loss,
                           (so_real[]){ctc / 2, ctc, (so_real)so_stage_weight(&run->stage, "commit") * width});
}

so_status so_run_codec_updated(void *context, int64_t step, so_error *error)
{
    so_run *run = context;
    struct so_run_codec *c = run->codec;
    (void)step;
    (void)error;
    if (!c || !c->unit) return SO_OK;
    so_vq_rule rule = {.decay = 0.98, .epsilon = 1e-5, .revive_below = 0.1};
    so_tensor unit = {.data = c->unit, .type = SO_F32, .n_dims = 2, .dim = {c->rows, c->ears.config.width}};
    so_speech_tokenizer_follow(&c->ears, &rule, &unit, c->ids, &c->rng);
    c->unit = NULL;
    return SO_OK;
}

/* ---- the flow */

static so_tensor *learn_flow(so_run *run, so_pass *pass, so_micro *m, const so_sample *s, int64_t n)
{
    struct so_run_codec *c = run->codec;
    const so_flow_config *f = &c->flow.config;
    int64_t N = 1, M = f->mels, *lengths = so_take(pass, (size_t)(3 * n) * sizeof *lengths, true);
    for (int64_t b = 0; b < n; b++) N = s[b].n_units > N ? s[b].n_units : N;
    int64_t T = so_flow_frames(f, N);
    int32_t *ids = so_take(pass, (size_t)(n * N) * sizeof *ids, true);
    so_real *mel = so_take(pass, (size_t)(n * T * M) * sizeof *mel, true);
    so_real *z = so_take(pass, (size_t)(n * T * M) * sizeof *z, false);
    so_real *vector = so_take(pass, (size_t)(n * (f->speaker + 2)) * sizeof *vector, false);
    if (!lengths || !ids || !mel || !z || !vector) return NULL;
    int64_t *frames = lengths + n, *shown = frames + n;
    so_real *t = vector + n * f->speaker, *keep = t + n;
    for (int64_t b = 0; b < n; b++) {
        so_error error;
        int64_t real = s[b].n_sound / HOP, most = so_flow_frames(f, s[b].n_units);
        lengths[b] = s[b].n_units;
        frames[b] = real < most ? real : most;
        memcpy(ids + b * N, s[b].units, (size_t)s[b].n_units * sizeof *ids);
        if (so_mel_compute(c->mel, s[b].sound, frames[b] * HOP, mel + b * T * M, NULL, &error) != SO_OK)
            return so_pass_fail(pass, error.status, "%s", error.text);
        int64_t prefix = (int64_t)(0.3 * (double)frames[b]);
        bool shows = so_rng_uniform(&m->rng) < 0.5 && prefix > 0;
        shown[b] = shows ? so_rng_below(&m->rng, prefix) : 0;
        t[b] = (so_real)(1 - cos(1.5707963267948966 * so_rng_uniform(&m->rng)));
        keep[b] = so_rng_uniform(&m->rng) < 0.2 ? 0.0f : 1.0f;
        memcpy(vector + b * f->speaker, c->vector, (size_t)f->speaker * sizeof *vector);
        m->tokens += frames[b];
    }
    for (int64_t i = 0; i < n * T * M; i++) z[i] = (so_real)so_rng_normal(&m->rng);
    so_flow_lesson l = {.B = n,
                        .N = N,
                        .T = T,
                        .ids = ids,
                        .units = lengths,
                        .frames = frames,
                        .mel = mel,
                        .vector = vector,
                        .shown = shown,
                        .z = z,
                        .t = t,
                        .keep = keep};
    so_tensor *loss[] = {so_flow_loss(pass, &c->flow, &l, NULL)};
    if (!so_ok(pass)) return NULL;
    so_notes_add(m->notes, "flow", (double)so_data(loss[0])[0], (double)m->tokens);
    return so_weighted_sum(pass, 1, loss, (so_real[]){(so_real)so_stage_weight(&run->stage, "flow")});
}

so_tensor *so_run_codec_micro(so_run *run, const so_sample_source *from, so_pass *pass, so_micro *micro)
{
    const so_sample *sample;
    int64_t n;
    so_error error;
    if (from->gather(from->context, micro, pass->arena, &sample, &n, &error) != SO_OK)
        return so_pass_fail(pass, error.status, "%s", error.text);
    so_sample *long_enough = so_take(pass, (size_t)(n + 1) * sizeof *long_enough, false);
    int64_t kept = 0;
    for (int64_t i = 0; i < n && long_enough; i++) {
        if (sample[i].n_sound >= SHORTEST)
            long_enough[kept++] = sample[i];
        else
            so_notes_add(micro->notes, "left_out", 1, 1);
    }
    if (!kept) return NULL;
    switch (run->codec->what) {
    case EARS:
        return learn_ears(run, pass, micro, long_enough, kept);
    case FLOW:
        return learn_flow(run, pass, micro, long_enough, kept);
    default:
        return so_run_vocoder_learn(run, pass, micro, long_enough, kept);
    }
}

const so_tensor *so_run_codec_codes(const so_run *run)
{
    return run->codec && run->codec->what == EARS ? run->codec->ears.codes : NULL;
}
