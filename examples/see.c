/* Answers a question about a picture (binary PPM): see MODEL PICTURE.ppm "QUESTION"
 *
 *     cc see.c $(pkg-config --cflags --libs stream-omni) -o see
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <so.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const so_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

static unsigned char *read_ppm(const char *path, int *width, int *height)
{
    FILE *file = fopen(path, "rb");
    unsigned char *rgb = NULL;
    int most;
    if (file && fscanf(file, "P6 %d %d %d", width, height, &most) == 3 && most == 255 && *width > 0 && *height > 0 &&
        *width < 10000 && *height < 10000) {
        size_t bytes = (size_t)*width * (size_t)*height * 3;
        fgetc(file);
        rgb = malloc(bytes);
        if (rgb && fread(rgb, 1, bytes, file) != bytes) {
            free(rgb);
            rgb = NULL;
        }
    }
    if (file) fclose(file);
    return rgb;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: see MODEL PICTURE.ppm QUESTION\n");
        return 2;
    }
    so_error error;
    so_model *model;
    so_session *session;
    so_event event;
    int width, height;
    unsigned char *rgb = read_ppm(argv[2], &width, &height);
    if (!rgb) {
        fprintf(stderr, "%s: not a PPM picture with 8 bits a channel\n", argv[2]);
        return 1;
    }
    if (so_model_open(&model, argv[1], NULL, &error) || so_session_open(&session, model, NULL, &error) ||
        so_feed_image(session, rgb, width, height, &error) || so_feed_text(session, argv[3], &error) ||
        so_reply(session, SO_WANT_TEXT, &error))
        return failed(&error);
    do {
        if (so_next(session, &event, &error)) return failed(&error);
        if (event.kind == SO_EVENT_TEXT) printf("%s", event.text);
    } while (event.kind != SO_EVENT_DONE);
    printf("\n");
    free(rgb);
    so_session_close(&session);
    so_model_close(&model);
    return 0;
}
