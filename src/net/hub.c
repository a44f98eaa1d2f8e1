/* The hubs that publish models.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/hub.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/grow.h"

enum { PATH = 4096, ANSWER_MAX = 64 << 20, FILES_MAX = 100000, PAGES_MAX = 1000 };

void so_hub_list_clear(so_hub_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->file[i].path);
    free(list->file);
    *list = (so_hub_list){0};
}

/* ---- answers */

/* A path of a repository becomes one on this disk: it must stay below its folder. */
static bool decent(const char *path)
{
    if (!*path || *path == '/' || strlen(path) > 1000) return false;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.')) return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)p[i] < 0x20 || p[i] == '\\' || p[i] == 0x7f) return false;
        p += n;
        if (*p == '/' && !*++p) return false;
    }
    return true;
}

/* A hash of so many digits into `out`, in lower case; "sha256:" and the like before it are left out. */
static bool hexadecimal(const char *text, size_t length, char out[65])
{
    const char *colon = text ? strchr(text, ':') : NULL;
    if (colon) text = colon + 1;
    if (!text || strlen(text) != length || strspn(text, "0123456789abcdefABCDEF") != length) return false;
    for (size_t i = 0; i <= length; i++) out[i] = (char)tolower((unsigned char)text[i]);
    return true;
}

static so_status add(so_hub_list *list, const char *path, const json_t *size, const char *sha256, const char *sha1,
                     so_error *error)
{
    if (!path || !decent(path))
        return so_fail(error, SO_ERR_FORMAT, "the hub lists a file '%.200s', which is no path below a folder",
                       path ? path : "");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return so_fail(error, SO_ERR_FORMAT, "the hub lists '%.200s' without a size", path);
    if (list->count == FILES_MAX) return so_fail(error, SO_ERR_LIMIT, "a repository of more than %d files", FILES_MAX);
    SO_TRY(so_grow(&list->file, list->count, &list->capacity, sizeof *list->file, error));
    so_hub_file *file = &list->file[list->count];
    *file = (so_hub_file){.path = strdup(path), .size = json_integer_value(size)};
    if (!file->path) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of files");
    list->count++;
    file->lfs = hexadecimal(sha256, 64, file->hash);
    if (!file->lfs && !hexadecimal(sha1, 40, file->hash)) file->hash[0] = 0;
    return SO_OK;
}

static so_status parse(const char *json, json_t **root, so_error *error)
{
    json_error_t where;
    *root = json_loads(json, JSON_REJECT_DUPLICATES, &where);
    return *root ? SO_OK : so_fail(error, SO_ERR_FORMAT, "the hub's answer, line %d: %.200s", where.line, where.text);
}

so_status so_hub_read_revision(so_hub_list *list, const char *json, so_error *error)
{
    json_t *root;
    SO_TRY(parse(json, &root, error));
    const char *sha = json_string_value(json_object_get(root, "sha"));
    bool fine = sha && strlen(sha) < sizeof list->commit && strlen(sha) > 0 && decent(sha) && !strchr(sha, '/');
    if (fine) strcpy(list->commit, sha);
    json_decref(root);
    return fine ? SO_OK : so_fail(error, SO_ERR_FORMAT, "the hub does not tell the commit of the revision");
}

so_status so_hub_read_tree(so_hub_list *list, const char *json, so_error *error)
{
    json_t *root, *one;
    size_t i;
    SO_TRY(parse(json, &root, error));
    so_status status = json_is_array(root) ? SO_OK : so_fail(error, SO_ERR_FORMAT, "the hub's tree is not a list");
    json_array_foreach(root, i, one)
    {
        const char *type = json_string_value(json_object_get(one, "type"));
        const json_t *lfs = json_object_get(one, "lfs");
        const char *sha256 = json_string_value(json_object_get(lfs, "oid"));
        if (!sha256) sha256 = json_string_value(json_object_get(lfs, "sha256"));
        const json_t *size = json_is_object(lfs) ? json_object_get(lfs, "size") : json_object_get(one, "size");
        if (status != SO_OK || !type || strcmp(type, "file") != 0) continue;
        status = add(list, json_string_value(json_object_get(one, "path")), size, sha256,
                     json_is_object(lfs) ? NULL : json_string_value(json_object_get(one, "oid")), error);
    }
    json_decref(root);
    return status;
}

