/* Exporting: a folder in the published layout.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "checkpoint/export_gguf.h"

enum { PATH = 4096 };

/* One file or several shards of tensors that share a prefix; the prefix is left out of their names. */
typedef struct group {
    const char *prefix, *folder, *file; /* below the target; file without ".safetensors" */
    bool shards;
} group;

static so_status add_group(so_convert_job *job, const group *g, so_error *error)
{
    so_source *s = &job->source;
    so_manifest manifest = {0};
    so_status status = so_source_manifest(&s->setup, &s->codec, &s->views, &manifest, error);
    size_t length = strlen(g->prefix);
    for (int64_t i = 0; i < s->views.count && status == SO_OK; i++) {
        const so_view *v = &s->views.view[i];
        bool codec = strncmp(v->name, "codec.", 6) == 0;
        if (strncmp(v->name, g->prefix, length) != 0 || (codec && !length)) continue;
        if (!so_views_find(&manifest.views, v->name)) continue;
        so_type type = codec ? v->type : so_convert_type(job, v);
        if (so_type_about(type)->block > 1)
            status = so_fail(error, SO_ERR_UNSUPPORTED,
                             "'%s' is %s, which safetensors does not know; give --type f16 or bf16", v->name,
                             so_type_about(type)->name);
        else
            status = so_convert_add(job, v->name + length, v, type, 0, error);
    }
    so_manifest_clear(&manifest);
    return status;
}

/* Wide types first: the format has no padding, and so every tensor lies on its boundary. Otherwise the order stays. */
static so_status sort_wide(so_copy_list *list, so_error *error)
{
    so_copy_item *sorted = malloc((size_t)(list->count + 1) * sizeof *sorted);
    if (!sorted) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of tensors");
    int64_t n = 0;
    for (int width = 8; width; width /= 2)
        for (int64_t i = 0; i < list->count; i++)
            if (so_type_about(list->item[i].type)->bytes == width) sorted[n++] = list->item[i];
    memcpy(list->item, sorted, (size_t)n * sizeof *sorted);
    free(sorted);
    return SO_OK;
}

static so_status write_shard(so_convert_job *job, int64_t first, int64_t n, const char *path, so_copy_work *work,
                             so_error *error)
{
    so_safetensors_writer *w = NULL;
    char *head = NULL, identity[96];
    size_t bytes;
    so_status status;
    SO_TRY_GO(so_safetensors_create(&w, NULL, error));
    SO_TRY_GO(so_safetensors_set(w, "format", "pt", error));
    for (int64_t i = first; i < first + n; i++) {
        const so_copy_item *t = &job->list.item[i];
        SO_TRY_GO(so_safetensors_declare(w, t->name, t->type, t->n_dims, t->dim, error));
    }
    SO_TRY_GO(so_safetensors_head(w, &head, &bytes, error));
    so_convert_identity(job, head, bytes, identity);
    SO_TRY_GO(so_copy_file(&(so_copy_target){.list = &job->list,
                                             .first = first,
                                             .n = n,
                                             .path = path,
                                             .identity = identity,
                                             .head = head,
                                             .head_bytes = bytes,
                                             .alignment = 1},
                           work, error));
done:
    so_safetensors_drop(&w);
    free(head);
    return status;
}

/* Ends of the shards, as item numbers; gives their number. */
static int64_t cut_shards(const so_convert_job *job, bool shards, int64_t *end)
{
    int64_t limit = job->options->split > 0 ? job->options->split : (int64_t)5e9, n = 0, used = 0;
    for (int64_t i = 0; i < job->list.count; i++) {
        int64_t bytes = (int64_t)job->list.item[i].bytes;
        if (shards && used && used + bytes > limit) {
            end[n++] = i;
            used = 0;
        }
        used += bytes;
    }
    end[n++] = job->list.count;
    return n;
}

static so_status write_index(const char *out, json_t *map, double bytes, so_error *error)
{
    char path[PATH];
    json_t *root = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", out);
    so_status status =
        text ? so_file_write(path, text, strlen(text), error) : so_fail(error, SO_ERR_NOMEM, "no memory for an index");
    free(text);
    json_decref(root);
    return status;
}

