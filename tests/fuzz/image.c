/* Fuzzes the readers of pictures and the making of views from what they accept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_image image;
    so_image_spec spec;
    so_image_views views;
    if (so_image_decode(&image, data, size, 1 << 18, &error) != SO_OK) return 0;
    if (image.w < 1 || image.h < 1 || (int64_t)image.w * image.h > 1 << 18) abort();
    if (so_image_spec_init(&spec, 16, &error) != SO_OK) abort();
    spec.mode = (so_image_mode)(size % 3);
    if (so_image_spec_set_pinpoints(&spec, "(1x1),...,(2x3)", &error) != SO_OK) abort();
    if (so_image_views_make(&views, &image, &spec, NULL, &error) != SO_OK) abort();
    float *x = malloc((size_t)views.n * 3 * 16 * 16 * sizeof *x);
    if (x) so_image_normalise(&views, &spec, x);
    free(x);
    so_image_views_clear(&views);
    so_image_clear(&image);
    return 0;
}
