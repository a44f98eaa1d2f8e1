/* Products with blocks for ARM with the dot product instructions.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__ARM_FEATURE_DOTPROD)
#define SO_FILL_ARM so_fill_neon
#define SO_ARM_NAME "neon"
#include "backend/cpu/arm/int8_arm.h"
#endif
