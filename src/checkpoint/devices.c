/* Devices that a model may be opened on.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>

#include "checkpoint/model.h"

so_status so_list_devices(so_device_entry *out, int most, int *n, so_error *error)
{
    so_device_info found[SO_DEVICES];
    if (!out || !n) return so_fail(error, SO_ERR_ARG, "no place for a list of devices");
    SO_TRY(so_device_list(found, most < SO_DEVICES ? most : SO_DEVICES, n, error));
    for (int i = 0; i < *n; i++) {
        const so_device_info *f = &found[i];
        out[i] = (so_device_entry){.memory = f->memory, .free = f->free, .card = f->card, .subgroup = f->subgroup};
        for (int k = 0; k < 3; k++) out[i].piece[k] = f->piece[k];
        snprintf(out[i].name, sizeof out[i].name, "%.60s", f->name);
        snprintf(out[i].title, sizeof out[i].title, "%s", f->title);
        snprintf(out[i].driver, sizeof out[i].driver, "%s", f->driver);
        snprintf(out[i].lacks, sizeof out[i].lacks, "%s", f->lacks);
    }
    return SO_OK;
}

void so_model_device_work(const so_model *model, so_device_work *work)
{
    so_device_counts c;
    *work = (so_device_work){0};
    if (!model || !model->device) return;
    so_device_count(model->device, &c);
    *work = (so_device_work){c.launches, c.replayed, c.waits, c.bytes, c.reserved};
}

so_status so_model_device_state(const so_model *model, so_error *error)
{
    return so_device_state(model ? model->device : NULL, error);
}

so_status so_model_device_rate(const so_model *model, double *bytes_per_s, so_error *error)
{
    *bytes_per_s = 0;
    return model && model->device ? so_device_rate(model->device, bytes_per_s, error) : SO_OK;
}
