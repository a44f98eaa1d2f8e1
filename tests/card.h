/* The graphics card that tests compute on besides fibers: SO_TEST_DEVICE in the environment names it ("cuda",
 * "vulkan:1") and then it has to be there; without it the first of Vulkan, where there is one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TESTS_CARD_H
#define SO_TESTS_CARD_H

#include <stdio.h>
#include <stdlib.h>

#include "backend/device.h"

static inline const char *card_wished(void)
{
    const char *name = getenv("SO_TEST_DEVICE");
    return name && *name ? name : NULL;
}

static inline const char *card_name(void) { return card_wished() ? card_wished() : "vulkan"; }

/* That it is not there: a failure, where it was named. */
static inline void card_absent(const char *what, const char *why)
{
    if (card_wished()) fail_msg("%s on %s: %s", what, card_name(), why);
    fprintf(stderr, "# SKIP: %s on %s: %s\n", what, card_name(), why);
}

/* NULL, told as skipped, where it is not there. */
static inline so_device *card_open(const char *what)
{
    so_error error = {0};
    so_device *d = NULL;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: %s on a card: drivers do not free what they hold, which sanitizers tell\n", what);
    return NULL;
#endif
    if (so_device_open(&d, card_name(), &error) != SO_OK) card_absent(what, error.text);
    return d;
}

#endif
