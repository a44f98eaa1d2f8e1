/* A span of 32 numbers X(0) .. X(31) as round_int8.k leaves it: codes from AT on of the row that begins at TO, and
 * their scale behind the KP codes of the row. One thread. SPDX-License-Identifier: Apache-2.0 */
#define ROUND_SPAN(TO, KP, AT, X)                                                                                      \
    {                                                                                                                  \
        float most = 0.0f, bad = 0.0f;                                                                                 \
        for (int c = 0; c < 32; c++) {                                                                                 \
            most = max(most, abs(X(c)));                                                                               \
            bad += X(c) * 0.0f;                                                                                        \
        }                                                                                                              \
        float scale = (most < 1.0e-30f ? 0.0f : most / 127.0f) + bad;                                                  \
        float inverse = most < 1.0e-30f ? 0.0f : 127.0f / most;                                                        \
        for (int c = 0; c < 32; c++) {                                                                                 \
            int q = 0;                                                                                                 \
            if (bad == 0.0f) q = int(nearest(X(c) * inverse));                                                         \
            I8(TO).v[(AT) + c] = int8_t(q);                                                                            \
        }                                                                                                              \
        F32((TO) + uint64_t(KP)).v[(AT) / 32] = scale;                                                                 \
    }
