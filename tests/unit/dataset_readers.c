/* Readers of corpora: every form, every rule of placeholders, and everything that can be wrong, counted by its reason.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <sys/stat.h>

#include "dataset/readers/readers.h"
#include "dataset/readers/tar.h"
#include "dataset/views.h"
#include "media/audio.h"
#include "place.h"

static char root[] = "/tmp/so_readers_XXXXXX";
static so_error error;

static const char *in_root(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void write_bytes(const char *name, const void *data, size_t size)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s", in_root(name));
    *strrchr(folder, '/') = 0;
    CHECK_OK(so_make_folder(folder, &error), error);
    CHECK_OK(so_file_write(in_root(name), data, size, &error), error);
}
static void write_text(const char *name, const char *text) { write_bytes(name, text, strlen(text)); }

static void write_sound(const char *name, double seconds)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s", in_root(name));
    *strrchr(folder, '/') = 0;
    CHECK_OK(so_make_folder(folder, &error), error);
    int64_t n = (int64_t)(seconds * 16000);
    float *x = calloc((size_t)n + 1, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = 0.3f * sinf((float)i * 0.05f);
    so_audio_format format;
    CHECK_OK(so_audio_format_of(name, &format, &error), error);
    CHECK_OK(so_audio_write(in_root(name), format, x, n, 16000, &error), error);
    free(x);
}

static void write_picture(const char *name)
{
    so_image image;
    CHECK_OK(so_image_init(&image, 8, 6, &error), error);
    memset(image.rgb, 120, 8 * 6 * 3);
    char folder[256];
    snprintf(folder, sizeof folder, "%s", in_root(name));
    *strrchr(folder, '/') = 0;
    CHECK_OK(so_make_folder(folder, &error), error);
    CHECK_OK(so_image_write_png(&image, in_root(name), &error), error);
    so_image_clear(&image);
}

static int make_root(void **state)
{
    (void)state;
    if (place_make(root)) return -1;
    write_picture("img/a.png");
    write_picture("img/b.png");
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    return place_remove(root);
}

static so_dataset *dataset;
static so_sink_counts counts;

static so_status try_reading(const char *path, const so_read_options *read, bool deep)
{
    so_sink *sink;
    so_sink_options options = {.deep = deep, .threads = 2};
    so_dataset_close(&dataset);
    CHECK_OK(so_sink_open(&sink, in_root("out"), &options, &error), error);
    so_status status = so_read_corpus(in_root(path), read, sink, &error);
    if (status == SO_OK) status = so_sink_commit(sink, NULL, &error);
    counts = *so_sink_counts_of(sink);
    so_sink_close(&sink);
    if (status == SO_OK) CHECK_OK(so_dataset_open(&dataset, in_root("out"), &error), error);
    return status;
}

/* Reads a corpus that is made of records; `bad` of them are left out. */
static void reads(const char *path, const so_read_options *read, int64_t records, int64_t bad)
{
    CHECK_OK(try_reading(path, read, true), error);
    assert_int_equal(counts.records, records);
    assert_int_equal(counts.all_bad, bad);
    assert_int_equal(dataset->count, records);
}

static void turn_is(int64_t i, int turn, const char *text)
{
    so_record r;
    CHECK_OK(so_dataset_read(dataset, i, &r, &error), error);
    assert_true(turn < r.turns);
    assert_string_equal(r.turn[turn].text, text);
    so_record_clear(&r);
}

#define ASK(id, image, question, answer)                                                                               \
    "{\"id\":\"" id "\"," image "\"conversations\":[{\"from\":\"human\",\"value\":\"" question                         \
    "\"},{\"from\":\"gpt\",\"value\":\"" answer "\"}]}"
#define A "\"image\":\"img/a.png\","
#define AB "\"image\":[\"img/a.png\",\"img/b.png\"],"

