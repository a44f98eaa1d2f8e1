/* GGUF: what is written is read back; every broken file is refused with its reason.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "formats/gguf.h"

static char path[] = "/tmp/so_gguf_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_sample(void)
{
    so_error error;
    so_gguf_writer *writer;
    so_span texts[3] = {so_span_of("a"), {"", 0}, so_span_of("größer")};
    float floats[2] = {0.5f, -1};
    int32_t ints[3] = {1, -2, 3};
    int64_t matrix[2] = {3, 64}, vector[1] = {5}, cube[3] = {2, 1, 3};
    unsigned char blocks[3 * 2 * 34];
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (unsigned char)i;
    CHECK_OK(so_gguf_create(&writer, path, &error), error);
    CHECK_OK(so_gguf_set_string(writer, "general.architecture", "stream_omni", &error), error);
    CHECK_OK(so_gguf_set_u32(writer, "u", 4000000000u, &error), error);
    CHECK_OK(so_gguf_set_i64(writer, "i", -5, &error), error);
    CHECK_OK(so_gguf_set_f32(writer, "f", 1e-5f, &error), error);
    CHECK_OK(so_gguf_set_bool(writer, "b", true, &error), error);
    CHECK_OK(so_gguf_set_strings(writer, "s", texts, 3, &error), error);
    CHECK_OK(so_gguf_set_f32s(writer, "fs", floats, 2, &error), error);
    CHECK_OK(so_gguf_set_i32s(writer, "is", ints, 3, &error), error);
    assert_int_equal(so_gguf_set_i64(writer, "i", 1, &error), SO_ERR_ARG);
    CHECK_OK(so_gguf_declare(writer, "q", SO_Q8_0, 2, matrix, &error), error);
    CHECK_OK(so_gguf_declare(writer, "v", SO_BF16, 1, vector, &error), error);
    CHECK_OK(so_gguf_declare(writer, "c", SO_I32, 3, cube, &error), error);
    assert_int_equal(so_gguf_declare(writer, "w", SO_Q4_K, 2, matrix, &error), SO_ERR_FORMAT);
    assert_int_equal(so_gguf_declare(writer, "w", SO_U8, 2, matrix, &error), SO_ERR_UNSUPPORTED);
    CHECK_OK(so_gguf_put(writer, "q", blocks, sizeof blocks, &error), error);
    CHECK_OK(so_gguf_put(writer, "v", blocks, 10, &error), error);
    assert_int_equal(so_gguf_put(writer, "c", blocks, 23, &error), SO_ERR_STATE);
    CHECK_OK(so_gguf_put(writer, "c", blocks, 24, &error), error);
    assert_int_equal(so_gguf_put(writer, "d", blocks, 24, &error), SO_ERR_STATE);
    CHECK_OK(so_gguf_commit(&writer, &error), error);
    assert_null(writer);
}

static void written_keys_read_back(void **state)
{
    (void)state;
    so_error error;
    so_gguf *gguf;
    uint32_t u;
    int64_t i;
    float f;
    bool b;
    so_span s;
    so_gguf_array a;
    write_sample();
    CHECK_OK(so_gguf_open(&gguf, path, &error), error);
    assert_int_equal(so_gguf_keys(gguf), 8);
    assert_int_equal(so_gguf_key(gguf, 1).length, 1);
    CHECK_OK(so_gguf_string(gguf, "general.architecture", &s, &error), error);
    assert_int_equal(s.length, 11);
    assert_memory_equal(s.data, "stream_omni", 11);
    CHECK_OK(so_gguf_u32(gguf, "u", &u, &error), error);
    assert_int_equal(u, 4000000000u);
    CHECK_OK(so_gguf_i64(gguf, "u", &i, &error), error);
    assert_int_equal(i, 4000000000);
    CHECK_OK(so_gguf_i64(gguf, "i", &i, &error), error);
    assert_int_equal(i, -5);
    CHECK_OK(so_gguf_f32(gguf, "f", &f, &error), error);
    assert_true(f == 1e-5f);
    CHECK_OK(so_gguf_bool(gguf, "b", &b, &error), error);
    assert_true(b);
    CHECK_OK(so_gguf_array_of(gguf, "s", SO_GGUF_STRING, &a, &error), error);
    assert_int_equal(a.n, 3);
    assert_int_equal(so_gguf_string_at(&a, 1).length, 0);
    assert_memory_equal(so_gguf_string_at(&a, 2).data, "größer", so_gguf_string_at(&a, 2).length);
    CHECK_OK(so_gguf_array_of(gguf, "fs", SO_GGUF_F32, &a, &error), error);
    assert_true(a.n == 2 && so_gguf_f32_at(&a, 1) == -1);
    CHECK_OK(so_gguf_array_of(gguf, "is", SO_GGUF_I32, &a, &error), error);
    assert_true(a.n == 3 && so_gguf_i32_at(&a, 1) == -2);
    assert_false(so_gguf_has(gguf, "none"));
    assert_int_equal(so_gguf_u32(gguf, "none", &u, &error), SO_ERR_MISSING);
    assert_int_equal(so_gguf_u32(gguf, "i", &u, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_u32(gguf, "f", &u, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_u32(gguf, "is", &u, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_f32(gguf, "u", &f, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_bool(gguf, "u", &b, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_string(gguf, "s", &s, &error), SO_ERR_TYPE);
    assert_non_null(strstr(error.text, "an array of string"));
    assert_int_equal(so_gguf_array_of(gguf, "s", SO_GGUF_F32, &a, &error), SO_ERR_TYPE);
    assert_int_equal(so_gguf_array_of(gguf, "u", SO_GGUF_U32, &a, &error), SO_ERR_TYPE);
    so_gguf_close(&gguf);
    assert_null(gguf);
}

static void written_tensors_read_back(void **state)
{
    (void)state;
    so_error error;
    so_gguf *gguf;
    write_sample();
    CHECK_OK(so_gguf_open(&gguf, path, &error), error);
    const so_views *views = so_gguf_views(gguf);
    assert_int_equal(views->count, 3);
    const so_view *q = so_views_find(views, "q"), *v = so_views_find(views, "v"), *c = so_views_find(views, "c");
    assert_int_equal(q->type, SO_Q8_0);
    assert_int_equal(q->dim[0], 3);
    assert_int_equal(q->dim[1], 64);
    assert_int_equal(q->bytes, 3 * 2 * 34);
    assert_int_equal(((const unsigned char *)q->data)[203], 203);
    assert_int_equal((uintptr_t)v->data % 32, 0);
    assert_int_equal(v->bytes, 10);
    assert_int_equal(c->n_dims, 3);
    assert_true(c->dim[0] == 2 && c->dim[1] == 1 && c->dim[2] == 3);
    assert_int_equal(((const unsigned char *)c->data)[23], 23);
    so_gguf_close(&gguf);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    so_error error;
    so_gguf *gguf;
    char *data;
    size_t size;
    write_sample();
    CHECK_OK(so_file_read(path, 1 << 20, &data, &size, &error), error);
    assert_int_equal(size % 32, 0);
    for (size_t n = 0; n < size - 8; n++) { /* the last 8 bytes are padding */
        char *cut = malloc(n ? n : 1);      /* exact, so that a sanitizer sees one byte too far */
        memcpy(cut, data, n);
        assert_int_equal(so_gguf_open_memory(&gguf, cut, n, &error), SO_ERR_FORMAT);
        assert_null(gguf);
        free(cut);
    }
    free(data);
}

