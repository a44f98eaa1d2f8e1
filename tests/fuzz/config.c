/* Fuzzes the readers of config.json and generation_config.json, of preprocessor sizes and of the codec's configuration.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/codec.h"
#include "checkpoint/config.h"
#include "checkpoint/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_setup setup;
    so_image_spec spec;
    so_codec codec = {0};
    char *text = malloc(size + 1), *printed;
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    char *second = memchr(text, '\f', size); /* a form feed parts the two files */
    if (second) *second++ = 0;
    if (so_setup_parse(&setup, text, second, &error) == SO_OK) {
        so_setup_pictures(&setup, &spec, &error);
        so_source_ignores(&setup, "model.vision_tower.vision_tower.vision_model.encoder.layers.26.x");
        if (so_setup_print(&setup, &printed, &error) == SO_OK) free(printed);
    }
    json_t *root = json_loads(text, 0, NULL);
    if (so_codec_sizes(&codec, root, &error) == SO_OK && setup.omni.backbone < 64 && setup.omni.bottom < 64 &&
        setup.omni.top < 64 && setup.omni.siglip.layers < 64 && codec.flow.config.layers < 64 &&
        codec.flow.config.est_blocks < 64 && codec.flow.config.mid < 64 && codec.tokenizer.config.layers < 64) {
        so_manifest manifest = {0};
        codec.has_tokenizer = codec.has_vocoder = true;
        setup.omni.text_rows = setup.omni.audio_rows = 8;
        setup.omni.speech = true;
        so_source_manifest(&setup, &codec, NULL, &manifest, &error);
        so_manifest_clear(&manifest);
    }
    json_decref(root);
    free(text);
    return 0;
}