/* Lines joined by `between`; the caller frees. */
static char *join(const char *const *line, size_t n, const char *between)
{
    size_t size = 3;
    for (size_t i = 0; i < n; i++) size += strlen(line[i]) + strlen(between);
    char *all = calloc(size, 1);
    for (size_t i = 0; i < n; i++) {
        strcat(all, line[i]);
        strcat(all, i + 1 < n ? between : "");
    }
    return all;
}
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void placeholders_follow_the_rules(void **state)
{
    (void)state;
    static const char *const records[] = {
        ASK("0", A, "<image>\\nWhat?", "A lamp."),
        ASK("1", A, "What? <image>", "Yes."),
        ASK("2", A, "What?", "No."),
        ASK("3", AB, "<image> or <image>?", "Both."),
        ASK("4", "", "A literal <image>", "<image> is text."),
        ASK("5", A, "<image><image>?", "Two for one."),
        ASK("6", AB, "What?", "None for two."),
        ASK("7", AB, "<image>?", "One for two."),
        ASK("8", A, "<image>\\nQA_GT_caption_based_noisyWhat?", "x"),
    };
    char *list = join(records, COUNT(records), ","), *all;
    if (asprintf(&all, "[%s]", list) < 0) fail();
    write_text("llava.json", all);
    free(list);
    free(all);
    reads("llava.json", NULL, 6, 3);
    assert_int_equal(counts.bad[SO_BAD_PLACEHOLDER], 3);
    assert_int_equal(counts.odd[SO_ODD_MARK], 1);
    turn_is(0, 0, "<image>\nWhat?");
    turn_is(1, 0, "<image>\nWhat?");
    turn_is(2, 0, "<image>\nWhat?");
    turn_is(3, 0, "<image> or <image>?");
    turn_is(4, 0, "A literal <image>");
    turn_is(5, 0, "<image>\nWhat?");
    assert_int_equal(dataset->lengths[3].images, 2);
    assert_int_equal(dataset->lengths[0].answers, strlen("A lamp."));
}

static void questions_may_be_spoken(void **state)
{
    (void)state;
    write_sound("s/q.wav", 1.0);
    write_text("asked.jsonl",
               "{\"id\":\"a\",\"question\":\"What is it?\",\"answer\":\"A lamp.\",\"image\":\"img/a.png\","
               "\"speech\":\"s/q.wav\",\"duration\":1.0,\"answer_speech\":\"s/q.wav\"}\n"
               "{\"question\":\"And?\",\"answer\":\"Nothing.\"}\n"
               "{\"question\":\"And?\",\"answer\":\"x\",\"speech\":\"s/gone.wav\"}\n"
               "{\"question\":\"And?\",\"answer\":1}\n");
    reads("asked.jsonl", NULL, 2, 2);
    turn_is(0, 0, "<image>\nWhat is it?");
    turn_is(0, 1, "A lamp.");
    turn_is(1, 0, "And?");
    assert_int_equal(dataset->lengths[0].images, 1);
    assert_int_equal(dataset->lengths[0].ms, 2000);
    assert_int_equal(counts.bad[SO_BAD_NO_SOUND], 1);
    assert_int_equal(counts.bad[SO_BAD_FORM], 1);
}

/* What is written down can be read: records as this program writes them are held to all that is asked of them then. */
static void own_records_are_read_before_they_are_kept(void **state)
{
    (void)state;
    write_text("own.jsonl", "{\"id\":\"a\",\"turns\":[{\"role\":\"user\",\"text\":\"x\",\"units\":[1,2]}]}\n"
                            "{\"id\":\"b\",\"turns\":[{\"role\":\"usez\",\"text\":\"x\"}]}\n"
                            "{\"id\":\"c\",\"turns\":[{\"role\":\"user\",\"text\":\"x\",\"units\":[1,-2]}]}\n");
    reads("own.jsonl", &(so_read_options){.format = "records"}, 1, 2);
    turn_is(0, 0, "x");
    assert_int_equal(counts.bad[SO_BAD_FORM], 2);
}

#define TURN(from, value) "{\"from\":\"" from "\",\"value\":\"" value "\"}"
#define TALK(id, turns) "{\"id\":\"" id "\",\"conversations\":[" turns "]}"

