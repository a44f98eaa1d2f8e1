/* WebP: stills, and the first picture of animations; EXIF orientation.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "media/image_decode.h"

static so_status still(so_image *out, const so_image_source *s, int has_alpha, so_error *error)
{
    size_t pixels = (size_t)out->w * (size_t)out->h, channels = has_alpha ? 4 : 3;
    out->rgb = malloc(pixels * channels);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %d x %d pixels", out->w, out->h);
    int stride = out->w * (int)channels;
    if (!(has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(s->data, s->size, out->rgb, pixels * channels, stride))
        return so_fail(error, SO_ERR_FORMAT, "WebP: truncated or damaged");
    if (has_alpha) out->rgb = so_image_flatten(out->rgb, pixels);
    return SO_OK;
}

/* The first picture at its place on a transparent canvas. */
static so_status first_of(so_image *out, const WebPIterator *frame, so_error *error)
{
    size_t pixels = (size_t)out->w * (size_t)out->h;
    if (frame->x_offset < 0 || frame->y_offset < 0 || frame->width < 1 || frame->height < 1 ||
        frame->x_offset + frame->width > out->w || frame->y_offset + frame->height > out->h)
        return so_fail(error, SO_ERR_FORMAT, "WebP: a picture outside its canvas");
    out->rgb = calloc(pixels, 4);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %d x %d pixels", out->w, out->h);
    size_t at = ((size_t)frame->y_offset * (size_t)out->w + (size_t)frame->x_offset) * 4;
    if (!WebPDecodeRGBAInto(frame->fragment.bytes, frame->fragment.size, out->rgb + at, pixels * 4 - at, out->w * 4))
        return so_fail(error, SO_ERR_FORMAT, "WebP: truncated or damaged");
    out->rgb = so_image_flatten(out->rgb, pixels);
    return SO_OK;
}

static int orientation_of(const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    int orientation = 1;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) orientation = so_image_exif(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

so_status so_image_decode_webp(so_image *out, const so_image_source *s, so_error *error)
{
    WebPBitstreamFeatures about;
    if (WebPGetFeatures(s->data, s->size, &about) != VP8_STATUS_OK)
        return so_fail(error, SO_ERR_FORMAT, "WebP: damaged header");
    SO_TRY(so_image_allow(s, about.width, about.height, error));
    out->w = about.width;
    out->h = about.height;
    WebPData data = {s->data, s->size};
    WebPDemuxState state;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    WebPIterator frame = {0};
    int orientation = demuxer ? orientation_of(demuxer) : 1;
    so_status status;
    if (!about.has_animation) {
        status = still(out, s, about.has_alpha, error);
    } else if (demuxer && WebPDemuxGetFrame(demuxer, 1, &frame) && frame.complete) {
        out->frames = frame.num_frames;
        status = first_of(out, &frame, error);
    } else {
        status = so_fail(error, SO_ERR_FORMAT, "WebP: no whole picture in the animation");
    }
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    return status == SO_OK ? so_image_orient(out, orientation, error) : status;
}
