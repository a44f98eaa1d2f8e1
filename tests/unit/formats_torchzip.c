/* PyTorch's zip files: the reference files bit for bit, made-up archives, hostile pickles.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "formats/safetensors.h"
#include "formats/torchzip.h"

/* Bytes in the making. */
typedef struct bytes {
    unsigned char data[16384];
    size_t size;
} bytes;

static void add(bytes *b, const void *data, size_t n)
{
    assert_true(n <= sizeof b->data - b->size);
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void add_number(bytes *b, uint64_t value, size_t n) { add(b, &value, n); }
static void op(bytes *b, const char *opcodes) { add(b, opcodes, strlen(opcodes)); }

static void text(bytes *b, const char *s)
{
    op(b, "X");
    add_number(b, strlen(s), 4);
    op(b, s);
}

static void number(bytes *b, int64_t value)
{
    op(b, "\x8a\x08");
    add_number(b, (uint64_t)value, 8);
}

static void numbers(bytes *b, const int64_t *value, int n)
{
    op(b, "(");
    for (int i = 0; i < n; i++) number(b, value[i]);
    op(b, "t");
}

static void tensor(bytes *b, const char *class, int64_t elements, int64_t offset, const int64_t *dim,
                   const int64_t *stride, int n)
{
    op(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    text(b, "storage");
    op(b, "ctorch\n");
    op(b, class);
    op(b, "\n");
    text(b, "0");
    text(b, "cpu");
    number(b, elements);
    op(b, "tQ");
    number(b, offset);
    numbers(b, dim, n);
    numbers(b, stride, n);
    op(b, "\x89"
          "ccollections\nOrderedDict\n)RtR");
}

typedef struct entry {
    const char *name;
    const void *data;
    size_t size;
} entry;

static void make_zip(bytes *zip, const entry *entries, int n, int zip64)
{
    size_t at[8];
    zip->size = 0;
    for (int i = 0; i < n; i++) {
        at[i] = zip->size;
        add(zip, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
        add_number(zip, entries[i].size, 4);
        add_number(zip, entries[i].size, 4);
        add_number(zip, strlen(entries[i].name), 2);
        add_number(zip, 0, 2);
        op(zip, entries[i].name);
        add(zip, entries[i].data, entries[i].size);
    }
    size_t directory = zip->size;
    for (int i = 0; i < n; i++) {
        add(zip, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        add_number(zip, zip64 ? 0xffffffff : entries[i].size, 4);
        add_number(zip, zip64 ? 0xffffffff : entries[i].size, 4);
        add_number(zip, strlen(entries[i].name), 2);
        add_number(zip, zip64 ? 28 : 0, 2);
        add_number(zip, 0, 8);
        add_number(zip, 0, 2);
        add_number(zip, zip64 ? 0xffffffff : at[i], 4);
        op(zip, entries[i].name);
        if (!zip64) continue;
        add_number(zip, 1, 2);
        add_number(zip, 24, 2);
        add_number(zip, entries[i].size, 8);
        add_number(zip, entries[i].size, 8);
        add_number(zip, at[i], 8);
    }
    size_t end = zip->size;
    if (zip64) {
        add(zip, "PK\6\6", 4);
        add_number(zip, 44, 8);
        for (int i = 0; i < 3; i++) add_number(zip, 0, 4);
        add_number(zip, (uint64_t)n, 8);
        add_number(zip, (uint64_t)n, 8);
        add_number(zip, end - directory, 8);
        add_number(zip, directory, 8);
        add(zip, "PK\6\7\0\0\0\0", 8);
        add_number(zip, end, 8);
        add_number(zip, 1, 4);
    }
    add(zip, "PK\5\6\0\0\0\0", 8);
    add_number(zip, zip64 ? 0xffff : (uint64_t)n, 2);
    add_number(zip, zip64 ? 0xffff : (uint64_t)n, 2);
    add_number(zip, zip64 ? 0xffffffff : end - directory, 4);
    add_number(zip, zip64 ? 0xffffffff : directory, 4);
    add_number(zip, 0, 2);
}

static const float six[6] = {0, 1, 2, 3, 4, 5};

static so_status open_pickle(const bytes *pickle, int zip64, so_torchzip **file, so_error *error)
{
    static bytes zip; /* lent to the file */
    entry entries[] = {{"a/data.pkl", pickle->data, pickle->size}, {"a/data/0", six, sizeof six}};
    make_zip(&zip, entries, 2, zip64);
    return so_torchzip_open_memory(file, zip.data, zip.size, error);
}

static void begin(bytes *b)
{
    b->size = 0;
    op(b, "\x80\x02}");
}

static void tensors_and_scalars_are_found(void **state)
{
    (void)state;
    bytes b;
    so_error error;
    so_torchzip *file;
    int64_t square[2] = {2, 3}, row[2] = {3, 1}, column[2] = {1, 3}, turned[2] = {3, 2}, two[1] = {2}, one[1] = {1};
    begin(&b);
    op(&b, "(");
    text(&b, "plain");
    tensor(&b, "FloatStorage", 6, 0, square, row, 2);
    text(&b, "inner");
    op(&b, "}");
    text(&b, "turned");
    tensor(&b, "FloatStorage", 6, 0, turned, column, 2);
    op(&b, "s");
    text(&b, "list");
    op(&b, "](");
    tensor(&b, "FloatStorage", 6, 4, two, one, 1);
    op(&b, "NK\7\x88G");
    add(&b, "\x3f\xf8\0\0\0\0\0\0", 8);
    text(&b, "wörd");
    op(&b, "\x8a\1\xfe"
           "e");
    text(&b, "scalar");
    tensor(&b, "LongStorage", 3, 2, NULL, NULL, 0);
    op(&b, "u.");
    for (int zip64 = 0; zip64 < 2; zip64++) {
        CHECK_OK(open_pickle(&b, zip64, &file, &error), error);
        const so_views *views = so_torchzip_views(file);
        assert_int_equal(views->count, 4);
        const so_view *plain = so_views_find(views, "plain"), *t = so_views_find(views, "inner.turned");
        assert_true(plain && plain->type == SO_F32 && plain->dim[0] == 2 && plain->dim[1] == 3);
        assert_memory_equal(plain->data, six, sizeof six);
        float expected[6] = {0, 3, 1, 4, 2, 5};
        assert_true(t && t->dim[0] == 3 && t->dim[1] == 2);
        assert_memory_equal(t->data, expected, sizeof expected);
        const so_view *part = so_views_find(views, "list.0");
        assert_true(part && part->bytes == 8 && ((const float *)part->data)[1] == 5);
        const so_view *scalar = so_views_find(views, "scalar");
        assert_true(scalar && scalar->n_dims == 0 && scalar->bytes == 8 && scalar->type == SO_I64);
        assert_int_equal(so_torchzip_scalars(file), 6);
        assert_int_equal(so_torchzip_find_scalar(file, "list.1")->kind, SO_TORCHZIP_NONE);
        assert_int_equal(so_torchzip_find_scalar(file, "list.2")->i, 7);
        assert_int_equal(so_torchzip_find_scalar(file, "list.3")->kind, SO_TORCHZIP_BOOL);
        assert_true(so_torchzip_find_scalar(file, "list.4")->f == 1.5);
        assert_memory_equal(so_torchzip_find_scalar(file, "list.5")->s.data, "wörd", 5);
        assert_int_equal(so_torchzip_find_scalar(file, "list.6")->i, -2);
        assert_null(so_torchzip_find_scalar(file, "list.7"));
        so_torchzip_close(&file);
        assert_null(file);
    }
}

static void refuse(const bytes *b, so_status status, const char *says)
{
    so_error error;
    so_torchzip *file;
    so_status got = open_pickle(b, 0, &file, &error);
    if (got != status || !strstr(error.text, says))
        fail_msg("status %d, '%s'; expected %d, '%s'", got, error.text, status, says);
    assert_null(file);
}

static void hostile_pickles_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pickle;
        so_status status;
        const char *says;
    } bad[] = {
        {"cos\nsystem\n(X\2!!!lst", SO_ERR_UNSUPPORTED, "os.system"},
        {"ctorch\nload\n.", SO_ERR_UNSUPPORTED, "torch.load"},
        {"\x8c\2os\x8c\6system\x93.", SO_ERR_UNSUPPORTED, "os.system"},
        {"}ccollections\nOrderedDict\n(K\1tRs.", SO_ERR_UNSUPPORTED, "1 arguments"},
        {"}}R.", SO_ERR_FORMAT, "no function"},
        {"ctorch\nFloatStorage\n)R.", SO_ERR_UNSUPPORTED, "torch.FloatStorage"},
        {"ctorch._utils\n_rebuild_tensor_v2\n)R.", SO_ERR_FORMAT, "storage, offset"},
        {"}K\1b.", SO_ERR_FORMAT, "attributes"},
        {"K\1}b.", SO_ERR_FORMAT, "attributes"},
        {"K\1Q.", SO_ERR_FORMAT, "not a storage"},
        {"", SO_ERR_FORMAT, "no end"},
        {".", SO_ERR_FORMAT, "one value"},
        {"}}.", SO_ERR_FORMAT, "one value"},
        {"}(.", SO_ERR_FORMAT, "one value"},
        {"K", SO_ERR_FORMAT, "inside an instruction"},
        {"X\xff\xff\xff\x7f", SO_ERR_FORMAT, "longer than"},
        {"t", SO_ERR_FORMAT, "no mark"},
        {"(\x86.", SO_ERR_FORMAT, "lacks items"},
        {"}(s.", SO_ERR_FORMAT, "container"},
        {"](K\1K\1s.", SO_ERR_FORMAT, "container"},
        {"}(K\1u.", SO_ERR_FORMAT, "container"},
        {"e.", SO_ERR_FORMAT, "container"},
        {"(e.", SO_ERR_FORMAT, "container"},
        {"]((a.", SO_ERR_FORMAT, "container"},
        {"h\1.", SO_ERR_FORMAT, "unknown memo"},
        {"q\1.", SO_ERR_FORMAT, "nothing to remember"},
        {"}r\xff\xff\xff\x7f.", SO_ERR_FORMAT, "memo number"},
        {"\x8a\x09", SO_ERR_UNSUPPORTED, "9 bytes, expected"},
        {"\x80\x63.", SO_ERR_UNSUPPORTED, "protocol 99"},
        {"i.", SO_ERR_UNSUPPORTED, "instruction 0x69"},
        {"K\1.", SO_ERR_UNSUPPORTED, "does not hold a dict"},
        {"}(NNu.", SO_ERR_UNSUPPORTED, "a key is no string"},
        {"}(K\1ctorch\nFloatStorage\nu.", SO_ERR_UNSUPPORTED, "neither a tensor"},
        {"}q\1(K\1h\1u.", SO_ERR_LIMIT, "too many shared"},
        {"}(K\1]q\1h\1au.", SO_ERR_LIMIT, "too many shared"},
    };
    bytes b;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        b.size = 0;
        op(&b, bad[i].pickle);
        refuse(&b, bad[i].status, bad[i].says);
    }
    /* each list holds the one before ten times: 10^20 values from 600 bytes */
    b.size = 0;
    op(&b, "}(");
    for (int i = 0; i < 20; i++) {
        op(&b, "K");
        add_number(&b, (uint64_t)i, 1);
        op(&b, i ? "](h\1h\1h\1h\1h\1h\1h\1h\1h\1h\1eq\1" : "](NNNNNNNNNNeq\1");
    }
    op(&b, "u.");
    refuse(&b, SO_ERR_LIMIT, "too many shared values");
    b.size = 0;
    op(&b, "}(K\1");
    for (int i = 0; i < 100; i++) op(&b, "]");
    for (int i = 0; i < 99; i++) op(&b, "a");
    op(&b, "u.");
    refuse(&b, SO_ERR_LIMIT, "nested deeper than 64");
    begin(&b);
    op(&b, "(X");
    add_number(&b, 3, 4);
    add(&b, "a\0b", 3);
    op(&b, "K\1u.");
    refuse(&b, SO_ERR_FORMAT, "zero byte");
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        int64_t elements, offset, dim[2], stride[2];
        so_status status;
        const char *says;
    } bad[] = {
        {"FloatStorage", 6, 1, {2, 3}, {3, 1}, SO_ERR_FORMAT, "reaches element 7 of 6"},
        {"FloatStorage", 7, 1, {2, 3}, {3, 1}, SO_ERR_FORMAT, "in 24 bytes"},
        {"DoubleStorage", 6, 0, {2, 3}, {3, 1}, SO_ERR_FORMAT, "in 24 bytes"},
        {"FloatStorage", INT64_MAX, 0, {2, 3}, {3, 1}, SO_ERR_FORMAT, "in 24 bytes"},
        {"FloatStorage", -1, 0, {2, 3}, {3, 1}, SO_ERR_FORMAT, "not a storage"},
        {"FloatStorage", 6, -1, {2, 3}, {3, 1}, SO_ERR_FORMAT, "storage, offset"},
        {"FloatStorage", 6, 0, {2, -3}, {3, 1}, SO_ERR_FORMAT, "size or stride"},
        {"FloatStorage", 6, 0, {2, 3}, {3, -1}, SO_ERR_FORMAT, "size or stride"},
        {"FloatStorage", 6, INT64_MAX, {2, 3}, {3, 1}, SO_ERR_FORMAT, "beyond 2^63"},
        {"FloatStorage", 6, INT64_MAX, {1, 1}, {1, 1}, SO_ERR_FORMAT, "beyond 2^63"},
        {"FloatStorage", 6, 0, {2, 3}, {INT64_MAX, INT64_MAX}, SO_ERR_FORMAT, "beyond 2^63"},
        {"FloatStorage", 6, 0, {1ll << 40, 1ll << 40}, {0, 0}, SO_ERR_FORMAT, "2^63 elements"},
        {"FloatStorage", 6, 0, {1 << 20, 3}, {0, 1}, SO_ERR_LIMIT, "strided copies"},
        {"CharStorage", 6, 0, {2, 3}, {3, 1}, SO_ERR_UNSUPPORTED, "CharStorage"},
    };
    bytes b;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(&b);
        text(&b, "t");
        tensor(&b, bad[i].class, bad[i].elements, bad[i].offset, bad[i].dim, bad[i].stride, 2);
        op(&b, "s.");
        refuse(&b, bad[i].status, bad[i].says);
    }
    begin(&b);
    for (int i = 0; i < 2; i++) {
        text(&b, "t");
        tensor(&b, bad[0].class, 6, 0, bad[0].dim, bad[0].stride, 2);
        op(&b, "s");
    }
    op(&b, ".");
    refuse(&b, SO_ERR_FORMAT, "twice");
}

