/* Adapters of a network and their files.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "models/lora.h"

so_status so_lora_load(so_lora_set *set, so_store *base, const char *folder, so_error *error)
{
    so_adapter adapter;
    *set = (so_lora_set){.count = 0};
    SO_TRY(so_adapter_open(&adapter, folder, error));
    so_status status = so_lora_attach(set, base, &adapter, error);
    so_adapter_close(&adapter);
    return status;
}

so_status so_lora_save(const so_lora_set *set, const char *folder, const char *model, so_error *error)
{
    so_adapter adapter = {.model = strdup(model ? model : "")};
    so_status status = adapter.model ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
    for (int64_t i = 0; i < set->count && status == SO_OK; i++) {
        const so_lora *l = &set->lora[i];
        char name[SO_VIEW_NAME_MAX + 1];
        strncpy(name, set->of[i]->name, sizeof name - 1);
        name[sizeof name - 1] = 0;
        status = so_adapter_add(&adapter,
                                &(so_adapter_pair){.name = name,
                                                   .n = l->b->dim[0],
                                                   .k = l->a->dim[1],
                                                   .rank = l->a->dim[0],
                                                   .scale = (float)l->scale,
                                                   .a = l->a->data,
                                                   .b = l->b->data},
                                error);
    }
    if (status == SO_OK) status = so_adapter_save_peft(&adapter, folder, error);
    so_adapter_close(&adapter);
    return status;
}
