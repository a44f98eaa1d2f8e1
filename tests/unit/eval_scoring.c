/* Answers by the rules of benchmarks: goldens obtained from the public reference code, and worked out by its rules.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "eval/scoring/answers.h"
#include "eval/scoring/benchmark.h"
#include "eval/scoring/compare.h"
#include "eval/scoring/sheet.h"
#include "place.h"
#include "text/unicode.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
static so_error error;

static void evalai_forms(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"The Red car.", "red car"},
        {"3.5 a.m.", "3.5 am"},
        {"1,000", "1000"},
        {"ten o'clock", "10 o'clock"},
        {"Yes, it is!", "yes it is"},
        {"half-open", "half open"},
        {"black & white", "black & white"},
        {"no. 7", "no 7"},
        {"the cat's bowl", "cat 's bowl"},
        {"dont know", "don't know"},
        {"thats it", "that's it"},
        {"don't", "don't"},
        {"a/b", "b"},
        {"one (1)", "1 1"},
        {"U.S.A.", "usa"},
        {"two dogs, one cat", "2 dogs 1 cat"},
        {"it's", "it 's"},
        {"well - known", "well known"},
        {"$5.00", "$5.00"},
        {"\"stop\"", "stop"},
        {"none", "0"},
        {"10:30", "10:30"},
        {"an  apple\tpie\n", "apple pie"},
        {"what is 2+2?", "what is 2 2"},
        {"couldnt've couldn'tve yalld've", "couldn't've couldn't've yalld've"},
        {"its were well id", "its were well id"},
        {"........................................", "........"},
    };
    so_string out = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_OK(so_answer_evalai(cases[i][0], &out, &error), error);
        if (strcmp(out.data, cases[i][1]) != 0)
            fail_msg("\"%s\" gave \"%s\", expected \"%s\"", cases[i][0], out.data, cases[i][1]);
    }
    so_string_clear(&out);
}

static void vqa_counts_annotators(void **state)
{
    (void)state;
    const char *const ten[] = {"red",      "red",      "red",    "red",    "dark red",
                               "dark red", "dark red", "maroon", "maroon", "Red."};
    static const struct {
        const char *answer;
        double score;
    } cases[] = {{"red", 1}, {"dark red", 0.9}, {"maroon", 0.6}, {"blue", 0}, {"the Red", 1}};
    double score;
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_OK(so_vqa_accuracy(cases[i].answer, ten, 10, false, &score, &error), error);
        assert_true(fabs(score - cases[i].score) < 1e-12);
    }
    /* The server changes forms only where annotators disagree. */
    const char *const agreed[] = {"The dog", "The dog", "The dog", "The dog"};
    CHECK_OK(so_vqa_accuracy("dog", agreed, 4, true, &score, &error), error);
    assert_true(score == 0);
    CHECK_OK(so_vqa_accuracy("dog", agreed, 4, false, &score, &error), error);
    assert_true(score == 1);
    assert_true(so_vqa_credit(1) == 0.3 && so_vqa_credit(9) == 1);
}

