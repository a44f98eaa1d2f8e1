/* Asking a judge.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/scoring/judge.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/sha.h"
#include "eval/scoring/answers.h"
#include "net/fetch.h"

/* Prompts of our own words; for a strict comparison with the paper its prompt goes into a file. */
static const char visit_prompt[] =
    "You compare assistants that people talk to about pictures. The user's question and the assistant's answer were "
    "spoken and written down by speech recognition; small slips of that are not the assistant's. A caption tells you "
    "what "
    "the picture shows.\n\n[Image Caption]\n{caption}\n\n[Instruction]\n{question}\n\n[Response]\n{answer}\n\n"
    "Judge how helpful the answer is, whether it answers what was asked, whether it meets the user with understanding, "
    "and whether it suits a spoken conversation. Give one score from 1 (useless) to 5 (excellent). Answer only with "
    "JSON: "
    "{\"score\": N}";
static const char wild_prompt[] =
    "[Context]\n{caption}\n\n[Question]\n{question}\n\n[Assistant 1]\n{reference}\n\n[End of Assistant 1]\n\n"
    "[Assistant 2]\n{answer}\n\n[End of Assistant 2]\n\n[System]\nRate both answers to the question about the picture "
    "that "
    "the context describes: helpful, relevant, right, with enough detail. Give each a score from 1 to 10, higher is "
    "better. The first line of your reply holds only the two scores, assistant 1's first, with a blank between. Then "
    "explain, without regard to the order of the answers.";
static const char mmvet_prompt[] = "Compare an answer with the truth and say how much of it is right, from 0.0 "
                                   "(nothing) to 1.0 (all) in steps of 0.1. "
                                   "<AND> in the truth joins what must all be there, <OR> what may stand for each "
                                   "other.\n\nQuestion: What is x?\nTruth: "
                                   "-1 <AND> -5\nAnswer: x = 3\nCorrectness: 0.0\n\nQuestion: What is x?\nTruth: -1 "
                                   "<AND> -5\nAnswer: x = -5\nCorrectness: "
                                   "0.5\n\nQuestion: {question}\nTruth: {reference}\nAnswer: {answer}\nCorrectness:";

typedef struct judging {
    const so_bench *bench;
    const so_judge_options *o;
    so_judge_counts *counts;
    so_fetcher *fetcher;
    json_t *known; /* by key */
    char *prompt;
    int fd; /* of judge.jsonl */
    bool pairs;
    double least, most;
} judging;

static const char *slot_of(const json_t *question, const so_item *item, const char *name, size_t n)
{
    if (n == 6 && memcmp(name, "answer", 6) == 0) return item->answer;
    if (n == 8 && memcmp(name, "question", 8) == 0) return so_bench_text(question, "text");
    if (n == 7 && memcmp(name, "caption", 7) == 0) return so_bench_text(question, "caption");
    if (n == 9 && memcmp(name, "reference", 9) == 0) return so_bench_text(question, "reference");
    return NULL;
}

/* The prompt with its slots filled. */
static so_status fill(const judging *j, const so_item *item, so_string *out, so_error *error)
{
    for (const char *p = j->prompt; *p;) {
        size_t n = *p == '{' ? strcspn(p + 1, "{}") : 0;
        const char *value = n && p[n + 1] == '}' ? slot_of(item->question, item, p + 1, n) : NULL;
        if (value) {
            SO_TRY(so_string_put(out, value, error));
            p += n + 2;
            continue;
        }
        SO_TRY(so_string_add(out, p++, 1, error));
    }
    return so_string_add(out, "", 0, error);
}

static void key_of(const judging *j, const char *prompt, char key[65])
{
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, j->o->model, strlen(j->o->model) + 1);
    so_sha_feed(&sha, prompt, strlen(prompt));
    so_sha_end(&sha, key);
}

/* One reply. */
static so_status ask(judging *j, const char *prompt, double temperature, char **reply, so_error *error)
{
    char url[2048];
    so_fetched got = {0};
    json_t *json = json_pack("{s:s, s:f, s:i, s:[{s:s, s:s}]}", "model", j->o->model, "temperature", temperature,
                             "max_tokens", j->pairs ? 1024 : 64, "messages", "role", "user", "content", prompt);
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    *reply = NULL;
    if (!body) return so_fail(error, SO_ERR_FORMAT, "a question or an answer is not UTF-8");
    size_t n = strlen(j->o->endpoint);
    while (n && j->o->endpoint[n - 1] == '/') n--;
    snprintf(url, sizeof url, "%.*s/chat/completions", (int)n, j->o->endpoint);
    so_status status = so_fetch_post(j->fetcher, url, body, 8 << 20, &got, error);
    free(body);
    if (status != SO_OK) return status;
    json = json_loads(got.data, 0, NULL);
    const char *text = json_string_value(
        json_object_get(json_object_get(json_array_get(json_object_get(json, "choices"), 0), "message"), "content"));
    *reply = strdup(text ? text : ""); /* nonsense is a reply that is not understood */
    json_decref(json);
    so_fetched_clear(&got);
    return *reply ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a reply");
}

/* What was understood of a reply goes into the line. */
static bool understand(const judging *j, const char *reply, json_t *line)
{
    double score, pair[2];
    if (j->pairs && so_judge_pair(reply, pair))
        return json_object_set_new(line, "pair", json_pack("[f, f]", pair[0], pair[1])) == 0;
    if (!j->pairs && so_judge_score(reply, j->least, j->most, &score))
        return json_object_set_new(line, "score", json_real(score)) == 0;
    return false;
}

