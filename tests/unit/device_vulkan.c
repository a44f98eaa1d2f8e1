/* Devices that Vulkan's drivers do not offer here: old ones, ones that lack a feature, ones that are lost, hang or have
 * no memory left. What a driver says of a device is made up; what it does is the real driver's, but for one call, where
 * there is a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stddef.h>

#if __has_include(<vulkan/vulkan.h>)
#include "backend/gpu/vulkan_api.h"
#include "plan/plan.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;

/* ---- what a driver says */

static struct said {
    uint32_t version, subgroup, most_subgroup, pushed, shared, group;
    VkSubgroupFeatureFlags operations;
    size_t lacks_in, lacks_at; /* a feature that is missing: which struct, and where in it; 0: none */
} said;

static const struct said whole = {VK_API_VERSION_1_3,
                                  32,
                                  64,
                                  256,
                                  48 << 10,
                                  1024,
                                  VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT,
                                  0,
                                  0};

static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *p)
{
    (void)device;
    p->properties.apiVersion = said.version;
    p->properties.deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    p->properties.limits.maxPushConstantsSize = said.pushed;
    p->properties.limits.maxComputeSharedMemorySize = said.shared;
    p->properties.limits.maxComputeWorkGroupInvocations = said.group;
    snprintf(p->properties.deviceName, sizeof p->properties.deviceName, "a card");
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext) {
        VkPhysicalDeviceSubgroupProperties *sub = (VkPhysicalDeviceSubgroupProperties *)(void *)s;
        VkPhysicalDeviceVulkan13Properties *p13 = (VkPhysicalDeviceVulkan13Properties *)(void *)s;
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES) {
            p13->requiredSubgroupSizeStages = VK_SHADER_STAGE_COMPUTE_BIT;
            p13->minSubgroupSize = 8;
            p13->maxSubgroupSize = said.most_subgroup;
            p13->maxComputeWorkgroupSubgroups = 64;
        }
        if (s->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) continue;
        sub->subgroupSize = said.subgroup;
        sub->supportedStages = VK_SHADER_STAGE_COMPUTE_BIT;
        sub->supportedOperations = said.operations;
    }
}

/* Every feature there is, but for one. */
static void offer(void *features, size_t from, size_t bytes, size_t which)
{
    for (size_t at = from; at < bytes; at += sizeof(VkBool32)) {
        VkBool32 has = said.lacks_in != which || said.lacks_at != at;
        memcpy((char *)features + at, &has, sizeof has);
    }
}

static VKAPI_ATTR void VKAPI_CALL features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *f)
{
    (void)device;
    offer(&f->features, 0, sizeof f->features, 10);
    for (VkBaseOutStructure *s = f->pNext; s; s = s->pNext) {
        size_t front = offsetof(VkPhysicalDeviceVulkan11Features, storageBuffer16BitAccess);
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES)
            offer(s, front, sizeof(VkPhysicalDeviceVulkan11Features), 11);
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)
            offer(s, front, sizeof(VkPhysicalDeviceVulkan12Features), 12);
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES)
            offer(s, front, sizeof(VkPhysicalDeviceVulkan13Features), 13);
#ifdef VK_KHR_cooperative_matrix
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR)
            ((VkPhysicalDeviceCooperativeMatrixFeaturesKHR *)(void *)s)->cooperativeMatrix = 1;
#endif
    }
}

static VKAPI_ATTR void VKAPI_CALL memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *m)
{
    (void)device;
    m->memoryProperties.memoryHeapCount = 0;
}

static VKAPI_ATTR VkResult VKAPI_CALL extensions(VkPhysicalDevice device, const char *layer, uint32_t *n,
                                                 VkExtensionProperties *list)
{
    (void)device;
    (void)layer;
    (void)list;
    *n = 0;
    return VK_SUCCESS;
}

static so_vulkan_instance made_up(void)
{
    so_vulkan_instance v = {.n = 1};
    v.GetPhysicalDeviceProperties2 = properties;
    v.GetPhysicalDeviceFeatures2 = features;
    v.GetPhysicalDeviceMemoryProperties2 = memory;
    v.EnumerateDeviceExtensionProperties = extensions;
    return v;
}

