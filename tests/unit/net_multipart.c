/* multipart/form-data: what is read, what is refused, and that pieces make no difference.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "net/multipart.h"

typedef struct seen {
    char text[8192];
    size_t n;
    int refuse_at; /* the part that is not wanted; -1: none */
    int parts;
} seen;

static void note(seen *s, const void *data, size_t n)
{
    assert_true(s->n + n < sizeof s->text);
    memcpy(s->text + s->n, data, n);
    s->n += n;
    s->text[s->n] = 0;
}

static bool on_part(void *context, const char *name, const char *file)
{
    seen *s = context;
    char line[512];
    int n = snprintf(line, sizeof line, "[%s|%s]", name, file);
    note(s, line, (size_t)n);
    return s->parts++ != s->refuse_at;
}
static bool on_data(void *context, const void *data, size_t n)
{
    note(context, data, n);
    return true;
}
static bool on_end(void *context)
{
    note(context, "$", 1);
    return true;
}

/* NULL when it was read to its end, else why not. */
static const char *parse(const char *type, const char *body, size_t size, size_t step, seen *s)
{
    static so_multipart m;
    const so_multipart_sink sink = {s, on_part, on_data, on_end};
    *s = (seen){.refuse_at = s->refuse_at};
    if (!so_multipart_init(&m, type, &sink)) return m.why;
    for (size_t at = 0; at < size; at += step)
        if (!so_multipart_feed(&m, body + at, size - at < step ? size - at : step)) return m.why;
    return so_multipart_end(&m) ? NULL : m.why;
}

#define TYPE "multipart/form-data; boundary=XbX"

static void parts_are_read(void **state)
{
    (void)state;
    static const char body[] =
        "drop this\r\n--XbX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntabletop\r\n"
        "--XbX\r\nContent-Type: audio/wav\r\ncontent-disposition: form-data; filename=\"a \\\"q\\\".wav\"; "
        "name=file\r\n\r\n\r\n--Xb\r\r\n--XbY\r\n-\r\n\r\n--XbX\r\n"
        "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--XbX--\r\nand this";
    static const char expected[] = "[model|]tabletop$[file|a \"q\".wav]\r\n--Xb\r\r\n--XbY\r\n-\r\n$[empty|]$";
    static const char *const types[] = {TYPE, "Multipart/Form-Data;  charset=utf-8 ; boundary=\"XbX\""};
    static seen s = {.refuse_at = -1};
    for (size_t t = 0; t < 2; t++)
        for (size_t step = 1; step <= sizeof body; step++) {
            const char *why = parse(types[t], body, sizeof body - 1, step, &s);
            if (why) fail_msg("%s (pieces of %zu)", why, step);
            if (strcmp(s.text, expected)) fail_msg("pieces of %zu: %s", step, s.text);
        }
    s.refuse_at = 1;
    assert_string_equal(parse(TYPE, body, sizeof body - 1, 5, &s), "a part that is not wanted");
}

static void bad_bodies_are_refused(void **state)
{
    (void)state;
    static const char *const types[] = {
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-datax; boundary=a",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890"};
    static const char *const bodies[] = {
        "",
        "--XbX",
        "--XbX--x",
        "--XbX\r\n\r\nno head\r\n--XbX--\r\n",
        "--XbX\r\nContent-Type: a\r\n\r\nno name\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
        "name=b\r\n\r\nx\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--XbX--\r\n",
        "--XbX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XbX",
        "--XbX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XbX-",
        "--XbX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--XbX!\r\n",
        "--XbX\nContent-Disposition: form-data; name=a\n\nx\n--XbX--\n"};
    static seen s = {.refuse_at = -1};
    for (size_t i = 1; i < sizeof types / sizeof *types; i++)
        if (!parse(types[i], "", 0, 1, &s)) fail_msg("accepted: %s", types[i]);
    assert_non_null(parse(NULL, "", 0, 1, &s));
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (size_t step = 1; step < 5; step++) {
            const char *why = parse(TYPE, bodies[i], strlen(bodies[i]), step, &s);
            if (i == 2 ? why != NULL : why == NULL) fail_msg("%s: %s", why ? why : "accepted", bodies[i]);
        }
}

static void limits_of_parts(void **state)
{
    (void)state;
    static char body[16384];
    static seen s = {.refuse_at = -1};
    for (int over = 0; over <= 1; over++) {
        size_t n = 0;
        for (int i = 0; i < SO_MULTIPART_PARTS_MOST + over; i++)
            n += (size_t)sprintf(body + n, "--XbX\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n");
        n += (size_t)sprintf(body + n, "--XbX--\r\n");
        assert_true((parse(TYPE, body, n, 1000, &s) != NULL) == over);
        n = (size_t)sprintf(body, "--XbX\r\nContent-Disposition: form-data; name=a\r\nX: ");
        size_t fill = (size_t)(SO_MULTIPART_HEAD_MOST + over) - (n - 7) - 4;
        memset(body + n, 'y', fill);
        n += fill;
        n += (size_t)sprintf(body + n, "\r\n\r\nx\r\n--XbX--\r\n");
        assert_true((parse(TYPE, body, n, 1000, &s) != NULL) == over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(limits_of_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