static const char *const wrong[] = {
    ASK("1", "\"image\":\"img/gone.png\",", "q", "a"),
    ASK("2", "\"image\":\"img/cut.png\",", "q", "a"),
    ASK("3", "\"image\":\"img/page.jpg\",", "q", "a"),
    ASK("4", "\"image\":\"../../etc/passwd\",", "q", "a"),
    ASK("5", "\"image\":\"/etc/passwd\",", "q", "a"),
    ASK("6", "", "q", " "),
    ASK("7", "\"image\":\"img/a.jpg\",", "q", "found as png"),
    ASK("7", "", "q", "the same id"),
    TALK("8", TURN("human", "q") "," TURN("human", "q")),
    TALK("9", TURN("human", "q")),
    TALK("10", ""),
    "{\"id\":11}",
    "[1,2]",
    "\"text\"",
    "not json",
    "{\"id\":\"12\",\"text\":\"bad \xff utf\"}",
    TALK("13", TURN("gpt", "first") "," TURN("human", "q") "," TURN("gpt", "a")),
};

/* A record with a text of 70 kB, a line of 16 MiB, then the list. */
static void write_wrong(void)
{
    char *line = malloc((16 << 20) + 80000), *long_text = malloc(70000), *rest = join(wrong, COUNT(wrong), "\n"), *all;
    memset(long_text, 'x', 69999);
    long_text[69999] = 0;
    sprintf(line, ASK("0", "", "%s", "yes") "\n", long_text);
    size_t at = strlen(line);
    memset(line + at, ' ', 16 << 20);
    line[at] = '{';
    line[at + (16 << 20)] = 0;
    if (asprintf(&all, "%s\n%s\n", line, rest) < 0) fail();
    write_text("bad.jsonl", all);
    free(line);
    free(long_text);
    free(rest);
    free(all);
}

static void what_is_wrong_is_counted_by_its_reason(void **state)
{
    (void)state;
    static const int64_t expected[SO_BADS] = {
        [SO_BAD_TEXT] = 1,  [SO_BAD_LONG] = 1,  [SO_BAD_NO_PICTURE] = 1, [SO_BAD_PICTURE] = 2, [SO_BAD_PATH] = 2,
        [SO_BAD_EMPTY] = 2, [SO_BAD_ROLES] = 2, [SO_BAD_FORM] = 3,       [SO_BAD_JSON] = 1,    [SO_BAD_UTF8] = 1};
    write_text("img/cut.png", "\x89PNG\r\n\x1a\n....");
    write_text("img/page.jpg", "<!DOCTYPE html><html>Not found</html>");
    write_wrong();
    CHECK_OK(try_reading("bad.jsonl", NULL, true), error);
    for (int i = 0; i < SO_BADS; i++)
        if (counts.bad[i] != expected[i])
            fail_msg("%s: %lld, expected %lld", so_bad_name((so_bad)i), (long long)counts.bad[i],
                     (long long)expected[i]);
    assert_int_equal(counts.records, 3);
    assert_int_equal(counts.odd[SO_ODD_ENDING], 1);
    assert_int_equal(counts.odd[SO_ODD_TWICE], 1);
    assert_int_equal(counts.odd[SO_ODD_FIRST], 1);
    char *told;
    size_t size;
    int64_t lines = 0;
    CHECK_OK(so_file_read(in_root("out/bad.jsonl"), 1 << 20, &told, &size, &error), error);
    for (size_t i = 0; i < size; i++) lines += told[i] == '\n';
    assert_int_equal(lines, counts.all_bad);
    assert_non_null(strstr(told, "\"reason\":\"picture broken\",\"file\":"));
    free(told);
}