/* As `said` has it, the device lacks this and nothing else, and cannot be opened. */
static void lacks(const char *what)
{
    so_error error = {0};
    so_device_info about;
    so_device *d = NULL;
    so_vulkan_instance v = made_up();
    so_vulkan_describe(&v, 0, &about);
    assert_string_equal(about.lacks, what);
    if (!so_gpu_spirv[0].words) return; /* that is said first */
    assert_int_equal(so_vulkan_open(&d, &v, 0, &error), SO_ERR_UNSUPPORTED);
    assert_null(d);
    assert_non_null(strstr(error.text, "a card"));
    assert_non_null(strstr(error.text, "lacks"));
    assert_non_null(strstr(error.text, what));
}

static void a_missing_feature_is_named(void **state)
{
    (void)state;
#define OF(VERSION, NAME)                                                                                              \
    {                                                                                                                  \
        VERSION, offsetof(VkPhysicalDeviceVulkan##VERSION##Features, NAME), #NAME                                      \
    }
    static const struct missing {
        size_t in, at;
        const char *name;
    } feature[] = {{10, offsetof(VkPhysicalDeviceFeatures, shaderInt64), "shaderInt64"},
                   {10, offsetof(VkPhysicalDeviceFeatures, shaderInt16), "shaderInt16"},
                   OF(11, storageBuffer16BitAccess),
                   OF(12, storageBuffer8BitAccess),
                   OF(12, shaderInt8),
                   OF(12, scalarBlockLayout),
                   OF(12, bufferDeviceAddress),
                   OF(13, subgroupSizeControl),
                   OF(13, computeFullSubgroups),
                   OF(13, shaderIntegerDotProduct)};
#undef OF
    so_device_info about;
    so_vulkan_instance v = made_up();
    said = whole;
    so_vulkan_describe(&v, 0, &about);
    assert_string_equal(about.lacks, "");
    assert_true(about.card);
    for (size_t i = 0; i < sizeof feature / sizeof *feature; i++) {
        said = whole;
        said.lacks_in = feature[i].in;
        said.lacks_at = feature[i].at;
        lacks(feature[i].name);
    }
}

static void an_old_driver_and_a_small_device_are_named(void **state)
{
    (void)state;
    said = whole, said.version = VK_API_VERSION_1_2, lacks("Vulkan-1.3");
    said = whole, said.operations = VK_SUBGROUP_FEATURE_BASIC_BIT, lacks("subgroup-arithmetic");
    said = whole, said.subgroup = 4, lacks("subgroups-of-8-to-64");
    said = whole, said.subgroup = 128, lacks("subgroups-of-8-to-64");
    said = whole, said.pushed = 64, lacks("128-bytes-of-push-constants");
    said = whole, said.shared = 8 << 10, lacks("16-KiB-of-shared-memory");
    said = whole, said.group = 128, lacks("groups-of-256");
}

/* ---- cooperative matrices */

static void pieces_are_taken_that_share_out_a_tile(void **state)
{
    (void)state;
    /* Rows, columns, depth, and the subgroup's threads; as drivers list them. */
    static const uint32_t fit[][4] = {{16, 16, 16, 32}, {16, 8, 16, 32}, {16, 8, 8, 32}, {16, 16, 16, 64},
                                      {8, 16, 16, 16},  {8, 8, 16, 8},   {8, 8, 8, 8}};
    static const uint32_t not_fit[][4] = {{16, 16, 16, 16}, {16, 16, 16, 8}, {16, 16, 32, 32}, {32, 32, 16, 32},
                                          {16, 48, 16, 32}, {16, 16, 4, 32}, {0, 16, 16, 32},  {16, 0, 16, 32},
                                          {16, 16, 0, 32},  {16, 16, 16, 4}, {16, 16, 16, 0},  {16, 16, 16, 48}};
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++)
        assert_true(so_vulkan_piece_fits(fit[i][0], fit[i][1], fit[i][2], (int)fit[i][3]));
    for (size_t i = 0; i < sizeof not_fit / sizeof *not_fit; i++)
        assert_false(so_vulkan_piece_fits(not_fit[i][0], not_fit[i][1], not_fit[i][2], (int)not_fit[i][3]));
}

