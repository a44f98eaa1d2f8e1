/* LLaVA's mixtures: a list of data files, and how much of each is taken.
 *
 *     datasets:
 *       - json_path: /data/llava_v1_5_mix665k.json
 *         sampling_strategy: random:10%     # all, first:N, end:N, random:N
 *         image_folder: /data/images        # ours: where its pictures are, when not at the root
 *
 * Source: data-eval.md A.1.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "dataset/readers/reading.h"

static const char *value_of(yaml_document_t *document, const yaml_node_t *map, const char *key)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(document, p->key),
                          *v = yaml_document_get_node(document, p->value);
        if (k && v && k->type == YAML_SCALAR_NODE && v->type == YAML_SCALAR_NODE &&
            strcmp((const char *)k->data.scalar.value, key) == 0)
            return (const char *)v->data.scalar.value;
    }
    return NULL;
}

static const yaml_node_t *list_of(yaml_document_t *document)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || root->type != YAML_MAPPING_NODE) return NULL;
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(document, p->key),
                          *v = yaml_document_get_node(document, p->value);
        if (k && v && k->type == YAML_SCALAR_NODE && v->type == YAML_SEQUENCE_NODE &&
            strcmp((const char *)k->data.scalar.value, "datasets") == 0)
            return v;
    }
    return NULL;
}

static so_status entry(so_reading *r, yaml_document_t *document, const yaml_node_t *node, int64_t number,
                       so_error *error)
{
    const char *path = node->type == YAML_MAPPING_NODE ? value_of(document, node, "json_path") : NULL;
    char whole[SO_READ_PATH];
    if (!path) return so_fail(error, SO_ERR_FORMAT, "'%s', entry %lld: no json_path", r->path, (long long)number);
    const char *slash = strrchr(r->path, '/');
    int folder = path[0] != '/' && slash ? (int)(slash - r->path + 1) : 0;
    if (snprintf(whole, sizeof whole, "%.*s%s", folder, r->path, path) >= (int)sizeof whole)
        return so_fail(error, SO_ERR_LIMIT, "'%s', entry %lld: too long a path", r->path, (long long)number);
    so_read_options o = *r->options;
    const char *images = value_of(document, node, "image_folder"),
               *take = value_of(document, node, "sampling_strategy");
    o.format = NULL;
    o.root = images ? images : o.root;
    o.take = take ? take : o.take;
    so_status status = so_read_corpus(whole, &o, r->sink, error);
    return status == SO_OK ? SO_OK : so_fail_in(error, "'%s', entry %lld", r->path, (long long)number);
}

so_status so_read_yaml(so_reading *r, so_error *error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    char *data;
    size_t size;
    SO_TRY(so_file_read(r->path, 16 << 20, &data, &size, error));
    if (!yaml_parser_initialize(&parser)) {
        free(data);
        return so_fail(error, SO_ERR_NOMEM, "no memory to read YAML");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)data, size);
    so_status status = SO_OK;
    if (!yaml_parser_load(&parser, &document)) {
        status = so_fail(error, SO_ERR_FORMAT, "'%s', line %zu: %s", r->path, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "not YAML");
    } else {
        const yaml_node_t *list = list_of(&document);
        if (!list) status = so_fail(error, SO_ERR_FORMAT, "'%s': no list 'datasets'", r->path);
        int64_t number = 1;
        for (const yaml_node_item_t *i = list ? list->data.sequence.items.start : NULL;
             list && i < list->data.sequence.items.top && status == SO_OK; i++, number++)
            status = entry(r, &document, yaml_document_get_node(&document, *i), number, error);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    free(data);
    return status;
}
