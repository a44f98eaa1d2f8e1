/* Addresses of the public network and others.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "net/outside.h"

static bool outside(const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (strchr(text, ':')) {
        assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
        return so_address_outside((struct sockaddr *)&six);
    }
    assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
    return so_address_outside((struct sockaddr *)&four);
}

/* Both ends of every range, and their neighbours. */
static void test_ranges(void **state)
{
    static const char *const inside[] = {"0.0.0.0",
                                         "0.255.255.255",
                                         "10.0.0.0",
                                         "10.255.255.255",
                                         "100.64.0.0",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "169.254.0.0",
                                         "169.254.169.254",
                                         "172.16.0.0",
                                         "172.31.255.255",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "192.88.99.1",
                                         "192.168.0.0",
                                         "192.168.255.255",
                                         "198.18.0.0",
                                         "198.19.255.255",
                                         "198.51.100.1",
                                         "203.0.113.7",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.0",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:10.1.2.3",
                                         "::127.0.0.1",
                                         "64:ff9b::10.0.0.1",
                                         "64:ff9b:1::1",
                                         "100::1",
                                         "fe80::1",
                                         "fc00::1",
                                         "fd12::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "2001:db8::1",
                                         "2001::1",
                                         "2002:7f00:1::",
                                         "2002:a9fe:a9fe::1",
                                         "3fff::1",
                                         "4000::1"};
    static const char *const public[] = {
        "1.1.1.1",         "9.255.255.255",        "11.0.0.0",         "100.63.255.255",
        "100.128.0.0",     "126.255.255.255",      "128.0.0.0",        "169.253.255.255",
        "169.255.0.0",     "172.15.255.255",       "172.32.0.0",       "192.0.1.0",
        "192.167.255.255", "192.169.0.0",          "198.17.255.255",   "198.20.0.0",
        "223.255.255.255", "::ffff:8.8.8.8",       "64:ff9b::8.8.8.8", "2606:4700::1111",
        "2a00:1450::1",    "2001:4860:4860::8888", "2002:808:808::1",  "3ffe::1"};
    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (outside(inside[i])) fail_msg("%s counts as public", inside[i]);
    for (size_t i = 0; i < sizeof public / sizeof *public; i++)
        if (!outside(public[i])) fail_msg("%s does not count as public", public[i]);
}

static void test_other_families(void **state)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    (void)state;
    assert_false(so_address_outside((struct sockaddr *)&here));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_other_families)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
