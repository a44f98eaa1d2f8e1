/* The verb export: a model in other programs' forms.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/exchange.h"
#include "apps/transfer.h"
#include "apps/verbs.h"

static int run(int argc, char **argv)
{
    static const char *const forms[] = {"llama", "mmproj", "safetensors"};
    const char *out = NULL, *split = NULL, *form_name = NULL;
    so_convert_options o = {.step = so_transfer_step, .note = so_transfer_note};
    int64_t threads = 0;
    bool drop = false;
    const so_option options[] = {
        {"output", SO_OPTION_TEXT, &out, "PATH", "the GGUF file or the folder to write; also -o"},
        {"as", SO_OPTION_TEXT, &form_name, "FORM", "llama, mmproj or safetensors"},
        {"type", SO_OPTION_TEXT, &o.type, "TYPE", "of matrices: f32, f16, bf16, q8_0; as they are when not given"},
        {"lora", SO_OPTION_TEXT, &o.lora, "DIR|FILE", "adapters to add to its weights"},
        {"tokenizer", SO_OPTION_TEXT, &o.tokenizer, "PATH", "the model's tokenizer, when that lies elsewhere"},
        {"split", SO_OPTION_TEXT, &split, "SIZE", "files of at most this size each: 4G, 500M"},
        {"drop-extra", SO_OPTION_FLAG, &drop, NULL, "leave out tensors that no network uses"},
        {"threads", SO_OPTION_INT, &threads, "N", "threads; all cores when not given", 1, 1024},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_export, options, argc, argv, &n), form = -1;
    if (status >= 0) return status;
    for (int i = 0; i < 3; i++)
        if (form_name && strcmp(form_name, forms[i]) == 0) form = i;
    if (form < 0) return so_cli_usage(&so_verb_export, "expected --as llama, --as mmproj or --as safetensors");
    if (!out || n < 1) return so_cli_usage(&so_verb_export, "expected a model and -o PATH");
    so_error error = {0};
    so_convert_result result = {0};
    so_bar bar;
    o.threads = (int)threads;
    o.drop_extra = drop;
    o.context = &bar;
    so_bar_start(&bar, "exporting", "MB");
    so_status s = so_transfer_bytes(split, &o.split, &error);
    if (s == SO_OK) s = so_output_settle(&out, &error);
    if (s == SO_OK) s = so_transfer_check(n, argv, out, o.split, &error);
    if (s == SO_OK) s = so_export((const char *const *)argv, n, out, (so_export_form)form, &o, &result, &error);
    so_bar_end(&bar);
    so_transfer_report(&result, s, drop);
    so_convert_result_clear(&result);
    return so_cli_end(s, &error);
}

const so_verb so_verb_export = {
    "export", "writes a model as other programs open it", "export MODEL... --as FORM -o PATH [--type TYPE]",
    "MODEL is a GGUF file of this program, or folders as convert takes them. Forms:\n"
    "  llama        GGUF of the backbone with its tokenizer, for llama.cpp\n"
    "  mmproj       GGUF of the vision tower and projector, for llama.cpp beside the former\n"
    "  safetensors  a folder in the published layout; bit by bit what was converted, unless that was quantised\n\n"
    "examples:\n"
    "  stream-omni export stream-omni-8b.gguf --as llama -o backbone.gguf\n"
    "  stream-omni export stream-omni-8b.gguf --as mmproj -o mmproj.gguf\n"
    "  stream-omni export stream-omni-8b.gguf --as safetensors -o stream-omni-8b\n",
    run};
