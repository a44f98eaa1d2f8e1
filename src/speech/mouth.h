/* Units into speech while they are made.
 *
 * Units become mel frames in chunks: each chunk is computed with units before it (heard already) and a few behind it,
 * from noise that belongs to the frame, not to the chunk; where two chunks meet, their frames fade into each other. The
 * first chunk is small, so that sound begins early, the second half of it, and each later one about twice as large as
 * the one before, up to `hop`: what is heard lasts longer than the next chunk takes. The vocoder then runs over
 * the frames without seams: its source keeps its phase, and every piece is computed with as many frames around it as
 * can reach it, so that pieces put together are the waveform of the whole. N units give as many samples streamed as at
 * once.
 *
 * A voice that was made of recordings has a vector of its own and a prompt: units that were spoken by it and their mel.
 * Every chunk is computed behind the prompt, as a part of the same speech, and only what follows the prompt is kept.
 *
 * The work is cut into steps, none longer than one evaluation of the flow's network. One thread may make the steps
 * while another puts units in and takes sound out; the sound depends on the units and the seed alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SPEECH_MOUTH_H
#define SO_SPEECH_MOUTH_H

#include <pthread.h>

#include "checkpoint/codec.h"
#include "nn/worker.h"
#include "so.h"

typedef struct so_mouth_options {
    int64_t first, hop;  /* units of the first chunk, most of a later one */
    int64_t left, right; /* units around a chunk */
    int64_t max_units;   /* of one answer */
    uint64_t seed;
    so_device *device; /* where the codec computes; NULL: the host. Lent */
    int64_t prompt;    /* most units of a voice's prompt; 0: it speaks in the codec's voice alone */
} so_mouth_options;

/* Somebody's voice. */
typedef struct so_mouth_voice {
    const so_real *vector; /* [speaker] */
    const int32_t *units;  /* [n] of the prompt */
    int64_t n;             /* may be 0: no prompt */
    const so_real *mel;    /* [so_flow_frames(n), M] */
} so_mouth_voice;

enum { SO_MOUTH_PROMPT = 75 /* units of a voice's prompt, at most: 3 s */ };

/* Units [from, to) that become final, computed from [left, right). */
typedef struct so_mouth_chunk {
    int64_t left, from, to, right;
} so_mouth_chunk;

typedef struct so_mouth {
    const so_codec *codec;
    so_mouth_options options;
    so_arena memory;

    pthread_mutex_t lock; /* over the next seven */
    pthread_cond_t idle;
    int64_t n;              /* units given */
    bool ended;             /* no more will come */
    bool quiet;             /* no more sound is wanted */
    bool busy;              /* a step is being made */
    int64_t ready;          /* frames of waveform that are made */
    double began, sounding; /* seconds of a clock when units and sound were first seen; 0: not yet */
    so_error error;         /* of a step */

    int32_t *units; /* [max_units]; those below n stay as they are */
    int64_t taken;  /* frames of waveform given out */
    float *pcm;     /* [frames, samples a frame] */

    /* touched by steps only */
    int64_t hop;       /* units of the next chunk */
    int64_t mel_units; /* units whose frames are final */
    int64_t step;      /* of the chunk being made: 0 not begun, i: i - 1 evaluations are done */
    so_mouth_chunk chunk;
    so_real *x, *mu;  /* [prompt and window, M] of the chunk being made, where the codec computes */
    so_real *speaker; /* [M], there too */
    so_real *cond; /* [prompt and window, M] there too: the prompt's mel, then zeros; NULL: without room for voices */
    so_real *made; /* [window, M] of the host: x itself there */
    void *block;   /* of a device, with the three in it */
    so_flow_again again;
    /* Who speaks; changed between two answers only. */
    bool own;            /* the codec's voice */
    so_real *vector;     /* [speaker] otherwise */
    int32_t *prompt_ids; /* [P, then room for a window] */
    so_real *prompt_mel; /* [frames of the prompt, M] */
    int64_t P;
    so_real *mel;  /* [frames, M] */
    so_real *tail; /* [FADE, M] the last chunk's view of the frames behind its end */
    int64_t mel_frames, tail_frames;
    so_real *source; /* [frames, samples a frame] */
    int64_t source_frames, wave_frames;
    so_hift_phase phase;
    so_real offset[SO_HIFT_HARMONICS];
} so_mouth;

enum { SO_MOUTH_HOP = 25 /* units of a chunk, at most */ };
/* As sessions with these options have it. */
so_mouth_options so_mouth_usual(const so_session_options *options, int64_t max_units);
/* Takes all memory but that of a step. */
so_status so_mouth_open(so_mouth **out, const so_codec *codec, const so_mouth_options *options, so_error *error);
/* Waits for a step that is being made. */
void so_mouth_close(so_mouth **mouth);
/* What open takes; what a pass needs for any step. The place is that of the options. */
so_status so_mouth_plan(const so_codec *codec, const so_mouth_options *options, const so_site *place, so_need *fixed,
                        so_need *scratch, so_error *error);
/* A new answer; waits for a step of the old one. */
void so_mouth_reset(so_mouth *mouth, uint64_t seed);
/* Whose voice the next answers have, NULL: the codec's; copied. Waits for a step of the answer before, which must be
 * over. SO_ERR_STATE without room for voices, SO_ERR_LIMIT for a prompt that is too long. */
so_status so_mouth_speak_as(so_mouth *mouth, const so_mouth_voice *voice, so_error *error);
/* The voice of another mouth, of the same codec. Both may be NULL. */
so_status so_mouth_speak_like(so_mouth *mouth, const so_mouth *other, so_error *error);
/* One more unit. SO_ERR_LIMIT above max_units. */
so_status so_mouth_put(so_mouth *mouth, int32_t unit, so_error *error);
/* No more units. */
void so_mouth_end(so_mouth *mouth);
/* No more sound: no step is due until the next reset. */
void so_mouth_quiet(so_mouth *mouth);
/* Whether a step can be made now. */
bool so_mouth_due(so_mouth *mouth);
/* Whether all units are sound that was taken. */
bool so_mouth_complete(so_mouth *mouth);
/* Makes the next step in the arena of `pass`; *made is false when none is due. A failed step silences the mouth, and so
 * does one that is stopped (SO_ERR_STOPPED). */
so_status so_mouth_step(so_mouth *mouth, so_pass *pass, bool *made, so_error *error);
/* The two halves of it: claims the next step, false when none is due; and makes what was claimed, from any thread. */
bool so_mouth_claim(so_mouth *mouth);
so_status so_mouth_run(so_mouth *mouth, so_pass *pass, so_error *error);
/* Whether a step is due, and when what is made so far will have been played: before `now` while nothing is. */
bool so_mouth_wants(so_mouth *mouth, double now, double *dry);
/* The next samples of the waveform, lent until the next reset; *samples is 0 when none are made. Gives the error of a
 * step that failed elsewhere. */
so_status so_mouth_take(so_mouth *mouth, const float **pcm, int64_t *samples, so_error *error);
/* Samples given out so far. */
int64_t so_mouth_samples(const so_mouth *mouth);

#endif