static void refuse_zip(const bytes *zip, size_t size, so_status status, const char *says)
{
    so_error error;
    so_torchzip *file;
    unsigned char *exact = malloc(size ? size : 1);
    memcpy(exact, zip->data, size);
    so_status got = so_torchzip_open_memory(&file, exact, size, &error);
    if (got != status || !strstr(error.text, says))
        fail_msg("status %d, '%s'; expected %d, '%s'", got, error.text, status, says);
    assert_null(file);
    free(exact);
}

static void bad_archives_are_refused(void **state)
{
    (void)state;
    bytes zip, b;
    int64_t six_dims[1] = {6}, one[1] = {1};
    begin(&b);
    text(&b, "t");
    tensor(&b, "FloatStorage", 6, 0, six_dims, one, 1);
    op(&b, "s.");
    entry entries[] = {{"a/data.pkl", b.data, b.size}, {"a/data/0", six, sizeof six}, {"a/byteorder", "big", 3}};
    for (int zip64 = 0; zip64 < 2; zip64++) {
        make_zip(&zip, entries, 2, zip64);
        for (size_t n = 0; n < zip.size; n++)
            refuse_zip(&zip, n, SO_ERR_FORMAT, n == 0 ? "an empty file" : n < 4 ? "not a zip" : "the file was cut");
    }
    make_zip(&zip, entries, 3, 0);
    refuse_zip(&zip, zip.size, SO_ERR_UNSUPPORTED, "byte order 'big'");
    make_zip(&zip, entries, 1, 0);
    refuse_zip(&zip, zip.size, SO_ERR_MISSING, "a/data/0");
    make_zip(&zip, entries + 1, 1, 0);
    refuse_zip(&zip, zip.size, SO_ERR_MISSING, "no data.pkl");
    make_zip(&zip, entries, 2, 0);
    size_t central = zip.size - 22 - 46 - 8; /* the directory entry of a/data/0 */
    zip.data[central + 10] = 8;
    refuse_zip(&zip, zip.size, SO_ERR_UNSUPPORTED, "compressed");
    zip.data[central + 10] = 0;
    zip.data[central + 42] ^= 1;
    refuse_zip(&zip, zip.size, SO_ERR_FORMAT, "no entry at byte");
    zip.data[central + 42] ^= 1;
    zip.data[central + 23] = zip.data[central + 27] = 0x7f;
    refuse_zip(&zip, zip.size, SO_ERR_FORMAT, "leave the file");
    entry twice[] = {entries[0], entries[0]};
    make_zip(&zip, twice, 2, 0);
    refuse_zip(&zip, zip.size, SO_ERR_FORMAT, "twice");
}

