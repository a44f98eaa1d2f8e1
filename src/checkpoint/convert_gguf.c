/* Converting models into GGUF.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/convert_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sha.h"
#include "checkpoint/tokenizer_gguf.h"

/* ---- types */

/* An axis of length 1 makes no matrix of a vector, and at the end of a kernel's shape it leaves no rows for blocks. */
so_type so_convert_type(const so_convert_job *job, const so_view *view)
{
    int64_t dim[SO_VIEW_DIMS];
    int n = 0;
    if (!job->rules) return view->type;
    for (int i = 0; i < view->n_dims; i++)
        if (view->dim[i] != 1) dim[n++] = view->dim[i];
    so_type type = so_quant_rules_type(job->rules, view->name, view->type, n, dim);
    if (so_type_about(type)->block > 1 && view->dim[view->n_dims - 1] == 1) type = SO_F16;
    /* Halves that stay halves go out as they came in, vectors too. */
    const char *wanted = job->options->type;
    bool half = wanted && strcmp(wanted, so_type_about(view->type)->name) == 0;
    return n < 2 && half && so_type_about(view->type)->bytes == 2 ? view->type : type;
}

/* Rules look at places among a stack's layers: the rules are told of all names first. */
static so_status open_rules(so_convert_job *job, so_error *error)
{
    const so_convert_options *o = job->options;
    const so_views *views = &job->source.views;
    so_save_options save = {.type = o->type, .types = o->types, .importance = o->importance};
    if (!o->type && !o->types) return SO_OK;
    SO_TRY(so_quant_rules_open(&job->rules, &save, error));
    for (int64_t i = 0; i < views->count; i++) SO_TRY(so_quant_rules_learn(job->rules, views->view[i].name, error));
    return SO_OK;
}

/* general.file_type, which readers show; -1: a mix that has no number. */
static int file_type(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"f32", 0},     {"f16", 1},   {"q4_0", 2},    {"q8_0", 7},  {"q5_0", 8}, {"q4_k", 14},
                 {"q4_k_m", 15}, {"q5_k", 16}, {"q5_k_m", 17}, {"q6_k", 18}, {"bf16", 32}};
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) return known[i].number;
    return -1;
}

/* ---- the job */

void so_convert_result_clear(so_convert_result *result)
{
    if (!result) return;
    free(result->report);
    result->report = NULL;
}

so_status so_convert_job_open(so_convert_job *job, const char *const *in, int n, const so_convert_options *options,
                              so_convert_result *result, so_error *error)
{
    static const so_convert_options none;
    *job = (so_convert_job){.options = options ? options : &none, .result = result};
    *result = (so_convert_result){0};
    SO_TRY(so_source_open(&job->source, in, n, job->options->tokenizer, error));
    snprintf(result->note, sizeof result->note, "%s", job->source.codec.cam_why);
    so_setup *setup = &job->source.setup;
    if (job->options->name) snprintf(setup->name, sizeof setup->name, "%s", job->options->name);
    snprintf(result->name, sizeof result->name, "%s", setup->name);
    SO_TRY(so_source_check(&job->source, job->options->drop_extra, &result->report, error));
    if (job->options->lora) SO_TRY(so_convert_open_adapter(&job->lora, job->options->lora, &job->source, error));
    SO_TRY(open_rules(job, error));
    return so_pool_open(&job->pool, job->options->threads, error);
}

void so_convert_job_close(so_convert_job *job)
{
    so_copy_clear(&job->list);
    so_adapter_close(&job->lora);
    so_quant_rules_close(&job->rules);
    so_pool_close(&job->pool);
    so_source_close(&job->source);
    for (int i = 0; i < 2; i++) free(job->numbers[i]);
}

so_status so_convert_make(so_convert_job *job, int which, const char *name, const float *numbers, int64_t rows,
                          int64_t cols, so_error *error)
{
    size_t bytes = (size_t)((rows ? rows : 1) * cols) * sizeof *numbers;
    free(job->numbers[which]);
    job->numbers[which] = malloc(bytes + 1);
    if (!job->numbers[which]) return so_fail(error, SO_ERR_NOMEM, "no memory for '%s'", name);
    memcpy(job->numbers[which], numbers, bytes);
    so_view *view = &job->made[which];
    *view = (so_view){.name = name, .type = SO_F32, .n_dims = rows ? 2 : 1, .dim = {rows ? rows : cols, cols}};
    view->data = job->numbers[which];
    view->bytes = bytes;
    return so_copy_add(&job->list, name, view, SO_F32, 0, error);
}

