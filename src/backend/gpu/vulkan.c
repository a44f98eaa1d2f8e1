/* A device driven through Vulkan: memory by addresses, launches as dispatches in command buffers. See launch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#if __has_include(<vulkan/vulkan.h>)
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/vulkan_api.h"

enum { COMMANDS = 32, SHARED_BYTES = 16 << 20 };
static const uint64_t PATIENCE_NS = (uint64_t)300 * 1000 * 1000 * 1000, LARGEST = (uint64_t)1 << 30;

typedef struct block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t at, bytes;
} block;

typedef struct vulkan {
    so_vulkan_instance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool, kept; /* of what is submitted once, of recordings */
    VkCommandBuffer command[COMMANDS];
    int used;                /* command buffers since the last wait */
    bool recording;          /* command[used - 1] is open */
    bool busy;               /* something was submitted since the last wait */
    bool hangs;              /* and was waited for in vain: it may still be at it, so that nothing is taken from it */
    struct vulkan *next;     /* of those that hang */
    VkCommandBuffer keeping; /* a recording that is being made */
    VkFence fence;
    VkPipelineLayout layout;
    VkPipeline pipeline[SO_GPU_TEXT_COUNT][SO_GPU_KINDS];
    so_device_info about;
    uint64_t most; /* bytes of a block */
    block *block;
    int n_blocks, room;
    void *owner; /* the so_device, for so_gpu_fail */
#define ONE(NAME) PFN_vk##NAME NAME;
    SO_VULKAN_OF_DEVICE(ONE)
#undef ONE
} vulkan;

static bool fine(vulkan *v, VkResult r, const char *doing)
{
    if (r >= 0 && r != VK_TIMEOUT) return true;
    so_gpu_fail(v->owner, r == VK_ERROR_OUT_OF_DEVICE_MEMORY ? SO_ERR_NOMEM : SO_ERR_IO, "%s: %s", doing,
                so_vulkan_word(r));
    return false;
}

/* ---- memory */

/* The first kind of memory with these properties, of those in `allowed`; -1: none. */
static int memory_kind(const vulkan *v, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    VkPhysicalDeviceMemoryProperties2 m = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    v->instance.GetPhysicalDeviceMemoryProperties2(v->physical, &m);
    for (uint32_t i = 0; i < m.memoryProperties.memoryTypeCount; i++)
        if ((allowed >> i & 1) && (m.memoryProperties.memoryTypes[i].propertyFlags & wanted) == wanted) return (int)i;
    return -1;
}

static void drop(vulkan *v, block *b)
{
    if (b->buffer) v->DestroyBuffer(v->device, b->buffer, NULL);
    if (b->memory) v->FreeMemory(v->device, b->memory, NULL);
    *b = (block){0};
}

static VkResult make_block(vulkan *v, block *b, VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags better)
{
    VkMemoryRequirements needs;
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = b->bytes,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    VkResult r = v->CreateBuffer(v->device, &info, NULL, &b->buffer);
    if (r != VK_SUCCESS) return r;
    v->GetBufferMemoryRequirements(v->device, b->buffer, &needs);
    int kind = memory_kind(v, needs.memoryTypeBits, wanted | better);
    if (kind < 0) kind = memory_kind(v, needs.memoryTypeBits, wanted);
    if (kind < 0) return VK_ERROR_FEATURE_NOT_PRESENT;
    VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                       .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                     .pNext = &flags,
                                     .allocationSize = needs.size,
                                     .memoryTypeIndex = (uint32_t)kind};
    r = v->AllocateMemory(v->device, &allocate, NULL, &b->memory);
    if (r == VK_SUCCESS) r = v->BindBufferMemory(v->device, b->buffer, b->memory, 0);
    if (r != VK_SUCCESS) return r;
    VkBufferDeviceAddressInfo where = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = b->buffer};
    b->at = v->GetBufferDeviceAddress(v->device, &where);
    return VK_SUCCESS;
}