so_status so_hub_read_files(so_hub_list *list, const char *json, so_error *error)
{
    json_t *root, *one;
    size_t i;
    SO_TRY(parse(json, &root, error));
    const json_t *files = json_object_get(json_object_get(root, "Data"), "Files");
    const char *message = json_string_value(json_object_get(root, "Message"));
    so_status status = SO_OK;
    if (!json_is_array(files))
        status = so_fail(error, SO_ERR_FORMAT, "the hub lists no files: %.200s", message ? message : "no reason given");
    json_array_foreach(files, i, one)
    {
        const char *type = json_string_value(json_object_get(one, "Type"));
        if (status != SO_OK || (type && strcmp(type, "tree") == 0)) continue;
        /* "Id" is git's name of the blob, of large files that of a pointer to them */
        bool large = json_is_true(json_object_get(one, "IsLFS"));
        status = add(list, json_string_value(json_object_get(one, "Path")), json_object_get(one, "Size"),
                     json_string_value(json_object_get(one, "Sha256")),
                     large ? NULL : json_string_value(json_object_get(one, "Id")), error);
    }
    json_decref(root);
    return status;
}

/* ---- asking */

/* Bytes that are not plain in a URL as %XX; '/' stays when it parts folders. */
static void escape(const char *text, bool slashes, char *out, size_t size)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < size; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-_.~", *p) || (slashes && *p == '/');
        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "%%%02X", *p);
    }
    out[n] = 0;
}

static const char *revision(const so_hub *hub)
{
    return hub->revision ? hub->revision : hub->kind == SO_HUB_HUGGINGFACE ? "main" : "master";
}

static so_status ask_huggingface(const so_hub *hub, so_fetcher *fetcher, so_hub_list *list, so_error *error)
{
    char url[PATH], rev[512];
    so_fetched page;
    escape(revision(hub), false, rev, sizeof rev);
    snprintf(url, sizeof url, "%s/api/models/%s/revision/%s", hub->endpoint, hub->repo, rev);
    SO_TRY(so_fetch_text(fetcher, url, ANSWER_MAX, &page, error));
    so_status status = so_hub_read_revision(list, page.data, error);
    so_fetched_clear(&page);
    if (status != SO_OK) return status;
    snprintf(url, sizeof url, "%s/api/models/%s/tree/%s?recursive=true", hub->endpoint, hub->repo, list->commit);
    for (int pages = 0; pages < PAGES_MAX; pages++) {
        SO_TRY(so_fetch_text(fetcher, url, ANSWER_MAX, &page, error));
        status = so_hub_read_tree(list, page.data, error);
        bool more = page.next != NULL;
        if (more) snprintf(url, sizeof url, "%s", page.next);
        so_fetched_clear(&page);
        if (status != SO_OK || !more) return status;
    }
    return so_fail(error, SO_ERR_LIMIT, "a tree of more than %d pages", PAGES_MAX);
}

static so_status ask_modelscope(const so_hub *hub, so_fetcher *fetcher, so_hub_list *list, so_error *error)
{
    char url[PATH], rev[512];
    so_fetched page;
    escape(revision(hub), false, rev, sizeof rev);
    snprintf(url, sizeof url, "%s/api/v1/models/%s/repo/files?Revision=%s&Recursive=true", hub->endpoint, hub->repo,
             rev);
    SO_TRY(so_fetch_text(fetcher, url, ANSWER_MAX, &page, error));
    so_status status = so_hub_read_files(list, page.data, error);
    so_fetched_clear(&page);
    snprintf(list->commit, sizeof list->commit, "%.70s", revision(hub));
    return status;
}

so_status so_hub_ask(const so_hub *hub, so_fetcher *fetcher, so_hub_list *list, so_error *error)
{
    if (!decent(hub->repo) || !strchr(hub->repo, '/') || strchr(strchr(hub->repo, '/') + 1, '/') ||
        strpbrk(hub->repo, "?#% "))
        return so_fail(error, SO_ERR_ARG, "'%.200s' is no repository, expected OWNER/NAME", hub->repo);
    return hub->kind == SO_HUB_HUGGINGFACE ? ask_huggingface(hub, fetcher, list, error)
                                           : ask_modelscope(hub, fetcher, list, error);
}

