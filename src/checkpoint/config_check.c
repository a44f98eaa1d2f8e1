/* Settings of published configurations, as transformers 4 and 5 write them.
 * Source: configuration_utils.py, modeling_rope_utils.py, configuration_llama.py, configuration_siglip.py of
 * transformers. SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/config_check.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/own.h"

static so_status no(so_error *error, const char *what)
{
    return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: %s is not supported", what);
}

static bool is_set(const json_t *value) { return value && !json_is_null(value); }

/* ---- rotary parameters */

static const json_t *rope_object(const json_t *root)
{
    const json_t *now = json_object_get(root, "rope_parameters"), *before = json_object_get(root, "rope_scaling");
    return json_is_object(now) ? now : json_is_object(before) ? before : NULL;
}

/* "rope_type", which was called "type"; an object without either scales nothing. */
static const char *rope_type(const json_t *rope)
{
    const char *now = json_string_value(json_object_get(rope, "rope_type"));
    const char *before = json_string_value(json_object_get(rope, "type"));
    return now ? now : before ? before : "default";
}

const json_t *so_config_rope(const json_t *root)
{
    const json_t *rope = rope_object(root);
    return rope && strcmp(rope_type(rope), "llama3") == 0 ? rope : NULL;
}

const json_t *so_config_theta(const json_t *root)
{
    const json_t *inside = json_object_get(rope_object(root), "rope_theta"),
                 *outside = json_object_get(root, "rope_theta");
    return is_set(inside) ? inside : is_set(outside) ? outside : NULL;
}

static bool differ(const json_t *a, const json_t *b)
{
    return json_is_number(a) && json_is_number(b) && json_number_value(a) != json_number_value(b);
}

static so_status check_factors(const json_t *rope, so_error *error)
{
    static const char *const needed[] = {"factor", "low_freq_factor", "high_freq_factor",
                                         "original_max_position_embeddings"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!is_set(json_object_get(rope, needed[i])))
            return so_fail(error, SO_ERR_MISSING, "configuration: rotary parameters of type 'llama3' without '%s'",
                           needed[i]);
    return SO_OK;
}

static so_status check_rope(const json_t *root, so_error *error)
{
    const json_t *now = json_object_get(root, "rope_parameters"), *before = json_object_get(root, "rope_scaling");
    const json_t *rope = rope_object(root), *value;
    const char *key;
    if ((is_set(now) && !json_is_object(now)) || (is_set(before) && !json_is_object(before)))
        return so_fail(error, SO_ERR_FORMAT, "configuration: 'rope_parameters' or 'rope_scaling' is not an object");
    if (json_is_object(now) && json_is_object(before) && strcmp(rope_type(now), rope_type(before)) != 0)
        return so_fail(error, SO_ERR_FORMAT,
                       "configuration: 'rope_parameters' are of type '%.40s', 'rope_scaling' is '%.40s'",
                       rope_type(now), rope_type(before));
    if (differ(json_object_get(rope, "rope_theta"), json_object_get(root, "rope_theta")))
        return so_fail(error, SO_ERR_FORMAT, "configuration: 'rope_theta' is %g, and %g among the rotary parameters",
                       json_number_value(json_object_get(root, "rope_theta")),
                       json_number_value(json_object_get(rope, "rope_theta")));
    json_object_foreach((json_t *)so_mutable(rope), key, value)
    {
        if (json_is_object(value))
            return so_fail(
                error, SO_ERR_UNSUPPORTED,
                "configuration: rotary parameters that differ from layer to layer ('%.60s') are not supported", key);
        if (json_is_object(now) && json_is_object(before) && differ(value, json_object_get(before, key)))
            return so_fail(error, SO_ERR_FORMAT,
                           "configuration: '%.60s' differs in 'rope_parameters' and 'rope_scaling'", key);
    }
    const char *type = rope_type(rope);
    if (strcmp(type, "llama3") == 0) return check_factors(rope, error);
    if (strcmp(type, "default") == 0) return SO_OK;
    return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: rope_type '%.40s', expected 'llama3' or 'default'", type);
}

/* ---- the rest */

static so_status check_layers(const json_t *root, so_error *error)
{
    const json_t *types = json_object_get(root, "layer_types"), *window = json_object_get(root, "sliding_window");
    const json_t *part = json_object_get(root, "partial_rotary_factor");
    if (!is_set(part)) part = json_object_get(rope_object(root), "partial_rotary_factor");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, "full_attention") != 0)
            return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: layer_types '%.40s', expected 'full_attention'",
                           type ? type : "?");
    }
    if (is_set(window) && !json_is_false(json_object_get(root, "use_sliding_window")))
        return no(error, "'sliding_window'");
    if (json_is_number(part) && fabs(json_number_value(part) - 1) > 1e-9) return no(error, "'partial_rotary_factor'");
    return SO_OK;
}

so_status so_config_check(const json_t *root, so_error *error)
{
    static const char *const refused[] = {"attention_bias", "mlp_bias", "tie_word_embeddings", "mm_use_im_start_end",
                                          "mm_use_im_patch_token"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_is_true(json_object_get(root, refused[i])))
            return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: '%s' is not supported", refused[i]);
    const json_t *packed = json_object_get(root, "quantization_config");
    const char *act = json_string_value(json_object_get(root, "hidden_act"));
    const char *projector = json_string_value(json_object_get(root, "mm_projector_type"));
    const char *method = json_string_value(json_object_get(packed, "quant_method"));
    if (is_set(packed))
        return so_fail(
            error, SO_ERR_UNSUPPORTED,
            "configuration: weights packed by '%.40s' ('quantization_config'), expected plain ones: f32, f16 or "
            "bf16",
            method ? method : "another program");
    if (!json_object_get(root, "hidden_size") && json_is_object(json_object_get(root, "text_config")))
        return so_fail(
            error, SO_ERR_UNSUPPORTED,
            "configuration: the language model's settings stand in 'text_config' (the layout of transformers' "
            "own LLaVA), expected them at the root, as published");
    if (act && strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: hidden_act '%.40s', expected 'silu'", act);
    if (projector && strcmp(projector, "mlp2x_gelu") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: mm_projector_type '%.40s', expected 'mlp2x_gelu'",
                       projector);
    SO_TRY(check_layers(root, error));
    return check_rope(root, error);
}

double so_config_tower_default(const json_t *root, const char *name, double otherwise)
{
    static const struct {
        const char *name;
        double value;
    } defaults[] = {{"hidden_size", 768},      {"intermediate_size", 3072}, {"num_attention_heads", 12},
                    {"num_hidden_layers", 12}, {"image_size", 224},         {"patch_size", 16}};
    const json_t *tower = json_object_get(root, "vision_config");
    const char *type = json_string_value(json_object_get(tower, "model_type"));
    if (!type || strncmp(type, "siglip", 6) != 0) return otherwise;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (strcmp(name, defaults[i].name) == 0) return defaults[i].value;
    return otherwise;
}
