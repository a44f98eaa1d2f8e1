/* Fuzzes the readers of hubs' answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static so_status (*const read[])(so_hub_list *, const char *, so_error *) = {so_hub_read_revision, so_hub_read_tree,
                                                                                 so_hub_read_files};
    so_error error;
    so_hub_list list = {0};
    char folder[4096], *text = malloc(size + 1);
    so_hub hub = {SO_HUB_HUGGINGFACE, "http://h", "/c", "a/b", NULL};
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    for (int i = 0; i < 3; i++) read[i](&list, text, &error);
    so_hub_folder(&hub, &list, folder, &error);
    for (int64_t i = 0; i < list.count; i++) {
        if (strstr(list.file[i].path, "..") == list.file[i].path || list.file[i].path[0] == '/' ||
            list.file[i].size < 0)
            abort();
        so_hub_wants(list.file[i].path);
    }
    so_hub_list_clear(&list);
    free(text);
    return 0;
}