static void letters_and_yes_and_no(void **state)
{
    (void)state;
    static const char *const options[] = {"a red bus", "a blue van", "two bikes"};
    static const struct {
        const char *text;
        char letter;
    } mmb[] = {{"B", 'B'},
               {"B.", 'B'},
               {"(C)", 'C'},
               {"The answer is B.", 'B'},
               {"B or C", 0},
               {"It shows a blue van", 'B'},
               {"A blue van", 'A'},
               {"I think the correct answer is **C** because the picture shows two of them parked", 'C'},
               {"Option A: a red bus", 'A'},
               {"b", 0},
               {"Z", 'Z'}},
      science[] = {{"B", 'B'},
                   {"B. the moon", 'B'},
                   {"The answer is C.", 'C'},
                   {"b", 0},
                   {"The answer is A. The answer is B.", 0}},
      mme[] = {{" yes", 'y'},     {"It is", 'o'}, {"nope", 'n'}, {"unknown", 'o'},
               {"not sure", 'n'}, {"Yes", 'y'},   {"NO", 'n'}};
    for (size_t i = 0; i < COUNT(mmb); i++)
        if (so_answer_option(mmb[i].text, options, 3) != mmb[i].letter) fail_msg("MMBench: %s", mmb[i].text);
    for (size_t i = 0; i < COUNT(science); i++)
        if (so_answer_science(science[i].text) != science[i].letter) fail_msg("ScienceQA: %s", science[i].text);
    for (size_t i = 0; i < COUNT(mme); i++)
        if (so_answer_mme(mme[i].text) != mme[i].letter) fail_msg("MME: %s", mme[i].text);
    assert_false(so_answer_denies("Yes, there is."));
    assert_true(so_answer_denies("No."));
    assert_true(so_answer_denies("There is not a fork"));
    assert_false(so_answer_denies("NO"));
    assert_false(so_answer_denies("nothing"));
    assert_false(so_answer_denies("I see none. no"));
    assert_true(so_answer_denies("No, nothing"));
}

static bool matches(so_match_rule rule, const char *answer, const char *output)
{
    static so_normaliser *n;
    bool right;
    if (!n) CHECK_OK(so_normaliser_open(&n, NULL, &error), error);
    if (!answer) {
        so_normaliser_close(&n);
        return false;
    }
    CHECK_OK(so_match_right(rule, n, output, &answer, 1, &right, &error), error);
    return right;
}

static void spoken_answers_three_ways(void **state)
{
    (void)state;
    assert_true(matches(SO_MATCH_R1, "UN", "We had fun."));
    assert_false(matches(SO_MATCH_R3, "UN", "We had fun."));
    assert_true(matches(SO_MATCH_R2, "twenty", "He was 20."));
    assert_false(matches(SO_MATCH_R1, "twenty", "He was 20."));
    assert_false(matches(SO_MATCH_R3, "twenty", "He was 20."));
    assert_false(matches(SO_MATCH_R2, "uh", "Nothing of it."));
    assert_false(matches(SO_MATCH_R2, "[x]", "Nothing of it."));
    assert_true(matches(SO_MATCH_R3, "U.S.", "the U.S. won"));
    assert_false(matches(SO_MATCH_R3, "U.S.", "the US won"));
    assert_true(matches(SO_MATCH_R3, "New York", "It is new york city"));
    assert_true(matches(SO_MATCH_R3, "co-op", "a co-op shop"));
    assert_false(matches(SO_MATCH_R3, "Caf\xc3\xa9", "a cafe"));
    assert_true(matches(SO_MATCH_R3, "Caf\xc3\xa9", "in the cafe\xcc\x81")); /* decomposed on one side */
    matches(SO_MATCH_R1, NULL, NULL);
}

