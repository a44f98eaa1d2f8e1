/* safetensors: what is written is read back; every broken file is refused with its reason.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "formats/safetensors.h"

static char folder[] = "/tmp/so_safetensors_XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[8][128];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, 128, "%s/%s", folder, name);
    return p;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "a", "b", "half"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    return rmdir(folder); /* fails if a temporary was left */
}

static void write_two(const char *path, const char *first, const char *second)
{
    so_error error;
    so_safetensors_writer *writer;
    int64_t shape[2] = {2, 3}, row[1] = {5};
    float matrix[6] = {1, 2, 3, 4, 5, -6};
    uint16_t halves[5] = {1, 2, 3, 4, 65535};
    CHECK_OK(so_safetensors_create(&writer, path, &error), error);
    CHECK_OK(so_safetensors_set(writer, "format", "pt", &error), error);
    CHECK_OK(so_safetensors_declare(writer, first, SO_F32, 2, shape, &error), error);
    CHECK_OK(so_safetensors_declare(writer, second, SO_BF16, 1, row, &error), error);
    CHECK_OK(so_safetensors_put(writer, first, matrix, sizeof matrix, &error), error);
    CHECK_OK(so_safetensors_put(writer, second, halves, sizeof halves, &error), error);
    CHECK_OK(so_safetensors_commit(&writer, &error), error);
    assert_null(writer);
}

static void written_file_reads_back(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *file;
    write_two(in_folder("model.safetensors"), "m", "naïve \"quoted\"");
    CHECK_OK(so_safetensors_open(&file, folder, &error), error);
    const so_views *views = so_safetensors_views(file);
    assert_int_equal(views->count, 2);
    assert_string_equal(views->view[0].name, "m");
    const so_view *m = so_views_find(views, "m"), *b = so_views_find(views, "naïve \"quoted\"");
    assert_ptr_equal(m, &views->view[0]);
    assert_non_null(b);
    assert_null(so_views_find(views, "x"));
    assert_int_equal(m->type, SO_F32);
    assert_int_equal(m->n_dims, 2);
    assert_int_equal(m->dim[0], 2);
    assert_int_equal(m->dim[1], 3);
    assert_int_equal(m->bytes, 24);
    assert_int_equal(so_view_elements(m), 6);
    assert_true(((const float *)m->data)[5] == -6);
    assert_int_equal(b->type, SO_BF16);
    assert_int_equal(((const uint16_t *)b->data)[4], 65535);
    assert_string_equal(so_safetensors_metadata(file, "format"), "pt");
    assert_null(so_safetensors_metadata(file, "none"));
    so_safetensors_close(&file);
    assert_null(file);
    unlink(in_folder("model.safetensors"));
}

static void unfinished_file_is_absent(void **state)
{
    (void)state;
    so_error error;
    so_safetensors_writer *writer;
    int64_t one = 1;
    float x = 0;
    CHECK_OK(so_safetensors_create(&writer, in_folder("half"), &error), error);
    CHECK_OK(so_safetensors_declare(writer, "a", SO_F32, 1, &one, &error), error);
    assert_int_equal(so_safetensors_declare(writer, "a", SO_F32, 1, &one, &error), SO_ERR_FORMAT);
    assert_int_equal(so_safetensors_declare(writer, "q", SO_Q8_0, 1, &one, &error), SO_ERR_UNSUPPORTED);
    assert_int_equal(so_safetensors_put(writer, "b", &x, 4, &error), SO_ERR_STATE);
    assert_int_equal(so_safetensors_put(writer, "a", &x, 3, &error), SO_ERR_STATE);
    assert_int_equal(so_safetensors_declare(writer, "late", SO_F32, 1, &one, &error), SO_ERR_STATE);
    assert_int_equal(so_safetensors_commit(&writer, &error), SO_ERR_STATE);
    assert_null(writer);
    assert_int_equal(access(in_folder("half"), F_OK), -1);
}

static void write_text(const char *name, const char *text)
{
    so_error error;
    CHECK_OK(so_file_write(in_folder(name), text, strlen(text), &error), error);
}

static void shards_are_one_set(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *file;
    const char *index = "model.safetensors.index.json";
    write_two(in_folder("a"), "x", "y");
    write_two(in_folder("b"), "z", "w");
    write_text(index, "{\"metadata\":{},\"weight_map\":{\"x\":\"a\",\"z\":\"b\",\"y\":\"a\",\"w\":\"b\"}}");
    CHECK_OK(so_safetensors_open(&file, folder, &error), error);
    assert_int_equal(so_safetensors_views(file)->count, 4);
    assert_non_null(so_views_find(so_safetensors_views(file), "w"));
    so_safetensors_close(&file);

    static const struct {
        const char *text;
        so_status status;
        const char *says;
    } bad[] = {
        {"{\"weight_map\":{\"x\":\"a\",\"q\":\"b\"}}", SO_ERR_MISSING, "'q' is not in 'b'"},
        {"{\"weight_map\":{\"x\":\"b\",\"z\":\"a\"}}", SO_ERR_MISSING, "'x' is not in 'b'"},
        {"{\"weight_map\":{\"x\":\"c\"}}", SO_ERR_MISSING, "does not exist"},
        {"{\"weight_map\":{\"x\":\"../a\"}}", SO_ERR_FORMAT, "plain file name"},
        {"{\"weight_map\":{\"x\":1}}", SO_ERR_FORMAT, "not a string"},
        {"{\"weight_map\":[]}", SO_ERR_FORMAT, "weight_map"},
        {"{", SO_ERR_FORMAT, "byte"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(index, bad[i].text);
        assert_int_equal(so_safetensors_open(&file, in_folder(index), &error), bad[i].status);
        if (!strstr(error.text, bad[i].says)) fail_msg("'%s' does not say '%s'", error.text, bad[i].says);
        assert_null(file);
    }
    write_two(in_folder("b"), "x", "w");
    write_text(index, "{\"weight_map\":{\"x\":\"a\",\"w\":\"b\"}}");
    assert_int_equal(so_safetensors_open(&file, folder, &error), SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "'x' appears twice"));
    unlink(in_folder(index));
    assert_int_equal(so_safetensors_open(&file, folder, &error), SO_ERR_MISSING);
}

