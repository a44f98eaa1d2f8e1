/* The codec's networks against reference numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden.h"

so_status so_golden_codec(so_golden *g, so_error *error)
{
    return so_fail(error, SO_ERR_UNSUPPORTED, "%s: reference numbers of the codec are not compared here yet", g->folder);
}