static void whisper_forms(void **state)
{
    (void)state;
    static const char *const english[][2] = {
        {"Mr. Brown's dog cost twenty-one dollars and five cents.", "mister brown is dog cost $21.05"},
        {"It's the 2nd of May, nineteen eighty four", "it is the 2nd of may 1984"},
        {"one oh one, double five", "10155"},
        {"three and a half million", "3500000"},
        {"minus seventy per cent", "-70%"},
        {"He's been in St. Louis since 1,995", "he has been in saint louis since 1995"},
        {"ten thousand two hundred and six", "10206"},
        {"$0.07 or 7 cents", "¢7 or ¢7"},
        {"a hundred and one dalmatians", "a 101 dalmatians"},
        {"I've got 1 cat and 2 dogs", "i have got one cat and 2 dogs"},
        {"the 1960s and thirties", "the 1960s and 30s"},
        {"twenty twenty four", "2024"},
        {"Dr. Who won't go, y'all", "doctor who will not go you all"},
        {"€3 million", "€3000000"},
        {"point five", ".5"},
        {"five point oh two", "5.02"},
        {"one hundred percent", "100%"},
        {"sixty first street", "61st street"},
        {"Ⅻ", "xii"},
        {"٣", "3"},
        {"hello.", "hello"},
        {"...", "."},
        {"$ abc", " abc"},
        {"%x", "%x"},
        {"[x]", ""},
        {"uh", ""},
    };
    static const struct {
        const char *in, *out;
        bool plain, split;
    } basic[] = {{"Grüß Gott! (lacht) [Musik] 3,5 €", "grüß gott 3 5 ", false, false},
                 {"Grüß Gott!", "gruss gott ", true, false},
                 {"你好，世界", "你 好 世 界", false, true}};
    so_normaliser *n;
    so_string out = {0};
    CHECK_OK(so_normaliser_open(&n, NULL, &error), error);
    for (size_t i = 0; i < COUNT(english); i++) {
        out.size = 0;
        CHECK_OK(so_normaliser_english(n, english[i][0], strlen(english[i][0]), &out, &error), error);
        if (strcmp(out.data, english[i][1]) != 0)
            fail_msg("\"%s\" gave \"%s\", expected \"%s\"", english[i][0], out.data, english[i][1]);
    }
    so_normaliser_close(&n);
    for (size_t i = 0; i < COUNT(basic); i++) {
        out.size = 0;
        CHECK_OK(so_normalise_basic(basic[i].in, strlen(basic[i].in), basic[i].plain, basic[i].split, &out, &error),
                 error);
        if (strcmp(out.data, basic[i].out) != 0)
            fail_msg("\"%s\" gave \"%s\", expected \"%s\"", basic[i].in, out.data, basic[i].out);
    }
    so_string_clear(&out);
}

static void judges_are_understood_or_not(void **state)
{
    (void)state;
    double x, pair[2];
    assert_true(so_judge_score("{\"score\": 4}", 1, 5, &x) && x == 4);
    assert_true(so_judge_score("{score: 3.5}", 1, 5, &x) && x == 3.5);
    assert_true(so_judge_score("```json\n{'score': \"2\"}\n```", 1, 5, &x) && x == 2);
    assert_true(so_judge_score("Score: 5", 1, 5, &x) && x == 5);
    assert_true(so_judge_score(" 3\n", 1, 5, &x) && x == 3);
    assert_true(so_judge_score("0.7", 0, 1, &x) && x == 0.7);
    assert_false(so_judge_score("{\"score\": 9}", 1, 5, &x));
    assert_false(so_judge_score("I would give it a four.", 1, 5, &x));
    assert_false(so_judge_score("3 of 5 points, maybe", 1, 5, &x));
    assert_false(so_judge_score("", 1, 5, &x));
    assert_true(so_judge_pair("8 7\nBecause", pair) && pair[0] == 8 && pair[1] == 7);
    assert_true(so_judge_pair("8, 7.5", pair) && pair[1] == 7.5);
    assert_false(so_judge_pair("Assistant 1: 8", pair));
    assert_false(so_judge_pair("8 11", pair));
}

/* ---- whole benchmarks, from annotations to scores */

static char root[] = "/tmp/so_bench_XXXXXX";

static void write_in(const char *folder, const char *name, const char *text)
{
    char path[512], parent[512];
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    CHECK_OK(so_make_folder(parent, &error), error);
    CHECK_OK(so_file_write(path, text, strlen(text), &error), error);
}

/* The row of the golden table that takes a table of spelling, with a small one of our own. */
static void spelling_is_american(void **state)
{
    (void)state;
    static const char text[] = "Don't colour the theatre [noise] (laughs)";
    char path[512];
    so_normaliser *n;
    so_string out = {0};
    write_in("spelling", "english.json", "{\"colour\": \"color\", \"theatre\": \"theater\"}");
    snprintf(path, sizeof path, "%s/spelling/english.json", root);
    CHECK_OK(so_normaliser_open(&n, path, &error), error);
    CHECK_OK(so_normaliser_english(n, text, sizeof text - 1, &out, &error), error);
    assert_string_equal(out.data, "do not color the theater");
    so_normaliser_close(&n);
    so_string_clear(&out);
}