static void forms_of_json_are_told_apart(void **state)
{
    (void)state;
    write_sound("s/1.wav", 1.0);
    write_text(
        "forms.jsonl",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"What is \"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"img/a.png\"}}]},{\"role\":"
        "\"assistant\",\"content\":\"Grey.\"}]}\n"
        "{\"id\":\"42\",\"data\":[\"q1\",\"a1\",\"q2\",\"a2\"]}\n"
        "{\"instruction\":\"Add\",\"input\":\"1 and 2\",\"output\":\"3\"}\n"
        "{\"audio_filepath\":\"s/1.wav\",\"duration\":1.0,\"text\":\"hello there\"}\n"
        "{\"audio\":\"s/1.wav\",\"offset\":0.25,\"duration\":0.5,\"sentence\":\"hello\"}\n"
        "{\"id\":\"w\",\"title\":\"T\",\"text\":\"An extract.\"}\n"
        "[{\"from\":\"human\",\"speech\":\"s/1.wav\",\"text\":\"Hey\",\"unit\":null},"
        "{\"from\":\"gpt\",\"speech\":\"s/1.wav\",\"text\":\"Ho\",\"unit\":\"<6560><1>\"}]\n");
    reads("forms.jsonl", NULL, 7, 0);
    turn_is(0, 1, "<image>\nWhat is");
    turn_is(1, 3, "a2");
    turn_is(2, 0, "Add\n1 and 2");
    turn_is(3, 0, "hello there");
    turn_is(5, 0, "An extract.");
    assert_int_equal(dataset->lengths[3].ms, 1000);
    assert_int_equal(dataset->lengths[4].ms, 500);
    assert_int_equal(dataset->lengths[6].ms, 2000);
    assert_int_equal(counts.odd[SO_ODD_UNITS], 1);
    write_text("own.json", "[{\"dialog\":[{\"who\":\"Q\",\"says\":\"one\"},{\"who\":\"A\",\"says\":\"two\"}]}]");
    reads("own.json", &(so_read_options){.keys = "conversations=dialog,role=who,content=says,user=Q,assistant=A"}, 1,
          0);
    turn_is(0, 1, "two");
}

static void shares_are_taken(void **state)
{
    (void)state;
    char text[2000] = "[";
    for (int i = 0; i < 15; i++)
        sprintf(text + strlen(text), "%s{\"id\":\"%d\",\"data\":[\"q%d\",\"a\"]}", i ? "," : "", i, i);
    strcat(text, "]");
    write_text("many.json", text);
    reads("many.json", &(so_read_options){.take = "first:2"}, 2, 0);
    turn_is(1, 0, "q1");
    reads("many.json", &(so_read_options){.take = "end:2"}, 2, 0);
    turn_is(0, 0, "q13");
    reads("many.json", &(so_read_options){.take = "10%"}, 2, 0); /* rounded up */
    reads("many.json", &(so_read_options){.take = "random:5", .seed = 3}, 5, 0);
    char identity[65];
    strcpy(identity, dataset->identity);
    reads("many.json", &(so_read_options){.take = "random:5", .seed = 3}, 5, 0);
    assert_string_equal(identity, dataset->identity);
    reads("many.json", &(so_read_options){.take = "random:5", .seed = 4}, 5, 0);
    assert_string_not_equal(identity, dataset->identity);
    assert_int_equal(try_reading("many.json", &(so_read_options){.take = "some:5"}, true), SO_ERR_ARG);
    write_text("mix.yaml", "# a mixture\ndatasets:\n  - json_path: many.json\n    sampling_strategy: \"first:3\"\n"
                           "  - json_path: llava.json\n    sampling_strategy: end:20%\n");
    placeholders_follow_the_rules(state);
    reads("mix.yaml", NULL, 4, 1);
    write_text("mix.yaml", "datasets: [");
    assert_int_equal(try_reading("mix.yaml", NULL, true), SO_ERR_FORMAT);
}

