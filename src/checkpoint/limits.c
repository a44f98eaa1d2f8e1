/* What options may be. See checkpoint/limits.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/limits.h"

#include "base/error.h"

static so_status within(const char *name, long long found, long long least, long long most, so_error *error)
{
    if (found >= least && found <= most) return SO_OK;
    return so_fail(error, SO_ERR_ARG, "%s is %lld, expected %lld to %lld", name, found, least, most);
}

so_status so_check_sampling(double temperature, double top_p, int top_k, so_error *error)
{
    if (!(temperature >= 0 && temperature <= 1e6))
        return so_fail(error, SO_ERR_ARG, "a temperature of %g, expected 0 or more", temperature);
    if (!(top_p >= 0 && top_p <= 1)) return so_fail(error, SO_ERR_ARG, "a top_p of %g, expected 0 to 1", top_p);
    if (top_k < 0) return so_fail(error, SO_ERR_ARG, "a top_k of %d, expected 0 or more", top_k);
    return SO_OK;
}

so_status so_check_session(const so_session_options *o, so_error *error)
{
    if (!o) return SO_OK;
    SO_TRY(so_check_sampling(o->temperature, o->top_p, o->top_k, error));
    SO_TRY(within("loop", o->loop, SO_LOOP_RELEASED, SO_LOOP_PAPER, error));
    SO_TRY(within("lookahead", o->lookahead, 0, SO_MOST_TOKENS, error));
    SO_TRY(within("window", o->window, -1, SO_MOST_TOKENS, error));
    SO_TRY(within("max_text", o->max_text, 0, SO_MOST_TOKENS, error));
    SO_TRY(within("max_units", o->max_units, 0, SO_MOST_TOKENS, error));
    SO_TRY(within("first_units", o->first_units, 0, SO_MOST_TOKENS, error));
    SO_TRY(within("on_full", o->on_full, SO_FULL_FORGET, SO_FULL_KEEP_PICTURES, error));
    SO_TRY(within("clones", o->clones, 0, 1, error));
    SO_TRY(within("units_per_token", o->units_per_token, -1, SO_MOST_TOKENS, error));
    if (!(o->patience >= 0 && o->patience <= 1e6))
        return so_fail(error, SO_ERR_ARG, "a patience of %g s, expected 0 or more", o->patience);
    return SO_OK;
}

so_status so_check_reply(const so_reply_options *o, so_error *error)
{
    SO_TRY(so_check_sampling(o->temperature, o->top_p, o->top_k, error));
    if (o->max_text < 0 || o->max_units < 0)
        return so_fail(error, SO_ERR_ARG, "at most %d text tokens and %d units, expected 0 or more", o->max_text,
                       o->max_units);
    if (o->likeliest < 0 || o->likeliest > SO_LIKELIEST)
        return so_fail(error, SO_ERR_ARG, "the %d likeliest beside each token, expected 0 to %d", o->likeliest,
                       SO_LIKELIEST);
    return SO_OK;
}

so_status so_check_crew(const so_crew_options *o, so_error *error)
{
    enum { MOST = 4096 };
    if (o->sessions < 0 || o->sessions > MOST || o->voices < 0 || o->voices > MOST || o->prompt_rows < 0 ||
        o->prompt_rows > MOST)
        return so_fail(error, SO_ERR_ARG, "a crew for %d sessions, %d voices and %d rows of prompts", o->sessions,
                       o->voices, o->prompt_rows);
    return SO_OK;
}
