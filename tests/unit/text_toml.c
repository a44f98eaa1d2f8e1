/* Reading TOML: what is read, and an error for everything else.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "text/toml.h"

static const so_toml_entry *find(const so_toml *t, const char *name, int64_t number)
{
    for (int64_t i = 0; i < t->count; i++)
        if (t->entry[i].number == number && strcmp(t->entry[i].name, name) == 0) return &t->entry[i];
    fail_msg("no %s", name);
    return NULL;
}

static void values_of_every_kind(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf# first\r\n"
                               "name = \"a \\\"b\\\" \\u00e9\\U0001F600\\n\" # behind\n"
                               "plain = 'C:\\dir'\n"
                               "seed = -1_000\nrate = 1.5e-3\nzero = 0\nyes = true\n"
                               "\"quoted key\" = 1\n"
                               "list = [ 1, [ 2.0, \"x\" ], # a comment\n  true, ]\n"
                               "empty = []\n"
                               "[plan]\n  steps = 10\n"
                               "[optim]\ngroups.vision.rate = 0.5\ngroups.vision.decay = 0\n"
                               "[optim.groups.top]\nrate = 2\n"
                               "[[data]]\npath = \"a\"\n\n[[data]]\npath = \"b\"\n[data.more]\nx = 1\n";
    so_toml t;
    so_error error;
    CHECK_OK(so_toml_parse(&t, text, sizeof text - 1, &error), error);
    assert_string_equal(find(&t, "name", -1)->value.text, "a \"b\" \xc3\xa9\xf0\x9f\x98\x80\n");
    assert_string_equal(find(&t, "plain", -1)->value.text, "C:\\dir");
    assert_int_equal(find(&t, "seed", -1)->value.whole, -1000);
    assert_true(find(&t, "seed", -1)->value.real == -1000);
    assert_true(find(&t, "rate", -1)->value.kind == SO_TOML_REAL && find(&t, "rate", -1)->value.real == 1.5e-3);
    assert_true(find(&t, "yes", -1)->value.yes);
    assert_int_equal(find(&t, "quoted key", -1)->line, 8);
    const so_toml_value *list = &find(&t, "list", -1)->value;
    assert_int_equal(list->items, 3);
    assert_string_equal(list->item[1].item[1].text, "x");
    assert_int_equal(find(&t, "empty", -1)->value.items, 0);
    assert_int_equal(find(&t, "plan.steps", -1)->value.whole, 10);
    assert_true(find(&t, "optim.groups.vision.rate", -1)->value.real == 0.5);
    assert_int_equal(find(&t, "optim.groups.top.rate", -1)->value.whole, 2);
    assert_int_equal(so_toml_tables(&t, "data"), 2);
    assert_string_equal(find(&t, "data.path", 1)->value.text, "b");
    assert_int_equal(find(&t, "data.more.x", 1)->line, 25);
    so_toml_close(&t);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        so_status status;
        const char *told;
    } wrong[] = {
        {"a = 1\na = 2\n", SO_ERR_FORMAT, "line 2: 'a' was set on line 1 already"},
        {"a 1", SO_ERR_FORMAT, "line 1: expected '=', found '1'"},
        {"a = ", SO_ERR_FORMAT, "line 1: expected a value, found the end of the file"},
        {"a = \n", SO_ERR_FORMAT, "line 1: expected a value, found the end of the line"},
        {"= 1", SO_ERR_FORMAT, "line 1: expected a key, found '='"},
        {"a = 1 2", SO_ERR_FORMAT, "line 1: expected the end of the line, found '2'"},
        {"a = word", SO_ERR_FORMAT, "line 1: 'word' is no value; a text stands in quotes"},
        {"a = 007", SO_ERR_FORMAT, "line 1: '007' is no value; a text stands in quotes"},
        {"a = 1__0", SO_ERR_FORMAT, "line 1: '1__0' is no value; a text stands in quotes"},
        {"a = 1.", SO_ERR_FORMAT, "line 1: '1.' is no value; a text stands in quotes"},
        {"a = 99999999999999999999", SO_ERR_FORMAT, "line 1: the number 99999999999999999999 is too large"},
        {"a = 1e999", SO_ERR_FORMAT, "line 1: the number 1e999 is too large"},
        {"a = \"x\ny\"", SO_ERR_FORMAT, "line 1: a text ends on its line, found the end of the line"},
        {"a = \"x", SO_ERR_FORMAT, "line 1: a text without its end, found the end of the file"},
        {"a = \"\\q\"", SO_ERR_FORMAT, "line 1: an unknown escape, found 'q'"},
        {"a = \"\\ud800\"", SO_ERR_FORMAT, "line 1: an escape that is no character, found '\"'"},
        {"a = \"\\u0000\"", SO_ERR_FORMAT, "line 1: an escape that is no character, found '\"'"},
        {"a = \"\\u00g0\"", SO_ERR_FORMAT, "line 1: expected a hexadecimal digit, found 'g'"},
        {"a = [1 2]", SO_ERR_FORMAT, "line 1: expected ',' or ']' in an array, found '2'"},
        {"a = [1,\n2", SO_ERR_FORMAT, "line 2: expected ',' or ']' in an array, found the end of the file"},
        {"a = [[[[[[[[[1]]]]]]]]]", SO_ERR_LIMIT, "line 1: more than 8 arrays in each other"},
        {"[a", SO_ERR_FORMAT, "line 1: expected ']', found the end of the file"},
        {"[[a]", SO_ERR_FORMAT, "line 1: expected ']]', found the end of the file"},
        {"[a]\n[a]", SO_ERR_FORMAT, "line 2: the table 'a' was there before"},
        {"[[a]]\n[a]", SO_ERR_FORMAT, "line 2: the table 'a' was there before"},
        {"[a]\n[[a]]", SO_ERR_FORMAT, "line 2: the table 'a' was there before"},
        {"a = 1\n[a]", SO_ERR_FORMAT, "line 2: 'a' is a value already, and can be no table"},
        {"[a]\nb.c = 1\nb = 2", SO_ERR_FORMAT, "line 3: 'a.b' is a table already, and can be no value"},
        {"a = 1 # \x01", SO_ERR_FORMAT, "line 1: a comment holds no control characters, found the byte 0x01"},
        {"\n\na = \"\xff\"", SO_ERR_FORMAT, "line 3: a text that is not UTF-8"},
        {"a = 1979-05-27", SO_ERR_UNSUPPORTED, "line 1: a date or a time is not read here"},
        {"a = {b = 1}", SO_ERR_UNSUPPORTED, "line 1: an inline table is not read here"},
        {"a = \"\"\"x\"\"\"", SO_ERR_UNSUPPORTED, "line 1: a text over several lines is not read here"},
        {"a = 0xff", SO_ERR_UNSUPPORTED, "line 1: a number to another base than ten is not read here"},
        {"[[a.b]]", SO_ERR_UNSUPPORTED, "line 1: an array of tables within a table is not read here"},
        {"\"a.b\" = 1", SO_ERR_UNSUPPORTED, "line 1: a key with a dot in it is not read here"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        so_toml t;
        so_error error = {0};
        so_status status = so_toml_parse(&t, wrong[i].text, strlen(wrong[i].text), &error);
        if (status != wrong[i].status || strcmp(error.text, wrong[i].told) != 0)
            fail_msg("%s: status %d, '%s'", wrong[i].text, (int)status, error.text);
        so_toml_close(&t);
    }
    char *large = malloc(SO_TOML_MOST + 1);
    so_toml t;
    so_error error;
    memset(large, '\n', SO_TOML_MOST + 1);
    CHECK_OK(so_toml_parse(&t, large, SO_TOML_MOST, &error), error);
    so_toml_close(&t);
    assert_int_equal(so_toml_parse(&t, large, SO_TOML_MOST + 1, &error), SO_ERR_LIMIT);
    so_toml_close(&t);
    free(large);
}

static void settings_of_a_shell(void **state)
{
    (void)state;
    so_toml t = {0};
    so_error error;
    so_toml_value v;
    const char *name;
    CHECK_OK(so_toml_assign(&t, "plan.steps=12", &name, &v, &error), error);
    assert_true(strcmp(name, "plan.steps") == 0 && v.kind == SO_TOML_WHOLE && v.whole == 12);
    CHECK_OK(so_toml_assign(&t, "out=runs/one", &name, &v, &error), error);
    assert_true(v.kind == SO_TOML_TEXT && strcmp(v.text, "runs/one") == 0);
    CHECK_OK(so_toml_assign(&t, "learn=[\"top\"]", &name, &v, &error), error);
    assert_true(v.kind == SO_TOML_LIST && v.items == 1);
    CHECK_OK(so_toml_assign(&t, "x=a=b", &name, &v, &error), error);
    assert_string_equal(v.text, "a=b");
    assert_int_equal(so_toml_assign(&t, "steps", &name, &v, &error), SO_ERR_ARG);
    assert_string_equal(error.text, "'steps' is not NAME=VALUE");
    assert_int_equal(so_toml_assign(&t, "=1", &name, &v, &error), SO_ERR_ARG);
    so_toml_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(settings_of_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
