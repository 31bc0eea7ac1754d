/* yaml_tree.c - libyaml's events become a tree; encodings are checked first. */
#include "common/document/yaml_tree.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"

#define ANCHORS_MAX 10000

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct yaml_stream *stream;
    struct {
        char *name;
        struct yaml_node *node;
    } * anchors;
    size_t anchor_count, anchor_capacity;
    unsigned depth;
};

/* ---------------------------------------------------------------- bytes */

static int check_encoding(const char *bytes, size_t size, const char *name, struct err *e)
{
    size_t line = 1, column = 1;

    if (size >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0))
        return err_set(e, ERR_INVALID,
                       "%s:1:1: the file is UTF-16 (it begins with its byte-order mark); convert "
                       "it first: iconv -f UTF-16 -t UTF-8",
                       name);
    if (name_is_utf8(bytes, size))
        return 0;
    for (size_t i = 0; i < size;) {
        size_t n = 1;

        while (n < 4 && i + n <= size && !name_is_utf8(bytes + i, n))
            n++;
        if (i + n > size || !name_is_utf8(bytes + i, n))
            return err_set(e, ERR_INVALID, "%s:%zu:%zu: byte 0x%02X is no UTF-8 text%s", name, line,
                           column, (unsigned)(unsigned char)bytes[i],
                           bytes[i] ? "" : " (UTF-16 without a mark?)");
        column++;
        if (bytes[i] == '\n') {
            line++;
            column = 1;
        }
        i += n;
    }
    return 0;
}

/* A mark at the start of a line comes from files that were put together. */
static void drop_marks(struct buffer *out, const char *bytes, size_t size)
{
    size_t from = 0;

    for (size_t i = 0; i + 2 < size; i++) {
        if ((i == 0 || bytes[i - 1] == '\n') && memcmp(bytes + i, "\xEF\xBB\xBF", 3) == 0) {
            buffer_add(out, bytes + from, i - from);
            from = i + 3;
        }
    }
    buffer_add(out, bytes + from, size - from);
    buffer_add(out, "", 0);
}

static bool read_unit(const char *p, const char *end, unsigned *unit)
{
    char digits[5] = { 0 }, *stop;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return false;
    memcpy(digits, p + 2, 4);
    *unit = (unsigned)strtoul(digits, &stop, 16);
    return stop == digits + 4;
}

/* JSON writes letters beyond U+FFFF as two \u escapes, YAML as one \U: same width plus blanks is
 * not to be had inside a string, so columns behind one are two too small. Only in texts that begin
 * as JSON does, where every backslash stands in a double-quoted string. */
static void join_surrogates(struct buffer *b)
{
    struct buffer out = { 0 };
    const char *p = b->data, *end = b->data + b->size;
    unsigned high, low;

    if (!b->size || !strchr("{[", p[strspn(p, " \t\r\n")]))
        return;
    while (p < end) {
        if (*p != '\\' || end - p < 2) {
            buffer_add(&out, p++, 1);
        } else if (read_unit(p, end, &high) && high >= 0xD800 && high < 0xDC00 &&
                   read_unit(p + 6, end, &low) && low >= 0xDC00 && low < 0xE000) {
            buffer_printf(&out, "\\U%08X", 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
            p += 12;
        } else {
            buffer_add(&out, p, 2);
            p += 2;
        }
    }
    buffer_fini(b);
    *b = out;
}

/* ---------------------------------------------------------------- nodes */

static int at_mark(const struct reader *r, yaml_mark_t mark, struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, what);
}

static int parser_failed(const struct reader *r, struct err *e)
{
    const yaml_parser_t *p = &r->parser;
    char what[300];
    const char *problem = p->problem ? p->problem : "not readable";

    snprintf(what, sizeof(what), "%s%s%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
             problem,
             strstr(problem, "cannot start any token")
                 ? " (YAML indents with blanks, never with tabs, and quotes text that begins "
                   "with % @ ` or a tab)"
                 : "",
             strstr(problem, "could not find expected ':'") ? " (is a quote or a colon missing "
                                                              "on the line before?)"
                                                            : "");
    return at_mark(r, p->problem_mark, e, what);
}

