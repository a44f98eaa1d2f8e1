/* Devices that a model may be opened on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backend/device.h"
#include "base/error.h"
#include "so.h"

so_status so_list_devices(so_device_entry *out, int most, int *n, so_error *error)
{
    so_device_info found[SO_DEVICES];
    if (!out || !n) return so_fail(error, SO_ERR_ARG, "no place for a list of devices");
    SO_TRY(so_device_list(found, most < SO_DEVICES ? most : SO_DEVICES, n, error));
    for (int i = 0; i < *n; i++) {
        const so_device_info *f = &found[i];
        out[i] = (so_device_entry){.memory = f->memory, .free = f->free, .card = f->card, .subgroup = f->subgroup};
        snprintf(out[i].name, sizeof out[i].name, "%.60s", f->name);
        snprintf(out[i].title, sizeof out[i].title, "%s", f->title);
        snprintf(out[i].driver, sizeof out[i].driver, "%s", f->driver);
        snprintf(out[i].lacks, sizeof out[i].lacks, "%s", f->lacks);
    }
    return SO_OK;
}
