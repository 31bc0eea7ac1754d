/* schema_refs.c - which schema a $ref means: names, documents, pointers, and no way in circles. */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/memory.h"
#include "common/schema/uri.h"

static int refuse(const struct schema_node *n, const char *keyword, struct err *e,
                  const char *reason, const char *name)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    schema_node_path(n, keyword, &path);
    return err_set(e, ERR_INVALID, "the schema cannot be used at %.150s: %s%.200s", path.data,
                   reason, name);
}

/* ---------------------------------------------------------------- names */

static struct schema_id *find_id(struct schema *s, const char *uri)
{
    struct schema_id *id;

    HASH_FIND_STR(s->ids, uri, id);
    return id;
}

static void put_id(struct schema *s, const char *uri, struct schema_node *n)
{
    struct schema_id *id = memory_new(sizeof(*id));

    id->uri = memory_text(uri);
    id->node = n;
    HASH_ADD_KEYPTR(hh, s->ids, id->uri, strlen(id->uri), id);
}

static bool has_id(struct schema *s, const char *uri)
{
    return find_id(s, uri) != NULL;
}

int schema_add_id(struct schema *s, struct schema_node *n, const char *id, struct err *e)
{
    SCOPED_BUFFER struct buffer uri = { 0 };
    char *fragment;

    uri_resolve(n->base, id, &uri);
    if (uri.size > SCHEMA_ID_MAX)
        return refuse(n, "$id", e, "the URI is too long", "");
    fragment = strchr(uri.data, '#');
    if (fragment && !fragment[1])
        *fragment = '\0';
    /* "#name" names the schema inside its document and leaves the base as it is. */
    if (!fragment || !fragment[0])
        n->base = schema_keep_base(s, uri.data);
    if (!uri.data[0])
        return 0;
    /* The root of a document is known by the name it was fetched by already. */
    if (has_id(s, uri.data) && find_id(s, uri.data)->node != n)
        return refuse(n, "$id", e, "another schema has this $id already: ", uri.data);
    if (!has_id(s, uri.data))
        put_id(s, uri.data, n);
    return 0;
}

/* ---------------------------------------------------------------- documents */

int schema_add_document(struct schema *s, const char *uri, const char *text, size_t size,
                        struct schema_node **out, struct err *e)
{
    SCOPED_BUFFER struct buffer origin = { 0 };
    json_t *tree;
    size_t count = 0;

    if (s->document_count == SCHEMA_DOCUMENTS_MAX)
        return err_set(e, ERR_TOO_LARGE, "a schema refers to more than %d documents",
                       SCHEMA_DOCUMENTS_MAX);
    if (size > SCHEMA_SIZE_MAX)
        return err_set(e, ERR_TOO_LARGE, "the schema has %zu bytes, at most %u are allowed", size,
                       SCHEMA_SIZE_MAX);
    for (size_t i = 0; i < size; i++)
        count += text[i] == ',' || text[i] == '[' || text[i] == '{';
    if (count > SCHEMA_VALUES_MAX)
        return err_set(e, ERR_TOO_LARGE, "the schema has more than %d values", SCHEMA_VALUES_MAX);
    if (canon_parse("the schema", text, size, &tree, e))
        return -1;
    s->documents[s->document_count++] = tree;
    buffer_printf(&origin, "%s#", uri);
    /* Known before its own $id, which may be another one. */
    if (schema_add_tree(s, tree, schema_keep_base(s, uri), buffer_take(&origin), out, e))
        return -1;
    if (*uri && !has_id(s, uri))
        put_id(s, uri, *out);
    return 0;
}

/* The root that `uri` (without fragment) names; fetched when it is not there yet. */
static int find_document(struct schema *s, const struct schema_node *n, const char *uri,
                         struct schema_node **out, struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };

    if (!*uri)
        *out = s->root;
    else if (has_id(s, uri))
        *out = find_id(s, uri)->node;
    else if (!strcmp(uri, SCHEMA_META_URI))
        return schema_add_document(s, uri, schema_meta_text, strlen(schema_meta_text), out, e);
    else if (!s->resolve)
        return refuse(n, "$ref", e,
                      "it refers to a document that is not known here (nothing is fetched; put it "
                      "under \"definitions\" with its $id): ",
                      uri);
    else if (s->resolve(s->ctx, uri, &text, e) ||
             schema_add_document(s, uri, text.data ? text.data : "", text.size, out, e))
        return err_wrap(e, "%.200s", uri);
    return 0;
}

/* ---------------------------------------------------------------- pointers */

/* In a URI a pointer has %XX in place of what may not stand there. */
static void decode(const char *fragment, struct buffer *out)
{
    buffer_add(out, "", 0);
    for (const char *p = fragment; *p; p++) {
        char c = *p;

        if (c == '%' && strspn(p + 1, "0123456789abcdefABCDEF") >= 2 && memcmp(p + 1, "00", 2)) {
            c = (char)strtoul((char[]){ p[1], p[2], '\0' }, NULL, 16);
            p += 2;
        }
        buffer_add(out, &c, 1);
    }
}