bool so_hub_wants(const char *path)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "preprocessor_config.json",
                                        "model.safetensors.index.json",
                                        "speech_tokenizer_v1.onnx",
                                        "flow.pt",
                                        "hift.pt",
                                        "spk2info.pt",
                                        "campplus.onnx",
                                        "flow.safetensors",
                                        "hift.safetensors",
                                        "README.md"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(path, names[i]) == 0) return true;
    if (strchr(path, '/')) return false;
    if (strncmp(path, "model", 5) == 0 && length > 12 && strcmp(path + length - 12, ".safetensors") == 0) return true;
    return strncasecmp(path, "LICEN", 5) == 0 || strncasecmp(path, "NOTICE", 6) == 0 ||
           strncasecmp(path, "USE_POLICY", 10) == 0;
}

/* ---- the cache */

so_status so_hub_cache(so_hub_kind kind, char out[PATH], so_error *error)
{
    bool face = kind == SO_HUB_HUGGINGFACE;
    const char *whole = getenv(face ? "HF_HUB_CACHE" : "MODELSCOPE_CACHE"), *hf = face ? getenv("HF_HOME") : NULL;
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *below = face ? "huggingface/hub" : "modelscope/hub/models";
    int n;
    if (whole && *whole)
        n = snprintf(out, PATH, face ? "%s" : "%s/models", whole);
    else if (hf && *hf)
        n = snprintf(out, PATH, "%s/hub", hf);
    else if (xdg && *xdg)
        n = snprintf(out, PATH, "%s/%s", xdg, below);
    else if (home && *home)
        n = snprintf(out, PATH, "%s/.cache/%s", home, below);
    else
        return so_fail(error, SO_ERR_MISSING, "no place for a cache: neither HOME nor XDG_CACHE_HOME is set");
    return n < PATH - 1500 ? SO_OK : so_fail(error, SO_ERR_LIMIT, "a cache folder of %d bytes", n);
}

/* "CACHE/models--OWNER--NAME" or "CACHE/OWNER/NAME". */
static void repo_folder(const so_hub *hub, char out[PATH])
{
    const char *slash = strchr(hub->repo, '/');
    if (hub->kind == SO_HUB_HUGGINGFACE)
        snprintf(out, PATH, "%s/models--%.*s--%s", hub->cache, (int)(slash - hub->repo), hub->repo, slash + 1);
    else
        snprintf(out, PATH, "%s/%s", hub->cache, hub->repo);
}

so_status so_hub_folder(const so_hub *hub, const so_hub_list *list, char out[PATH], so_error *error)
{
    char repo[PATH];
    repo_folder(hub, repo);
    int n = hub->kind == SO_HUB_HUGGINGFACE ? snprintf(out, PATH, "%.3000s/snapshots/%s", repo, list->commit)
                                            : snprintf(out, PATH, "%.3000s", repo);
    return n < PATH ? SO_OK : so_fail(error, SO_ERR_LIMIT, "a path of %d bytes", n);
}

static so_status parent_folder(const char *path, so_error *error)
{
    char *folder = strdup(path);
    if (!folder) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    so_status status = so_make_folder(folder, error);
    free(folder);
    return status;
}

static bool whole(const char *path, const so_hub_file *file)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == file->size;
}

/* What is known of a file on disk: one line of the list "<repository>/.stream-omni-checked" for each that was hashed.
 */
static bool mark_of(const char *path, const so_hub_file *file, char mark[1300])
{
    struct stat st;
    if (stat(path, &st) != 0) return false;
    snprintf(mark, 1300, "%s %lld %lld.%09ld %s\n", file->hash, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec, file->path);
    return true;
}

static const char *list_of(const char *folder, char path[PATH + 64])
{
    snprintf(path, PATH + 64, "%s/.stream-omni-checked", folder);
    return path;
}

static void note_checked(const char *folder, const char *path, const so_hub_file *file)
{
    char mark[1300], list[PATH + 64];
    FILE *out = mark_of(path, file, mark) ? fopen(list_of(folder, list), "ae") : NULL;
    if (!out) return; /* it is hashed again next time */
    fputs(mark, out);
    fclose(out);
}

static bool was_checked(const char *folder, const char *path, const so_hub_file *file)
{
    char mark[1300], list[PATH + 64], *text = NULL;
    size_t size;
    if (!mark_of(path, file, mark) || so_file_read(list_of(folder, list), 16 << 20, &text, &size, NULL) != SO_OK)
        return false;
    const char *found = strstr(text, mark);
    bool known = found && (found == text || found[-1] == '\n');
    free(text);
    return known;
}

