/* Readers: corpora as people have them, record by record into a sink.
 *
 *   llava         conversations as JSON or JSONL, LLaVA's and its kin's; also what names its turns otherwise (`keys`)
 *   messages      OpenAI's lists of messages
 *   ultrachat     {"id", "data": [question, answer, ...]}
 *   alpaca        {"instruction", "input", "output"}
 *   questions     {"question", "answer", "image"?, "speech"?, "answer_speech"?}: what 'data tabletop' lists
 *   instructs2s   dialogues with speech: [{"from", "speech", "text", "unit"}, ...]
 *   manifest      {"audio_filepath" | "audio" | "wav" | "path", "text", "duration", "offset", ...}: NeMo, ESPnet,
 * others wikipedia     {"title", "text"}, and the <doc> files of wikiextractor text          plain text, a record a
 * paragraph librispeech, aishell1, aishell3   their folders commonvoice   .tsv beside clips/ kaldi         a folder of
 * wav.scp, text, and maybe segments and utt2spk wenetspeech   WenetSpeech.json llava-yaml    a mixture: `datasets:`
 * with json_path and sampling_strategy tar           shards in WebDataset's manner, "part-{000000..000127}.tar" records
 * what this program wrote
 *
 * Forms of JSON are told by the members of each record, whatever the format is said to be; files and folders by what is
 * in them. Source: data-eval.md, section A.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_READERS_READERS_H
#define SO_DATASET_READERS_READERS_H

#include "dataset/sink.h"

typedef struct so_read_options {
    const char *format;  /* NULL: told by what is there */
    const char *root;    /* folder of pictures and recordings; NULL: that of the file */
    const char *source;  /* name told in records; NULL: the file's */
    const char *lang;    /* NULL: as the corpus says, or not told */
    const char *license; /* NULL: not told */
    const char *keys;    /* "conversations=dialog,role=who,content=says,user=U,assistant=A"; NULL: none */
    const char *take;    /* "all", "first:N", "end:N", "random:N", N or a share "p%"; NULL: all. Of JSON only */
    const char *subset;  /* WenetSpeech: segments of this one only ("L", "TEST_NET"); NULL: all */
    uint64_t seed;       /* of random:N */
    bool as_is;          /* LibriSpeech: leave the transcript in capitals */
} so_read_options;

/* Reads one file or folder. Fails where it cannot be read at all, is none of the formats, or the sink fails; what is
 * wrong in it goes to the sink. */
so_status so_read_corpus(const char *path, const so_read_options *options, so_sink *sink, so_error *error);
/* Names of the formats; NULL after the last. */
const char *so_read_format(int i);

#endif