/* Prepares, writes the answers "id TAB text" a line, and scores. */
static json_t *scored(const char *name, const char *folder, int64_t questions, const char *const *answers, size_t n)
{
    char path[300];
    int64_t count;
    json_t *result, *lines = json_object();
    const so_bench *bench = so_bench_find(name);
    assert_non_null(bench);
    snprintf(path, sizeof path, "%s/%s", root, folder);
    CHECK_OK(so_bench_prepare(bench, path, &count, &error), error);
    assert_int_equal(count, questions);
    for (size_t i = 0; i < n; i++) {
        const char *tab = strchr(answers[i], '\t');
        json_object_set_new(lines, strndupa(answers[i], (size_t)(tab - answers[i])), json_string(tab + 1));
    }
    char *text = json_dumps(lines, 0), file[400];
    write_in(folder, "theirs.json", text);
    free(text);
    json_decref(lines);
    snprintf(file, sizeof file, "%s/theirs.json", path);
    CHECK_OK(so_bench_score(bench, path, &(so_score_options){.answers = file}, &result, &error), error);
    return result;
}

/* How many choices the first question has. */
static size_t first_choices(const char *folder)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s/questions.jsonl", root, folder);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    json_t *q = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
    size_t n = json_array_size(json_object_get(q, "choices"));
    json_decref(q);
    fclose(f);
    return n;
}

static void check_score(json_t *r, double expected)
{
    double score = json_number_value(json_object_get(r, "score"));
    if (fabs(score - expected) > 1e-6)
        fail_msg("%s: %.6f, expected %.6f", so_bench_text(r, "benchmark"), score, expected);
}
static double part(const json_t *r, const char *name)
{
    const json_t *value = json_object_get(json_object_get(r, "parts"), name);
    if (!json_is_number(value)) fail_msg("%s has no part '%s'", so_bench_text(r, "benchmark"), name);
    return json_number_value(value);
}

static void vqa_gqa_and_textvqa(void **state)
{
    (void)state;
    write_in(
        "vqa", "v2_OpenEnded_mscoco_val2014_questions.json",
        "{\"data_subtype\":\"val2014\",\"questions\":[{\"question_id\":1,\"image_id\":42,\"question\":\"What color?\"},"
        "{\"question_id\":2,\"image_id\":42,\"question\":\"Open?\"}]}");
    write_in(
        "vqa", "v2_mscoco_val2014_annotations.json",
        "{\"annotations\":[{\"question_id\":1,\"answer_type\":\"other\",\"question_type\":\"what color\",\"answers\":["
        "{\"answer\":\"red\"},{\"answer\":\"red\"},{\"answer\":\"maroon\"}]},{\"question_id\":2,\"answer_type\":\"yes/"
        "no\","
        "\"answers\":[{\"answer\":\"yes\"},{\"answer\":\"yes\"},{\"answer\":\"yes\"},{\"answer\":\"yes\"}]}]}");
    static const char *const vqa[] = {"1\tred", "2\tyes"};
    json_t *r = scored("vqav2", "vqa", 2, vqa, 2);
    check_score(r, 80);
    assert_true(fabs(part(r, "other") - 60) < 1e-9 && part(r, "yes/no") == 100);
    assert_string_equal(json_string_value(json_object_get(json_object_get(r, "run"), "decoding")), "not told");
    json_decref(r);
    write_in("vqatest", "v2_OpenEnded_mscoco_test2015_questions.json",
             "{\"data_subtype\":\"test2015\",\"questions\":[{\"question_id\":7,\"image_id\":1,\"question\":\"q\"}]}");
    static const char *const test[] = {"7\tThe Red."};
    r = scored("vqav2", "vqatest", 1, test, 1);
    assert_true(json_is_null(json_object_get(r, "score")));
    json_decref(r);
    char path[300], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/vqatest/upload.json", root);
    CHECK_OK(so_file_read(path, 1 << 20, &data, &size, &error), error);
    assert_string_equal(data, "[{\"question_id\":7,\"answer\":\"red\"}]");
    free(data);
    write_in(
        "gqa", "testdev_balanced_questions.json",
        "{\"a\":{\"question\":\"q\",\"answer\":\"left\",\"imageId\":\"n1\",\"isBalanced\":true,\"types\":{"
        "\"structural\":"
        "\"query\",\"semantic\":\"rel\"}},\"b\":{\"question\":\"q\",\"answer\":\"yes\",\"imageId\":\"n1\",\"types\":"
        "{\"structural\":\"verify\"}},\"c\":{\"question\":\"q\",\"isBalanced\":false}}");
    static const char *const gqa[] = {"a\tLeft.", "b\tno"};
    r = scored("gqa", "gqa", 2, gqa, 2);
    check_score(r, 50);
    assert_true(part(r, "open") == 100 && part(r, "binary") == 0);
    json_decref(r);
    write_in("text", "TextVQA_0.5.1_val.json",
             "{\"data\":[{\"question\":\"what?\",\"question_id\":3,\"image_id\":\"x\",\"ocr_tokens\":[\"A\",\"B\"],"
             "\"answers\":"
             "[\"stop\",\"stop\",\"stop\",\"the stop\",\"go\"]}]}");
    static const char *const text[] = {"3\t\"Stop\""};
    r = scored("textvqa", "text", 1, text, 1);
    check_score(r, 100);
    json_decref(r);
}

