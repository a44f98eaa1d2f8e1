/* The folder of voices.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/clones.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/operand.h"
#include "base/error.h"

static const char ending[] = ".safetensors";

static bool ends_so(const char *name)
{
    size_t n = strlen(name), m = sizeof ending - 1;
    return n > m && strcmp(name + n - m, ending) == 0;
}

so_status so_clones_folder(char path[SO_CLONES_PATH], so_error *error)
{
    const char *own = getenv("STREAM_OMNI_VOICES_DIR"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;
    if (own && own[0])
        n = snprintf(path, SO_CLONES_PATH, "%s", own);
    else if (xdg && xdg[0])
        n = snprintf(path, SO_CLONES_PATH, "%s/stream-omni/voices", xdg);
    else if (home && home[0])
        n = snprintf(path, SO_CLONES_PATH, "%s/.local/share/stream-omni/voices", home);
    else
        return so_fail(error, SO_ERR_MISSING,
                       "no place for voices: none of STREAM_OMNI_VOICES_DIR, XDG_DATA_HOME and HOME is set");
    return n < SO_CLONES_PATH - 100 ? SO_OK
                                    : so_fail(error, SO_ERR_LIMIT, "the path of the folder of voices is too long");
}

so_status so_clones_path(const char *name, char path[SO_CLONES_PATH], so_error *error)
{
    SO_TRY(so_clone_name(name, error));
    SO_TRY(so_clones_folder(path, error));
    size_t n = strlen(path);
    snprintf(path + n, SO_CLONES_PATH - n, "/%s%s", name, ending);
    return SO_OK;
}

/* ---- all of them */

static int is_voice(const struct dirent *e) { return e->d_name[0] != '.' && ends_so(e->d_name); }

static void load(so_clones *c, const char *folder, const char *name)
{
    char path[SO_CLONES_PATH + 300];
    so_error error = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (so_clone_load(&c->clone[c->n], path, &error) == SO_OK) {
        c->n++;
        return;
    }
    fprintf(stderr, "warning: %s\n", error.text);
    c->broken++;
}

so_status so_clones_open(so_clones *c, so_error *error)
{
    char folder[SO_CLONES_PATH];
    struct dirent **entry = NULL;
    *c = (so_clones){0};
    SO_TRY(so_clones_folder(folder, error));
    int n = scandir(folder, &entry, is_voice, alphasort);
    if (n < 0 && errno == ENOENT) return SO_OK;
    if (n < 0) return so_fail(error, SO_ERR_IO, "%s: %s", folder, strerror(errno));
    c->clone = calloc((size_t)n + 1, sizeof *c->clone);
    for (int i = 0; i < n; i++) {
        if (c->clone && c->n < SO_CLONES_MOST) load(c, folder, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return c->clone ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %d voices", n);
}

void so_clones_clear(so_clones *c)
{
    for (int i = 0; i < c->n; i++) so_clone_close(&c->clone[i]);
    free(c->clone);
    *c = (so_clones){0};
}

/* ---- one */

/* "; there are ada, ben" */
static void name_others(char *text, size_t size)
{
    so_clones all;
    so_error error;
    size_t at = 0;
    text[0] = 0;
    if (so_clones_open(&all, &error) == SO_OK)
        for (int i = 0; i < all.n && at < size - 70; i++) {
            so_clone_info info;
            so_clone_about(all.clone[i], &info);
            at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "; there are ", info.name);
        }
    if (!text[0]) snprintf(text, size, "; there are none yet: stream-omni voices add NAME RECORDING...");
    so_clones_clear(&all);
}

so_status so_clones_find(const char *name, so_clone **clone, so_error *error)
{
    char path[SO_CLONES_PATH], others[400];
    *clone = NULL;
    if (strchr(name, '/') || ends_so(name)) return so_clone_load(clone, name, error);
    SO_TRY(so_clones_path(name, path, error));
    if (access(path, F_OK) == 0) return so_clone_load(clone, path, error);
    name_others(others, sizeof others);
    return so_fail(error, SO_ERR_MISSING, "no voice '%s'%s", name, others);
}

static void tell_cut(const so_clone *clone)
{
    so_clone_info info;
    so_clone_about(clone, &info);
    if (info.cut && info.recordings == 1)
        fprintf(stderr, "note: the recording is longer than is used: 30 s of speech\n");
    else if (info.cut)
        fprintf(stderr, "note: %d of the %d recordings %s longer than is used: 30 s of speech each\n", info.cut,
                info.recordings, info.cut == 1 ? "is" : "are");
}

static so_status make(so_model *model, const char *name, so_operand *o, int n, so_clone **clone, so_error *error)
{
    so_clone_sound *sounds = calloc((size_t)n, sizeof *sounds);
    if (!sounds) return so_fail(error, SO_ERR_NOMEM, "no memory for %d recordings", n);
    for (int i = 0; i < n; i++) sounds[i] = (so_clone_sound){o[i].sound.samples, (size_t)o[i].sound.n, o[i].sound.rate};
    so_status status = so_clone_make(clone, model, name, sounds, (size_t)n, error);
    if (status != SO_OK && status != SO_ERR_UNSUPPORTED && n == 1) status = so_fail_in(error, "%s", o[0].name);
    if (status == SO_OK) tell_cut(*clone);
    free(sounds);
    return status;
}

so_status so_clones_make(so_model *model, const char *name, const char *const *recordings, int n, so_clone **clone,
                         so_error *error)
{
    so_operand *o = calloc((size_t)n + 1, sizeof *o);
    so_status status = o ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %d recordings", n);
    *clone = NULL;
    for (int i = 0; i < n && status == SO_OK; i++) {
        status = so_operand_read(&o[i], recordings[i], SO_TAKES_SOUND, error);
        if (status == SO_OK && o[i].sound.warning[0])
            fprintf(stderr, "warning: %s: %s\n", o[i].name, o[i].sound.warning);
    }
    if (status == SO_OK) status = make(model, name, o, n, clone, error);
    for (int i = 0; o && i < n; i++) so_operand_clear(&o[i]);
    free(o);
    return status;
}
