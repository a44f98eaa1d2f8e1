/* Element types of stored tensors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/type.h"

const so_type_info *so_type_about(so_type type)
{
    static const so_type_info table[SO_TYPE_COUNT] = {
        [SO_F32] = {"f32", 1, 4},       [SO_F16] = {"f16", 1, 2},       [SO_BF16] = {"bf16", 1, 2},
        [SO_I32] = {"i32", 1, 4},       [SO_I64] = {"i64", 1, 8},       [SO_U8] = {"u8", 1, 1},
        [SO_F64] = {"f64", 1, 8},       [SO_Q8_0] = {"q8_0", 32, 34},   [SO_Q4_0] = {"q4_0", 32, 18},
        [SO_Q4_K] = {"q4_k", 256, 144}, [SO_Q5_K] = {"q5_k", 256, 176}, [SO_Q6_K] = {"q6_k", 256, 210},
        [SO_Q5_0] = {"q5_0", 32, 22},
    };
    return &table[(unsigned)type < SO_TYPE_COUNT ? type : SO_F32];
}

size_t so_type_bytes(so_type type, int64_t n)
{
    const so_type_info *info = so_type_about(type);
    if (n < 0 || n % info->block != 0) return 0;
    uint64_t blocks = (uint64_t)n / (uint64_t)info->block;
    if (blocks > (uint64_t)INT64_MAX / (uint64_t)info->bytes) return 0;
    return (size_t)(blocks * (uint64_t)info->bytes);
}
