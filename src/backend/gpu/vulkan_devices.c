/* Devices that Vulkan's drivers offer: what they are, and what they lack. See vulkan_api.h.
 * SPDX-License-Identifier: Apache-2.0 */
#if __has_include(<vulkan/vulkan.h>)
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/vulkan_api.h"

enum { PUSHED = 128, SHARED_MEMORY = 16 << 10, GROUP = 256 };

const char *so_vulkan_word(VkResult result)
{
    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        return "the device is lost (it hung, was reset, or was taken away): start the program again";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of memory";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "no driver fits: install the card's (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own), or name its "
               "file in VK_DRIVER_FILES";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "the validation layer is not installed";
    case VK_TIMEOUT:
        return "no answer within five minutes";
    default:
        return "refused by the driver";
    }
}

static VKAPI_ATTR VkBool32 VKAPI_CALL complained(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)type;
    const so_vulkan_instance *v = user;
    so_gpu_fail(v->complains_to, SO_ERR_STATE, "validation: %.600s", data->pMessage);
    return VK_FALSE;
}

static so_status open_library(so_vulkan_instance *v, so_error *error)
{
    v->library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!v->library)
        return so_fail(error, SO_ERR_MISSING,
                       "Vulkan is not installed (libvulkan.so.1; Debian's package libvulkan1), or not to be had here");
    /* POSIX says what C does not: what dlsym gives may be called. */
    *(void **)&v->GetInstanceProcAddr = dlsym(v->library, "vkGetInstanceProcAddr");
    return v->GetInstanceProcAddr ? SO_OK : so_fail(error, SO_ERR_UNSUPPORTED, "libvulkan.so.1 is not Vulkan's");
}

static so_status make_instance(so_vulkan_instance *v, so_error *error)
{
    const char *wish = getenv("SO_VULKAN_VALIDATE");
    bool validate = wish && *wish;
    const char *layers[] = {"VK_LAYER_KHRONOS_validation"}, *extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "stream-omni",
                             .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app,
                                 .enabledLayerCount = validate,
                                 .ppEnabledLayerNames = layers,
                                 .enabledExtensionCount = validate,
                                 .ppEnabledExtensionNames = extensions};
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)v->GetInstanceProcAddr(NULL, "vkCreateInstance");
    VkResult r = create ? create(&info, NULL, &v->instance) : VK_ERROR_INCOMPATIBLE_DRIVER;
    if (r != VK_SUCCESS) return so_fail(error, SO_ERR_MISSING, "Vulkan cannot be used: %s", so_vulkan_word(r));
#define ONE(NAME) v->NAME = (PFN_vk##NAME)v->GetInstanceProcAddr(v->instance, "vk" #NAME);
    SO_VULKAN_OF_INSTANCE(ONE)
#undef ONE
    return SO_OK;
}

void so_vulkan_listen(so_vulkan_instance *v)
{
    VkDebugUtilsMessengerCreateInfoEXT messages = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                   .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                                                                      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
                                                   .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
                                                   .pfnUserCallback = complained,
                                                   .pUserData = v};
    if (v->CreateDebugUtilsMessengerEXT) v->CreateDebugUtilsMessengerEXT(v->instance, &messages, NULL, &v->messenger);
}

so_status so_vulkan_start(so_vulkan_instance *v, so_error *error)
{
    *v = (so_vulkan_instance){0};
    so_status status = open_library(v, error);
    if (status == SO_OK) status = make_instance(v, error);
    uint32_t n = SO_DEVICES;
    if (status == SO_OK && v->EnumeratePhysicalDevices(v->instance, &n, v->device) < 0) n = 0;
    if (status == SO_OK && n == 0)
        status = so_fail(error, SO_ERR_MISSING,
                         "Vulkan has no device: no driver is installed (mesa-vulkan-drivers, or the card's own), or "
                         "this user may not use it");
    v->n = (int)n;
    if (status != SO_OK) so_vulkan_stop(v);
    return status;
}

void so_vulkan_stop(so_vulkan_instance *v)
{
    if (v->messenger) v->DestroyDebugUtilsMessengerEXT(v->instance, v->messenger, NULL);
    if (v->instance) v->DestroyInstance(v->instance, NULL);
    if (v->library) dlclose(v->library);
    *v = (so_vulkan_instance){0};
}