static void folders_of_speech(void **state)
{
    (void)state;
    write_sound("LibriSpeech/dev/84/121123/84-121123-0000.flac", 1);
    write_sound("LibriSpeech/dev/84/121123/84-121123-0001.flac", 61);
    write_text(
        "LibriSpeech/dev/84/121123/84-121123.trans.txt",
        "84-121123-0000 THE OLD CLOCK DOESN'T STRIKE AND I'M LATE\n84-121123-0001 TOO LONG\n84-121123-0002 GONE\n");
    reads("LibriSpeech", NULL, 1, 2);
    turn_is(0, 0, "The old clock doesn't strike and I'm late");
    assert_int_equal(counts.bad[SO_BAD_DURATION], 1);
    assert_int_equal(counts.bad[SO_BAD_NO_SOUND], 1);

    write_sound("aishell/wav/dev/S0002/BAC009S0002W0122.wav", 1);
    write_sound("aishell/wav/dev/S0002/BAC009S0002W0123.wav", 1);
    write_text("aishell/transcript/aishell_transcript_v0.8.txt", "BAC009S0002W0122 今天 晚上 ａ b c\n");
    reads("aishell", NULL, 1, 1);
    turn_is(0, 0, "今天晚上A B C");
    assert_int_equal(counts.bad[SO_BAD_NO_TEXT], 1);
}

static void more_folders_of_speech(void **state)
{
    (void)state;
    write_sound("aishell3/train/wav/SSB0005/SSB00050001.wav", 1);
    write_text("aishell3/train/content.txt", "SSB00050001.wav\t广 guang3 州 zhou1\nSSB00050002.wav\t女 nv3 儿\n");
    reads("aishell3", NULL, 1, 1);
    turn_is(0, 0, "广州");

    write_sound("cv/clips/x.wav", 1);
    write_text("cv/test.tsv", "client_id\tpath\tsentence\tlocale\nabc\tx.wav\tSay \"it\"\ten\nabc\ty.wav\tgone\ten\n");
    reads("cv/test.tsv", NULL, 1, 1);
    turn_is(0, 0, "Say \"it\"");

    write_sound("kaldi/a.flac", 3);
    write_text("kaldi/wav.scp", "r1 flac -c -d -s a.flac |\nr2 cat a.flac | sox - |\nr3 a.flac\n");
    write_text("kaldi/text", "u1 one\nu2 two\nu3 three\nr3 whole\n");
    write_text("kaldi/segments", "u1 r1 0.5 1.5\nu2 r2 0 1\nu3 r3 2 -1\nu4 r3 1 0\n");
    reads("kaldi", NULL, 2, 2);
    assert_int_equal(counts.bad[SO_BAD_COMMAND], 1);
    assert_int_equal(dataset->lengths[0].ms, 1000);
    assert_int_equal(dataset->lengths[1].ms, 1000);
    so_record r;
    so_clips clips = {0};
    so_audio audio;
    CHECK_OK(so_dataset_read(dataset, 1, &r, &error), error);
    CHECK_OK(so_clips_read(&clips, &r.turn[0], &audio, &error), error);
    assert_int_equal(audio.n, 16000);
    so_audio_clear(&audio);
    so_clips_clear(&clips);
    so_record_clear(&r);
}

static void segments_of_wenetspeech(void **state)
{
    (void)state;
    write_sound("wenet/audio/y.wav", 5);
    write_text("wenet/WenetSpeech.json",
               "{\"audios\":[{\"aid\":\"Y\",\"path\":\"audio/y.wav\",\"segments\":["
               "{\"sid\":\"Y_0\",\"begin_time\":1.0,\"end_time\":2.5,\"text\":\"今天 天气\",\"subsets\":[\"L\",\"M\"]},"
               "{\"sid\":\"Y_1\",\"begin_time\":2.5,\"end_time\":9,\"text\":\"x\",\"subsets\":[\"L\"]},"
               "{\"sid\":\"Y_2\",\"text\":\"x\",\"subsets\":[\"L\"]}]}]}");
    reads("wenet", NULL, 1, 2);
    turn_is(0, 0, "今天天气");
    reads("wenet", &(so_read_options){.subset = "M"}, 1, 0);
}