so_status so_convert_add(so_convert_job *job, const char *name, const so_view *view, so_type type, int64_t heads,
                         so_error *error)
{
    SO_TRY(so_copy_add(&job->list, name, view, type, heads, error));
    so_copy_item *item = &job->list.item[job->list.count - 1];
    item->mapped = so_names_find(&job->source.copied, so_span_of(view->name)) < 0;
    item->lora = so_adapter_find(&job->lora, view->name);
    job->merged += item->lora != NULL;
    if (job->rules && view->n_dims == 2)
        item->importance = so_quant_rules_importance(job->rules, view->name, view->dim[1]);
    return SO_OK;
}

void so_convert_identity(const so_convert_job *job, const char *head, size_t bytes, char out[96])
{
    so_sha sha;
    char hex[65];
    so_sha_init(&sha, SO_SHA256);
    if (job->source.identity) so_sha_feed(&sha, job->source.identity, strlen(job->source.identity));
    so_sha_feed(&sha, head, bytes);
    if (job->options->importance) so_sha_feed(&sha, job->options->importance, strlen(job->options->importance));
    for (int64_t i = 0; i < job->lora.count; i++) {
        const so_adapter_pair *p = &job->lora.pair[i];
        so_sha_feed(&sha, &p->scale, sizeof p->scale);
        so_sha_feed(&sha, p->a, (size_t)(p->rank * p->k) * sizeof *p->a);
        so_sha_feed(&sha, p->b, (size_t)(p->n * p->rank) * sizeof *p->b);
    }
    so_sha_end(&sha, hex);
    snprintf(out, 96, "stream-omni convert %s", hex);
}

/* ---- writing */

static so_status trusted(const void *source, so_error *error) { return so_source_unchanged(source, error); }

so_copy_work so_convert_work(const so_convert_job *job)
{
    return (so_copy_work){.pool = job->pool,
                          .step = job->options->step,
                          .context = job->options->context,
                          .trusted = trusted,
                          .source = &job->source};
}

typedef struct split {
    int64_t *first; /* [files + 1] items */
    int64_t files;
} split;

static so_status make_split(const so_convert_job *job, split *s, so_error *error)
{
    int64_t limit = job->options->split, n = job->list.count;
    s->first = malloc((size_t)(n + 2) * sizeof *s->first);
    if (!s->first) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of files");
    s->first[0] = 0;
    s->files = 1;
    for (int64_t i = 0, used = 0; i < n; i++) {
        int64_t bytes = (int64_t)job->list.item[i].bytes;
        if (limit > 0 && used && used + bytes > limit) {
            s->first[s->files++] = i;
            used = 0;
        }
        used += bytes;
    }
    s->first[s->files] = n;
    return SO_OK;
}

static so_status name_file(const char *path, int64_t i, int64_t files, char out[4096], so_error *error)
{
    size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".gguf") == 0) length -= 5;
    int n = files == 1 ? snprintf(out, 4096, "%s", path)
                       : snprintf(out, 4096, "%.*s-%05d-of-%05d.gguf", (int)length, path, (int)i + 1, (int)files);
    return n < 4096 ? SO_OK : so_fail(error, SO_ERR_LIMIT, "a path of %d bytes", n);
}

/* The head of file `i`; the first carries all keys. */
static so_status head_of(so_convert_job *job, so_gguf_writer *keys, const split *s, int64_t i, char **head,
                         size_t *bytes, so_error *error)
{
    so_gguf_writer *own = NULL, *w = keys;
    so_status status = SO_OK;
    *head = NULL;
    if (i) SO_TRY_GO(so_gguf_create(&own, NULL, error));
    if (i) w = own;
    if (s->files > 1) {
        SO_TRY_GO(so_gguf_set_u16(w, "split.no", (uint16_t)i, error));
        SO_TRY_GO(so_gguf_set_u16(w, "split.count", (uint16_t)s->files, error));
        SO_TRY_GO(so_gguf_set_i32(w, "split.tensors.count", (int32_t)job->list.count, error));
    }
    for (int64_t k = s->first[i]; k < s->first[i + 1]; k++) {
        const so_copy_item *t = &job->list.item[k];
        SO_TRY_GO(so_gguf_declare(w, t->name, t->type, t->n_dims, t->dim, error));
    }
    SO_TRY_GO(so_gguf_head(w, head, bytes, error));
done:
    so_gguf_drop(&own);
    return status;
}