static void choices(void **state)
{
    (void)state;
    write_in("sci", "problems.json",
             "{\"1\":{\"question\":\"q\",\"choices\":[\"x\",\"y\",\"z\"],\"answer\":1,\"hint\":\"\",\"image\":\"image."
             "png\",\"subject\":"
             "\"natural\"},\"2\":{\"question\":\"q\",\"choices\":[\"x\",\"y\",\"z\"],\"answer\":0,\"hint\":\"h\","
             "\"image\":\"image.png\"},"
             "\"3\":{\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"hint\":\"h\",\"image\":null}}");
    write_in("sci", "pid_splits.json", "{\"train\":[],\"test\":[\"1\",\"2\",\"3\"]}");
    static const char *const science[] = {"1\tThe answer is B.", "2\tD", "3\tA"};
    json_t *r = scored("scienceqa", "sci", 3, science, 3);
    check_score(r, 50);
    assert_true(fabs(part(r, "all questions") - 200.0 / 3) < 1e-9);
    json_decref(r);
    write_in("mmb", "mmbench_dev_en.tsv",
             "\xef\xbb\xbfindex\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\n"
             "5\tWhich?\tnan\ta red bus\ta blue "
             "van\tN/A\tNone\tB\tcars\t/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgG\n"
             "1000005\tWhich?\t\ta blue van\ta red bus\t\t\tA\tcars\t5\n"
             "6\t\"Two\nlines?\"\t\tx\ty\t\t\tA\tother\t5\n1000006\tTwo?\t\ty\tx\t\t\tB\tother\t5\n");
    static const char *const mmb[] = {"5\tB", "1000005\tA.", "6\tA", "1000006\tA"};
    r = scored("mmbench", "mmb", 4, mmb, 4);
    check_score(r, 50);
    assert_true(part(r, "rows alone") == 75 && part(r, "cars") == 100);
    json_decref(r);
    assert_int_equal(first_choices("mmb"), 2);
    write_in("seed", "SEED-Bench.json",
             "{\"questions\":[{\"question_id\":\"a_1\",\"question_type_id\":1,\"data_type\":\"image\",\"data_id\":"
             "\"d\",\"question\":"
             "\"q\",\"choice_a\":\"1\",\"choice_b\":\"2\",\"choice_c\":\"3\",\"choice_d\":\"4\",\"answer\":\"A\"},{"
             "\"question_id\":2,"
             "\"question_type_id\":10,\"data_type\":\"video\",\"data_id\":\"e\",\"question\":\"q\",\"choice_a\":\"1\","
             "\"choice_b\":\"2\","
             "\"choice_c\":\"3\",\"choice_d\":\"4\",\"answer\":\"C\"}]}");
    static const char *const seed[] = {"a_1\tA", "2\tC."};
    r = scored("seed", "seed", 2, seed, 2);
    check_score(r, 50);
    assert_true(part(r, "first character") == 100 && part(r, "image") == 100);
    json_decref(r);
}

