/* data index, check, stats, show, units, shard: corpora of any form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/data_corpus.h"

#include <stdlib.h>
#include <string.h>

#include "apps/exchange.h"
#include "apps/turn.h"
#include "dataset/readers/readers.h"
#include "dataset/views.h"

#define THREADS_OPTION(n)                                                                                              \
    {                                                                                                                  \
        "threads", SO_OPTION_INT, &(n), "N", "threads; all cores when not given", 1, 1024                              \
    }

static void step(void *context, int64_t done) { so_bar_step(context, (double)done, 0); }

static void print_counts(const so_sink_counts *c, const char *folder)
{
    char text[32];
    printf("%s: %lld records, %lld left out; %lld turns, %lld pictures, %.2f h of speech, %s of text\n", folder,
           (long long)c->records, (long long)c->all_bad, (long long)c->turns, (long long)c->images, c->seconds / 3600,
           so_cli_size((double)c->text, text));
    for (int i = 1; i < SO_BADS; i++)
        if (c->bad[i]) printf("  left out, %s: %lld\n", so_bad_name((so_bad)i), (long long)c->bad[i]);
    for (int i = 0; i < SO_ODDS; i++)
        if (c->odd[i]) printf("  noted, %s: %lld\n", so_odd_name((so_odd)i), (long long)c->odd[i]);
    if (c->all_bad) printf("  each is named in %s/bad.jsonl\n", folder);
}

static void print_json(const so_sink_counts *c, const char *folder)
{
    printf("{\"folder\": ");
    so_json_text(stdout, folder);
    printf(
        ", \"records\": %lld, \"turns\": %lld, \"images\": %lld, \"units\": %lld, \"speech_s\": %.3f, \"left_out\": {",
        (long long)c->records, (long long)c->turns, (long long)c->images, (long long)c->units, c->seconds);
    const char *comma = "";
    for (int i = 1; i < SO_BADS; i++)
        if (c->bad[i]) printf("%s\"%s\": %lld", comma, so_bad_name((so_bad)i), (long long)c->bad[i]), comma = ", ";
    printf("}, \"identity\": \"%s\"}\n", c->identity);
}

/* ---- index */

static so_status index_all(int n, char **path, const so_read_options *read, so_sink *sink, so_error *error)
{
    json_t *about = json_array();
    so_status status = SO_OK;
    for (int i = 0; i < n && status == SO_OK; i++) {
        status = so_read_corpus(path[i], read, sink, error);
        json_array_append_new(about, json_pack("{s:s, s:s*, s:s*, s:s*}", "path", path[i], "format", read->format,
                                               "take", read->take, "root", read->root));
    }
    if (status == SO_OK) status = so_sink_commit(sink, about, error);
    json_decref(about);
    return status;
}

