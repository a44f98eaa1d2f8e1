/* The codec's networks onto a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/codec.h"

#include <stdlib.h>

/* What the vocoder's folded weights were made of stays where it is. */
static int64_t folded(const so_codec *codec, so_tensor **list)
{
    return so_hift_folded(&codec->hift, list, SO_HIFT_CONVS);
}

size_t so_codec_device_bytes(const so_codec *codec)
{
    so_tensor *list[SO_HIFT_CONVS];
    size_t all = codec->has_tokenizer ? so_store_device_bytes(&codec->ears.store) : 0;
    if (!codec->has_vocoder) return all;
    int64_t n = folded(codec, list);
    return all + so_store_device_bytes(&codec->flow_part.store) + so_store_device_bytes(&codec->hift_part.store) +
           so_tensors_device_bytes(list, n);
}

/* Where weights lie on the host. */
typedef struct copies {
    const so_store *store;
    void **at;
    size_t *bytes;
    int64_t n;
} copies;

static so_status note(copies *c, const so_store *store, int64_t more, so_tensor *const *list, so_error *error)
{
    c->store = store;
    c->at = calloc((size_t)(store->count + more + 1), sizeof *c->at);
    c->bytes = calloc((size_t)(store->count + more + 1), sizeof *c->bytes);
    if (!c->at || !c->bytes) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of weights");
    for (int64_t i = 0; i < store->count + more; i++) {
        const so_tensor *t = i < store->count ? &store->weight[i]->tensor : list[i - store->count];
        c->at[c->n] = t->data;
        c->bytes[c->n++] =
            t->type == SO_F32 ? (size_t)so_count(t) * sizeof(so_real) : so_type_bytes(t->type, so_count(t));
    }
    return SO_OK;
}

/* Nobody reads the copies again, nor what folded weights were made of: their memory goes back. */
static void drop(copies *c, bool done)
{
    for (int64_t i = 0; done && i < c->n; i++) so_arena_drop(&c->store->memory, c->at[i], c->bytes[i]);
    free(c->at);
    free(c->bytes);
}

so_status so_codec_upload(so_codec *codec, so_device *device, so_error *error)
{
    so_tensor *list[SO_HIFT_CONVS];
    copies ears = {0}, flow = {0}, hift = {0};
    int64_t n = codec->has_vocoder ? folded(codec, list) : 0;
    so_status status = SO_OK;
    if (codec->has_tokenizer) {
        SO_TRY_GO(note(&ears, &codec->ears.store, 0, NULL, error));
        SO_TRY_GO(so_store_upload(&codec->ears.store, device, error));
    }
    if (codec->has_vocoder) {
        SO_TRY_GO(note(&flow, &codec->flow_part.store, 0, NULL, error));
        SO_TRY_GO(note(&hift, &codec->hift_part.store, n, list, error));
        SO_TRY_GO(so_store_upload(&codec->flow_part.store, device, error));
        SO_TRY_GO(so_store_upload(&codec->hift_part.store, device, error));
        SO_TRY_GO(so_tensors_upload(list, n, device, error));
    }
done:
    drop(&ears, status == SO_OK);
    drop(&flow, status == SO_OK);
    drop(&hift, status == SO_OK);
    return status;
}