static so_status take_block(vulkan *v, size_t bytes, bool shared, block **out, so_error *error)
{
    if (bytes > v->most)
        return so_fail(error, SO_ERR_NOMEM, "the driver gives no piece of %zu bytes of memory, %llu at most", bytes,
                       (unsigned long long)v->most);
    if (v->n_blocks == v->room) {
        int room = v->room ? 2 * v->room : 16;
        block *more = realloc(v->block, (size_t)room * sizeof *more);
        if (!more) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of blocks");
        v->block = more;
        v->room = room;
    }
    block *b = *out = &v->block[v->n_blocks];
    *b = (block){.bytes = bytes};
    VkMemoryPropertyFlags seen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkResult r = make_block(v, b, shared ? seen : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                            shared ? VK_MEMORY_PROPERTY_HOST_CACHED_BIT : 0);
    if (r == VK_SUCCESS) {
        v->n_blocks++;
        return SO_OK;
    }
    drop(v, b);
    return so_fail(error, SO_ERR_NOMEM, "the device has no %zu bytes in one piece left: %s", bytes, so_vulkan_word(r));
}

static so_status reserve(void *self, size_t bytes, uint64_t *address, so_error *error)
{
    block *b = NULL;
    SO_TRY(take_block(self, bytes, false, &b, error));
    *address = b->at;
    return SO_OK;
}

/* Until nothing runs any more: also what was submitted before a submission failed. */
static void settle(const vulkan *v)
{
    if (v->device && !v->hangs) v->DeviceWaitIdle(v->device);
}

static size_t release(void *self, uint64_t address)
{
    vulkan *v = self;
    size_t bytes = 0;
    settle(v);
    for (int i = 0; i < v->n_blocks; i++) {
        if (v->block[i].at != address) continue;
        bytes = v->block[i].bytes;
        if (v->hangs) break;
        drop(v, &v->block[i]);
        v->block[i] = v->block[--v->n_blocks];
        break;
    }
    return bytes;
}

static const block *block_of(const vulkan *v, uint64_t at, size_t bytes)
{
    for (int i = 0; i < v->n_blocks; i++)
        if (at >= v->block[i].at && at + bytes <= v->block[i].at + v->block[i].bytes) return &v->block[i];
    return NULL;
}

/* ---- recording */

static void wait_done(void *self);

static VkCommandBuffer recorder(vulkan *v)
{
    if (v->keeping) return v->keeping;
    if (v->recording) return v->command[v->used - 1];
    if (v->used == COMMANDS) wait_done(v);
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    if (!fine(v, v->BeginCommandBuffer(v->command[v->used], &info), "recording")) return NULL;
    v->recording = true;
    return v->command[v->used++];
}

static void barrier(void *self)
{
    vulkan *v = self;
    VkCommandBuffer c = recorder(v);
    VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                         .srcAccessMask = writes,
                         .dstAccessMask = writes | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                                          VK_ACCESS_HOST_READ_BIT};
    if (c) v->CmdPipelineBarrier(c, stages, stages | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &b, 0, NULL, 0, NULL);
}

static void copy(void *self, uint64_t to, uint64_t from, size_t bytes)
{
    vulkan *v = self;
    const block *a = block_of(v, from, bytes), *b = block_of(v, to, bytes);
    VkCommandBuffer c = recorder(v);
    if (!a || !b) so_gpu_fail(v->owner, SO_ERR_ARG, "%zu bytes are copied that nobody reserved", bytes);
    if (a && b && c) v->CmdCopyBuffer(c, a->buffer, b->buffer, 1, &(VkBufferCopy){from - a->at, to - b->at, bytes});
}