static void same_views(const so_views *got, const so_views *expected, const char *prefix)
{
    char name[2048];
    for (int64_t i = 0; i < expected->count; i++) {
        const so_view *e = &expected->view[i];
        snprintf(name, sizeof name, "%s%s", prefix, e->name);
        const so_view *g = so_views_find(got, name);
        if (!g) fail_msg("'%s' is missing", name);
        assert_int_equal(g->type, e->type);
        assert_int_equal(g->n_dims, e->n_dims);
        assert_memory_equal(g->dim, e->dim, sizeof g->dim);
        assert_memory_equal(g->data, e->data, e->bytes);
    }
}

static void compare(const char *pt, const char *twin, const char *prefix, int64_t extra, int64_t scalars)
{
    so_error error;
    so_torchzip *file;
    so_safetensors *expected;
    CHECK_OK(so_torchzip_open(&file, check_shared(pt), &error), error);
    CHECK_OK(so_safetensors_open(&expected, check_shared(twin), &error), error);
    same_views(so_torchzip_views(file), so_safetensors_views(expected), prefix);
    if (extra >= 0) assert_int_equal(so_torchzip_views(file)->count, so_safetensors_views(expected)->count + extra);
    assert_int_equal(so_torchzip_scalars(file), scalars);
    so_torchzip_close(&file);
    so_safetensors_close(&expected);
}