static so_status write_group(so_convert_job *job, const group *g, const char *out, so_error *error)
{
    so_copy_work work = so_convert_work(job);
    char folder[PATH], path[PATH + 96], name[96];
    so_status status;
    so_copy_clear(&job->list);
    SO_TRY(add_group(job, g, error));
    if (!job->list.count) return SO_OK;
    SO_TRY(sort_wide(&job->list, error));
    int64_t *end = malloc((size_t)(job->list.count + 1) * sizeof *end);
    json_t *map = json_object();
    if (!end || !map) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for an index");
        goto done;
    }
    snprintf(folder, sizeof folder, "%.3900s%s", out, g->folder);
    SO_TRY_GO(so_make_folder(folder, error));
    for (int64_t i = 0; i < job->list.count; i++) work.total += (double)job->list.item[i].bytes;
    int64_t shards = cut_shards(job, g->shards, end);
    for (int64_t i = 0, first = 0; i < shards; first = end[i++]) {
        if (shards == 1)
            snprintf(name, sizeof name, "%s.safetensors", g->file);
        else
            snprintf(name, sizeof name, "%s-%05d-of-%05d.safetensors", g->file, (int)i + 1, (int)shards);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        for (int64_t k = first; k < end[i]; k++) json_object_set_new(map, job->list.item[k].name, json_string(name));
        SO_TRY_GO(write_shard(job, first, end[i] - first, path, &work, error));
    }
    if (shards > 1) SO_TRY_GO(write_index(out, map, work.total, error));
    so_convert_result *r = job->result;
    r->files += shards;
    r->tensors += job->list.count;
    r->bytes += work.before;
    for (int64_t i = 0; i < job->list.count; i++) r->parameters += so_view_elements(job->list.item[i].view);
done:
    free(end);
    json_decref(map);
    return status;
}

static so_status write_text(const char *out, const char *name, const char *text, so_error *error)
{
    char path[PATH];
    if (!text) return SO_OK;
    snprintf(path, sizeof path, "%.3900s/%s", out, name);
    return so_file_write(path, text, strlen(text), error);
}

/* Voices as spk2info has them: [1, width] each, called by their names. */
static so_status write_voices(so_convert_job *job, const char *out, so_error *error)
{
    const so_source *s = &job->source;
    int64_t dim[2] = {1, s->codec.flow.config.speaker};
    char path[PATH], name[300];
    so_safetensors_writer *w = NULL;
    so_status status;
    if (!s->n_voices) return SO_OK;
    snprintf(path, sizeof path, "%.3900s/codec/spk2info.safetensors", out);
    SO_TRY(so_safetensors_create(&w, path, error));
    for (int64_t i = 0; i < s->n_voices; i++) {
        snprintf(name, sizeof name, "%s.embedding", s->voice_name[i]);
        SO_TRY_GO(so_safetensors_declare(w, name, SO_F32, 2, dim, error));
    }
    for (int64_t i = 0; i < s->n_voices; i++) {
        snprintf(name, sizeof name, "%s.embedding", s->voice_name[i]);
        SO_TRY_GO(so_safetensors_put(w, name, s->voice + i * dim[1], (size_t)dim[1] * sizeof *s->voice, error));
    }
    return so_safetensors_commit(&w, error);
done:
    so_safetensors_drop(&w);
    return status;
}

/* The texts come last: without config.json a folder is no model. */
static so_status write_texts(so_convert_job *job, const char *out, so_error *error)
{
    const so_source *s = &job->source;
    char path[PATH], *config = NULL;
    snprintf(path, sizeof path, "%.3900s/tokenizer.json", out);
    SO_TRY(so_tokenizer_save_json(s->tokenizer, path, error));
    if (s->codec.has_tokenizer || s->codec.has_vocoder)
        SO_TRY(write_text(out, "codec/config.json", s->codec.config, error));
    for (int i = SO_SOURCE_TEXTS - 1; i > 0; i--) SO_TRY(write_text(out, so_source_text_name[i], s->text[i], error));
    if (s->text[0]) return write_text(out, so_source_text_name[0], s->text[0], error);
    SO_TRY(so_setup_print(&s->setup, &config, error));
    so_status status = write_text(out, so_source_text_name[0], config, error);
    free(config);
    return status;
}

static const group groups[] = {{"codec.tokenizer.", "/codec", "speech_tokenizer_v1", false},
                               {"codec.flow.", "/codec", "flow", false},
                               {"codec.hift.", "/codec", "hift", false},
                               {SO_CODEC_CAM, "/codec", "campplus", false},
                               {"", "", "model", true}};

