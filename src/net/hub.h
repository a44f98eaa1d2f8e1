/* The hubs that publish models: which files a repository holds, and where they lie when fetched.
 *
 * Hugging Face: GET {endpoint}/api/models/{repo}/revision/{rev} and .../tree/{commit}, files at
 * {endpoint}/{repo}/resolve/ {commit}/{path}; cached as its own tools do (blobs named by hash, a snapshot of links), so
 * that what they fetched is found and what is fetched here serves them. ModelScope: GET
 * {endpoint}/api/v1/models/{repo}/repo/files, files at .../repo?Revision=&FilePath=; cached in plain folders. Source:
 * the hubs' public HTTP interfaces.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_HUB_H
#define SO_NET_HUB_H

#include "net/fetch.h"

typedef enum so_hub_kind { SO_HUB_HUGGINGFACE, SO_HUB_MODELSCOPE } so_hub_kind;

typedef struct so_hub_file {
    char *path; /* in the repository: relative, without "..", checked */
    int64_t size;
    char hash[65]; /* lower case; "" when the hub tells none, and only the size can be checked */
    bool lfs;      /* the hash is SHA-256 of the bytes, else git's SHA-1 of the blob */
} so_hub_file;

typedef struct so_hub_list {
    char commit[72]; /* what the revision stands for */
    so_hub_file *file;
    int64_t count, capacity;
} so_hub_list;
void so_hub_list_clear(so_hub_list *list);

/* Reads one answer of a hub into the list: {"sha"} of a revision (Hugging Face), a page of the tree, a list of files.
 * SO_ERR_FORMAT names what is wrong; a path that leaves its folder is an error. Never trusts lengths or nesting. */
so_status so_hub_read_revision(so_hub_list *list, const char *json, so_error *error);
so_status so_hub_read_tree(so_hub_list *list, const char *json, so_error *error);
so_status so_hub_read_files(so_hub_list *list, const char *json, so_error *error);

typedef struct so_hub {
    so_hub_kind kind;
    const char *endpoint; /* "https://huggingface.co", without a slash at the end */
    const char *cache;    /* folder of the hub's cache */
    const char *repo;     /* "ICTNLP/stream-omni-8b" */
    const char *revision; /* "main" or "master" when NULL */
} so_hub;

/* Asks the hub for the files of the repository. As so_fetch_text. */
so_status so_hub_ask(const so_hub *hub, so_fetcher *fetcher, so_hub_list *list, so_error *error);
/* Whether a file is one of those that this program reads or a licence. */
bool so_hub_wants(const char *path);
/* Folder that holds the repository's files once they are fetched; "" when the hub was never asked (offline). */
so_status so_hub_folder(const so_hub *hub, const so_hub_list *list, char out[4096], so_error *error);
/* Fetches one file into the cache unless it is there, whole and with the listed hash. *fetched says which. */
so_status so_hub_get(const so_hub *hub, so_fetcher *fetcher, const so_hub_list *list, const so_hub_file *file,
                     bool *fetched, so_error *error);
/* After all files: notes which commit the revision stood for. */
so_status so_hub_finish(const so_hub *hub, const so_hub_list *list, so_error *error);

/* The usual folder of the hub's cache from the environment: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
 * ~/.cache/huggingface/hub; MODELSCOPE_CACHE, XDG_CACHE_HOME/modelscope, ~/.cache/modelscope. SO_ERR_MISSING without a
 * HOME. */
so_status so_hub_cache(so_hub_kind kind, char out[4096], so_error *error);

#endif