static int run_index(int argc, char **argv)
{
    so_read_options read = {0};
    so_bar bar;
    so_sink_options check = {.stop = &so_cli_stop, .progress = step, .context = &bar};
    const char *output = NULL;
    int64_t seed = 1, threads = 0;
    bool json = false, strict = false;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &output, "DIR", "where the records go (-o)"},
        {"format", SO_OPTION_TEXT, &read.format, "NAME", "what it is, when that cannot be told by what is in it"},
        {"root", SO_OPTION_TEXT, &read.root, "DIR",
         "where pictures and recordings are; where the file is, if not given"},
        {"take", SO_OPTION_TEXT, &read.take, "HOW", "of JSON: first:N, end:N, random:N, N or a share as 10%"},
        {"keys", SO_OPTION_TEXT, &read.keys, "LIST",
         "names of members: conversations=dialog,role=who,content=says,user=U,assistant=A"},
        {"source", SO_OPTION_TEXT, &read.source, "NAME", "name told in records; the file's when not given"},
        {"lang", SO_OPTION_TEXT, &read.lang, "en|zh|...", "language of all of it"},
        {"license", SO_OPTION_TEXT, &read.license, "NAME", "licence told in records"},
        {"subset", SO_OPTION_TEXT, &read.subset, "NAME", "WenetSpeech: only segments of this subset"},
        {"as-is", SO_OPTION_FLAG, &read.as_is, NULL, "LibriSpeech: leave transcripts in capitals"},
        {"least", SO_OPTION_REAL, &check.least_s, "S", "shortest recording, seconds (0.1)", 0.001, 1e5},
        {"most", SO_OPTION_REAL, &check.most_s, "S", "longest recording, seconds (60)", 0.001, 1e5},
        {"deep", SO_OPTION_FLAG, &check.deep, NULL, "decode every picture and recording"},
        {"lax", SO_OPTION_FLAG, &check.lax, NULL, "do not look at pictures and recordings"},
        {"strict", SO_OPTION_FLAG, &strict, NULL, "end with 1 when anything was left out"},
        {"seed", SO_OPTION_INT, &seed, "N", "of random:N", 0, 9e15},
        THREADS_OPTION(threads),
        {"json", SO_OPTION_FLAG, &json, NULL, "the summary as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_data_index, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n < 1 || !output) return so_cli_usage(&so_data_index, "expected a corpus and -o DIR, found %d operands", n);
    so_error error = {0};
    so_sink *sink = NULL;
    read.seed = (uint64_t)seed;
    check.threads = (int)threads;
    so_bar_start(&bar, "reading", "records");
    so_status s = so_sink_open(&sink, output, &check, &error);
    if (s == SO_OK) s = index_all(n, argv, &read, sink, &error);
    so_bar_end(&bar);
    so_sink_counts counts = sink ? *so_sink_counts_of(sink) : (so_sink_counts){0};
    so_sink_close(&sink);
    if (s != SO_OK) return so_cli_fail(&error);
    (json ? print_json : print_counts)(&counts, output);
    return strict && counts.all_bad ? SO_EXIT_FAILURE : SO_EXIT_OK;
}

const so_verb so_data_index = {
    "data index", "reads a corpus into a folder of records, and tells what had to be left out",
    "data index CORPUS... -o DIR [options]",
    "A corpus is a file or a folder: LLaVA conversations (JSON, JSONL) and mixtures (YAML), lists of messages,\n"
    "UltraChat, Alpaca, InstructS2S, speech manifests (NeMo, ESPnet), LibriSpeech, AISHELL-1 and -3, WenetSpeech,\n"
    "Common Voice, Kaldi folders, Wikipedia extracts, plain text, WebDataset shards ('part-{000000..000127}.tar').\n"
    "DIR gets records.jsonl, records.idx, dataset.json and bad.jsonl, which names what was left out, and why.\n"
    "Nothing is replaced by something else. More in docs/data.md.\n\n"
    "examples:\n"
    "  stream-omni data index llava_v1_5_mix665k.json --root images -o mix --deep\n"
    "  stream-omni data index LibriSpeech/train-clean-100 LibriSpeech/train-clean-360 -o librispeech\n"
    "  stream-omni data index 'shards/part-{000000..000127}.tar' -o shards.index\n",
    run_index};

/* ---- check */

static void found_bad(void *context, int64_t i, const char *id, so_bad reason, const char *what)
{
    (void)context;
    printf("record %lld ", (long long)i);
    so_cli_put(stdout, id, strlen(id), false);
    printf(": %s: ", so_bad_name(reason));
    so_cli_put(stdout, what ? what : "", what ? strlen(what) : 0, false);
    printf("\n");
}

static int run_check(int argc, char **argv)
{
    so_bar bar;
    so_sink_options check = {.stop = &so_cli_stop, .progress = step, .context = &bar};
    int64_t threads = 0, bad = 0, count = 0;
    const so_option options[] = {
        {"least", SO_OPTION_REAL, &check.least_s, "S", "shortest recording, seconds (0.1)", 0.001, 1e5},
        {"most", SO_OPTION_REAL, &check.most_s, "S", "longest recording, seconds (60)", 0.001, 1e5},
        THREADS_OPTION(threads),
        {0},
    };
    int n, status = so_cli_parse(&so_data_check, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_data_check, "expected one folder of records, found %d operands", n);
    so_error error = {0};
    so_dataset *dataset = NULL;
    check.threads = (int)threads;
    so_bar_start(&bar, "checking", "records");
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    if (s == SO_OK) count = dataset->count;
    if (s == SO_OK) s = so_dataset_check(dataset, &check, found_bad, NULL, &bad, &error);
    so_bar_end(&bar);
    so_dataset_close(&dataset);
    if (s != SO_OK) return so_cli_fail(&error);
    printf("%s: %lld records, something is wrong in %lld\n", argv[0], (long long)count, (long long)bad);
    return bad ? SO_EXIT_FAILURE : SO_EXIT_OK;
}