static VkPipeline make_pipeline(vulkan *v, so_gpu_text text, int kind)
{
    VkPipeline pipeline = VK_NULL_HANDLE;
    VkShaderModule module;
    const int32_t *piece = v->about.piece;
    bool matrices = text == SO_GPU_matmul_half && kind == SO_F16 && piece[0];
    const so_gpu_code *spirv = matrices ? &so_gpu_spirv_matrices : &so_gpu_spirv[text];
    VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = spirv->bytes, .pCode = spirv->words};
    if (!fine(v, v->CreateShaderModule(v->device, &code, NULL, &module), so_gpu_text_name[text])) return pipeline;
    /* KIND, WEIGHT; of a team of threads its size, of its pieces rows, columns and depth (fragment.h). */
    int32_t constant[] = {kind, kind & 15, v->about.subgroup, piece[0], piece[1], piece[2]};
    enum { CONSTANTS = sizeof constant / sizeof *constant };
    VkSpecializationMapEntry entry[CONSTANTS];
    for (uint32_t i = 0; i < CONSTANTS; i++)
        entry[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *constant, sizeof *constant};
    VkSpecializationInfo constants = {matrices ? CONSTANTS : 2, entry, sizeof constant, constant};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo team = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = (uint32_t)v->about.subgroup};
    VkPipelineShaderStageCreateFlags any = VK_PIPELINE_SHADER_STAGE_CREATE_ALLOW_VARYING_SUBGROUP_SIZE_BIT;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .layout = v->layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = matrices ? &team : NULL,
                  .flags = (matrices ? 0 : any) | VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants}};
    fine(v, v->CreateComputePipelines(v->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline), so_gpu_text_name[text]);
    v->DestroyShaderModule(v->device, module, NULL);
    return pipeline;
}

static void launch(void *self, const so_gpu_launch *l)
{
    vulkan *v = self;
    VkPipeline *p = &v->pipeline[l->text][l->kind];
    if (!*p) *p = make_pipeline(v, l->text, l->kind);
    VkCommandBuffer c = *p ? recorder(v) : NULL;
    if (!c) return;
    v->CmdBindPipeline(c, VK_PIPELINE_BIND_POINT_COMPUTE, *p);
    v->CmdPushConstants(c, v->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, (l->bytes + 3) / 4 * 4, l->params);
    v->CmdDispatch(c, l->groups[0], l->groups[1], l->groups[2]);
}

static bool hand_in(vulkan *v, VkFence fence)
{
    VkCommandBuffer *c = v->recording ? &v->command[v->used - 1] : NULL;
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = c != NULL, .pCommandBuffers = c};
    if (c && !fine(v, v->EndCommandBuffer(*c), "recording")) return false;
    v->recording = false;
    v->busy = true;
    return fine(v, v->QueueSubmit(v->queue, 1, &info, fence), "submitting");
}

static void submit(void *self)
{
    vulkan *v = self;
    if (v->recording) hand_in(v, VK_NULL_HANDLE);
}

static void wait_done(void *self)
{
    vulkan *v = self;
    if (!v->device || (!v->busy && !v->recording)) return;
    if (hand_in(v, v->fence)) {
        VkResult r = v->WaitForFences(v->device, 1, &v->fence, VK_TRUE, PATIENCE_NS);
        v->hangs = r == VK_TIMEOUT;
        if (fine(v, r, "waiting")) {
            v->ResetFences(v->device, 1, &v->fence);
            v->ResetCommandPool(v->device, v->pool, 0);
        }
    } else {
        settle(v);
    }
    v->used = 0;
    v->busy = false;
}

/* ---- recordings: command buffers that are submitted as often as wanted */

static void *record(void *self)
{
    vulkan *v = self;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = v->kept,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    VkCommandBuffer c = NULL;
    if (!fine(v, v->AllocateCommandBuffers(v->device, &info, &c), "recording")) return NULL;
    if (!fine(v, v->BeginCommandBuffer(c, &begin), "recording")) return NULL;
    return v->keeping = c;
}

static void recorded(void *self)
{
    vulkan *v = self;
    fine(v, v->EndCommandBuffer(v->keeping), "recording");
    v->keeping = NULL;
}

