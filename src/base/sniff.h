/* What a file's bytes are, told by their beginning and never by its name.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_SNIFF_H
#define SO_BASE_SNIFF_H

#include <stdbool.h>
#include <stddef.h>

typedef enum so_content {
    SO_CONTENT_UNKNOWN, /* no signature that is known: samples without a header, anything */
    SO_CONTENT_EMPTY,
    SO_CONTENT_SOUND, /* films too: their sound is meant */
    SO_CONTENT_PICTURE,
    SO_CONTENT_MODEL,
    SO_CONTENT_TEXT, /* UTF-8 without control characters but tabs, line ends and form feeds */
    SO_CONTENT_OTHER /* known, and none of these: an archive, a document, a page that a server sent */
} so_content;

typedef struct so_sniffed {
    so_content content;
    const char *what;    /* "an MP4 or QuickTime file", for messages; static */
    const char *convert; /* a command with %s twice, for the file and for its name without the ending; NULL: none */
    bool stranger;       /* what is left where a file should be: nothing, a page, a pointer, zeros, an error */
    bool built_in;       /* the readers here take it, whatever libraries there are: such a file is broken or odd */
} so_sniffed;

/* `size` is that of the whole file; no byte behind it is looked at. */
so_sniffed so_sniff(const void *data, size_t size);

#endif