#ifdef VK_KHR_cooperative_matrix
static VKAPI_ATTR VkResult VKAPI_CALL with_matrices(VkPhysicalDevice device, const char *layer, uint32_t *n,
                                                    VkExtensionProperties *list)
{
    (void)device;
    (void)layer;
    *n = 1;
    snprintf(list->extensionName, sizeof list->extensionName, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL shapes(VkPhysicalDevice device, uint32_t *n,
                                             VkCooperativeMatrixPropertiesKHR *out)
{
    enum { F16 = VK_COMPONENT_TYPE_FLOAT16_KHR, F32 = VK_COMPONENT_TYPE_FLOAT32_KHR };
    /* Rows, columns, depth; types of the rows, of the sum; saturating; scope. */
    static const int listed[][7] = {{16, 16, 16, F16, F16, 0, VK_SCOPE_SUBGROUP_KHR},
                                    {16, 8, 16, F16, F32, 0, VK_SCOPE_SUBGROUP_KHR},
                                    {16, 16, 16, F16, F32, 0, VK_SCOPE_WORKGROUP_KHR},
                                    {16, 16, 16, VK_COMPONENT_TYPE_SINT8_KHR, F32, 0, VK_SCOPE_SUBGROUP_KHR},
                                    {16, 16, 16, F16, F32, 1, VK_SCOPE_SUBGROUP_KHR},
                                    {16, 16, 32, F16, F32, 0, VK_SCOPE_SUBGROUP_KHR},
                                    {16, 8, 8, F16, F32, 0, VK_SCOPE_SUBGROUP_KHR}};
    (void)device;
    *n = sizeof listed / sizeof *listed;
    for (uint32_t i = 0; i < *n; i++) {
        const int *l = listed[i];
        out[i].MSize = (uint32_t)l[0], out[i].NSize = (uint32_t)l[1], out[i].KSize = (uint32_t)l[2];
        out[i].AType = out[i].BType = (VkComponentTypeKHR)l[3];
        out[i].CType = out[i].ResultType = (VkComponentTypeKHR)l[4];
        out[i].saturatingAccumulation = (VkBool32)l[5];
        out[i].scope = (VkScopeKHR)l[6];
    }
    return VK_SUCCESS;
}

/* The largest of f16 into f32 over subgroups that fits; none where a feature for it is missing. */
static void the_largest_piece_that_fits_is_taken(void **state)
{
    (void)state;
    so_device_info about;
    so_vulkan_instance v = made_up();
    if (!so_gpu_spirv_matrices.words) {
        fprintf(stderr, "# SKIP: a list of cooperative matrices: the glslc of this build does not know them\n");
        skip();
    }
    said = whole;
    so_vulkan_describe(&v, 0, &about);
    assert_int_equal(about.piece[0], 0);
    v.EnumerateDeviceExtensionProperties = with_matrices;
    v.GetPhysicalDeviceCooperativeMatrixPropertiesKHR = shapes;
    so_vulkan_describe(&v, 0, &about);
    assert_int_equal(about.piece[0], 16);
    assert_int_equal(about.piece[1], 8);
    assert_int_equal(about.piece[2], 16);
    static const size_t feature[] = {offsetof(VkPhysicalDeviceVulkan12Features, shaderFloat16),
                                     offsetof(VkPhysicalDeviceVulkan12Features, vulkanMemoryModel)};
    for (int i = 0; i < 3; i++) {
        said = whole;
        said.lacks_in = i < 2 ? 12 : 0;
        said.lacks_at = i < 2 ? feature[i] : 0;
        if (i == 2) said.subgroup = 64, said.most_subgroup = 32;
        so_vulkan_describe(&v, 0, &about);
        assert_int_equal(about.piece[0], 0);
        assert_string_equal(about.lacks, "");
    }
}
#else
static void the_largest_piece_that_fits_is_taken(void **state)
{
    (void)state;
    fprintf(stderr, "# SKIP: a list of cooperative matrices: Vulkan's headers here do not know them\n");
    skip();
}
#endif

/* ---- what a driver does */

static PFN_vkGetDeviceProcAddr real_address;
static PFN_vkQueueSubmit real_submit;
static PFN_vkAllocateMemory real_allocate;
static int lost_after, full_after; /* calls that still work; -1: all do */
static int hangs;                  /* times that nothing was done when it was waited for; -1: none is */

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo *info, VkFence fence)
{
    if (lost_after == 0) return VK_ERROR_DEVICE_LOST;
    lost_after -= lost_after > 0;
    return real_submit(queue, n, info, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks, VkDeviceMemory *out)
{
    if (full_after == 0) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    full_after -= full_after > 0;
    return real_allocate(device, info, callbacks, out);
}

static PFN_vkWaitForFences real_wait;
static uint64_t patience;

static VKAPI_ATTR VkResult VKAPI_CALL wait_for(VkDevice device, uint32_t n, const VkFence *fence, VkBool32 all,
                                               uint64_t ns)
{
    patience = ns;
    if (hangs < 0) return real_wait(device, n, fence, all, ns);
    hangs++;
    return VK_TIMEOUT;
}

static PFN_vkDeviceWaitIdle real_idle;
static int idled;

static VKAPI_ATTR VkResult VKAPI_CALL wait_idle(VkDevice device)
{
    idled++;
    return real_idle(device);
}

static PFN_vkDestroyDevice real_destroy;
static PFN_vkFreeMemory real_free;
static int taken; /* times that something was taken from a device */

static VKAPI_ATTR void VKAPI_CALL destroy(VkDevice device, const VkAllocationCallbacks *callbacks)
{
    taken++;
    real_destroy(device, callbacks);
}

static VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice device, VkDeviceMemory memory,
                                              const VkAllocationCallbacks *callbacks)
{
    taken++;
    real_free(device, memory, callbacks);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL address(VkDevice device, const char *name)
{
    PFN_vkVoidFunction real = real_address(device, name);
    if (strcmp(name, "vkQueueSubmit") == 0) {
        real_submit = (PFN_vkQueueSubmit)real;
        return (PFN_vkVoidFunction)submit;
    }
    if (strcmp(name, "vkWaitForFences") == 0) {
        real_wait = (PFN_vkWaitForFences)real;
        return (PFN_vkVoidFunction)wait_for;
    }
    if (strcmp(name, "vkDeviceWaitIdle") == 0) {
        real_idle = (PFN_vkDeviceWaitIdle)real;
        return (PFN_vkVoidFunction)wait_idle;
    }
    if (strcmp(name, "vkDestroyDevice") == 0) {
        real_destroy = (PFN_vkDestroyDevice)real;
        return (PFN_vkVoidFunction)destroy;
    }
    if (strcmp(name, "vkFreeMemory") == 0) {
        real_free = (PFN_vkFreeMemory)real;
        return (PFN_vkVoidFunction)free_memory;
    }
    if (strcmp(name, "vkAllocateMemory") == 0) {
        real_allocate = (PFN_vkAllocateMemory)real;
        return (PFN_vkVoidFunction)allocate;
    }
    return real;
}

/* The first real device with these calls in between; the test is skipped where there is none. */
static so_device *in_between(void)
{
    so_error error = {0};
    so_vulkan_instance v;
    so_device *d = NULL;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: a device of Vulkan: its drivers do not free what they hold, which sanitizers tell\n");
    skip();
#endif
    so_status status = so_vulkan_start(&v, &error);
    if (status == SO_OK) {
        real_address = v.GetDeviceProcAddr;
        v.GetDeviceProcAddr = address;
        lost_after = full_after = hangs = -1;
        status = so_vulkan_open(&d, &v, 0, &error);
    }
    if (status != SO_OK) {
        fprintf(stderr, "# SKIP: a device of Vulkan: %s\n", error.text);
        skip();
    }
    return d;
}

/* Two sessions of a crew on a device that is lost beneath them: each is told why, the crew goes on stepping, all
 * closes. */
static void a_lost_device_is_told_to_every_session(void **state)
{
    (void)state;
    so_error error = {0};
    so_model *m;
    so_crew *crew;
    so_session *s[2];
    so_device *d = in_between();
    CHECK_OK(so_model_open_on(&m, folder, &(so_model_options){.threads = 1, .context = 128}, d, &error), error);
    CHECK_OK(so_crew_open(&crew, m, &(so_crew_options){.sessions = 2}, &error), error);
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_crew_session(crew, &s[i], &(so_session_options){.max_text = 40, .think = -1}, &error), error);
        CHECK_OK(so_feed_text(s[i], "where is the cat?", &error), error);
        CHECK_OK(so_reply(s[i], SO_WANT_TEXT, &error), error);
    }
    for (int i = 0; i < 60 && failed < 2; i++) {
        if (i == 5) lost_after = 0;
        CHECK_OK(so_crew_step(crew, NULL, &error), error);
        for (int k = 0; k < 2; k++) {
            so_event e = {.kind = SO_EVENT_TEXT};
            while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_FAILED) CHECK_OK(so_next(s[k], &e, &error), error);
            if (e.kind != SO_EVENT_FAILED) continue;
            failed++;
            assert_int_equal(e.status, SO_ERR_IO);
            assert_non_null(strstr(e.text, "vulkan:0"));
            assert_non_null(strstr(e.text, "start the program again"));
        }
    }
    assert_int_equal(failed, 2);
    CHECK_OK(so_crew_step(crew, NULL, &error), error);
    for (int i = 0; i < 2; i++) so_session_close(&s[i]);
    so_crew_close(&crew);
    so_model_close(&m);
}