static so_status keep(judging *j, const json_t *line, so_error *error)
{
    char *text = json_dumps(line, JSON_COMPACT);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for a reply");
    size_t n = strlen(text);
    text[n++] = '\n';
    bool fine = write(j->fd, text, n) == (ssize_t)n && fdatasync(j->fd) == 0;
    free(text);
    return fine ? SO_OK : so_fail(error, SO_ERR_IO, "judge.jsonl cannot be written");
}

static so_status judge(judging *j, const so_item *item, so_error *error)
{
    so_string prompt = {0};
    char key[65], *reply = NULL;
    bool understood = false;
    SO_TRY(fill(j, item, &prompt, error));
    key_of(j, prompt.data, key);
    const json_t *known = json_object_get(j->known, key);
    if (known) {
        j->counts->cached++;
        j->counts->unparsed += !json_object_get(known, "score") && !json_object_get(known, "pair");
        so_string_clear(&prompt);
        return SO_OK;
    }
    json_t *line = json_pack("{s:s, s:s, s:s}", "id", item->id, "key", key, "judge", j->o->model);
    so_status status = SO_OK;
    for (int i = 0; i < 3 && !understood && status == SO_OK; i++) {
        free(reply);
        status = ask(j, prompt.data, i ? 0.3 : 0, &reply, error);
        understood = status == SO_OK && understand(j, reply, line);
    }
    if (status == SO_OK) {
        json_object_set_new(line, "reply", json_string(reply));
        j->counts->judged += understood;
        j->counts->unparsed += !understood;
        status = keep(j, line, error);
    }
    free(reply);
    json_decref(line);
    so_string_clear(&prompt);
    return status;
}

/* What earlier runs were told; a last line that is torn off is cut away. */
static so_status read_known(judging *j, const char *path, so_error *error)
{
    char *data;
    size_t size, whole = 0;
    j->known = json_object();
    if (access(path, F_OK) != 0) return SO_OK;
    SO_TRY(so_file_read(path, (size_t)1 << 30, &data, &size, error));
    for (char *at = data, *stop; (stop = memchr(at, '\n', (size_t)(data + size - at))); at = stop + 1) {
        json_t *line = json_loadb(at, (size_t)(stop - at), 0, NULL);
        const char *key = json_string_value(json_object_get(line, "key"));
        if (key) json_object_set(j->known, key, line);
        json_decref(line);
        whole = (size_t)(stop + 1 - data);
    }
    free(data);
    return whole == size || truncate(path, (off_t)whole) == 0
               ? SO_OK
               : so_fail(error, SO_ERR_IO, "'%s' cannot be written", path);
}

static so_status step(void *context, double done, double total, so_error *error)
{
    const judging *j = context;
    (void)done, (void)total;
    return j->o->stop && *j->o->stop ? so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on") : SO_OK;
}

static so_status start(judging *j, const char *folder, so_error *error)
{
    char path[4096];
    size_t size;
    const so_fetch_options fetch = {
        .token = j->o->key, .tries = j->o->tries ? j->o->tries : 7, .pause = j->o->pause, .step = step, .context = j};
    j->pairs = strcmp(j->bench->name, "llava-wild") == 0;
    bool mmvet = strcmp(j->bench->name, "mm-vet") == 0;
    j->least = mmvet ? 0 : 1;
    j->most = mmvet ? 1 : 5;
    if (j->o->prompt)
        SO_TRY(so_file_read(j->o->prompt, 1 << 20, &j->prompt, &size, error));
    else
        j->prompt = strdup(j->pairs ? wild_prompt : mmvet ? mmvet_prompt : visit_prompt);
    if (!j->prompt) return so_fail(error, SO_ERR_NOMEM, "no memory for a prompt");
    if (!strstr(j->prompt, "{answer}"))
        return so_fail(error, SO_ERR_FORMAT, "'%s' has no {answer}", j->o->prompt ? j->o->prompt : "");
    snprintf(path, sizeof path, "%.4000s/judge.jsonl", folder);
    SO_TRY(read_known(j, path, error));
    j->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0) return so_fail(error, SO_ERR_IO, "'%s' cannot be written", path);
    return so_fetcher_open(&j->fetcher, &fetch, error);
}

so_status so_judge_run(const so_bench *bench, const char *folder, const so_judge_options *options,
                       so_judge_counts *counts, so_error *error)
{
    judging j = {.bench = bench, .o = options, .counts = counts, .fd = -1};
    so_items items = {0};
    so_lock lock = {0};
    char path[4096];
    *counts = (so_judge_counts){0};
    snprintf(path, sizeof path, "%.4000s/judge.lock", folder);
    SO_TRY(so_lock_take(&lock, path, "the judge's file", error));
    so_status status = so_items_open(&items, folder, options->answers, error);
    if (status == SO_OK) status = start(&j, folder, error);
    for (int64_t i = 0; i < items.n && status == SO_OK; i++) {
        if (options->stop && *options->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
        else if (items.item[i].answer)
            status = judge(&j, &items.item[i], error);
        else
            counts->missing++;
        if (options->progress) options->progress(options->context, i + 1, items.n);
    }
    so_fetcher_close(&j.fetcher);
    if (j.fd >= 0) close(j.fd);
    json_decref(j.known);
    free(j.prompt);
    so_items_close(&items);
    so_lock_release(&lock);
    return status;
}
