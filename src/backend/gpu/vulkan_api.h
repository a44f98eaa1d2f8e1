/* What is used of Vulkan, and what its driver's files share. libvulkan is opened at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_VULKAN_API_H
#define SO_BACKEND_GPU_VULKAN_API_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "backend/gpu/launch.h"

/* Not in the headers of Debian 12. */
#ifdef VK_KHR_cooperative_matrix
#define SO_VULKAN_OF_MATRICES(X) X(GetPhysicalDeviceCooperativeMatrixPropertiesKHR)
#else
#define SO_VULKAN_OF_MATRICES(X)
#endif

#define SO_VULKAN_OF_INSTANCE(X)                                                                                       \
    X(CreateDevice)                                                                                                    \
    X(CreateDebugUtilsMessengerEXT)                                                                                    \
    X(DestroyDebugUtilsMessengerEXT)                                                                                   \
    X(DestroyInstance)                                                                                                 \
    X(EnumerateDeviceExtensionProperties)                                                                              \
    X(EnumeratePhysicalDevices)                                                                                        \
    X(GetDeviceProcAddr)                                                                                               \
    X(GetPhysicalDeviceFeatures2)                                                                                      \
    X(GetPhysicalDeviceMemoryProperties2)                                                                              \
    X(GetPhysicalDeviceProperties2)                                                                                    \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                                          \
    SO_VULKAN_OF_MATRICES(X)

#define SO_VULKAN_OF_DEVICE(X)                                                                                         \
    X(AllocateCommandBuffers)                                                                                          \
    X(AllocateMemory)                                                                                                  \
    X(BeginCommandBuffer)                                                                                              \
    X(BindBufferMemory)                                                                                                \
    X(CmdBindPipeline)                                                                                                 \
    X(CmdCopyBuffer)                                                                                                   \
    X(CmdDispatch)                                                                                                     \
    X(CmdPipelineBarrier)                                                                                              \
    X(CmdPushConstants)                                                                                                \
    X(CreateBuffer)                                                                                                    \
    X(CreateCommandPool)                                                                                               \
    X(CreateComputePipelines)                                                                                          \
    X(CreateFence)                                                                                                     \
    X(CreatePipelineLayout)                                                                                            \
    X(CreateShaderModule)                                                                                              \
    X(DestroyBuffer)                                                                                                   \
    X(DestroyCommandPool)                                                                                              \
    X(DestroyDevice)                                                                                                   \
    X(DestroyFence)                                                                                                    \
    X(DestroyPipeline)                                                                                                 \
    X(DestroyPipelineLayout)                                                                                           \
    X(DestroyShaderModule)                                                                                             \
    X(DeviceWaitIdle)                                                                                                  \
    X(EndCommandBuffer)                                                                                                \
    X(FreeCommandBuffers)                                                                                              \
    X(FreeMemory)                                                                                                      \
    X(GetBufferDeviceAddress)                                                                                          \
    X(GetBufferMemoryRequirements)                                                                                     \
    X(GetDeviceQueue)                                                                                                  \
    X(MapMemory)                                                                                                       \
    X(QueueSubmit)                                                                                                     \
    X(ResetCommandPool)                                                                                                \
    X(ResetFences)                                                                                                     \
    X(WaitForFences)

typedef struct so_vulkan_instance {
    void *library;
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice device[SO_DEVICES];
    int n;
    void *complains_to; /* a device that messages of the validation layer fail; NULL: nobody */
#define ONE(NAME) PFN_vk##NAME NAME;
    SO_VULKAN_OF_INSTANCE(ONE)
#undef ONE
} so_vulkan_instance;

/* Opens libvulkan and lists its devices. SO_VULKAN_VALIDATE in the environment asks for the validation layer. */
so_status so_vulkan_start(so_vulkan_instance *v, so_error *error);
/* What the validation layer says, if it was asked for, fails v->complains_to from now on. *v must not move any more. */
void so_vulkan_listen(so_vulkan_instance *v);
/* Accepts a zeroed one. */
void so_vulkan_stop(so_vulkan_instance *v);
/* What device i is, and what it lacks. */
void so_vulkan_describe(const so_vulkan_instance *v, int i, so_device_info *out);
bool so_vulkan_has(const so_vulkan_instance *v, VkPhysicalDevice device, const char *extension);
/* Rows, columns and depth of cooperative matrices that matmul_half.k takes, by subgroups of so many threads; 0: there
 * are none, or this program was built without. */
void so_vulkan_matrices(const so_vulkan_instance *v, VkPhysicalDevice device, int subgroup, int piece[3]);
/* Whether matmul_half.k can take such pieces. */
bool so_vulkan_piece_fits(uint32_t rows, uint32_t cols, uint32_t deep, int subgroup);
/* A word for a result. */
const char *so_vulkan_word(VkResult result);
/* Opens device i; takes the instance, also when it fails. */
so_status so_vulkan_open(so_device **out, so_vulkan_instance *v, int i, so_error *error);

#endif