const so_verb so_data_check = {
    "data check", "decodes everything that the records of a folder point to", "data check DIR [options]",
    "Compares records.jsonl with its hash, decodes every picture and recording, reads every list of units, and names\n"
    "what is wrong. Ends with 1 when something is.\n\n"
    "examples:\n"
    "  stream-omni data check mix\n",
    run_check};

/* ---- stats, show */

static so_status print_and_clear(so_status status, so_string *text)
{
    if (status == SO_OK) printf("%s", text->data ? text->data : "");
    so_string_clear(text);
    return status;
}

static int run_stats(int argc, char **argv)
{
    const char *page = NULL;
    bool json = false;
    const so_option options[] = {
        {"page", SO_OPTION_TEXT, &page, "FILE", "write a page (HTML) with plots"},
        {"json", SO_OPTION_FLAG, &json, NULL, "as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_data_stats, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_data_stats, "expected one folder of records, found %d operands", n);
    so_error error = {0};
    so_dataset *dataset = NULL;
    so_string text = {0};
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    if (s == SO_OK) s = so_dataset_stats(dataset, page, json, &text, &error);
    s = print_and_clear(s, &text);
    so_dataset_close(&dataset);
    return so_cli_end(s, &error);
}

const so_verb so_data_stats = {"data stats", "sums, shares and histograms of a folder of records",
                               "data stats DIR [options]",
                               "examples:\n"
                               "  stream-omni data stats mix --page mix.html\n",
                               run_stats};

static int run_show(int argc, char **argv)
{
    so_show_options show = {.learn = so_cli_green(stdout), .plain = so_cli_plain(stdout)};
    int64_t at = 0, count = 1;
    const so_option options[] = {
        {"at", SO_OPTION_INT, &at, "N", "number of the first record", 0, 9e15},
        {"count", SO_OPTION_INT, &count, "N", "how many", 1, 1e6},
        {"plain", SO_OPTION_FLAG, &show.render.plain, NULL, "pictures and captions, as projectors are trained first"},
        {"system", SO_OPTION_TEXT, &show.render.system, "TEXT", "system text; the published model's when not given"},
        {"tokenizer", SO_OPTION_TEXT, &show.tokenizer, "PATH", "also tell how many ids there are, and are learnt"},
        {0},
    };
    int n, status = so_cli_parse(&so_data_show, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1) return so_cli_usage(&so_data_show, "expected one folder of records, found %d operands", n);
    if (!show.learn[0]) show.learn = "\xc2\xab", show.plain = "\xc2\xbb";
    so_error error = {0};
    so_dataset *dataset = NULL;
    so_string text = {0};
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    for (int64_t i = at; s == SO_OK && i < at + count && (i == at || i < dataset->count); i++)
        s = so_dataset_show(dataset, i, &show, &text, &error);
    s = print_and_clear(s, &text);
    so_dataset_close(&dataset);
    return so_cli_end(s, &error);
}

const so_verb so_data_show = {
    "data show", "records as training reads them, with what is learnt of each", "data show DIR [options]",
    "What is learnt is green on a terminal and stands between \xc2\xab and \xc2\xbb elsewhere.\n\n"
    "examples:\n"
    "  stream-omni data show mix --at 1200 --count 3 --tokenizer Llama-3.1-8B\n",
    run_show};

/* ---- shard, units */

static int run_shard(int argc, char **argv)
{
    so_bar bar;
    so_shard_options shard = {.stop = &so_cli_stop, .progress = step, .context = &bar};
    const char *output = NULL;
    int64_t megabytes = 1024, shards = 0;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &output, "DIR", "where the shards go (-o)"},
        {"megabytes", SO_OPTION_INT, &megabytes, "N", "of a shard at most", 1, 8000},
        {0},
    };
    int n, status = so_cli_parse(&so_data_shard, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1 || !output)
        return so_cli_usage(&so_data_shard, "expected a folder of records and -o DIR, found %d operands", n);
    so_error error = {0};
    so_dataset *dataset = NULL;
    shard.bytes = (uint64_t)megabytes << 20;
    so_bar_start(&bar, "packing", "records");
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    if (s == SO_OK) s = so_dataset_shard(dataset, output, &shard, &shards, &error);
    so_bar_end(&bar);
    so_dataset_close(&dataset);
    if (s != SO_OK) return so_cli_fail(&error);
    printf("%s: %lld shards\n", output, (long long)shards);
    return SO_EXIT_OK;
}

