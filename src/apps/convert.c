/* The verb convert: one GGUF file from a model in any layout.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/exchange.h"
#include "apps/verbs.h"
#include "base/error.h"

so_status so_transfer_step(void *context, double done, double total, so_error *error)
{
    so_bar_step(context, done / 1e6, total / 1e6);
    if (!so_cli_stop) return SO_OK;
    return so_fail(error, SO_ERR_STOPPED, "stopped at %.0f of %.0f MB; the same command goes on from there", done / 1e6,
                   total / 1e6);
}

so_status so_transfer_bytes(const char *text, int64_t *bytes, so_error *error)
{
    char *end;
    *bytes = 0;
    if (!text) return SO_OK;
    double n = strtod(text, &end);
    double unit = *end == 'G' ? 1e9 : *end == 'M' ? 1e6 : *end == 'K' ? 1e3 : *end == 0 ? 1 : 0;
    if (end == text || unit == 0 || (*end && end[1]) || !(n * unit >= 1 && n * unit < 1e18))
        return so_fail(error, SO_ERR_ARG, "'%.40s' is no size, expected one like 4G or 500M", text);
    *bytes = (int64_t)(n * unit);
    return SO_OK;
}

so_status so_transfer_check(int n, char *const *from, const char *to, int64_t split, so_error *error)
{
    struct stat st;
    for (int i = 0; i < n; i++) SO_TRY(so_operand_check_model(from[i], error));
    if (split && stat(to, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return so_fail(error, SO_ERR_ARG, "%s: a pipe or a device, and several files are to be written", to);
    return SO_OK;
}

/* Whether a model lacks nothing and only holds more than is known. */
static bool only_extra(const char *report)
{
    for (const char *line = report; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, "extra:", 6) != 0) return false;
    return *report != 0;
}

void so_transfer_report(const so_convert_result *r, so_status status, bool dropped)
{
    char size[32], count[32];
    if (r->report && status != SO_OK && strchr(r->report, '\n') != strrchr(r->report, '\n'))
        so_cli_put(stderr, r->report, strlen(r->report), true);
    if (r->report && status == SO_ERR_FORMAT && only_extra(r->report))
        fprintf(stderr, "note: --drop-extra leaves out tensors that no network uses\n");
    if (status != SO_OK) return;
    if (r->note[0]) fprintf(stderr, "note: left out: %s\n", r->note);
    if (r->report && dropped) {
        fprintf(stderr, "left out, used by no network:\n");
        so_cli_put(stderr, r->report, strlen(r->report), true);
    }
    so_cli_put(stdout, r->path, strlen(r->path), false);
    printf(": ");
    so_cli_put(stdout, r->name, strlen(r->name), false);
    printf(", %s parameters, %s", so_cli_count((double)r->parameters, count), so_cli_size(r->bytes, size));
    if (r->files > 1) printf(" in %lld files", (long long)r->files);
    printf("\n");
}

void so_transfer_note(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "note: ");
    so_cli_put(stderr, line, strlen(line), true);
    fprintf(stderr, "\n");
}