static void replay(void *self, void *recording, const so_gpu_launch *now)
{
    (void)now;
    vulkan *v = self;
    VkCommandBuffer c = recording;
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &c};
    if (v->recording && !hand_in(v, VK_NULL_HANDLE)) return;
    v->busy = true;
    fine(v, v->QueueSubmit(v->queue, 1, &info, VK_NULL_HANDLE), "submitting");
}

static void forget(void *self, void *recording)
{
    vulkan *v = self;
    VkCommandBuffer c = recording;
    v->FreeCommandBuffers(v->device, v->kept, 1, &c);
}

/* ---- opening */

static void drive(void *self, void *device)
{
    vulkan *v = self;
    v->owner = v->instance.complains_to = device;
}

/* Devices that hang keep all they have until the process ends: what they were given may use it at any time. */
static _Atomic(vulkan *) hanging;

static void close_vulkan(void *self)
{
    vulkan *v = self;
    v->instance.complains_to = NULL;
    if (v->hangs) {
        v->next = atomic_exchange(&hanging, v);
        return;
    }
    if (v->device) {
        settle(v);
        for (int t = 0; t < SO_GPU_TEXT_COUNT; t++)
            for (int k = 0; k < SO_GPU_KINDS; k++)
                if (v->pipeline[t][k]) v->DestroyPipeline(v->device, v->pipeline[t][k], NULL);
        for (int i = 0; i < v->n_blocks; i++) drop(v, &v->block[i]);
        if (v->layout) v->DestroyPipelineLayout(v->device, v->layout, NULL);
        if (v->fence) v->DestroyFence(v->device, v->fence, NULL);
        if (v->pool) v->DestroyCommandPool(v->device, v->pool, NULL);
        if (v->kept) v->DestroyCommandPool(v->device, v->kept, NULL);
        v->DestroyDevice(v->device, NULL);
    }
    so_vulkan_stop(&v->instance);
    free(v->block);
    free(v);
}

static VkResult make_device(vulkan *v, uint32_t family)
{
    float one = 1;
    bool matrices = v->about.piece[0] != 0;
    void *rest = NULL;
    const char *extensions[1] = {NULL};
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR cooperative = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = 1};
    if (matrices) rest = &cooperative;
    extensions[0] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
#endif
    VkPhysicalDeviceVulkan13Features f13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                            .pNext = rest,
                                            .subgroupSizeControl = 1,
                                            .computeFullSubgroups = 1,
                                            .shaderIntegerDotProduct = 1};
    VkPhysicalDeviceVulkan12Features f12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                            .pNext = &f13,
                                            .storageBuffer8BitAccess = 1,
                                            .shaderInt8 = 1,
                                            .shaderFloat16 = matrices,
                                            .vulkanMemoryModel = matrices,
                                            .scalarBlockLayout = 1,
                                            .bufferDeviceAddress = 1};
    VkPhysicalDeviceVulkan11Features f11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &f12, .storageBuffer16BitAccess = 1};
    VkPhysicalDeviceFeatures f10 = {.shaderInt64 = 1, .shaderInt16 = 1};
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &one};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &f11,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = matrices,
                               .ppEnabledExtensionNames = extensions,
                               .pEnabledFeatures = &f10};
    VkResult r = v->instance.CreateDevice(v->physical, &info, NULL, &v->device);
    if (r != VK_SUCCESS) return r;
#define ONE(NAME) v->NAME = (PFN_vk##NAME)v->instance.GetDeviceProcAddr(v->device, "vk" #NAME);
    SO_VULKAN_OF_DEVICE(ONE)
#undef ONE
    v->GetDeviceQueue(v->device, family, 0, &v->queue);
    return VK_SUCCESS;
}

