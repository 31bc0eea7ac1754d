/* yaml_tree.h - a YAML or JSON text as a tree that keeps written text, tags and places. Pure.
 *
 * One parser (libyaml) reads both, because JSON is YAML with two exceptions that are evened out
 * before: a byte-order mark at the start of a line, and \uD83D\uDE00 pairs in quotes. Aliases point
 * to the anchored node itself; whoever walks the tree must count what he expands.
 */
#ifndef COMMON_DOCUMENT_YAML_TREE_H
#define COMMON_DOCUMENT_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define YAML_TREE_DEPTH_MAX 100

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAP };

struct yaml_node {
    enum yaml_kind kind;
    size_t line, column;      /* from 1 */
    char *tag;                /* as resolved ("tag:yaml.org,2002:str", "!secret"); NULL: none */
    char *text;               /* scalars; no zero bytes inside */
    bool is_plain;            /* written without quotes: its letters decide its type */
    struct yaml_node **items; /* lists: items; maps: key, value, key, value … */
    size_t count;
    bool is_open; /* still being read: an alias to it would be a circle */
};

struct yaml_stream {
    struct yaml_node **documents; /* roots; NULL for an empty document */
    size_t *lines;                /* where each begins */
    size_t count;
    struct yaml_node **all; /* every node: owns them */
    size_t all_count, all_capacity;
};

/* name is for messages, which begin with NAME:LINE:COLUMN. ERR_INVALID. */
int yaml_stream_read(const char *bytes, size_t size, const char *name, struct yaml_stream *out,
                     struct err *e) __attribute__((warn_unused_result));
void yaml_stream_fini(struct yaml_stream *s);

#endif