/* Whether a file that lies under its own name, not under that of its hash, is the one listed: another version may have
 * as many bytes. */
static bool is_listed(const char *folder, const char *path, const so_hub_file *file)
{
    char hex[65];
    so_fetch_file want = {.hash = file->hash, .kind = file->lfs ? SO_SHA256 : SO_SHA1, .git = !file->lfs};
    if (!whole(path, file)) return false;
    if (!file->hash[0] || was_checked(folder, path, file)) return true;
    if (so_fetch_hash(path, &want, hex, NULL) != SO_OK || strcmp(hex, file->hash) != 0) return false;
    note_checked(folder, path, file);
    return true;
}

static so_status get_to(const so_hub *hub, so_fetcher *fetcher, const so_hub_list *list, const so_hub_file *file,
                        const char *path, so_error *error)
{
    char url[2 * PATH], escaped[3100], rev[512];
    so_fetch_file want = {
        url, path, file->size, file->hash[0] ? file->hash : NULL, file->lfs ? SO_SHA256 : SO_SHA1, !file->lfs};
    escape(file->path, hub->kind == SO_HUB_HUGGINGFACE, escaped, sizeof escaped);
    escape(list->commit, false, rev, sizeof rev);
    if (hub->kind == SO_HUB_HUGGINGFACE)
        snprintf(url, sizeof url, "%s/%s/resolve/%s/%s", hub->endpoint, hub->repo, rev, escaped);
    else
        snprintf(url, sizeof url, "%s/api/v1/models/%s/repo?Revision=%s&FilePath=%s", hub->endpoint, hub->repo, rev,
                 escaped);
    SO_TRY(parent_folder(path, error));
    return so_fetch(fetcher, &want, error);
}

/* "../../blobs/HASH" beside a file of a snapshot, one more ".." for each folder it lies in. */
static so_status link_blob(const char *place, const so_hub_file *file, const char *name, so_error *error)
{
    char target[PATH] = "../../", temporary[2 * PATH];
    for (const char *p = file->path; *p; p++)
        if (*p == '/') strncat(target, "../", sizeof target - strlen(target) - 1);
    strncat(target, "blobs/", sizeof target - strlen(target) - 1);
    strncat(target, name, sizeof target - strlen(target) - 1);
    SO_TRY(parent_folder(place, error));
    snprintf(temporary, sizeof temporary, "%s.tmp", place);
    unlink(temporary);
    if (symlink(target, temporary) != 0 || rename(temporary, place) != 0)
        return so_fail(error, SO_ERR_IO, "cannot link '%s': %s", place, strerror(errno));
    return SO_OK;
}

so_status so_hub_get(const so_hub *hub, so_fetcher *fetcher, const so_hub_list *list, const so_hub_file *file,
                     bool *fetched, so_error *error)
{
    char folder[PATH], place[PATH + 1100], repo[PATH], blob[PATH + 80];
    *fetched = false;
    SO_TRY(so_hub_folder(hub, list, folder, error));
    snprintf(place, sizeof place, "%s/%s", folder, file->path);
    bool named = hub->kind == SO_HUB_MODELSCOPE || !file->hash[0]; /* else the blob is called by its hash */
    if (named ? is_listed(folder, place, file) : whole(place, file)) return SO_OK;
    *fetched = true;
    if (named) {
        SO_TRY(get_to(hub, fetcher, list, file, place, error));
        if (file->hash[0]) note_checked(folder, place, file);
        return SO_OK;
    }
    repo_folder(hub, repo);
    snprintf(blob, sizeof blob, "%s/blobs/%s", repo, file->hash);
    if (whole(blob, file))
        *fetched = false;
    else
        SO_TRY(get_to(hub, fetcher, list, file, blob, error));
    return link_blob(place, file, file->hash, error);
}

so_status so_hub_finish(const so_hub *hub, const so_hub_list *list, so_error *error)
{
    char repo[PATH], path[PATH + 600];
    if (hub->kind != SO_HUB_HUGGINGFACE || strcmp(revision(hub), list->commit) == 0) return SO_OK;
    repo_folder(hub, repo);
    snprintf(path, sizeof path, "%s/refs/%.500s", repo, revision(hub));
    if (!decent(revision(hub))) return SO_OK;
    SO_TRY(parent_folder(path, error));
    return so_file_write(path, list->commit, strlen(list->commit), error);
}
