/* The codec's networks onto a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/codec.h"

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

so_status so_codec_upload(so_codec *codec, so_device *device, so_error *error)
{
    so_tensor *list[SO_HIFT_CONVS];
    if (codec->has_tokenizer) SO_TRY(so_store_upload(&codec->ears.store, device, error));
    if (!codec->has_vocoder) return SO_OK;
    int64_t n = folded(codec, list);
    SO_TRY(so_store_upload(&codec->flow_part.store, device, error));
    SO_TRY(so_store_upload(&codec->hift_part.store, device, error));
    return so_tensors_upload(list, n, device, error);
}