static so_status write_file(so_convert_job *job, so_gguf_writer *keys, const split *s, int64_t i, const char *path,
                            so_copy_work *work, so_error *error)
{
    char *head, identity[96];
    size_t bytes;
    SO_TRY(head_of(job, keys, s, i, &head, &bytes, error));
    so_convert_identity(job, head, bytes, identity);
    so_status status = so_copy_file(&(so_copy_target){.list = &job->list,
                                                      .first = s->first[i],
                                                      .n = s->first[i + 1] - s->first[i],
                                                      .path = path,
                                                      .identity = identity,
                                                      .head = head,
                                                      .head_bytes = bytes,
                                                      .alignment = SO_GGUF_ALIGNMENT},
                                    work, error);
    free(head);
    return status;
}

/* The first file, without which the others are nothing, comes last. The guard is locked all the while, and its length
 * is the number of files that are done. */
static so_status write_split(so_convert_job *job, so_gguf_writer *keys, const split *s, const char *path,
                             so_copy_work *work, so_error *error)
{
    so_part guard;
    char identity[96], file[4096], sizes[64];
    snprintf(sizes, sizeof sizes, "split %lld of %lld", (long long)job->options->split, (long long)job->list.count);
    so_convert_identity(job, sizes, strlen(sizes), identity);
    SO_TRY(so_part_open(&guard, path, identity, error));
    so_status status = SO_OK;
    for (int64_t done = 0; done < s->files && status == SO_OK; done++) {
        int64_t i = (done + 1) % s->files;
        struct stat st;
        SO_TRY_GO(name_file(path, i, s->files, file, error));
        if (done < (int64_t)guard.size && stat(file, &st) == 0) {
            work->before += (double)st.st_size;
            continue;
        }
        SO_TRY_GO(write_file(job, keys, s, i, file, work, error));
        SO_TRY_GO(so_part_put(&guard, "#", 1, error));
        SO_TRY_GO(so_part_sync(&guard, error));
    }
done:
    status == SO_OK ? so_part_drop(&guard) : so_part_close(&guard);
    return status;
}

static void count(so_convert_job *job, const split *s, so_copy_work *work)
{
    so_convert_result *r = job->result;
    r->files = s->files;
    r->tensors = job->list.count;
    for (int64_t i = 0; i < job->list.count; i++) {
        r->parameters += so_view_elements(job->list.item[i].view);
        work->total += (double)job->list.item[i].bytes;
    }
}

so_status so_convert_write_gguf(so_convert_job *job, const char *path, so_gguf_writer **keys, so_error *error)
{
    so_copy_work work = so_convert_work(job);
    split s = {0};
    so_status status;
    SO_TRY_GO(make_split(job, &s, error));
    if (s.files > UINT16_MAX) {
        status = so_fail(error, SO_ERR_LIMIT, "%lld files, expected at most %d", (long long)s.files, UINT16_MAX);
        goto done;
    }
    count(job, &s, &work);
    if (job->rules) so_quant_rules_tell(job->rules, job->options->note, job->options->context);
    SO_TRY_GO(so_convert_tell_merged(job, error));
    SO_TRY_GO(name_file(path, 0, s.files, job->result->path, error));
    SO_TRY_GO(s.files == 1 ? write_file(job, *keys, &s, 0, path, &work, error)
                           : write_split(job, *keys, &s, path, &work, error));
    job->result->bytes = work.before;
done:
    free(s.first);
    so_gguf_drop(keys);
    return status;
}

/* ---- keys */

static so_status set_texts(const so_source *s, so_gguf_writer *w, so_error *error)
{
    char key[96];
    for (int i = 0; i < SO_SOURCE_TEXTS; i++) {
        snprintf(key, sizeof key, "stream_omni.source.%s", so_source_text_name[i]);
        if (s->text[i]) SO_TRY(so_gguf_set_string(w, key, s->text[i], error));
    }
    if (s->chat_template) SO_TRY(so_gguf_set_string(w, "tokenizer.chat_template", s->chat_template, error));
    if (s->codec.config) SO_TRY(so_gguf_set_string(w, "stream_omni.codec", s->codec.config, error));
    return SO_OK;
}

/* Models with Llama's vocabulary are what the notes are about; one trained from nothing owes them nothing. */
static bool is_llama(const so_source *s)
{
    const so_token_names *names = so_tokenizer_names(s->tokenizer);
    return names->eot == 128009 && s->setup.omni.text_rows >= 128256;
}

