/* Fuzzes the front end of hearing: whatever is fed in whatever pieces, runs lie in the recording, one behind the other.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/front.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct follow {
    int64_t fed, behind; /* samples fed; the end of the last run */
    bool open, any;
} follow;

static void take(so_front *front, follow *f)
{
    so_front_run run;
    while (so_front_next(front, &run)) {
        if (run.first == f->open) abort(); /* a segment begins when none is open, and only then */
        f->open = true;
        f->any = true;
        if (run.n < 0 || run.at < f->behind || run.at + run.n > f->fed + 160) abort();
        for (int64_t i = 0; i < run.n; i++)
            if (!isfinite(run.pcm[i])) abort();
        f->behind = run.at + run.n;
        if (run.last) f->open = false;
    }
}

/* The first bytes are options, every later one a stretch of sound: a kind of it, its level and its length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 64) return 0;
    so_front_options options = {.plain = data[0] & 1, .pause = data[0] / 100.0, .longest = data[1] / 16.0};
    so_front *front;
    if (so_front_open(&front, &options, NULL) != SO_OK) return 0;
    static float x[SO_FRONT_PIECE];
    follow f = {0};
    uint32_t seed = 1;
    for (size_t k = 2; k < size; k++) {
        float height = ldexpf(1, (data[k] >> 2 & 15) * -2 + 2);
        int64_t n = 1 + (int64_t)(data[k] >> 6) * 1300 + (int64_t)(k * 37 % 190);
        for (int64_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            float noise = (float)(seed >> 8) / 8388608.0f - 1;
            float tone = sinf((float)i * 0.05f * (float)(1 + k % 5));
            x[i] = (data[k] & 3) == 0 ? 0 : (data[k] & 3) == 1 ? height : height * ((data[k] & 3) == 2 ? noise : tone);
        }
        f.fed += n;
        so_front_feed(front, x, n);
        take(front, &f);
    }
    so_front_finish(front);
    take(front, &f);
    if (f.open || f.any != so_front_heard(front)) abort();
    so_front_close(&front);
    return 0;
}