static void texts(void **state)
{
    (void)state;
    write_text("plain.txt", "One line\nand another.\n\n\nThe second.\n");
    reads("plain.txt", NULL, 2, 0);
    turn_is(0, 0, "One line\nand another.");
    write_text("wiki_00",
               "<doc id=\"12\" url=\"u\" title=\"T\">\nT\n\nFirst.\n</doc>\n<doc id=\"13\">\nNext\n</doc>\n");
    reads("wiki_00", NULL, 2, 0);
    turn_is(0, 0, "T\n\nFirst.");
    write_text("latin.txt", "caf\xe9\n");
    reads("latin.txt", NULL, 0, 1);
}

static size_t add_member(unsigned char *out, const char *name, const char *data, size_t size)
{
    CHECK_OK(so_tar_header(out, name, size, &error), error);
    memcpy(out + 512, data, size);
    memset(out + 512 + size, 0, so_tar_padding(size));
    return 512 + size + so_tar_padding(size);
}

static void shards(void **state)
{
    (void)state;
    static unsigned char tar[1 << 16];
    char *png, *wav;
    size_t png_size, wav_size, n = 0;
    write_sound("t.wav", 0.5);
    CHECK_OK(so_file_read(in_root("img/a.png"), 1 << 20, &png, &png_size, &error), error);
    CHECK_OK(so_file_read(in_root("t.wav"), 1 << 20, &wav, &wav_size, &error), error);
    n += add_member(tar + n, "d/one.txt", "A grey field.\n", 14);
    n += add_member(tar + n, "d/one.png", png, png_size);
    n += add_member(tar + n, "two.json", ASK("x", A, "What?", "Grey."), strlen(ASK("x", A, "What?", "Grey.")));
    n += add_member(tar + n, "two.jpg", png, png_size);
    n += add_member(tar + n, "three.txt", "hello", 5);
    n += add_member(tar + n, "three.wav", wav, wav_size);
    n += add_member(tar + n, "../four.txt", "out", 3);
    n += add_member(tar + n, "five.json", "{", 1);
    n += add_member(tar + n, "six.txt", "cut", 3);
    size_t whole = n;
    n += add_member(tar + n, "six.wav", wav, wav_size);
    memset(tar + n, 0, 1024);
    write_bytes("p-000.tar", tar, n + 1024);
    write_bytes("p-001.tar", tar, whole + 512 + 100);
    reads("p-000.tar", NULL, 4, 2);
    turn_is(0, 1, "A grey field.");
    turn_is(1, 0, "<image>\nWhat?");
    turn_is(2, 0, "hello");
    so_record r;
    so_image image = {0};
    CHECK_OK(so_dataset_read(dataset, 1, &r, &error), error);
    CHECK_OK(so_locator_image(&r.image[0], &image, &error), error);
    assert_int_equal(image.w, 8);
    so_image_clear(&image);
    so_record_clear(&r);
    assert_int_equal(counts.bad[SO_BAD_PATH], 1);
    reads("p-{000..001}.tar", NULL, 7, 5);
    assert_int_equal(counts.bad[SO_BAD_CUT], 1);
    free(png);
    free(wav);
}

static so_status tell_ids(void *context, const so_stretch *s, so_error *e)
{
    (void)e;
    char *out = context;
    sprintf(out + strlen(out), "%s%.*s%s", s->learnt ? "[" : "", (int)s->size, s->text, s->learnt ? "]" : "");
    return SO_OK;
}

static void only_answers_are_learnt(void **state)
{
    (void)state;
    char text[2000] = "";
    so_record r;
    placeholders_follow_the_rules(state);
    CHECK_OK(so_dataset_read(dataset, 0, &r, &error), error);
    CHECK_OK(so_render(&r, &(so_render_options){.system = "S"}, tell_ids, text, &error), error);
    assert_string_equal(text,
                        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>"
                        "user<|end_header_id|>\n\n<image>\nWhat?<|eot_id|><|start_header_id|>assistant"
                        "<|end_header_id|>\n\n[A lamp.][<|eot_id|>]");
    text[0] = 0;
    CHECK_OK(so_render(&r, &(so_render_options){.plain = true}, tell_ids, text, &error), error);
    assert_string_equal(text, "<|begin_of_text|><image>[A lamp.][<|end_of_text|>]");
    so_record_clear(&r);
}