/* A file with this header and `data_bytes` of data, from memory. */
static so_status open_header(const char *header, size_t data_bytes, so_safetensors **file, so_error *error)
{
    static char bytes[4096];
    uint64_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    return so_safetensors_open_memory(file, bytes, 8 + length + data_bytes, error);
}

static void broken_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        so_status status;
        const char *says;
    } bad[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, SO_ERR_FORMAT, "of 7 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, SO_ERR_FORMAT, "end at byte 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, SO_ERR_FORMAT, "say 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, SO_ERR_FORMAT, "lies at"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, SO_ERR_FORMAT, "lies at"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, SO_ERR_FORMAT, "dimension of -2"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, SO_ERR_FORMAT,
         "2^63 elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,0,4],\"data_offsets\":[0,0]}}", 0, SO_ERR_FORMAT,
         "2^63 elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, SO_ERR_FORMAT,
         "2^63 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, SO_ERR_FORMAT,
         "9 dimensions"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, SO_ERR_UNSUPPORTED, "F8_E4M3"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, SO_ERR_FORMAT, "not an integer"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, SO_ERR_FORMAT, "no proper"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, SO_ERR_FORMAT, "no proper"},
        {"{\"a\":3}", 0, SO_ERR_FORMAT, "no proper"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
         4, SO_ERR_FORMAT, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, SO_ERR_FORMAT, "overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
         5, SO_ERR_FORMAT, "hole"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, SO_ERR_FORMAT, "name has 0 bytes"},
        {"{\"a\\n\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, SO_ERR_FORMAT, "0x0a"},
        {"{\"__metadata__\":{\"a\":1}}", 0, SO_ERR_FORMAT, "not a string"},
        {"{\"__metadata__\":[]}", 0, SO_ERR_FORMAT, "not an object"},
        {" {}", 0, SO_ERR_FORMAT, "begin with '{'"},
        {"{}{}", 0, SO_ERR_FORMAT, "byte"},
        {"{\"a\":", 0, SO_ERR_FORMAT, "byte"},
    };
    so_error error;
    so_safetensors *file;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_status status = open_header(bad[i].header, bad[i].data, &file, &error);
        if (status != bad[i].status || !strstr(error.text, bad[i].says))
            fail_msg("%s: status %d, '%s'; expected %d, '%s'", bad[i].header, status, error.text, bad[i].status,
                     bad[i].says);
        assert_null(file);
    }
    uint64_t lengths[] = {200000000, 9, UINT64_MAX, 0};
    char bytes[16] = {0};
    for (int i = 0; i < 4; i++) {
        memcpy(bytes, &lengths[i], 8);
        assert_int_not_equal(so_safetensors_open_memory(&file, bytes, sizeof bytes, &error), SO_OK);
    }
    assert_int_equal(so_safetensors_open_memory(&file, bytes, 7, &error), SO_ERR_FORMAT);
    assert_int_equal(so_safetensors_open_memory(&file, NULL, 0, &error), SO_ERR_FORMAT);
}

static void odd_but_right_files_are_read(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *file;
    CHECK_OK(open_header("{}", 0, &file, &error), error);
    assert_int_equal(so_safetensors_views(file)->count, 0);
    so_safetensors_close(&file);
    /* data in another order than names, a scalar, an empty tensor, a bool, trailing spaces, misaligned data */
    CHECK_OK(open_header("{\"f\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[3,7]},"
                         "\"e\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[3,3]},"
                         "\"b\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}  ",
                         7, &file, &error),
             error);
    const so_views *views = so_safetensors_views(file);
    assert_int_equal((uintptr_t)so_views_find(views, "f")->data % 4, 0);
    assert_int_equal(so_views_find(views, "f")->bytes, 4);
    assert_int_equal(so_views_find(views, "e")->bytes, 0);
    assert_int_equal(so_view_elements(so_views_find(views, "e")), 0);
    assert_int_equal(so_views_find(views, "b")->type, SO_U8);
    so_safetensors_close(&file);
}

static void reference_files_open(void **state)
{
    (void)state;
    so_error error;
    so_safetensors *file;
    const char *path = check_shared("reference/stream-omni-tiny/model/model.safetensors");
    CHECK_OK(so_safetensors_open(&file, path, &error), error);
    const so_view *view = so_views_find(so_safetensors_views(file), "model.embed_tokens.weight");
    assert_non_null(view);
    assert_int_equal(view->n_dims, 2);
    so_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_file_reads_back),      cmocka_unit_test(unfinished_file_is_absent),
        cmocka_unit_test(shards_are_one_set),           cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(odd_but_right_files_are_read), cmocka_unit_test(reference_files_open),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
