/* Stop strings. See text/stops.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/stops.h"

#include <stdint.h>
#include <string.h>

so_status so_stops_set(so_stops *stops, const char *const *string, int n, so_error *error)
{
    stops->n = 0;
    stops->bytes.size = 0;
    if (n < 0 || n > SO_STOPS_MOST || (n && !string))
        return so_fail(error, SO_ERR_ARG, "%d stop strings, expected 0 to %d", n, SO_STOPS_MOST);
    for (int i = 0; i < n; i++) {
        size_t size = string[i] ? strlen(string[i]) : 0;
        if (size == 0 || size > SO_STOPS_BYTES)
            return so_fail(error, SO_ERR_ARG, "a stop string of %zu bytes, expected 1 to %d", size, SO_STOPS_BYTES);
        if (!so_utf8_valid(string[i], size)) return so_fail(error, SO_ERR_ARG, "stop string %d is not valid UTF-8", i);
        SO_TRY(so_string_add(&stops->bytes, string[i], size, error));
        stops->end[i] = stops->bytes.size;
    }
    stops->n = n;
    return SO_OK;
}

void so_stops_clear(so_stops *stops) { so_string_clear(&stops->bytes); }

static const char *stop_at(const so_stops *stops, int i, size_t *size)
{
    size_t from = i ? stops->end[i - 1] : 0;
    *size = stops->end[i] - from;
    return stops->bytes.data + from;
}

size_t so_stops_find(const so_stops *stops, const char *text, size_t size, size_t from)
{
    size_t best = SIZE_MAX;
    for (int i = 0; i < stops->n; i++) {
        size_t length;
        const char *stop = stop_at(stops, i, &length);
        for (size_t at = from >= length ? from - length + 1 : 0; at + length <= size && at < best; at++)
            if (memcmp(text + at, stop, length) == 0) best = at;
    }
    return best;
}

size_t so_stops_held(const so_stops *stops, const char *text, size_t size)
{
    size_t most = 0;
    for (int i = 0; i < stops->n; i++) {
        size_t length;
        const char *stop = stop_at(stops, i, &length);
        size_t n = length - 1 < size ? length - 1 : size;
        while (n > most && memcmp(text + size - n, stop, n) != 0) n--;
        if (n > most) most = n;
    }
    return most;
}
