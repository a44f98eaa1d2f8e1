/* Cooperative matrices that Vulkan's drivers offer (tensor cores of NVIDIA, AMD, Intel): which of them matmul_half.k
 * takes. See vulkan_api.h and texts/fragment.h.
 * SPDX-License-Identifier: Apache-2.0 */
#if __has_include(<vulkan/vulkan.h>)
#include "backend/gpu/vulkan_api.h"

/* A tile of 64 x 64 is shared out evenly among the subgroups of 256 threads, k goes in steps of 16, and there is room
 * for a piece of each subgroup in 8 KiB. */
bool so_vulkan_piece_fits(uint32_t rows, uint32_t cols, uint32_t deep, int subgroup)
{
    if (subgroup < 8 || 256 % subgroup || !rows || !cols || !deep) return false;
    if (64 % rows || 64 % cols || 16 % deep || deep < 8) return false;
    uint32_t teams = 256 / (uint32_t)subgroup, cells = rows * cols;
    return teams * cells <= 2048 && 4096 / cells % teams == 0;
}

#ifdef VK_KHR_cooperative_matrix
enum { SHAPES = 64 };

/* Whether groups of 256 threads in subgroups of this size can be asked for. */
static bool subgroups_can_be_chosen(const so_vulkan_instance *v, VkPhysicalDevice device, int subgroup)
{
    VkPhysicalDeviceVulkan13Properties p13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &p13};
    v->GetPhysicalDeviceProperties2(device, &p);
    return (p13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
           p13.minSubgroupSize <= (uint32_t)subgroup && (uint32_t)subgroup <= p13.maxSubgroupSize &&
           p13.maxComputeWorkgroupSubgroups >= 256 / (uint32_t)subgroup;
}

static bool has_features(const so_vulkan_instance *v, VkPhysicalDevice device)
{
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkPhysicalDeviceVulkan12Features f12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                            .pNext = &matrices};
    VkPhysicalDeviceFeatures2 f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f12};
    v->GetPhysicalDeviceFeatures2(device, &f);
    return matrices.cooperativeMatrix && f12.shaderFloat16 && f12.vulkanMemoryModel;
}

void so_vulkan_matrices(const so_vulkan_instance *v, VkPhysicalDevice device, int subgroup, int piece[3])
{
    VkCooperativeMatrixPropertiesKHR shape[SHAPES];
    uint32_t n = SHAPES;
    if (!so_gpu_spirv_matrices.words || !so_vulkan_has(v, device, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) return;
    if (!subgroups_can_be_chosen(v, device, subgroup) || !has_features(v, device)) return;
    for (int i = 0; i < SHAPES; i++)
        shape[i] = (VkCooperativeMatrixPropertiesKHR){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (v->GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &n, shape) < 0) return;
    for (uint32_t i = 0; i < n; i++) {
        const VkCooperativeMatrixPropertiesKHR *s = &shape[i];
        bool in_f16 = s->AType == VK_COMPONENT_TYPE_FLOAT16_KHR && s->BType == VK_COMPONENT_TYPE_FLOAT16_KHR;
        bool in_f32 = s->CType == VK_COMPONENT_TYPE_FLOAT32_KHR && s->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR;
        if (!in_f16 || !in_f32 || s->saturatingAccumulation || s->scope != VK_SCOPE_SUBGROUP_KHR) continue;
        if (!so_vulkan_piece_fits(s->MSize, s->NSize, s->KSize, subgroup)) continue;
        if (s->MSize * s->NSize * s->KSize <= (uint32_t)(piece[0] * piece[1] * piece[2])) continue;
        piece[0] = (int)s->MSize;
        piece[1] = (int)s->NSize;
        piece[2] = (int)s->KSize;
    }
}
#else
void so_vulkan_matrices(const so_vulkan_instance *v, VkPhysicalDevice device, int subgroup, int piece[3])
{
    (void)v;
    (void)device;
    (void)subgroup;
    (void)piece;
}
#endif
#else
typedef int so_no_vulkan_matrices;
#endif