/* TP 40, FP 10, TN 45, FN 5: precision 0.8, recall 0.8889, F1 0.8421, accuracy 0.85. */
static void pope(void **state)
{
    (void)state;
    char *answers[100], text[9000] = "";
    for (int i = 0; i < 100; i++) {
        bool truth = i < 45, yes = truth ? i < 40 : i < 55;
        sprintf(text + strlen(text), "{\"question_id\":%d,\"image\":\"i.jpg\",\"text\":\"q\",\"label\":\"%s\"}\n",
                i + 1, truth ? "yes" : "no");
        if (asprintf(&answers[i], "random/%d\t%s", i + 1, yes ? "Yes." : "No, it is not.") < 0) fail();
    }
    write_in("pope", "coco_pope_random.json", text);
    write_in("pope", "coco_pope_popular.json",
             "{\"question_id\":1,\"image\":\"i.jpg\",\"text\":\"q\",\"label\":\"yes\"}\n"
             "{\"question_id\":2,\"image\":\"i.jpg\",\"text\":\"q\",\"label\":\"no\"}\n");
    write_in("pope", "coco_pope_adversarial.json",
             "{\"question_id\":1,\"image\":\"i.jpg\",\"text\":\"q\",\"label\":\"yes\"}\n"
             "{\"question_id\":2,\"image\":\"i.jpg\",\"text\":\"q\",\"label\":\"no\"}\n");
    const char *all[104];
    for (int i = 0; i < 100; i++) all[i] = answers[i];
    all[100] = "popular/1\tyes";
    all[101] = "adversarial/1\tyes";
    all[102] = "popular/2\tno";
    all[103] = "adversarial/2\tno";
    json_t *r = scored("pope", "pope", 104, all, 104);
    double p = 0.8, c = 40.0 / 45, f1 = 2 * p * c / (p + c);
    assert_true(fabs(part(r, "random F1") - 100 * f1) < 1e-9 && fabs(part(r, "random accuracy") - 85) < 1e-9);
    assert_true(fabs(part(r, "random says yes") - 50) < 1e-9);
    check_score(r, 100 * (f1 + 2) / 3);
    json_decref(r);
    for (int i = 0; i < 100; i++) free(answers[i]);
}

static void mme(void **state)
{
    (void)state;
    write_in("mme", "existence/1.txt", "q1\tYes\nq2\tNo\n");
    write_in("mme", "existence/2.txt", "q1\tYes\nq2\tNo\n");
    write_in("mme", "existence/1.png", "x");
    write_in("mme", "existence/2.png", "x");
    static const char *const answers[] = {"existence/1.png/0\tYes", "existence/1.png/1\tno", "existence/2.png/0\tyes",
                                          "existence/2.png/1\tyes"};
    json_t *r = scored("mme", "mme", 4, answers, 4);
    check_score(r, 125); /* 75 + 50 */
    json_decref(r);
    write_in("mme", "existence/3.txt", "q1\tYes\n");
    int64_t n;
    char path[300];
    snprintf(path, sizeof path, "%s/mme", root);
    assert_int_equal(so_bench_prepare(so_bench_find("mme"), path, &n, &error), SO_ERR_FORMAT);
}