/* SO_ERR_IO unless the disk below which `out` will lie has room for so many bytes. */
static so_status check_room(const char *out, double bytes, so_error *error)
{
    char at[PATH];
    struct statvfs disk;
    snprintf(at, sizeof at, "%.4000s", out);
    while (statvfs(at, &disk) != 0) { /* the nearest folder that is there already */
        char *slash = strrchr(at, '/');
        if (!slash && statvfs(".", &disk) != 0) return SO_OK; /* not told: found out by writing */
        if (!slash) break;
        slash[slash == at] = 0;
        if (slash == at && statvfs("/", &disk) != 0) return SO_OK;
        if (slash == at) break;
    }
    double left = (double)disk.f_bavail * (double)disk.f_frsize;
    if (bytes <= left) return SO_OK;
    return so_fail(error, SO_ERR_IO, "'%s' wants %.2f GB and the disk has %.2f GB left", out, bytes / 1e9, left / 1e9);
}

/* Everything that can be known before the first byte is written: every tensor has a type that the format knows, and the
 * whole has room. */
static so_status check_all(so_convert_job *job, const char *out, so_error *error)
{
    double bytes = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        so_copy_clear(&job->list);
        SO_TRY(add_group(job, &groups[i], error));
        for (int64_t k = 0; k < job->list.count; k++) bytes += (double)job->list.item[k].bytes;
        if (job->merged) SO_TRY(so_convert_tell_merged(job, error));
    }
    so_copy_clear(&job->list);
    return check_room(out, bytes, error);
}

/* Files of the target would take the place of those that are being read. */
static so_status check_apart(const char *const *in, int n, const char *out, so_error *error)
{
    static const char *const below[] = {"", "/codec"};
    for (int i = 0; i < n * 4; i++) {
        char from[PATH + 8], to[PATH + 8];
        struct stat a, b;
        snprintf(from, sizeof from, "%.4000s%s", in[i / 4], below[i & 1]);
        snprintf(to, sizeof to, "%.4000s%s", out, below[i >> 1 & 1]);
        if (stat(from, &a) == 0 && stat(to, &b) == 0 && S_ISDIR(a.st_mode) && a.st_dev == b.st_dev &&
            a.st_ino == b.st_ino)
            return so_fail(error, SO_ERR_ARG, "'%s' is what is read, expected another folder to write to", to);
    }
    return SO_OK;
}

so_status so_export_safetensors(so_convert_job *job, const char *out, so_error *error)
{
    SO_TRY(check_all(job, out, error));
    SO_TRY(so_make_folder(out, error));
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) SO_TRY(write_group(job, &groups[i], out, error));
    if (job->source.codec.has_vocoder) SO_TRY(write_voices(job, out, error));
    SO_TRY(write_texts(job, out, error));
    snprintf(job->result->path, sizeof job->result->path, "%.4000s", out);
    return SO_OK;
}

static so_status export_gguf(so_convert_job *job, const char *out, so_export_form form, so_error *error)
{
    so_gguf_writer *w = NULL;
    SO_TRY(so_gguf_create(&w, NULL, error));
    so_status status = form == SO_EXPORT_LLAMA ? so_export_llama(job, w, error) : so_export_mmproj(job, w, error);
    if (status == SO_OK) return so_convert_write_gguf(job, out, &w, error);
    so_gguf_drop(&w);
    return status;
}

so_status so_export(const char *const *in, int n, const char *out, so_export_form form,
                    const so_convert_options *options, so_convert_result *result, so_error *error)
{
    if (!in || n < 1 || n > 64 || !out || !result)
        return so_fail(error, SO_ERR_ARG, "%d sources, expected 1 to 64, a target and a place for the result", n);
    for (int i = 0; i < n; i++)
        if (!in[i]) return so_fail(error, SO_ERR_ARG, "source %d of %d has no name", i + 1, n);
    so_convert_job job;
    *result = (so_convert_result){0};
    if (form == SO_EXPORT_SAFETENSORS) SO_TRY(check_apart(in, n, out, error));
    so_status status = so_convert_job_open(&job, in, n, options, result, error);
    if (status == SO_OK)
        status = form == SO_EXPORT_SAFETENSORS ? so_export_safetensors(&job, out, error)
                                               : export_gguf(&job, out, form, error);
    so_convert_job_close(&job);
    return status;
}