static VkResult make_rest(vulkan *v, uint32_t family)
{
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = family};
    VkResult r = v->CreateCommandPool(v->device, &pool, NULL, &v->pool);
    if (r == VK_SUCCESS) r = v->CreateCommandPool(v->device, &pool, NULL, &v->kept);
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = v->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = COMMANDS};
    if (r == VK_SUCCESS) r = v->AllocateCommandBuffers(v->device, &commands, v->command);
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    if (r == VK_SUCCESS) r = v->CreateFence(v->device, &fence, NULL, &v->fence);
    VkPushConstantRange pushed = {VK_SHADER_STAGE_COMPUTE_BIT, 0, SO_GPU_PARAMS};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &pushed};
    if (r == VK_SUCCESS) r = v->CreatePipelineLayout(v->device, &layout, NULL, &v->layout);
    return r;
}

/* A family of queues that computes; one that does nothing else is as good. */
static uint32_t family_of(const so_vulkan_instance *v, VkPhysicalDevice device)
{
    VkQueueFamilyProperties family[16];
    uint32_t n = 16, i = 0;
    v->GetPhysicalDeviceQueueFamilyProperties(device, &n, family);
    while (i + 1 < n && !(family[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) i++;
    return i;
}

static uint64_t most_of(const so_vulkan_instance *v, VkPhysicalDevice device)
{
    VkPhysicalDeviceMaintenance4Properties buffer = {.sType =
                                                         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties piece = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                                                    .pNext = &buffer};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &piece};
    v->GetPhysicalDeviceProperties2(device, &p);
    return buffer.maxBufferSize < piece.maxMemoryAllocationSize ? buffer.maxBufferSize : piece.maxMemoryAllocationSize;
}

static so_status open_parts(vulkan *v, int i, so_gpu_opened *opened, so_error *error)
{
    so_vulkan_describe(&v->instance, i, &opened->about);
    const so_device_info *about = &opened->about;
    if (!so_gpu_spirv[0].words)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "this program was built without glslc and has no kernels for Vulkan (Debian's package glslc)");
    if (about->lacks[0])
        return so_fail(error, SO_ERR_UNSUPPORTED, "%s (%s, %s) cannot be used, it lacks: %s", about->name, about->title,
                       about->driver, about->lacks);
    v->physical = v->instance.device[i];
    v->about = *about;
    v->most = most_of(&v->instance, v->physical);
    uint32_t family = family_of(&v->instance, v->physical);
    VkResult r = make_device(v, family);
    if (r == VK_SUCCESS) r = make_rest(v, family);
    if (r != VK_SUCCESS)
        return so_fail(error, SO_ERR_IO, "%s (%s) cannot be opened: %s", about->name, about->title, so_vulkan_word(r));
    block *b = NULL;
    SO_TRY(take_block(v, SHARED_BYTES, true, &b, error));
    if (v->MapMemory(v->device, b->memory, 0, VK_WHOLE_SIZE, 0, &opened->shared) != VK_SUCCESS)
        return so_fail(error, SO_ERR_NOMEM, "%s: no memory that host and device share", about->name);
    opened->shared_at = b->at;
    opened->shared_bytes = SHARED_BYTES;
    opened->largest = LARGEST;
    return SO_OK;
}

so_status so_vulkan_open(so_device **out, so_vulkan_instance *instance, int i, so_error *error)
{
    static const so_gpu_driver driver = {.drive = drive,
                                         .reserve = reserve,
                                         .release = release,
                                         .launch = launch,
                                         .copy = copy,
                                         .barrier = barrier,
                                         .submit = submit,
                                         .wait = wait_done,
                                         .close = close_vulkan,
                                         .record = record,
                                         .recorded = recorded,
                                         .replay = replay,
                                         .forget = forget};
    vulkan *v = calloc(1, sizeof *v);
    if (!v) {
        so_vulkan_stop(instance);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a device");
    }
    v->instance = *instance;
    so_vulkan_listen(&v->instance);
    so_gpu_opened opened = {.driver = &driver, .self = v};
    so_status status = open_parts(v, i, &opened, error);
    if (status != SO_OK) {
        close_vulkan(v);
        return status;
    }
    return so_gpu_open(out, &opened, error);
}
#else
typedef int so_no_vulkan;
#endif
