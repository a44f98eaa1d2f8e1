/* The projector between vision tower and backbone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/projector.h"

#include <stddef.h>

#define ROW(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_projector, field), name, axes, NULL, init, scale, false                                            \
    }
static const so_bind_row table[] = {
    ROW(in_w, "0.weight", "D C", SO_INIT_FAN_IN, 1),
    ROW(in_b, "0.bias", "D", SO_INIT_VALUE, 0),
    ROW(out_w, "2.weight", "D D", SO_INIT_FAN_IN, 1),
    ROW(out_b, "2.bias", "D", SO_INIT_VALUE, 0),
};

so_status so_projector_bind(so_projector *net, int64_t in, int64_t out, const char *prefix, so_binder *binder,
                            so_error *error)
{
    *net = (so_projector){0};
    binder->sizes.of['C'] = in;
    binder->sizes.of['D'] = out;
    return SO_BIND(binder, prefix, 0, table, net, error);
}

so_tensor *so_projector_forward(so_pass *pass, const so_projector *net, so_tensor *x)
{
    so_tensor *h = so_apply(pass, SO_GELU, so_linear(pass, x, net->in_w, net->in_b));
    so_tensor *y = so_linear(pass, h, net->out_w, net->out_b);
    so_label(pass, y, "projector.out");
    return y;
}