/* A file in the making, for what the writer would not write. */
typedef struct bytes {
    unsigned char data[1024];
    size_t size;
} bytes;

static void add(bytes *b, const void *data, size_t n)
{
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void add_number(bytes *b, uint64_t value, size_t n) { add(b, &value, n); }

static void add_string(bytes *b, const char *s)
{
    add_number(b, strlen(s), 8);
    add(b, s, strlen(s));
}

static void add_head(bytes *b, uint32_t version, uint64_t tensors, uint64_t keys)
{
    memset(b, 0, sizeof *b);
    add(b, "GGUF", 4);
    add_number(b, version, 4);
    add_number(b, tensors, 8);
    add_number(b, keys, 8);
}

static void add_info(bytes *b, const char *name, uint64_t n, uint32_t type, uint64_t offset)
{
    add_string(b, name);
    add_number(b, 1, 4);
    add_number(b, n, 8);
    add_number(b, type, 4);
    add_number(b, offset, 8);
}

static void expect(const bytes *b, so_status status, const char *says)
{
    so_error error;
    so_gguf *gguf;
    so_status got = so_gguf_open_memory(&gguf, b->data, b->size, &error);
    if (got != status || !strstr(error.text, says))
        fail_msg("status %d, '%s'; expected %d, '%s'", got, error.text, status, says);
    assert_null(gguf);
}

static void broken_heads_are_refused(void **state)
{
    (void)state;
    bytes b;
    add_head(&b, 2, 0, 0);
    expect(&b, SO_ERR_UNSUPPORTED, "version 2");
    add_head(&b, 0x03000000, 0, 0);
    expect(&b, SO_ERR_UNSUPPORTED, "big-endian");
    add_head(&b, 3, UINT64_MAX, 0);
    expect(&b, SO_ERR_FORMAT, "announced");
    add_head(&b, 3, 0, 1ull << 40);
    expect(&b, SO_ERR_FORMAT, "announced");
    static const struct {
        uint32_t type, item;
        uint64_t n;
        so_status status;
        const char *says;
    } values[] = {
        {13, 0, 0, SO_ERR_FORMAT, "type 13"},
        {SO_GGUF_ARRAY, SO_GGUF_ARRAY, 1, SO_ERR_UNSUPPORTED, "array of arrays"},
        {SO_GGUF_ARRAY, 99, 1, SO_ERR_FORMAT, "type 99"},
        {SO_GGUF_ARRAY, SO_GGUF_U8, UINT64_MAX, SO_ERR_FORMAT, "2^63 items"},
        {SO_GGUF_ARRAY, SO_GGUF_STRING, 1ull << 60, SO_ERR_FORMAT, "items of type string"},
        {SO_GGUF_ARRAY, SO_GGUF_F64, 1ull << 61, SO_ERR_FORMAT, "items of type f64"},
        {SO_GGUF_STRING, 0xffffffff, UINT64_MAX, SO_ERR_FORMAT, "a string of"},
        {SO_GGUF_BOOL, 7, 0, SO_ERR_FORMAT, "a bool of 7"},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        add_head(&b, 3, 0, 1);
        add_string(&b, "k");
        add_number(&b, values[i].type, 4);
        add_number(&b, values[i].item, 4);
        add_number(&b, values[i].n, 8);
        expect(&b, values[i].status, values[i].says);
    }
    add_head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        add_string(&b, "k");
        add_number(&b, SO_GGUF_U32, 4);
        add_number(&b, 1, 4);
    }
    expect(&b, SO_ERR_FORMAT, "'k' appears twice");
    add_head(&b, 3, 0, 1);
    add_string(&b, "general.alignment");
    add_number(&b, SO_GGUF_U32, 4);
    add_number(&b, 12, 4);
    expect(&b, SO_ERR_FORMAT, "general.alignment is 12");
    add_head(&b, 3, 0, 1);
    add_string(&b, "split.count");
    add_number(&b, SO_GGUF_U16, 4);
    add_number(&b, 2, 2);
    expect(&b, SO_ERR_UNSUPPORTED, "2 parts");
}

