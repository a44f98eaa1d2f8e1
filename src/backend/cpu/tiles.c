/* Whether the matrix tiles of AMX may be used here: the processor has them, the system saves their state, and it lets
 * this process use it. Linux gives the permission to all threads at once, to those that are there as well; it refuses
 * where a thread's alternative signal stack is too small for the state, and from then on refuses such stacks.
 *
 * Source: Intel SDM volume 1, chapters 13 and 18; Linux, Documentation/arch/x86/xstate.rst.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "backend/cpu/tiles.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

so_tile_plan so_tiles = {.few = SO_FEW_ROWS};

enum { STATE_SHAPE = 17, STATE_TILES = 18 }; /* bits of XCR0 */

/* Palette 1 is what tile.h counts on: 8 registers of 16 rows of 64 bytes. */
static bool palette_fits(const so_tile_system *s)
{
    unsigned r[4];
    if (!s->cpuid(0x1d, 0, r) || r[0] < 1 || !s->cpuid(0x1d, 1, r)) return false;
    return r[1] >> 16 >= 8 && (r[1] & 0xffff) >= 64 && (r[2] & 0xffff) >= 16;
}

bool so_tiles_granted(const so_tile_system *s, char why[128])
{
    unsigned r[4];
    const unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25, all = bf16 | tile | int8;
    if (!s->cpuid(7, 0, r) || (r[3] & all) != all) {
        snprintf(why, 128, "the processor has no AMX%s", (r[3] & tile) ? " for int8 and bf16" : "");
        return false;
    }
    if (!s->cpuid(1, 0, r) || !(r[2] >> 27 & 1) || (s->xgetbv() >> STATE_SHAPE & 3) != 3) {
        snprintf(why, 128, "the processor has AMX, the system does not save its state");
        return false;
    }
    if (!palette_fits(s)) {
        snprintf(why, 128, "the processor has AMX of another size than is known here");
        return false;
    }
    long answer = s->request(STATE_TILES);
    if (answer == 0) return true;
    if (answer == -ENOSPC)
        snprintf(why, 128, "the system refuses AMX: a thread's alternative signal stack is too small for its state");
    else
        snprintf(why, 128, "the system refuses AMX: %s", strerror((int)-answer));
    return false;
}

#if defined(__x86_64__)
static bool ask_cpuid(unsigned leaf, unsigned sub, unsigned reg[4])
{
    memset(reg, 0, 4 * sizeof *reg);
    return __get_cpuid_count(leaf, sub, reg, reg + 1, reg + 2, reg + 3) != 0;
}

static uint64_t ask_xgetbv(void)
{
    uint32_t a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (uint64_t)d << 32;
}

static long ask_permission(int state)
{
    enum { REQUEST = 0x1023 }; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, REQUEST, state) == 0 ? 0 : -errno;
}

static char reason[128];
static bool granted;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void ask(void) { granted = so_tiles_granted(&(so_tile_system){ask_cpuid, ask_xgetbv, ask_permission}, reason); }

bool so_tiles_here(const char **why)
{
    pthread_once(&once, ask);
    *why = reason;
    return granted;
}
#else
bool so_tiles_here(const char **why)
{
    *why = "not a processor of x86";
    return false;
}
#endif