const so_verb so_data_shard = {"data shard", "packs records and what they point to into tar files",
                               "data shard DIR -o SHARDS [options]",
                               "A record is KEY.json, KEY.0.jpg, KEY.t0.flac, KEY.t0.u16 (units), as WebDataset reads "
                               "them. Shards that are there\n"
                               "are kept, so that a stopped run may be started again.\n\n"
                               "examples:\n"
                               "  stream-omni data shard mix -o shards --megabytes 512\n",
                               run_shard};

static void step_of(void *context, int64_t done, int64_t total) { so_bar_step(context, (double)done, (double)total); }

static so_status tokenise(void *context, const float *pcm, int64_t n, int rate, int32_t **units, int64_t *count,
                          so_error *error)
{
    size_t got;
    const so_audio speech = {.samples = (float *)(uintptr_t)pcm, .n = n, .rate = rate};
    SO_TRY(so_turn_units(context, &speech, units, &got, error));
    *count = (int64_t)got;
    return SO_OK;
}

static int run_units(int argc, char **argv)
{
    so_setting setting = {0};
    so_bar bar;
    so_unit_options unit = {.tokenise = tokenise, .stop = &so_cli_stop, .progress = step_of, .context = &bar};
    const char *output = NULL;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &output, "DIR", "where the records with units go (-o)"},
        {"again", SO_OPTION_FLAG, &unit.again, NULL, "also of turns that have units"},
        SO_MODEL_OPTIONS(setting),
        {0},
    };
    int n, status = so_cli_parse(&so_data_units, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 1 || !output)
        return so_cli_usage(&so_data_units, "expected a folder of records and -o DIR, found %d operands", n);
    so_error error = {0};
    so_dataset *dataset = NULL;
    so_model *model = NULL;
    so_sink_counts counts = {0};
    so_status s = so_dataset_open(&dataset, argv[0], &error);
    if (s == SO_OK) s = so_setting_open(&setting, &model, &error);
    if (s == SO_OK) {
        so_model_info info;
        so_model_about(model, &info);
        unit.tokeniser = model;
        unit.identity = info.name;
        so_bar_start(&bar, "making units", "records");
        s = so_dataset_units(dataset, output, &unit, &counts, &error);
        so_bar_end(&bar);
    }
    so_model_close(&model);
    so_dataset_close(&dataset);
    if (s != SO_OK) return so_cli_fail(&error);
    print_counts(&counts, output);
    printf("  %lld units, %lld bytes\n", (long long)counts.units, (long long)counts.units * 2);
    return SO_EXIT_OK;
}

const so_verb so_data_units = {
    "data units", "makes speech units of all recordings, once for all training", "data units DIR -o DIR [options]",
    "The model's speech tokenizer hears every recording; the records then point to units.u16 (2 bytes a unit, 50 bytes "
    "a\n"
    "second: 22,600 hours take 4.1 GB) and no audio is decoded any more. A stopped run goes on.\n\n"
    "examples:\n"
    "  stream-omni data units librispeech -o librispeech.units --model stream-omni-8b\n",
    run_units};