static void memory_that_ends_is_told(void **state)
{
    (void)state;
    so_error error = {0};
    so_device *d = in_between();
    void *p = NULL;
    full_after = 0;
    assert_int_equal(so_device_reserve(d, 1 << 20, &p, &error), SO_ERR_NOMEM);
    assert_non_null(strstr(error.text, "1048576"));
    assert_int_equal(so_device_reserve(d, (size_t)1 << 50, &p, &error), SO_ERR_NOMEM); /* that is not asked for */
    assert_non_null(strstr(error.text, "at most"));
    full_after = -1;
    CHECK_OK(so_device_reserve(d, 1 << 20, &p, &error), error); /* another may still fit */
    so_device_close(&d);
}

/* A device that does not answer is given up after minutes, for good; what then closes waits for nothing that never
 * ends, and takes nothing away that the device may still use: what it was given here does run. */
static void a_device_that_hangs_is_given_up(void **state)
{
    (void)state;
    so_error error = {0};
    so_device *d = in_between();
    void *p = NULL;
    float x = 1, y = 0;
    CHECK_OK(so_device_reserve(d, sizeof x, &p, &error), error);
    so_device_write(d, p, &x, sizeof x);
    so_device_read(d, &y, p, sizeof y); /* nothing is under way when it stops to answer */
    assert_true(y == 1 && patience > 0 && patience <= (uint64_t)600 * 1000 * 1000 * 1000);
    hangs = 0;
    so_device_write(d, p, &x, sizeof x);
    so_device_read(d, &y, p, sizeof y);
    assert_int_equal(hangs, 1);
    assert_int_equal(so_device_state(d, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "no answer within five minutes"));
    so_device_read(d, &y, p, sizeof y);
    assert_int_equal(hangs, 1); /* and it is not waited for again */
    idled = taken = 0;
    so_device_release(d, p);
    so_device_close(&d);
    assert_int_equal(idled, 0);
    assert_int_equal(taken, 0);
}

static int start(void **state)
{
    so_model *host = NULL;
    (void)state;
    toy_open(&host, folder, 1, 128);
    so_model_close(&host);
    return 0;
}

static int stop(void **state)
{
    so_model *none = NULL;
    (void)state;
    return toy_close(&none, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_feature_is_named),
        cmocka_unit_test(an_old_driver_and_a_small_device_are_named),
        cmocka_unit_test(pieces_are_taken_that_share_out_a_tile),
        cmocka_unit_test(the_largest_piece_that_fits_is_taken),
        cmocka_unit_test(a_lost_device_is_told_to_every_session),
        cmocka_unit_test(memory_that_ends_is_told),
        cmocka_unit_test(a_device_that_hangs_is_given_up),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
#else
int main(void)
{
    fprintf(stderr, "# SKIP: this program was built without Vulkan's headers\n");
    return 77;
}
#endif
