/* What the files of a Realtime session share: its settings (realtime_config.c), its items (realtime_items.c), the
 * session itself (realtime.c, realtime_sound.c, realtime_response.c). SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_REALTIME_PARTS_H
#define SO_SERVER_REALTIME_PARTS_H

#include "net/base64.h"
#include "server/realtime.h"

/* Why a message is refused, as an error event tells it. */
typedef struct so_realtime_fault {
    const char *code;
    char param[64], text[240];
} so_realtime_fault;
/* Fills it in and gives false. */
bool so_realtime_refuse(so_realtime_fault *fault, const char *code, const char *param, const char *text, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- settings */

typedef enum so_realtime_format { SO_REALTIME_PCM, SO_REALTIME_ULAW, SO_REALTIME_ALAW } so_realtime_format;
typedef enum so_realtime_detection {
    SO_DETECT_NONE,   /* the client commits */
    SO_DETECT_VOICE,  /* server_vad */
    SO_DETECT_MEANING /* semantic_vad */
} so_realtime_detection;

typedef struct so_realtime_config {
    bool transcription; /* a session that only transcribes */
    bool voice_out;     /* output_modalities ["audio"] */
    char *instructions; /* NULL: the model's own */
    so_realtime_format in, out;
    so_realtime_detection detection;
    double threshold;
    int padding_ms, silence_ms, idle_ms; /* idle_ms 0: never */
    int eagerness_ms;                    /* SO_DETECT_MEANING: longest silence within a turn */
    char eagerness[8];
    bool creates, interrupts;
    int most;           /* max_output_tokens; 0: "inf" */
    double temperature; /* negative: not said */
    char voice[64];
    json_t *kept;            /* accepted without effect, to be told again: path to value */
    bool live, marks, units; /* our own events */
} so_realtime_config;

bool so_realtime_config_init(so_realtime_config *config, const char *voice, bool speaks);
void so_realtime_config_clear(so_realtime_config *config);
/* Takes over the fields that are present; faults name them below `path`. On failure `config` is as it was. `speaks`:
 * voice may be asked for. */
bool so_realtime_config_update(so_realtime_config *config, const char *path, const json_t *session, bool speaks,
                               so_realtime_fault *fault);
/* The session object's fields; a new reference, NULL without memory. */
json_t *so_realtime_config_json(const so_realtime_config *config, const char *instructions);
int so_realtime_rate(so_realtime_format format);
json_t *so_realtime_format_json(so_realtime_format format);

/* ---- items */

typedef enum so_realtime_role { SO_ROLE_SYSTEM, SO_ROLE_USER, SO_ROLE_ASSISTANT } so_realtime_role;
typedef enum so_realtime_kind { SO_PART_TEXT, SO_PART_AUDIO, SO_PART_PICTURE } so_realtime_kind;

typedef struct so_realtime_part {
    so_realtime_kind kind;
    char *text;  /* TEXT; of AUDIO its transcript, NULL: not known */
    void *data;  /* AUDIO: int16_t; PICTURE: a file */
    size_t size; /* bytes */
    int rate;    /* AUDIO */
} so_realtime_part;

typedef struct so_realtime_item {
    char id[64];
    so_realtime_role role;
    bool spoken; /* an answer in speech */
    bool whole;  /* completed; else incomplete or in progress */
    bool live;   /* in progress */
    int n_parts;
    so_realtime_part *part;
    int64_t made_ms, heard_ms; /* of a spoken answer; heard_ms -1: all */
    struct so_realtime_mark {
        int64_t ms;
        size_t text_end;
    } * mark;
    size_t n_marks, room_marks;
} so_realtime_item;

enum { SO_REALTIME_PARTS = 32 };

void so_realtime_item_free(so_realtime_item *item);
/* From a client's item object. `out` is new; its id may be empty. */
bool so_realtime_item_read(so_realtime_item **out, const json_t *json, so_realtime_fault *fault);
/* Appends a part; `text` and `data` are taken over. NULL without memory, when both are freed. */
so_realtime_part *so_realtime_item_part(so_realtime_item *item, so_realtime_kind kind, char *text, void *data,
                                        size_t size);
/* Without sound and pictures' bytes; with `audio` sound is told, too (retrieve). */
json_t *so_realtime_item_json(const so_realtime_item *item, bool audio);
/* Base64 into new bytes; NULL when it is none or there is no memory. */
void *so_realtime_decode(const char *text, size_t n, size_t *size);

#endif