static void reference_files_equal_their_twins(void **state)
{
    (void)state;
    compare("reference/cosyvoice-tiny/flow.pt", "reference/cosyvoice-tiny/flow.safetensors", "", 0, 0);
    compare("reference/cosyvoice-tiny/hift.pt", "reference/cosyvoice-tiny/hift.safetensors", "", 0, 0);
    compare("reference/cosyvoice-tiny/variants/hift_train.pt", "reference/cosyvoice-tiny/hift.safetensors",
            "generator.", 4, 2);
}

/* weight_g and weight_v became parametrizations.weight.original0 and original1. */
static void parametrized_variant_holds_the_same(void **state)
{
    (void)state;
    so_error error;
    so_torchzip *file;
    so_safetensors *expected;
    char name[2048];
    int64_t renamed = 0;
    CHECK_OK(so_torchzip_open(&file, check_shared("reference/cosyvoice-tiny/variants/hift_parametrized.pt"), &error),
             error);
    CHECK_OK(so_safetensors_open(&expected, check_shared("reference/cosyvoice-tiny/hift.safetensors"), &error), error);
    const so_views *views = so_safetensors_views(expected);
    assert_int_equal(so_torchzip_views(file)->count, views->count);
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *e = &views->view[i];
        size_t n = strlen(e->name);
        snprintf(name, sizeof name, "%s", e->name);
        if (n > 8 && (strcmp(name + n - 8, "weight_g") == 0 || strcmp(name + n - 8, "weight_v") == 0)) {
            snprintf(name + n - 8, sizeof name - n, "parametrizations.weight.original%d", e->name[n - 1] == 'v');
            renamed++;
        }
        const so_view *g = so_views_find(so_torchzip_views(file), name);
        if (!g) fail_msg("'%s' is missing", name);
        assert_int_equal(g->bytes, e->bytes);
        assert_memory_equal(g->data, e->data, e->bytes);
    }
    assert_true(renamed > 0);
    so_torchzip_close(&file);
    so_safetensors_close(&expected);
}