static struct yaml_node *node_new(struct reader *r, enum yaml_kind kind, yaml_mark_t mark,
                                  const yaml_char_t *tag)
{
    struct yaml_stream *s = r->stream;
    struct yaml_node *n = calloc(1, sizeof(*n));

    if (s->all_count == s->all_capacity) {
        s->all_capacity = s->all_capacity ? 2 * s->all_capacity : 256;
        s->all = realloc(s->all, s->all_capacity * sizeof(struct yaml_node *));
    }
    MUST(n && s->all);
    s->all[s->all_count++] = n;
    *n = (struct yaml_node){ .kind = kind, .line = mark.line + 1, .column = mark.column + 1 };
    if (tag) {
        n->tag = memory_text((const char *)tag);
    }
    return n;
}

static void node_add(struct yaml_node *n, struct yaml_node *item)
{
    if ((n->count & (n->count - 1)) == 0) {
        n->items = realloc(n->items, (n->count ? 2 * n->count : 1) * sizeof(struct yaml_node *));
        MUST(n->items);
    }
    n->items[n->count++] = item;
}

static int note_anchor(struct reader *r, const yaml_char_t *name, struct yaml_node *node,
                       struct err *e)
{
    if (!name)
        return 0;
    if (r->anchor_count == ANCHORS_MAX)
        return err_set(e, ERR_INVALID, "%s:%zu:%zu: more than %d anchors", r->name, node->line,
                       node->column, ANCHORS_MAX);
    if (r->anchor_count == r->anchor_capacity) {
        r->anchor_capacity = r->anchor_capacity ? 2 * r->anchor_capacity : 16;
        r->anchors = realloc(r->anchors, r->anchor_capacity * sizeof(*r->anchors));
        MUST(r->anchors);
    }
    r->anchors[r->anchor_count].name = strdup((const char *)name);
    MUST(r->anchors[r->anchor_count].name);
    r->anchors[r->anchor_count++].node = node;
    return 0;
}

static void forget_anchors(struct reader *r)
{
    for (size_t i = 0; i < r->anchor_count; i++)
        free(r->anchors[i].name);
    r->anchor_count = 0;
}

static int find_anchor(struct reader *r, const yaml_event_t *ev, struct yaml_node **out,
                       struct err *e)
{
    char what[200];

    for (size_t i = r->anchor_count; i > 0; i--) {
        if (strcmp(r->anchors[i - 1].name, (const char *)ev->data.alias.anchor) != 0)
            continue;
        *out = r->anchors[i - 1].node;
        if ((*out)->is_open)
            return at_mark(r, ev->start_mark, e, "an alias inside its own anchor has no end");
        return 0;
    }
    snprintf(what, sizeof(what), "alias *%.100s has no anchor before it",
             (const char *)ev->data.alias.anchor);
    return at_mark(r, ev->start_mark, e, what);
}

static int read_node(struct reader *r, yaml_event_t *ev, struct yaml_node **out, struct err *e);

static int read_scalar(struct reader *r, const yaml_event_t *ev, struct yaml_node **out,
                       struct err *e)
{
    struct yaml_node *n = node_new(r, YAML_KIND_SCALAR, ev->start_mark, ev->data.scalar.tag);
    const char *text = (const char *)ev->data.scalar.value;

    if (memchr(text, 0, ev->data.scalar.length))
        return at_mark(r, ev->start_mark, e, "a value with a zero byte cannot be stored");
    n->text = strndup(text, ev->data.scalar.length);
    MUST(n->text);
    n->is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *out = n;
    return note_anchor(r, ev->data.scalar.anchor, n, e);
}

