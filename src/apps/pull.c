/* The verb pull: the published repositories fetched, checked, converted.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apps/transfer.h"
#include "apps/verbs.h"
#include "base/file.h"
#include "base/plain.h"
#include "formats/safetensors.h"
#include "net/hub.h"

enum { PATH = 4096 };

typedef struct pull {
    const char *model, *codec, *tower; /* "hf:OWNER/NAME", "ms:OWNER/NAME" */
    const char *hf_endpoint, *ms_endpoint, *revision, *token, *proxy, *cache, *out, *type;
    bool fetch_only, quiet, drop;
    double pause;
    int64_t tries;
    char hf_token[4096];
    double before, total; /* bytes of the repository being fetched */
    so_bar bar;
} pull;

static so_status step(void *context, double done, double total, so_error *error)
{
    pull *p = context;
    (void)total;
    if (p->total > 0) so_bar_step(&p->bar, (p->before + done) / 1e6, p->total / 1e6);
    if (!so_cli_stop) return SO_OK;
    return so_fail(error, SO_ERR_STOPPED, "stopped; the same command goes on from there");
}

/* ---- where and as whom */

static const char *set(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* HF_TOKEN, else the file that Hugging Face's own tools write. */
static const char *saved_token(pull *p)
{
    char path[PATH], *text = NULL;
    size_t size;
    if (set("HF_TOKEN")) return set("HF_TOKEN");
    if (set("HF_TOKEN_PATH"))
        snprintf(path, sizeof path, "%s", set("HF_TOKEN_PATH"));
    else if (set("HF_HOME"))
        snprintf(path, sizeof path, "%s/token", set("HF_HOME"));
    else
        snprintf(path, sizeof path, "%s/.cache/huggingface/token", set("HOME") ? set("HOME") : "");
    if (so_file_read(path, sizeof p->hf_token - 1, &text, &size, NULL) != SO_OK) return NULL;
    snprintf(p->hf_token, sizeof p->hf_token, "%.*s", (int)strcspn(text, " \r\n"), text);
    free(text);
    return p->hf_token[0] ? p->hf_token : NULL;
}

static void settle(pull *p)
{
    if (!p->hf_endpoint) p->hf_endpoint = set("HF_ENDPOINT");
    if (!p->hf_endpoint) p->hf_endpoint = "https://huggingface.co";
    if (!p->ms_endpoint) p->ms_endpoint = set("MODELSCOPE_ENDPOINT");
    if (!p->ms_endpoint) p->ms_endpoint = "https://www.modelscope.cn";
}

static so_status open_hub(pull *p, const char *name, so_hub *hub, char cache[PATH], char endpoint[PATH],
                          so_error *error)
{
    bool scope = strncmp(name, "ms:", 3) == 0, plain = !strchr(name, ':');
    if (!scope && !plain && strncmp(name, "hf:", 3) != 0)
        return so_fail(error, SO_ERR_ARG, "'%.200s' is no repository, expected hf:OWNER/NAME or ms:OWNER/NAME", name);
    *hub =
        (so_hub){scope ? SO_HUB_MODELSCOPE : SO_HUB_HUGGINGFACE, endpoint, cache, plain ? name : name + 3, p->revision};
    snprintf(endpoint, PATH, "%s", scope ? p->ms_endpoint : p->hf_endpoint);
    for (size_t n = strlen(endpoint); n && endpoint[n - 1] == '/';) endpoint[--n] = 0;
    if (!p->cache) return so_hub_cache(hub->kind, cache, error);
    snprintf(cache, PATH, "%.3000s", p->cache);
    return SO_OK;
}

/* ---- one repository */

static so_status room(const char *cache, double bytes, so_error *error)
{
    struct statvfs disk;
    if (so_make_folder(cache, error) != SO_OK) return error->status;
    if (statvfs(cache, &disk) != 0) return SO_OK;
    double left = (double)disk.f_bavail * (double)disk.f_frsize;
    if (bytes <= left) return SO_OK;
    return so_fail(error, SO_ERR_IO, "%.1f GB are to be fetched to '%s' and the disk has %.1f GB left", bytes / 1e9,
                   cache, left / 1e9);
}

static so_status get_all(pull *p, const so_hub *hub, so_fetcher *fetcher, so_hub_list *list, so_error *error)
{
    char size[32];
    int64_t bare = 0; /* files without a hash */
    p->before = p->total = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (so_hub_wants(list->file[i].path)) p->total += (double)list->file[i].size;
    if (p->total == 0)
        return so_fail(error, SO_ERR_MISSING, "%s/%s holds no file that is wanted", hub->endpoint, hub->repo);
    if (!p->quiet) printf("%s: %s\n", hub->repo, so_cli_size(p->total, size));
    fflush(stdout);
    so_bar_start(&p->bar, "fetching", "MB");
    so_status status = SO_OK;
    for (int64_t i = 0; i < list->count && status == SO_OK; i++) {
        const so_hub_file *file = &list->file[i];
        bool fetched;
        if (!so_hub_wants(file->path)) continue;
        status = so_hub_get(hub, fetcher, list, file, &fetched, error);
        p->before += (double)file->size;
        if (status == SO_OK && !p->quiet) {
            char plain[1100];
            so_plain(plain, sizeof plain, file->path, strlen(file->path), false);
            printf("  %-40s %10s  %s%s\n", plain, so_cli_size((double)file->size, size),
                   fetched ? "fetched" : "there already", file->hash[0] ? "" : ", no hash listed");
        }
        bare += status == SO_OK && !file->hash[0];
    }
    if (bare)
        fprintf(stderr, "note: %s lists no hash for %lld of its files; only their sizes were checked\n", hub->repo,
                (long long)bare);
    so_bar_end(&p->bar);
    return status == SO_OK ? so_hub_finish(hub, list, error) : status;
}

/* Leaves the folder of the repository in `folder`. */
static so_status get(pull *p, const char *name, char folder[PATH], so_error *error)
{
    char cache[PATH], endpoint[PATH];
    so_hub hub;
    so_hub_list list = {0};
    so_fetcher *fetcher = NULL;
    so_status status = open_hub(p, name, &hub, cache, endpoint, error);
    if (status != SO_OK) return status;
    const char *token = p->token                         ? p->token
                        : hub.kind == SO_HUB_HUGGINGFACE ? saved_token(p)
                                                         : set("MODELSCOPE_API_TOKEN");
    so_fetch_options options = {token, p->proxy, (int)p->tries, p->pause, 0, step, p};
    status = so_fetcher_open(&fetcher, &options, error);
    if (status == SO_OK) status = so_hub_ask(&hub, fetcher, &list, error);
    double bytes = 0;
    for (int64_t i = 0; i < list.count; i++)
        if (so_hub_wants(list.file[i].path)) bytes += (double)list.file[i].size;
    if (status == SO_OK) status = so_hub_folder(&hub, &list, folder, error);
    struct stat st;
    if (status == SO_OK && stat(folder, &st) != 0) status = room(cache, bytes, error);
    if (status == SO_OK) status = get_all(p, &hub, fetcher, &list, error);
    so_hub_list_clear(&list);
    so_fetcher_close(&fetcher);
    return status;
}

/* ---- licences */

/* The line "license: ..." of a model card's head. */
static void show_card(const char *folder)
{
    char path[PATH + 16], *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/README.md", folder);
    if (so_file_read(path, 16 << 20, &text, &size, NULL) != SO_OK) return;
    char *line = strncmp(text, "license:", 8) == 0 ? text : strstr(text, "\nlicense:");
    if (line) {
        line += *line == '\n';
        printf("its model card says: ");
        so_cli_put(stdout, line, strcspn(line, "\r\n"), false);
        printf("\n");
    }
    free(text);
}

/* ---- the vision tower, which the model's files may lack */

static so_status lacks_tower(const char *folder, bool *lacks, so_error *error)
{
    so_safetensors *file;
    bool projector = false, tower = false;
    if (so_safetensors_open_unaligned(&file, folder, error) != SO_OK) return error->status;
    const so_views *views = so_safetensors_views(file);
    for (int64_t i = 0; i < views->count; i++) {
        projector |= strncmp(views->view[i].name, "model.mm_projector.", 19) == 0;
        tower |= strncmp(views->view[i].name, "model.vision_tower.", 19) == 0;
    }
    so_safetensors_close(&file);
    *lacks = projector && !tower;
    return SO_OK;
}

/* ---- the target */

static so_status default_target(const pull *p, char out[PATH], so_error *error)
{
    const char *base = set("XDG_CACHE_HOME"), *name = strrchr(p->model, '/');
    char folder[PATH];
    if (!base && !set("HOME")) return so_fail(error, SO_ERR_MISSING, "no place for the model; give -o FILE.gguf");
    snprintf(folder, sizeof folder, "%.3000s%s/stream-omni", base ? base : set("HOME"), base ? "" : "/.cache");
    if (so_make_folder(folder, error) != SO_OK) return error->status;
    snprintf(out, PATH, "%.3100s/%.200s-%.40s.gguf", folder, name ? name + 1 : "model", p->type);
    return SO_OK;
}

static so_status convert(pull *p, const char *const *folder, int n, so_error *error)
{
    char out[PATH];
    so_convert_result result = {0};
    const char *name = strrchr(p->model, '/');
    so_convert_options o = {.type = p->type,
                            .name = name ? name + 1 : NULL,
                            .step = so_transfer_step,
                            .context = &p->bar,
                            .drop_extra = p->drop};
    so_status status = SO_OK;
    if (p->out)
        snprintf(out, sizeof out, "%.4000s", p->out);
    else
        status = default_target(p, out, error);
    if (status != SO_OK) return status;
    so_bar_start(&p->bar, "converting", "MB");
    status = so_convert(folder, n, out, &o, &result, error);
    so_bar_end(&p->bar);
    so_transfer_report(&result, status, p->drop);
    so_convert_result_clear(&result);
    return status;
}

static so_status pull_all(pull *p, so_error *error)
{
    char model[PATH], codec[PATH], tower[PATH];
    bool lacks = false;
    if (!p->quiet) printf("%s\n", so_licence_notes());
    so_status status = get(p, p->model, model, error);
    if (status == SO_OK && !p->quiet) show_card(model);
    if (status == SO_OK) status = get(p, p->codec, codec, error);
    if (status == SO_OK && !p->quiet) show_card(codec);
    if (status == SO_OK) status = lacks_tower(model, &lacks, error);
    if (status == SO_OK && lacks) status = get(p, p->tower, tower, error);
    if (status != SO_OK) return status;
    if (p->fetch_only) {
        printf("%s\n%s\n", model, codec);
        if (lacks) printf("%s\n", tower);
        return SO_OK;
    }
    return convert(p, (const char *const[]){model, codec, tower}, lacks ? 3 : 2, error);
}

static int run(int argc, char **argv)
{
    pull p = {.model = "hf:ICTNLP/stream-omni-8b",
              .codec = "ms:iic/CosyVoice-300M-25Hz",
              .type = "q8_0",
              .tower = "hf:google/siglip-so400m-patch14-384"};
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &p.out, "FILE", "the GGUF file to write; also -o; in the cache when not given"},
        {"type", SO_OPTION_TEXT, &p.type, "TYPE", "of matrices, as for convert"},
        {"model", SO_OPTION_TEXT, &p.model, "REPO", "the model's repository: hf:OWNER/NAME or ms:OWNER/NAME"},
        {"codec", SO_OPTION_TEXT, &p.codec, "REPO", "the speech codec's"},
        {"tower", SO_OPTION_TEXT, &p.tower, "REPO", "the vision tower's, fetched when the model's files lack it"},
        {"revision", SO_OPTION_TEXT, &p.revision, "NAME",
         "branch, tag or commit; main (hf), master (ms) when not given"},
        {"hf-endpoint", SO_OPTION_TEXT, &p.hf_endpoint, "URL", "of Hugging Face or a mirror; else HF_ENDPOINT"},
        {"ms-endpoint", SO_OPTION_TEXT, &p.ms_endpoint, "URL", "of ModelScope or a mirror; else MODELSCOPE_ENDPOINT"},
        {"token", SO_OPTION_TEXT, &p.token, "TOKEN", "else HF_TOKEN or the saved one, MODELSCOPE_API_TOKEN"},
        {"proxy", SO_OPTION_TEXT, &p.proxy, "URL", "else http_proxy and https_proxy"},
        {"cache", SO_OPTION_TEXT, &p.cache, "DIR", "where repositories are kept; else the hubs' usual places"},
        {"tries", SO_OPTION_INT, &p.tries, "N", "tries without progress before giving up; 5 when not given", 1, 1000},
        {"pause", SO_OPTION_REAL, &p.pause, "S", "seconds before the second try; 1 when not given", 0, 3600},
        {"drop-extra", SO_OPTION_FLAG, &p.drop, NULL, "leave out tensors that no network uses"},
        {"fetch-only", SO_OPTION_FLAG, &p.fetch_only, NULL, "do not convert; print the folders"},
        {"quiet", SO_OPTION_FLAG, &p.quiet, NULL, "neither licences nor a list of files"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_pull, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n) return so_cli_usage(&so_verb_pull, "expected options only, found '%s'", argv[0]);
    so_error error = {0};
    settle(&p);
    return so_cli_end(pull_all(&p, &error), &error);
}

const so_verb so_verb_pull = {
    "pull", "fetches the published model and makes one file of it", "pull [-o FILE.gguf] [--type TYPE] [options]",
    "Fetches the model and the speech codec (about 27 GB), checks sizes and hashes, shows the licences, and converts.\n"
    "What was cut off goes on where it stopped when the same command runs again; what is there is not fetched again.\n"
    "Repositories are kept where the hubs' own tools keep them (HF_HOME, HF_HUB_CACHE, MODELSCOPE_CACHE, ~/.cache).\n\n"
    "examples:\n"
    "  stream-omni pull --type q8_0 -o stream-omni-8b.gguf\n"
    "  stream-omni pull --hf-endpoint https://mirror.example --codec hf:iic/CosyVoice-300M-25Hz\n",
    run};