static void speech(void **state)
{
    (void)state;
    write_in("spoken", "test.jsonl",
             "{\"id\":\"1\",\"audio\":\"a.wav\",\"question\":\"q\",\"answers\":[\"UN\"]}\n"
             "{\"id\":\"2\",\"audio\":\"b.wav\",\"question\":\"q\",\"answers\":[\"twenty\"]}\n");
    static const char *const answers[] = {"1\tWe had fun.", "2\tHe was 20."};
    json_t *r = scored("llama-questions", "spoken", 2, answers, 2);
    check_score(r, 50);
    assert_true(part(r, "R1, the authors' S>T") == 50 && part(r, "R2, the authors' S>S") == 100 &&
                part(r, "R3, UltraEval") == 0);
    json_decref(r);
    write_in("heard", "test.jsonl",
             "{\"id\":\"u1\",\"wav\":\"a.wav\",\"transcription\":\"WELL-KNOWN, DON'T STOP HERE\"}\n"
             "{\"id\":\"u2\",\"wav\":\"b.wav\",\"transcription\":\"TWENTY ONE\"}\n");
    static const char *const heard[] = {"u1\tWellknown dont stop here", "u2\t21"};
    r = scored("librispeech-clean", "heard", 2, heard, 2);
    check_score(r, 100 * 2.0 / 6);
    assert_true(part(r, "WER as the authors count, substituted") == 1);
    json_decref(r);
}

static void what_is_missing_is_told(void **state)
{
    (void)state;
    char path[300], file[400];
    int64_t n;
    json_t *result;
    so_items items;
    snprintf(path, sizeof path, "%s/gqa", root);
    snprintf(file, sizeof file, "%s/one.jsonl", path);
    write_in("gqa", "one.jsonl", "{\"question_id\":\"a\",\"text\":\"left\"}\n");
    assert_int_equal(so_bench_score(so_bench_find("gqa"), path, &(so_score_options){.answers = file}, &result, &error),
                     SO_ERR_STATE);
    assert_non_null(strstr(error.text, "1 of 2 answers are missing"));
    CHECK_OK(so_bench_score(so_bench_find("gqa"), path, &(so_score_options){.answers = file, .partial = true}, &result,
                            &error),
             error);
    check_score(result, 50);
    assert_int_equal(json_integer_value(json_object_get(result, "missing")), 1);
    json_decref(result);
    /* ids that repeat: in order */
    write_in("gqa", "order.jsonl", "{\"question_id\":1,\"text\":\"x\"}\n{\"question_id\":1,\"text\":\"yes\"}\n");
    snprintf(file, sizeof file, "%s/order.jsonl", path);
    CHECK_OK(so_items_open(&items, path, file, &error), error);
    assert_string_equal(items.item[1].answer, "yes");
    so_items_close(&items);
    write_in("gqa", "answers-0-of-2.jsonl", "{\"question_id\":\"a\",\"text\":\"left\"}\n");
    write_in("gqa", "answers-1-of-2.jsonl", "{\"question_id\":\"b\",\"text\":\"no\"}\n{\"question_id\":\"c\",\"te");
    CHECK_OK(so_items_open(&items, path, NULL, &error), error);
    assert_int_equal(items.missing, 0);
    so_items_close(&items);
    snprintf(path, sizeof path, "%s/nothing", root);
    CHECK_OK(so_make_folder(path, &error), error);
    assert_int_equal(so_bench_prepare(so_bench_find("gqa"), path, &n, &error), SO_ERR_MISSING);
}

static int make_root(void **state)
{
    (void)state;
    return place_make(root);
}
static int remove_root(void **state)
{
    (void)state;
    return place_remove(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evalai_forms),
        cmocka_unit_test(vqa_counts_annotators),
        cmocka_unit_test(letters_and_yes_and_no),
        cmocka_unit_test(spoken_answers_three_ways),
        cmocka_unit_test(whisper_forms),
        cmocka_unit_test(spelling_is_american),
        cmocka_unit_test(judges_are_understood_or_not),
        cmocka_unit_test(vqa_gqa_and_textvqa),
        cmocka_unit_test(choices),
        cmocka_unit_test(pope),
        cmocka_unit_test(mme),
        cmocka_unit_test(speech),
        cmocka_unit_test(what_is_missing_is_told),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