static void broken_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t n;
        uint32_t type;
        uint64_t offset;
        so_status status;
        const char *says;
    } infos[] = {
        {"a", 4, 0, 64, SO_ERR_FORMAT, "overlap"},
        {"b", 4, 0, 64, SO_ERR_FORMAT, "twice"},
        {"a", 4, 0, 128, SO_ERR_FORMAT, "of 128 bytes"},
        {"a", 4, 0, 1, SO_ERR_FORMAT, "multiple of 32"},
        {"a", 4, 0, UINT64_MAX - 31, SO_ERR_FORMAT, "of 128 bytes"},
        {"a", 4, 3, 0, SO_ERR_UNSUPPORTED, "Q4_1 (3)"},
        {"a", 4, 1000, 0, SO_ERR_UNSUPPORTED, "unknown ggml type 1000"},
        {"a", 31, 8, 0, SO_ERR_FORMAT, "multiple of 32"},
        {"a", UINT64_MAX, 0, 0, SO_ERR_FORMAT, "a dimension of"},
        {"a", 1ull << 62, 0, 0, SO_ERR_FORMAT, "2^63 bytes"},
        {"", 4, 0, 0, SO_ERR_FORMAT, "name has 0"},
        {"a\xff", 4, 0, 0, SO_ERR_FORMAT, "0xff"},
    };
    bytes b;
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        add_head(&b, 3, 2, 0);
        add_info(&b, "b", 4, 0, 64);
        add_info(&b, infos[i].name, infos[i].n, infos[i].type, infos[i].offset);
        b.size = (b.size + 31) / 32 * 32 + 128;
        expect(&b, infos[i].status, infos[i].says);
    }
    add_head(&b, 3, 1, 0);
    add_string(&b, "a");
    add_number(&b, 5, 4);
    b.size += 64;
    expect(&b, SO_ERR_FORMAT, "5 dimensions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_keys_read_back),     cmocka_unit_test(written_tensors_read_back),
        cmocka_unit_test(every_cut_is_refused),       cmocka_unit_test(broken_heads_are_refused),
        cmocka_unit_test(broken_tensors_are_refused),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