static so_status count_units(void *context, const float *pcm, int64_t n, int rate, int32_t **units, int64_t *count,
                             so_error *e)
{
    (void)pcm;
    int *left = context;
    if ((*left)-- == 0) return so_fail(e, SO_ERR_STOPPED, "stopped");
    *count = n * 25 / rate;
    *units = malloc((size_t)*count * sizeof **units + 1);
    for (int64_t i = 0; i < *count; i++) (*units)[i] = (int32_t)(*count * 100 + i);
    return SO_OK;
}

static void units_are_made_once_and_go_on(void **state)
{
    (void)state;
    write_sound("s/1.wav", 1.0);
    write_sound("s/2.wav", 2.0);
    write_text("two.jsonl", "{\"audio\":\"s/1.wav\",\"text\":\"one\"}\n{\"audio\":\"s/2.wav\",\"text\":\"two\"}\n");
    reads("two.jsonl", NULL, 2, 0);
    int left = 1;
    so_unit_options o = {.tokenise = count_units, .tokeniser = &left, .identity = "test"};
    assert_int_equal(so_dataset_units(dataset, in_root("units"), &o, NULL, &error), SO_ERR_STOPPED);
    left = 1; /* only one recording is left */
    so_sink_counts made;
    CHECK_OK(so_dataset_units(dataset, in_root("units"), &o, &made, &error), error);
    assert_int_equal(made.units, 75);
    so_dataset *with;
    so_record r;
    uint16_t *units;
    int64_t n;
    CHECK_OK(so_dataset_open(&with, in_root("units"), &error), error);
    CHECK_OK(so_dataset_read(with, 1, &r, &error), error);
    CHECK_OK(so_turn_listed(&r.turn[0], &units, &n, &error), error);
    assert_int_equal(n, 50);
    assert_int_equal(units[49], 5049);
    assert_int_equal(with->lengths[1].units, 50);
    free(units);
    so_record_clear(&r);
    /* packed and read again */
    int64_t shard_count;
    CHECK_OK(so_dataset_shard(with, in_root("packed"), NULL, &shard_count, &error), error);
    assert_int_equal(shard_count, 1);
    so_dataset_close(&with);
    reads("packed/part-000000.tar", NULL, 2, 0);
    CHECK_OK(so_dataset_read(dataset, 1, &r, &error), error);
    CHECK_OK(so_turn_listed(&r.turn[0], &units, &n, &error), error);
    assert_int_equal(n, 50);
    assert_int_equal(units[49], 5049);
    free(units);
    so_record_clear(&r);
}

static void count_bad(void *context, int64_t i, const char *id, so_bad reason, const char *what)
{
    (void)i, (void)id, (void)what;
    ((int *)context)[reason]++;
}

static void a_changed_folder_is_told(void **state)
{
    (void)state;
    int found[SO_BADS] = {0};
    int64_t bad;
    so_sink_options options = {.threads = 1};
    write_picture("img/d.png");
    write_text("c.json", "[" ASK("0", "\"image\":\"img/d.png\",", "q", "a") "," ASK("1", A, "q", "a") "]");
    reads("c.json", NULL, 2, 0);
    CHECK_OK(so_dataset_check(dataset, &options, count_bad, found, &bad, &error), error);
    assert_int_equal(bad, 0);
    write_text("img/d.png", "gone bad");
    CHECK_OK(so_dataset_check(dataset, &options, count_bad, found, &bad, &error), error);
    assert_int_equal(bad, 1);
    assert_int_equal(found[SO_BAD_PICTURE], 1);
    char *data;
    size_t size;
    CHECK_OK(so_file_read(in_root("out/records.jsonl"), 1 << 20, &data, &size, &error), error);
    so_dataset_close(&dataset);
    *strstr(data, "q\"") = 'x';
    write_bytes("out/records.jsonl", data, size);
    CHECK_OK(so_dataset_open(&dataset, in_root("out"), &error), error);
    assert_int_equal(so_dataset_check(dataset, &options, count_bad, found, &bad, &error), SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "was changed"));
    so_dataset_close(&dataset);
    write_bytes("out/records.jsonl", data, size - 1);
    assert_int_equal(so_dataset_open(&dataset, in_root("out"), &error), SO_ERR_FORMAT);
    free(data);
}

