/* A request of /v1/chat/completions, read and checked: what is to be fed, and how it is to be answered.
 *
 * Pictures and sounds are decoded here, so it is no work for the network thread. Every field is used, or stands on the
 * list of those accepted without effect (docs/server.md), or is refused by its name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_CHAT_REQUEST_H
#define SO_SERVER_CHAT_REQUEST_H

#include <stdatomic.h>

#include "server/inside.h"

typedef struct so_chat_request {
    /* in */
    so_bytes body;
    const atomic_bool *over; /* pictures are fetched by https until it is set; NULL: they are not */
    /* out */
    so_fault fault;         /* status 0: it is good */
    so_order *first, *last; /* in their order; an AUDIO has a name of its sound in text; an ANSWER with size > 0 names a
                               spoken answer by its id in text */
    char *model;
    bool stream, usage, voice;
    so_outlet_kind sound;
    char speaker[64]; /* name of its voice */
    so_reply_options reply;
    bool logprobs;
    char *stop[SO_ORDER_STOPS];
    int n_stop;
} so_chat_request;

/* Reads request->body. */
void so_chat_read(so_chat_request *request);
void so_chat_clear(so_chat_request *request);

#endif