so_status so_convert_licences(const so_convert_job *job, so_gguf_writer *w, so_error *error)
{
    if (!is_llama(&job->source)) return SO_OK;
    SO_TRY(so_gguf_set_string(w, "general.license", "llama3.1", error));
    SO_TRY(so_gguf_set_string(w, "general.license.name", "Llama 3.1 Community License and others", error));
    SO_TRY(so_gguf_set_string(w, "general.license.link", "https://www.llama.com/llama3_1/license", error));
    SO_TRY(so_gguf_set_string(w, "stream_omni.licences", so_licence_notes(), error));
    return so_gguf_set_string(w, "stream_omni.built_with", so_licence_line(), error);
}

static so_status set_about(const so_convert_job *job, so_gguf_writer *w, so_error *error)
{
    SO_TRY(so_gguf_set_string(w, "general.type", "model", error));
    SO_TRY(so_gguf_set_u32(w, "general.quantization_version", 2, error));
    if (file_type(job->options->type) >= 0)
        SO_TRY(so_gguf_set_u32(w, "general.file_type", (uint32_t)file_type(job->options->type), error));
    return so_convert_licences(job, w, error);
}

static int64_t pick_voice(const so_source *s, const char *wanted)
{
    for (int64_t i = 0; i < s->n_voices; i++)
        if (strcmp(s->voice_name[i], wanted) == 0) return i;
    return -1;
}

static so_status add_voices(so_convert_job *job, so_gguf_writer *w, so_error *error)
{
    const so_source *s = &job->source;
    int64_t width = s->codec.flow.config.speaker;
    int64_t i = pick_voice(s, job->options->speaker ? job->options->speaker : "英文女");
    if (i < 0 && job->options->speaker)
        return so_fail(error, SO_ERR_MISSING, "no voice '%.60s' among those of the codec", job->options->speaker);
    if (i < 0) i = 0;
    if (!s->n_voices || !s->codec.has_vocoder) return SO_OK;
    so_span *names = calloc((size_t)s->n_voices, sizeof *names);
    if (!names) return so_fail(error, SO_ERR_NOMEM, "no memory for voices");
    for (int64_t k = 0; k < s->n_voices; k++) names[k] = so_span_of(s->voice_name[k]);
    so_status status;
    SO_TRY_GO(so_gguf_set_strings(w, "stream_omni.voices", names, s->n_voices, error));
    SO_TRY_GO(so_gguf_set_string(w, "stream_omni.voice", s->voice_name[i], error));
    SO_TRY_GO(so_convert_make(job, 0, "codec.speaker", s->voice + i * width, 0, width, error));
    SO_TRY_GO(so_convert_make(job, 1, "codec.voices", s->voice, s->n_voices, width, error));
done:
    free(names);
    return status;
}

static so_status add_tensors(so_convert_job *job, so_error *error)
{
    so_source *s = &job->source;
    so_manifest manifest = {0};
    so_status status = so_source_manifest(&s->setup, &s->codec, &s->views, &manifest, error);
    for (int64_t i = 0; i < s->views.count && status == SO_OK; i++) {
        const so_view *v = &s->views.view[i];
        if (!so_views_find(&manifest.views, v->name)) continue;
        status = so_convert_add(job, v->name, v, so_convert_type(job, v), 0, error);
    }
    so_manifest_clear(&manifest);
    return status;
}

static so_status convert(so_convert_job *job, const char *out, so_error *error)
{
    so_gguf_writer *w = NULL;
    so_status status;
    SO_TRY(so_gguf_create(&w, NULL, error));
    SO_TRY_GO(so_setup_save(&job->source.setup, w, error));
    SO_TRY_GO(so_tokenizer_to_gguf(job->source.tokenizer, w, error));
    SO_TRY_GO(set_about(job, w, error));
    SO_TRY_GO(set_texts(&job->source, w, error));
    SO_TRY_GO(add_tensors(job, error));
    SO_TRY_GO(add_voices(job, w, error));
    return so_convert_write_gguf(job, out, &w, error);
done:
    so_gguf_drop(&w);
    return status;
}

so_status so_convert(const char *const *in, int n, const char *out, const so_convert_options *options,
                     so_convert_result *result, so_error *error)
{
    if (!in || n < 1 || n > 64 || !out || !result)
        return so_fail(error, SO_ERR_ARG, "%d sources, expected 1 to 64, a target and a place for the result", n);
    for (int i = 0; i < n; i++)
        if (!in[i]) return so_fail(error, SO_ERR_ARG, "source %d of %d has no name", i + 1, n);
    so_convert_job job;
    so_status status = so_convert_job_open(&job, in, n, options, result, error);
    if (status == SO_OK) status = convert(&job, out, error);
    so_convert_job_close(&job);
    return status;
}