/* The next token, marked as keys are. */
static void read_token(const char **at, struct buffer *out)
{
    const char *p = *at;

    buffer_clear(out);
    buffer_add(out, "s", 1);
    for (; *p && *p != '/'; p++) {
        bool is_escape = *p == '~' && (p[1] == '0' || p[1] == '1');

        buffer_add(out, !is_escape ? p : p[1] == '0' ? "~" : "/", 1);
        p += is_escape;
    }
    *at = p;
}

static const json_t *step_into(const json_t *json, const struct buffer *token)
{
    const char *digits = token->data + 1;
    size_t n = strspn(digits, "0123456789");

    if (json_is_object(json))
        return json_object_get(json, token->data);
    if (!json_is_array(json) || n == 0 || n > 9 || digits[n] || (n > 1 && *digits == '0'))
        return NULL;
    return json_array_get(json, strtoul(digits, NULL, 10));
}

static struct schema_node *node_of(struct schema *s, const json_t *json)
{
    struct schema_node *n;

    HASH_FIND_PTR(s->by_json, &json, n);
    return n;
}

/* Follow a pointer from a root. A schema in an unusual place becomes a node when it is met. */
static int follow(struct schema *s, const struct schema_node *n, struct schema_node *root,
                  const char *pointer, struct schema_node **out, struct err *e)
{
    SCOPED_BUFFER struct buffer token = { 0 }, origin = { 0 };
    const json_t *json = root->json;
    const char *base = root->base, *at = pointer;

    while (*at == '/') {
        at++;
        read_token(&at, &token);
        json = step_into(json, &token);
        if (!json)
            return refuse(n, "$ref", e, "there is nothing at #", pointer);
        if (json_is_object(json) && node_of(s, json))
            base = node_of(s, json)->base;
    }
    *out = json_is_object(json) ? node_of(s, json) : NULL;
    if (*out)
        return 0;
    if (!json_is_object(json) && !json_is_boolean(json))
        return refuse(n, "$ref", e, "there is no schema at #", pointer);
    while (root->parent)
        root = root->parent;
    buffer_printf(&origin, "%.*s#%.1000s", (int)strcspn(root->origin, "#"), root->origin, pointer);
    return schema_add_tree(s, json, base, buffer_take(&origin), out, e);
}

/* ---------------------------------------------------------------- links */

static int link_node(struct schema *s, struct schema_node *n, const char *ref, struct err *e)
{
    SCOPED_BUFFER struct buffer uri = { 0 }, pointer = { 0 };
    struct schema_node *root;
    char *fragment;

    uri_resolve(n->base, ref, &uri);
    if (uri.size > SCHEMA_URI_MAX)
        return refuse(n, "$ref", e, "the URI is too long", "");
    fragment = strchr(uri.data, '#');
    if (fragment && fragment[1] && fragment[1] != '/') {
        /* A name: its document has to be there before one can know. */
        *fragment = '\0';
        if (find_document(s, n, uri.data, &root, e))
            return -1;
        *fragment = '#';
        if (!has_id(s, uri.data))
            return refuse(n, "$ref", e, "no schema has the $id ", uri.data);
        n->ref = find_id(s, uri.data)->node;
        return 0;
    }
    if (fragment)
        *fragment = '\0';
    if (find_document(s, n, uri.data, &root, e))
        return -1;
    decode(fragment ? fragment + 1 : "", &pointer);
    return follow(s, n, root, pointer.data, &n->ref, e);
}

int schema_link(struct schema *s, struct err *e)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct schema_node *n = s->nodes[i];
        const char *ref = canon_string(canon_member(n->json, "$ref"));

        if (ref && link_node(s, n, ref, e))
            return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------- circles */

static int walk(struct schema_node *n, unsigned depth, struct err *e);

static int walk_to(struct schema_node *n, struct schema_node *next, const char *keyword,
                   unsigned depth, struct err *e)
{
    if (next->is_being_walked)
        return refuse(n, keyword, e,
                      "this leads back to a schema it came from, for the same value, without end",
                      "");
    if (walk(next, depth + 1, e))
        return -1;
    if (next->height + 1 > n->height)
        n->height = next->height + 1;
    return 0;
}

/* Only schemas that apply to the same value can go in circles: values end somewhere. */
static int walk(struct schema_node *n, unsigned depth, struct err *e)
{
    int result = 0;

    if (n->height > 0)
        return depth + n->height <= SCHEMA_DEPTH_MAX
                   ? 0
                   : refuse(n, "", e, "too many schemas apply inside each other", "");
    if (depth > SCHEMA_DEPTH_MAX)
        return refuse(n, "", e, "too many schemas apply inside each other", "");
    n->is_being_walked = true;
    if (n->ref)
        result = walk_to(n, n->ref, "$ref", depth, e);
    for (size_t i = 0; !n->ref && i < n->rule_count; i++)
        for (size_t j = 0; n->rules[i].keyword->is_in_place && j < n->rules[i].child_count; j++)
            if (result == 0 && n->rules[i].children[j].node)
                result = walk_to(n, n->rules[i].children[j].node, n->rules[i].keyword->marked + 1,
                                 depth, e);
    n->is_being_walked = false;
    if (n->height == 0)
        n->height = 1;
    return result;
}

int schema_check_circles(struct schema *s, struct err *e)
{
    for (size_t i = 0; i < s->node_count; i++)
        if (walk(s->nodes[i], 1, e))
            return -1;
    return 0;
}
