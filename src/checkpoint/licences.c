/* What the licences of published weights ask to be said.
 * Source: the licences themselves (llama.com/llama3_1/license, and the model cards of the others).
 * SPDX-License-Identifier: Apache-2.0 */
#include "so_checkpoint.h"

const char *so_licence_line(void) { return "Built with Llama"; }

const char *so_licence_notes(void)
{
    return "Built with Llama.\n"
           "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright (c) Meta Platforms, Inc. All Rights "
           "Reserved.\n"
           "  The backbone, the speech layers and the tokenizer derive from Llama 3.1 8B Instruct. A copy of the "
           "licence "
           "goes with every copy of these weights, the name of a model derived from them begins with \"Llama\", and "
           "the "
           "Acceptable Use Policy holds: https://www.llama.com/llama3_1/license\n"
           "Stream-Omni weights (ICTNLP/stream-omni-8b): see the licence in the model card; their authors publish the "
           "code under GPL-3.0.\n"
           "SigLIP so400m (google/siglip-so400m-patch14-384): Apache License 2.0.\n"
           "CosyVoice-300M-25Hz (speech tokenizer, flow, vocoder, voices): Apache License 2.0.\n"
           "This program is Apache License 2.0 and contains no weights.\n";
}