static int read_children(struct reader *r, struct yaml_node *n, yaml_event_type_t end,
                         struct err *e)
{
    if (++r->depth > YAML_TREE_DEPTH_MAX)
        return err_set(e, ERR_INVALID, "%s:%zu:%zu: nested deeper than %d levels", r->name, n->line,
                       n->column, YAML_TREE_DEPTH_MAX);
    n->is_open = true;
    for (;;) {
        yaml_event_t ev;
        struct yaml_node *child = NULL;
        int rc;

        if (!yaml_parser_parse(&r->parser, &ev))
            return parser_failed(r, e);
        if (ev.type == end) {
            yaml_event_delete(&ev);
            break;
        }
        rc = read_node(r, &ev, &child, e);
        yaml_event_delete(&ev);
        if (rc != 0)
            return -1;
        node_add(n, child);
    }
    n->is_open = false;
    r->depth--;
    return 0;
}

static int read_node(struct reader *r, yaml_event_t *ev, struct yaml_node **out, struct err *e)
{
    if (ev->type == YAML_ALIAS_EVENT)
        return find_anchor(r, ev, out, e);
    if (ev->type == YAML_SCALAR_EVENT)
        return read_scalar(r, ev, out, e);
    if (ev->type == YAML_SEQUENCE_START_EVENT) {
        *out = node_new(r, YAML_KIND_LIST, ev->start_mark, ev->data.sequence_start.tag);
        if (note_anchor(r, ev->data.sequence_start.anchor, *out, e) != 0)
            return -1;
        return read_children(r, *out, YAML_SEQUENCE_END_EVENT, e);
    }
    MUST(ev->type == YAML_MAPPING_START_EVENT);
    *out = node_new(r, YAML_KIND_MAP, ev->start_mark, ev->data.mapping_start.tag);
    if (note_anchor(r, ev->data.mapping_start.anchor, *out, e) != 0)
        return -1;
    return read_children(r, *out, YAML_MAPPING_END_EVENT, e);
}

/* ---------------------------------------------------------------- the stream */

static void add_document(struct yaml_stream *s, size_t line)
{
    s->documents = realloc(s->documents, (s->count + 1) * sizeof(struct yaml_node *));
    s->lines = realloc(s->lines, (s->count + 1) * sizeof(*s->lines));
    MUST(s->documents && s->lines);
    s->documents[s->count] = NULL;
    s->lines[s->count++] = line;
}

static int read_stream(struct reader *r, struct err *e)
{
    for (;;) {
        yaml_event_t ev;
        yaml_event_type_t type;
        int rc = 0;

        if (!yaml_parser_parse(&r->parser, &ev))
            return parser_failed(r, e);
        type = ev.type;
        if (type == YAML_DOCUMENT_START_EVENT) {
            forget_anchors(r);
            add_document(r->stream, ev.start_mark.line + 1);
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT) {
            rc = read_node(r, &ev, &r->stream->documents[r->stream->count - 1], e);
        }
        yaml_event_delete(&ev);
        if (rc != 0 || type == YAML_STREAM_END_EVENT)
            return rc;
    }
}

int yaml_stream_read(const char *bytes, size_t size, const char *name, struct yaml_stream *out,
                     struct err *e)
{
    SCOPED_BUFFER struct buffer calm = { 0 };
    struct reader r = { .name = name, .stream = out };
    int rc;

    *out = (struct yaml_stream){ .count = 0 };
    if (check_encoding(bytes, size, name, e) != 0)
        return -1;
    drop_marks(&calm, bytes, size);
    join_surrogates(&calm);
    MUST(yaml_parser_initialize(&r.parser));
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(calm.data ? calm.data : ""),
                                 calm.size);
    rc = read_stream(&r, e);
    yaml_parser_delete(&r.parser);
    forget_anchors(&r);
    free(r.anchors);
    if (rc != 0)
        yaml_stream_fini(out);
    return rc;
}

void yaml_stream_fini(struct yaml_stream *s)
{
    for (size_t i = 0; i < s->all_count; i++) {
        free(s->all[i]->tag);
        free(s->all[i]->text);
        free(s->all[i]->items);
        free(s->all[i]);
    }
    free(s->all);
    free(s->documents);
    free(s->lines);
    *s = (struct yaml_stream){ .count = 0 };
}
