/* Fuzzes the reader of settings: TOML, and what a run makes of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "recipes/run/run_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_run_config config;
    so_string notes = {0}, printed = {0};
    const char *set[] = {"plan.steps=3", "data.a.weight=1", "loss.text=0.5"};
    so_run_text text = {"fuzz.toml", (const char *)data, size, set, (int)(size % 4)};
    if (so_run_config_read(&config, &text, &notes, &error) == SO_OK) {
        so_run_config_print(&config, &printed, &error);
        so_run_config_settings(&config, &printed, &error);
    }
    so_run_config_close(&config);
    so_string_clear(&notes);
    so_string_clear(&printed);
    return 0;
}