/* Recordings that are none, lengths that are not so or absurd, units that cannot be those of the recording, and a list
 * of units that was cut since. */
static void recordings_and_units_that_are_wrong(void **state)
{
    (void)state;
    char text[4000] = "", units[400] = "";
    int found[SO_BADS] = {0};
    int64_t bad;
    so_sink_options options = {.threads = 1, .least_s = 0.1, .most_s = 60};
    write_sound("w/1.wav", 2.0);
    write_text("w/broken.wav", "RIFF\x10WAVEfmt no more");
    write_text("wrong.jsonl", "{\"audio\":\"w/broken.wav\",\"text\":\"a\"}\n"
                              "{\"audio\":\"w/1.wav\",\"duration\":3,\"text\":\"not so long\"}\n"
                              "{\"audio\":\"w/1.wav\",\"offset\":1,\"duration\":1e300,\"text\":\"absurd\"}\n"
                              "{\"audio\":\"w/1.wav\",\"offset\":-1,\"duration\":1,\"text\":\"before it\"}\n"
                              "{\"audio\":\"w/1.wav\",\"duration\":2,\"text\":\"good\"}\n");
    reads("wrong.jsonl", NULL, 1, 4);
    assert_int_equal(counts.bad[SO_BAD_SOUND], 1);
    assert_int_equal(counts.bad[SO_BAD_DURATION], 3);

    static const char record[] =
        "{\"id\":\"%s\",\"turns\":[{\"role\":\"user\",\"text\":\"a\",\"audio\":{\"path\":\"w/1.wav\"},"
        "\"units\":%s},{\"role\":\"assistant\",\"text\":\"b\"}]}\n";
    for (int i = 0; i < 50; i++) sprintf(units + strlen(units), "%s%d", i ? "," : "[", i);
    strcat(units, "]");
    sprintf(text, record, "good", units);
    sprintf(text + strlen(text), record, "few", "[1,2,3]");
    sprintf(text + strlen(text), record, "list", "{\"path\":\"w/u.u16\",\"at\":[0,100]}");
    write_text("units.jsonl", text);
    memset(text, 1, 100);
    write_bytes("w/u.u16", text, 100);
    reads("units.jsonl", NULL, 2, 1);
    assert_int_equal(counts.bad[SO_BAD_UNITS], 1);
    CHECK_OK(so_dataset_check(dataset, &options, count_bad, found, &bad, &error), error);
    assert_int_equal(bad, 0);
    write_bytes("w/u.u16", text, 40);
    CHECK_OK(so_dataset_check(dataset, &options, count_bad, found, &bad, &error), error);
    assert_int_equal(bad, 1);
    assert_int_equal(found[SO_BAD_UNITS], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_follow_the_rules),
        cmocka_unit_test(questions_may_be_spoken),
        cmocka_unit_test(own_records_are_read_before_they_are_kept),
        cmocka_unit_test(what_is_wrong_is_counted_by_its_reason),
        cmocka_unit_test(forms_of_json_are_told_apart),
        cmocka_unit_test(shares_are_taken),
        cmocka_unit_test(folders_of_speech),
        cmocka_unit_test(more_folders_of_speech),
        cmocka_unit_test(segments_of_wenetspeech),
        cmocka_unit_test(texts),
        cmocka_unit_test(shards),
        cmocka_unit_test(only_answers_are_learnt),
        cmocka_unit_test(units_are_made_once_and_go_on),
        cmocka_unit_test(a_changed_folder_is_told),
        cmocka_unit_test(recordings_and_units_that_are_wrong),
    };
    int failed = cmocka_run_group_tests(tests, make_root, remove_root);
    so_dataset_close(&dataset);
    return failed;
}
