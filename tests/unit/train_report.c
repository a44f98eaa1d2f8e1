/* train: reports are whole HTML, with everything inside and nothing unescaped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "so_train.h"
#include "train/report.h"

/* How often `what` stands in `text`. */
static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

static void a_report_holds_all_its_parts(void **state)
{
    (void)state;
    so_error error;
    char folder[] = "/tmp/so_report_XXXXXX", log[64], path[64], *text;
    size_t size;
    assert_non_null(mkdtemp(folder));
    snprintf(log, sizeof log, "%s/log.jsonl", folder);
    snprintf(path, sizeof path, "%s/report.html", folder);
    const char *lines =
        "{\"step\":10,\"loss\":4.0,\"rate\":0.001,\"norm\":1,\"tokens_per_s\":100,\"skipped\":0,\"ctc\":9}\n"
        "{\"step\":20,\"loss\":3.0,\"rate\":0.001,\"norm\":1,\"tokens_per_s\":110,\"skipped\":0,\"ctc\":5}\n"
        "{\"step\":20,\"eval\":true,\"word_errors\":0.5}\n{\"step\":30,\"loss\":2.5}\nnot json\n"
        "{\"resumed\":20}\n{\"step\":30,\"loss\":2.0,\"ctc\":0.01}\n{\"step\":40,\"lo";
    CHECK_OK(so_file_write(log, lines, strlen(lines), &error), error);
    so_report *r;
    CHECK_OK(so_report_open(&r, "a <b> & \"c\"", &error), error);
    so_report_heading(r, "curves");
    CHECK_OK(so_report_run(r, folder, &error), error);
    const char *cells[] = {"kind", "right", "what is at", "97 %"};
    so_report_table(r, 2, 2, cells);
    so_report_text(r, "%d < %d", 1, 2);
    uint8_t rgb[2 * 3 * 3] = {255, 0, 0};
    so_report_picture(r, "a picture", rgb, 3, 2, 8);
    so_report_file(r, "a png", "image/png", "\x89PNG", 4, 0);
    so_report_file(r, "a flac", "audio/flac", "fLaC", 4, 0);
    float pcm[5] = {0, 0.5f, -2, NAN, 1};
    so_report_sound(r, "a sound", pcm, 5, 16000);
    float matrix[6] = {0, 1, 2, 3, NAN, 5};
    const char *rows[] = {"one", NULL};
    so_report_matrix(r, "alignment", 2, 3, matrix, rows, NULL);
    so_report_matrix(r, "nothing", 0, 3, matrix, NULL, NULL);
    CHECK_OK(so_report_save(r, path, &error), error);
    so_report_close(&r);
    assert_null(r);
    CHECK_OK(so_file_read(path, 1 << 20, &text, &size, &error), error);
    assert_int_equal(strlen(text), size);
    assert_int_equal(count(text, "<h1>a &lt;b&gt; &amp; &quot;c&quot;</h1>"), 1);
    assert_int_equal(count(text, "<svg"), 5); /* training, one evaluation, rate, norm, speed */
    assert_int_equal(count(text, "data:image/bmp;base64,"), 2);
    assert_int_equal(count(text, "data:image/png;base64,iVBORw==\"></div>"), 1);
    assert_int_equal(count(text, "data:audio/flac;base64,ZkxhQw==\""), 1);
    assert_int_equal(count(text, "data:audio/wav;base64,UklGR"), 1);
    assert_int_equal(count(text, "1 &lt; 2"), 1);
    assert_int_equal(count(text, "<figure"), count(text, "</figure>"));
    assert_int_equal(count(text, "<td>loss</td><td>4</td><td>2</td><td>4</td><td>2</td>"), 1); /* 2.5 was withdrawn */
    assert_int_equal(count(text, "nan"), 0);
    assert_int_equal(count(text, "http"), 0);
    assert_int_equal(count(text, "</html>"), 1);
    free(text);
    unlink(log);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void without_a_log_there_is_an_error(void **state)
{
    (void)state;
    so_error error;
    so_report *r;
    CHECK_OK(so_report_open(&r, "t", &error), error);
    assert_int_equal(so_report_run(r, "/nonexistent", &error), SO_ERR_IO);
    assert_int_equal(so_report_save(r, "/nonexistent/r.html", &error), SO_ERR_IO);
    so_report_close(&r);
    so_report_close(NULL);
}

static void the_public_report_finds_the_runs(void **state)
{
    (void)state;
    so_error error;
    char folder[] = "/tmp/so_runs_XXXXXX", part[64], log[96], html[64], *text;
    size_t size;
    assert_non_null(mkdtemp(folder));
    snprintf(part, sizeof part, "%s/hear", folder);
    snprintf(html, sizeof html, "%s/all.html", folder);
    snprintf(log, sizeof log, "%s/log.jsonl", part);
    assert_int_equal(so_train_report(folder, html, &error), SO_ERR_MISSING);
    CHECK_OK(so_make_folder(part, &error), error);
    CHECK_OK(so_file_write(log, "{\"step\":1,\"loss\":2}\n", 21, &error), error);
    CHECK_OK(so_train_report(folder, html, &error), error);
    CHECK_OK(so_file_read(html, 1 << 20, &text, &size, &error), error);
    assert_int_equal(count(text, "<h2>hear</h2>"), 1);
    free(text);
    so_report_part parts[] = {{.kind = SO_REPORT_HEADING, .text = "a <sample>"},
                              {.kind = SO_REPORT_ROWS, .text = "asked\tWhat?\nheard\t1 < 2\nno value"},
                              {.kind = SO_REPORT_TEXT, .text = "100 %s"},
                              {SO_REPORT_PICTURE, NULL, "image/png", "\x89PNG", 4, 224},
                              {SO_REPORT_SOUND, "a voice", "audio/flac", "fLaC", 4, 0}};
    CHECK_OK(so_train_report_with(folder, html, parts, 5, &error), error);
    CHECK_OK(so_file_read(html, 1 << 20, &text, &size, &error), error);
    assert_int_equal(count(text, "<h2>a &lt;sample&gt;</h2>"), 1);
    assert_true(strstr(text, "<h2>a") < strstr(text, "<h2>hear</h2>"));
    assert_int_equal(count(text, "<td>heard</td><td>1 &lt; 2</td>"), 1);
    assert_int_equal(count(text, "<td>no value</td><td></td>"), 1);
    assert_int_equal(count(text, "<p>100 %s</p>"), 1);
    assert_int_equal(count(text, "<img width=\"224\" src=\"data:image/png;base64,"), 1);
    assert_int_equal(count(text, "<figcaption>a voice</figcaption>"), 1);
    assert_int_equal(count(text, "<figure"), count(text, "</figure>"));
    free(text);
    parts[4].type = "text/html";
    assert_int_equal(so_train_report_with(folder, html, parts, 5, &error), SO_ERR_ARG);
    parts[4] = parts[3];
    parts[4].bytes = 0;
    assert_int_equal(so_train_report_with(folder, html, parts, 5, &error), SO_ERR_ARG);
    unlink(log);
    unlink(html);
    rmdir(part);
    assert_int_equal(rmdir(folder), 0);
    so_stage_info info;
    int n = 0;
    while (so_stage_about(n, &info)) {
        if (strcmp(info.name, "speech-text") == 0) assert_string_equal(info.learns, "bottom, top");
        if (strcmp(info.name, "speech-text") == 0) assert_string_equal(info.losses, "ctc 1, units 1, template 0.5");
        n++;
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_report_holds_all_its_parts),
                                       cmocka_unit_test(without_a_log_there_is_an_error),
                                       cmocka_unit_test(the_public_report_finds_the_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
