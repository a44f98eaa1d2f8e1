/* The language of the kernels' texts (*.k): what GLSL and C have in common. glslc (SPIR-V), nvcc (PTX) and a C compiler
 * (fibers, for tests) read the same texts; what differs is named here.
 *
 *   PARAMS { FIELDS } p;           what a launch passes, at most 128 bytes (params.h); read in the kernel's body only
 *   KIND                           a constant chosen at launch: a stored type, a function
 *   WEIGHT                         its lowest four bits, where they are a stored type
 *   KERNEL(name, threads) { ... }  threads are a multiple of 64
 *   F32(address).v[i]              numbers behind an address; F16 bits are U16
 *   SHARED float s[64];            memory of a group, in front of the kernel
 *   SYNC()                         all threads of the group must come by
 *   sub_add, sub_max               over a subgroup of 8, 16, 32 or 64 threads; all of them must come by
 *   int(x), float(x), uint64_t(x)  conversions; nothing is converted without being told
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifdef VULKAN
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
#ifdef SO_MATRICES
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#endif
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32 { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer I32 { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer U64 { uint64_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16 { uint16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer I8 { int8_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer U8 { uint8_t v[]; };
layout(constant_id = 0) const int KIND = 0;
layout(constant_id = 1) const int WEIGHT = 0;
#define PARAMS layout(push_constant, scalar) uniform Params
#define KERNEL(NAME, X)                                                                                                \
    layout(local_size_x = X) in;                                                                                       \
    void main()
#define SHARED shared
#define DEVICE
#define UNROLL [[unroll]]
#define thread_x int(gl_LocalInvocationID.x)
#define group_x int(gl_WorkGroupID.x)
#define group_y int(gl_WorkGroupID.y)
#define group_z int(gl_WorkGroupID.z)
#define SYNC() barrier()
#define sub_size int(gl_SubgroupSize)
#define sub_lane int(gl_SubgroupInvocationID)
#define sub_id int(gl_SubgroupID)
#define sub_add(x) subgroupAdd(x)
#define sub_max(x) subgroupMax(x)
#define from_bits(u) uintBitsToFloat(u)
#define to_bits(f) floatBitsToUint(f)
#define half_bits(h) unpackHalf2x16(uint(h)).x
#define nearest(x) roundEven(x)
/* OpSDotKHR (4450) of four signed bytes in a word (format 0): capabilities DotProductInput4x8BitPacked and DotProduct.
 * Every Vulkan 1.3 has them; glslang knows no function for it. */
/* clang-format off */
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int packed_dot(int a, int b, spirv_literal int form);
/* clang-format on */
int dot4(int a, int b) { return packed_dot(a, b, 0); }

#elif defined(__CUDACC__)
#include <cuda_fp16.h>
#include <stdint.h>
typedef unsigned int uint;
template <class T> struct so_ref {
    T *v;
    __device__ explicit so_ref(uint64_t a) : v((T *)a) {}
};
typedef so_ref<float> F32;
typedef so_ref<int32_t> I32;
typedef so_ref<uint64_t> U64;
typedef so_ref<uint16_t> U16;
typedef so_ref<int8_t> I8;
typedef so_ref<uint8_t> U8;
#define PARAMS struct Params
#define WEIGHT (KIND & 15)
#define SO_JOIN_(a, b) a##_##b
#define SO_JOIN(a, b) SO_JOIN_(a, b)
#define KERNEL(NAME, X) extern "C" __global__ void __launch_bounds__(X, 1) SO_JOIN(NAME, KIND)(const Params p)
#define SHARED __shared__
#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define thread_x int(threadIdx.x)
#define group_x int(blockIdx.x)
#define group_y int(blockIdx.y)
#define group_z int(blockIdx.z)
#define SYNC() __syncthreads()
#define sub_size 32
#define sub_lane int(threadIdx.x & 31)
#define sub_id int(threadIdx.x >> 5)
DEVICE float sub_add(float x)
{
    for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
    return x;
}
DEVICE float sub_max(float x)
{
    for (int o = 16; o; o >>= 1) x = fmaxf(x, __shfl_xor_sync(~0u, x, o));
    return x;
}
DEVICE float from_bits(uint u) { return __uint_as_float(u); }
DEVICE uint to_bits(float f) { return __float_as_uint(f); }
DEVICE float half_bits(uint16_t h) { return __half2float(__ushort_as_half(h)); }
DEVICE float nearest(float x) { return rintf(x); }
DEVICE int dot4(int a, int b) { return __dp4a(a, b, 0); }

#else
#include "backend/gpu/fibers/fibers.h"
#endif

#include "backend/gpu/texts/params.h"
