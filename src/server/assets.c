/* The page's files, put into the program by the assembler.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/assets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sha.h"

/* Two symbols around the bytes of a file. */
#define EMBED(name, file)                                                                                              \
    __asm__(".pushsection .rodata\n.global so_asset_" #name "\n.global so_asset_" #name "_end\n.balign 16\n"           \
            "so_asset_" #name ":\n.incbin \"" file "\"\nso_asset_" #name "_end:\n.byte 0\n.popsection\n");             \
    extern const unsigned char so_asset_##name[], so_asset_##name##_end[];
#define BOTH(name, file) EMBED(name, SO_WEB_DIR "/" file) EMBED(name##_gz, SO_WEB_GZIP "/" file ".gz")

BOTH(index, "index.html")
BOTH(css, "page.css")
BOTH(page, "page.js")
BOTH(client, "client.js")
BOTH(audio, "audio.js")
BOTH(history, "history.js")
BOTH(view, "view.js")
BOTH(strings, "strings.js")
BOTH(worklet, "worklet.js")
EMBED(example, SO_EXAMPLES_DIR "/table.png")

const char so_asset_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const char so_asset_permissions[] = "microphone=(self), camera=(self), geolocation=()";

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

/* The file in SO_WEB_DIR of each is its path, but for the first and the last. */
static struct entry {
    so_asset asset;
    const char *file;
    const unsigned char *end, *gzip_end;
} table[] = {
#define PACKED(name, path, file, type)                                                                                 \
    {                                                                                                                  \
        {path, type, so_asset_##name, so_asset_##name##_gz, 0, 0, ""}, file, so_asset_##name##_end,                    \
            so_asset_##name##_gz_end                                                                                   \
    }
    PACKED(index, "/", "index.html", HTML),
    PACKED(css, "/page.css", "page.css", CSS),
    PACKED(page, "/page.js", "page.js", SCRIPT),
    PACKED(client, "/client.js", "client.js", SCRIPT),
    PACKED(audio, "/audio.js", "audio.js", SCRIPT),
    PACKED(history, "/history.js", "history.js", SCRIPT),
    PACKED(view, "/view.js", "view.js", SCRIPT),
    PACKED(strings, "/strings.js", "strings.js", SCRIPT),
    PACKED(worklet, "/worklet.js", "worklet.js", SCRIPT),
    {{"/example.png", "image/png", so_asset_example, NULL, 0, 0, ""}, NULL, so_asset_example_end, NULL}};
enum { ASSETS = sizeof table / sizeof *table };

static void measure(void)
{
    for (int i = 0; i < ASSETS; i++) {
        so_asset *a = &table[i].asset;
        char hex[65];
        so_sha sha;
        a->size = (size_t)(table[i].end - a->data);
        a->gzip_size = a->gzip ? (size_t)(table[i].gzip_end - a->gzip) : 0;
        so_sha_init(&sha, SO_SHA256);
        so_sha_feed(&sha, a->data, a->size);
        so_sha_end(&sha, hex);
        memcpy(a->tag, hex, sizeof a->tag - 1);
    }
}

static struct entry *find(const char *path)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure);
    if (strcmp(path, "/index.html") == 0) path = "/";
    for (int i = 0; i < ASSETS; i++)
        if (strcmp(table[i].asset.path, path) == 0) return &table[i];
    return NULL;
}

const so_asset *so_asset_find(const char *path)
{
    const struct entry *e = find(path);
    return e ? &e->asset : NULL;
}

so_status so_asset_read(const char *folder, const char *path, char **data, size_t *size, const char **type,
                        so_error *error)
{
    const struct entry *e = find(path);
    char name[4096];
    *data = NULL;
    if (!e) return so_fail(error, SO_ERR_MISSING, "no such file");
    *type = e->asset.type;
    *size = e->asset.size;
    if (!e->file) {
        *data = malloc(*size + 1);
        if (!*data) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes", *size);
        memcpy(*data, e->asset.data, *size);
        return SO_OK;
    }
    if (snprintf(name, sizeof name, "%s/%s", folder, e->file) >= (int)sizeof name)
        return so_fail(error, SO_ERR_LIMIT, "the folder's path is too long");
    return so_file_read(name, 1 << 20, data, size, error);
}
