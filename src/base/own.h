/* Taking the const off a pointer where its owner does so: freeing what others only read, or passing it to an interface
 * that names no const and writes nothing. SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_OWN_H
#define SO_BASE_OWN_H

#include <stdint.h>

static inline void *so_mutable(const void *p) { return (void *)(uintptr_t)p; }

#endif