static void speaker_file_holds_its_vectors(void **state)
{
    (void)state;
    so_error error;
    so_torchzip *file;
    so_safetensors *golden;
    CHECK_OK(so_torchzip_open(&file, check_shared("reference/cosyvoice-tiny/spk2info.pt"), &error), error);
    CHECK_OK(so_safetensors_open(&golden, check_shared("reference/cosyvoice-tiny/golden.safetensors"), &error), error);
    static const char *const names[3] = {"中文女", "英文女", "英文男"};
    assert_int_equal(so_torchzip_views(file)->count, 3);
    for (int i = 0; i < 3; i++) {
        char name[64], stored[64];
        snprintf(name, sizeof name, "%s.embedding", names[i]);
        snprintf(stored, sizeof stored, "spk2info.embedding%d", i);
        const so_view *g = so_views_find(so_torchzip_views(file), name);
        assert_true(g && g->n_dims == 2 && g->dim[0] == 1 && g->dim[1] == 192);
        const so_view *e = so_views_find(so_safetensors_views(golden), stored);
        if (!e) fail_msg("golden '%s' is missing", stored);
        assert_int_equal(e->bytes, g->bytes);
        assert_memory_equal(g->data, e->data, e->bytes);
    }
    so_torchzip_close(&file);
    so_safetensors_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_and_scalars_are_found),     cmocka_unit_test(hostile_pickles_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),           cmocka_unit_test(bad_archives_are_refused),
        cmocka_unit_test(reference_files_equal_their_twins), cmocka_unit_test(parametrized_variant_holds_the_same),
        cmocka_unit_test(speaker_file_holds_its_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