static bool is_gguf(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

/* Adapters alone, into the other form. */
static int adapter(const char *from, const char *model, const char *out, const so_convert_options *o)
{
    so_error error = {0};
    so_convert_result result;
    if (o->lora || o->type || o->types || o->importance)
        return so_cli_usage(&so_verb_convert, "'%s' holds adapters, which are only written in the other form", from);
    so_status s = so_output_settle(&out, &error);
    if (s == SO_OK) s = so_operand_check_model(model, &error);
    if (s == SO_OK) s = so_convert_adapter(from, model, out, o, &result, &error);
    if (s == SO_OK) so_transfer_report(&result, s, false);
    return so_cli_end(s, &error);
}

static int run(int argc, char **argv)
{
    const char *out = NULL, *split = NULL, *model = NULL;
    so_convert_options o = {.step = so_transfer_step, .note = so_transfer_note};
    int64_t threads = 0;
    bool drop = false;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &out, "FILE", "the GGUF file to write; also -o"},
        {"type", SO_OPTION_TEXT, &o.type, "TYPE",
         "of matrices: f32, bf16, f16, q8_0, q6_k, q5_k, q5_k_m, q4_k, q4_k_m, q4_0; as they are when not given"},
        {"types", SO_OPTION_TEXT, &o.types, "FILE", "rules 'PATTERN TYPE', one a line, asked before --type's own"},
        {"importance", SO_OPTION_TEXT, &o.importance, "FILE", "what columns matter, from 'calibrate'"},
        {"lora", SO_OPTION_TEXT, &o.lora, "DIR|FILE",
         "adapters to add to its weights: a folder of PEFT or a GGUF file"},
        {"model", SO_OPTION_TEXT, &model, "FILE|DIR",
         "of adapters alone: what they are for, when not where their file says"},
        {"tokenizer", SO_OPTION_TEXT, &o.tokenizer, "PATH", "the model's tokenizer, when that lies elsewhere"},
        {"speaker", SO_OPTION_TEXT, &o.speaker, "NAME", "the voice to speak with, of those in spk2info.pt"},
        {"split", SO_OPTION_TEXT, &split, "SIZE", "several files of at most this size each: 4G, 500M"},
        {"drop-extra", SO_OPTION_FLAG, &drop, NULL, "leave out tensors that no network uses"},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_convert, options, argc, argv, &n);
    if (status >= 0) return status;
    if (!out && n == 2 && is_gguf(argv[1])) out = argv[--n];
    if (!out || n < 1)
        return so_cli_usage(&so_verb_convert, "expected a model and the file to write, found %d operands", n);
    if (n == 1 && so_is_adapter(argv[0])) return adapter(argv[0], model, out, &o);
    if (model) return so_cli_usage(&so_verb_convert, "--model is for adapters, and '%s' is none", argv[0]);
    so_error error = {0};
    so_convert_result result = {0};
    so_bar bar;
    o.threads = (int)threads;
    o.drop_extra = drop;
    o.context = &bar;
    so_bar_start(&bar, "converting", "MB");
    so_status s = so_transfer_bytes(split, &o.split, &error);
    if (s == SO_OK) s = so_output_settle(&out, &error);
    if (s == SO_OK) s = so_transfer_check(n, argv, out, o.split, &error);
    if (s == SO_OK) s = so_convert((const char *const *)argv, n, out, &o, &result, &error);
    so_bar_end(&bar);
    so_transfer_report(&result, s, drop);
    so_convert_result_clear(&result);
    return so_cli_end(s, &error);
}

const so_verb so_verb_convert = {
    "convert", "writes a model in any layout as one GGUF file", "convert DIR... -o FILE.gguf [--type TYPE]",
    "Each DIR is a folder in the published layout: the model (config.json, *.safetensors, tokenizer.json), the speech\n"
    "codec (speech_tokenizer_v1.onnx, flow.pt, hift.pt, spk2info.pt), or a SigLIP tower where the model lacks one; or\n"
    "DIR is a GGUF file; or, alone, low-rank adapters, which are written in the other form: a folder of PEFT as a GGUF "
    "file\n"
    "for llama.cpp and --lora, and a GGUF file as a folder. Every tensor is accounted for: what is missing, extra or "
    "of another shape or type is listed, "
    "and\n"
    "nothing is written. A conversion that was cut off goes on where it stopped when the same command runs again.\n\n"
    "Types below q8_0 keep the text head in q6_k (the others in q6_k or q5_k) and, from q5_k down, the codec in q8_0; "
    "the\n"
    "mixes *_m also keep in q6_k, in half of the layers, what errors are felt most in (v and down). Rows that a "
    "type's\n"
    "blocks do not divide get the next larger type that fits, with a note. In a file of rules the first pattern that\n"
    "matches a tensor's name decides, with * for any text:\n\n"
    "  lm_head.weight    q6_k\n"
    "  *.v_proj.weight   q6_k  some    (only in half of the layers: the first, the last and some between)\n"
    "  codec.*           f16\n\n"
    "examples:\n"
    "  stream-omni convert stream-omni-8b CosyVoice-300M-25Hz -o stream-omni-8b.gguf --type q4_k_m\n"
    "  stream-omni convert work/one/model models/tabletop.gguf --type q8_0\n"
    "  stream-omni convert stream-omni-8b -o stream-omni-8b.gguf --split 4G\n"
    "  stream-omni convert models/tabletop.gguf --lora work/facts -o facts.gguf      adapters added for good\n"
    "  stream-omni convert work/facts --model models/tabletop.gguf -o adapter.gguf   adapters alone\n",
    run};
