/* The reference numbers again with the model on a device: all of stream-omni-tiny that a device computes, with the
 * host's bars, over Vulkan where there is a device (SO_THOROUGH in the environment: minutes of a processor's time, for
 * a vocabulary of 128,000 rows); a few of them over fibers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "on_device.h"

static void model_on_fibers(void **state)
{
    (void)state;
    check_shared("reference/stream-omni-tiny");
    compare(fibers(), "reference/stream-omni-tiny", "s2s_2", 30);
}

static void model_over_vulkan(void **state)
{
    (void)state;
    bool all = getenv("SO_THOROUGH") != NULL;
    check_shared("reference/stream-omni-tiny");
    so_device *device =
        all ? card_open("reference numbers") : NULL; /* minutes: a vocabulary of 128,000 rows on a processor's Vulkan */
    if (!all) fprintf(stderr, "# SKIP: reference numbers of a model over Vulkan take minutes (--thorough)\n");
    if (!device) skip();
    compare(device, "reference/stream-omni-tiny", NULL, 350);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_on_fibers),
        cmocka_unit_test(model_over_vulkan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
