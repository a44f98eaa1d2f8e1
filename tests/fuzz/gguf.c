/* Fuzzes the reader of GGUF files and its getters.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/gguf.h"
#include "base/quantise.h"

#include "touch.h"

static void touch_key(const so_gguf *gguf, const char *key)
{
    so_error error;
    uint32_t u = 0;
    int64_t i = 0;
    float f = 0;
    bool b = false;
    so_span s;
    so_gguf_array a;
    so_gguf_u32(gguf, key, &u, &error);
    so_gguf_i64(gguf, key, &i, &error);
    so_gguf_f32(gguf, key, &f, &error);
    so_gguf_bool(gguf, key, &b, &error);
    if (so_gguf_string(gguf, key, &s, &error) == SO_OK) touch(s.data, s.length);
    if (so_gguf_array_of(gguf, key, SO_GGUF_STRING, &a, &error) == SO_OK)
        for (int64_t k = 0; k < a.n; k++) touch(so_gguf_string_at(&a, k).data, so_gguf_string_at(&a, k).length);
    if (so_gguf_array_of(gguf, key, SO_GGUF_I32, &a, &error) == SO_OK)
        for (int64_t k = 0; k < a.n; k++) touched += (unsigned)so_gguf_i32_at(&a, k);
    if (so_gguf_array_of(gguf, key, SO_GGUF_F32, &a, &error) == SO_OK)
        for (int64_t k = 0; k < a.n; k++) touched += so_gguf_f32_at(&a, k) > 0;
    touched += u + (unsigned)i + (f > 0) + b;
}

/* The first and the last block of every tensor as numbers. */
static void touch_blocks(const so_views *views)
{
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        const so_type_info *about = so_type_about(v->type);
        float x[256];
        if (!v->bytes) continue;
        so_dequantise_row(v->type, v->data, about->block, x);
        so_dequantise_row(v->type, (const char *)v->data + v->bytes - (size_t)about->bytes, about->block, x);
        touched += x[0] > x[about->block - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_gguf *gguf;
    if (so_gguf_open_memory(&gguf, data, size, &error) != SO_OK) return 0;
    touch_views(so_gguf_views(gguf));
    touch_blocks(so_gguf_views(gguf));
    for (int64_t i = 0; i < so_gguf_keys(gguf); i++) {
        char key[64];
        so_span name = so_gguf_key(gguf, i);
        touch(name.data, name.length);
        if (name.length >= sizeof key) continue;
        memcpy(key, name.data, name.length);
        key[name.length] = 0;
        touch_key(gguf, key);
    }
    so_gguf_close(&gguf);
    return 0;
}