static void lacks(so_device_info *out, bool has, const char *what)
{
    size_t used = strlen(out->lacks);
    if (!has) snprintf(out->lacks + used, sizeof out->lacks - used, "%s%s", used ? " " : "", what);
}

static void list_features(const so_vulkan_instance *v, VkPhysicalDevice device, so_device_info *out)
{
    VkPhysicalDeviceVulkan13Features f13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
    VkPhysicalDeviceVulkan12Features f12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                            .pNext = &f13};
    VkPhysicalDeviceVulkan11Features f11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                            .pNext = &f12};
    VkPhysicalDeviceFeatures2 f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f11};
    v->GetPhysicalDeviceFeatures2(device, &f);
    lacks(out, f.features.shaderInt64, "shaderInt64");
    lacks(out, f.features.shaderInt16, "shaderInt16");
    lacks(out, f11.storageBuffer16BitAccess, "storageBuffer16BitAccess");
    lacks(out, f12.storageBuffer8BitAccess, "storageBuffer8BitAccess");
    lacks(out, f12.shaderInt8, "shaderInt8");
    lacks(out, f12.scalarBlockLayout, "scalarBlockLayout");
    lacks(out, f12.bufferDeviceAddress, "bufferDeviceAddress");
    lacks(out, f13.subgroupSizeControl, "subgroupSizeControl");
    lacks(out, f13.computeFullSubgroups, "computeFullSubgroups");
    lacks(out, f13.shaderIntegerDotProduct, "shaderIntegerDotProduct");
}

bool so_vulkan_has(const so_vulkan_instance *v, VkPhysicalDevice device, const char *extension)
{
    VkExtensionProperties all[512];
    uint32_t n = 512;
    bool has = false;
    if (v->EnumerateDeviceExtensionProperties(device, NULL, &n, all) < 0) n = 0;
    for (uint32_t i = 0; i < n; i++) has |= strcmp(all[i].extensionName, extension) == 0;
    return has;
}

static void list_memory(const so_vulkan_instance *v, VkPhysicalDevice device, so_device_info *out)
{
    bool told = so_vulkan_has(v, device, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 m = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                           .pNext = told ? &budget : NULL};
    v->GetPhysicalDeviceMemoryProperties2(device, &m);
    for (uint32_t i = 0; i < m.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &m.memoryProperties.memoryHeaps[i];
        if (!(heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || heap->size < out->memory) continue;
        out->memory = heap->size;
        out->free = !told                                        ? heap->size
                    : budget.heapBudget[i] > budget.heapUsage[i] ? budget.heapBudget[i] - budget.heapUsage[i]
                                                                 : 0;
    }
}

void so_vulkan_describe(const so_vulkan_instance *v, int i, so_device_info *out)
{
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties sub = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                                              .pNext = &driver};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sub};
    const VkPhysicalDeviceLimits *limits = &p.properties.limits;
    VkSubgroupFeatureFlags wanted = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    v->GetPhysicalDeviceProperties2(v->device[i], &p);
    *out = (so_device_info){.subgroup = (int)sub.subgroupSize};
    out->card = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    snprintf(out->name, sizeof out->name, "vulkan:%d", i);
    snprintf(out->title, sizeof out->title, "%s", p.properties.deviceName);
    snprintf(out->driver, sizeof out->driver, "%.120s %.100s", driver.driverName, driver.driverInfo);
    lacks(out, p.properties.apiVersion >= VK_API_VERSION_1_3, "Vulkan-1.3");
    lacks(out, (sub.supportedOperations & wanted) == wanted && (sub.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT),
          "subgroup-arithmetic");
    lacks(out, sub.subgroupSize >= 8 && sub.subgroupSize <= 64, "subgroups-of-8-to-64");
    lacks(out, limits->maxPushConstantsSize >= PUSHED, "128-bytes-of-push-constants");
    lacks(out, limits->maxComputeSharedMemorySize >= SHARED_MEMORY, "16-KiB-of-shared-memory");
    lacks(out, limits->maxComputeWorkGroupInvocations >= GROUP, "groups-of-256");
    if (p.properties.apiVersion >= VK_API_VERSION_1_3) list_features(v, v->device[i], out);
    list_memory(v, v->device[i], out);
    if (!out->lacks[0]) so_vulkan_matrices(v, v->device[i], out->subgroup, out->piece);
}
#else
typedef int so_no_vulkan_devices;
#endif
