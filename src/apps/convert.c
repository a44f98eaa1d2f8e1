/* The verb convert: one GGUF file from a model in any layout.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "apps/verbs.h"
#include "so.h"

static void note(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "note: %s\n", line);
}

static int run(int argc, char **argv)
{
    const char *tokenizer = NULL;
    so_save_options save = {.note = note};
    const so_option options[] = {
        {"type", SO_OPTION_TEXT, &save.type, "TYPE",
         "of matrices: f32, bf16, f16, q8_0, q6_k, q5_k, q5_k_m, q4_k, q4_k_m, q4_0; as they are when not given"},
        {"types", SO_OPTION_TEXT, &save.types, "FILE", "rules 'PATTERN TYPE', one a line, asked before --type's own"},
        {"importance", SO_OPTION_TEXT, &save.importance, "FILE", "what columns matter, from 'calibrate'"},
        {"tokenizer", SO_OPTION_TEXT, &tokenizer, "PATH", "the model's tokenizer, when that lies elsewhere"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_convert, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n != 2) return so_cli_usage(&so_verb_convert, "expected a model and the file to write, found %d operands", n);
    so_error error = {0};
    so_model *model = NULL;
    so_model_options open = {.tokenizer = tokenizer, .keep_types = 1};
    so_status s = so_model_open(&model, argv[0], &open, &error);
    if (s == SO_OK) s = so_model_save(model, argv[1], &save, &error);
    if (s == SO_OK) {
        struct stat st = {0};
        char size[32], count[32];
        so_model_info info;
        so_model_about(model, &info);
        stat(argv[1], &st);
        printf("%s: %s, %s parameters, %s\n", argv[1], info.name, so_cli_count((double)info.parameters, count),
               so_cli_size((double)st.st_size, size));
        if (info.n_unused) fprintf(stderr, "left out, used by no network:\n%s\n", info.unused);
    }
    so_model_close(&model);
    return so_cli_end(s, &error);
}

const so_verb so_verb_convert = {
    "convert", "writes a model in any layout as one GGUF file", "convert MODEL FILE.gguf [--type TYPE]",
    "MODEL is a folder in the published layout (config.json, *.safetensors, tokenizer.json) or a GGUF file.\n\n"
    "Types below q8_0 keep the heads in q6_k; the mixes *_m also keep in q6_k, in half of the layers, what errors in are\n"
    "felt most (v and down). Rows that a type's blocks do not divide get the next larger type that fits, with a note.\n"
    "In a file of rules the first pattern that matches a tensor's name decides, with * for any text:\n\n"
    "  lm_head.weight    q6_k\n"
    "  *.v_proj.weight   q6_k  some    (only in half of the layers: the first, the last and some between)\n"
    "  codec.*           f16\n\n"
    "examples:\n"
    "  stream-omni convert work/one/model models/tabletop.gguf --type q8_0\n"
    "  stream-omni convert Stream-Omni-8B stream-omni-8b.gguf --type q4_k_m --importance 8b.importance.safetensors\n",
    run};
