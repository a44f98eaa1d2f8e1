/* The reference numbers again with the codec on a device: all of cosyvoice-tiny that a device computes, with the host's
 * bars, over Vulkan where there is a device; a few of them over fibers. SO_THOROUGH in the environment: all sets,
 * otherwise those that take seconds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "on_device.h"

static void codec_on_fibers(void **state)
{
    (void)state;
    check_shared("reference/cosyvoice-tiny");
    compare(fibers(), "reference/cosyvoice-tiny", "flow.n7", 8);
}

static void codec_over_vulkan(void **state)
{
    (void)state;
    static const char *const some[] = {"tok.", "hift.m10", "flow.n7"};
    check_shared("reference/cosyvoice-tiny");
    bool all = getenv("SO_THOROUGH") != NULL;
    for (int i = 0; i < (all ? 1 : 3); i++) {
        so_device *device = card_open("reference numbers");
        if (!device) skip();
        compare(device, "reference/cosyvoice-tiny", all ? NULL : some[i], all ? 100 : 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codec_on_fibers),
        cmocka_unit_test(codec_over_vulkan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
