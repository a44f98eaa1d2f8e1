/* Products with blocks for ARM with the matrix instructions for bytes (I8MM).
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__ARM_FEATURE_MATMUL_INT8)
#define SO_FILL_ARM so_fill_i8mm
#define SO_ARM_NAME "i8mm"
#include "backend/cpu/arm/int8_arm.h"
#endif
