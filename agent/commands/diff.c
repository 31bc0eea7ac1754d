/* diff.c - the command diff (--noop): what a document would change in the files of this server. */
#include "agent/commands/diff.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cache/cache.h"
#include "agent/files/files_diff.h"
#include "common/crypto/digest.h"
#include "common/document/canon.h"
#include "common/document/document.h"
#include "common/scoped.h"

#define SHOWN_BYTES ((size_t)64 << 10) /* of each file's differences */

SCOPED_FREE(struct cache, cache_close)
SCOPED_FREE(json_t, json_decref)

/* ---- a document out of a file ---- */

/* A member of a tree of canon_parse, whose scalars are texts behind a mark. */
static int take_member(struct document *d, const char *key, const json_t *value, struct err *e)
{
    SCOPED_BUFFER struct buffer json = { 0 };
    const char *text = canon_string(value);

    if (document_check_key(key, strlen(key), e))
        return -1;
    if (json_is_null(value))
        return err_set(e, ERR_INVALID, "\"%.200s\" is null, which is no value; leave it out", key);
    if (text)
        return document_set(d, key, VALUE_STRING, text, e);
    if (json_is_string(value))
        return document_set(d, key, VALUE_NUMBER, json_string_value(value) + 1, e);
    canon_emit(value, &json);
    return document_set(d, key, json_is_boolean(value) ? VALUE_BOOLEAN : VALUE_JSON, json.data, e);
}

static int read_plain(const char *path, const struct buffer *bytes, struct document **out,
                      struct err *e)
{
    SCOPED(json_decref) json_t *tree = NULL;
    SCOPED(document_free) struct document *d = document_new();
    json_t *value;
    const char *key;

    if (canon_parse(path, bytes->data ? bytes->data : "", bytes->size, &tree, e))
        return -1;
    if (!json_is_object(tree))
        return err_set(e, ERR_INVALID, "%s: a document is one JSON object {\"key\": value}", path);
    json_object_foreach(tree, key, value)
        if (take_member(d, key + 1, value, e))
            return err_wrap(e, "%s", path);
    *out = MOVE(d);
    return 0;
}

static int read_document(const char *path, struct document **out, struct hash *hash, struct err *e)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };
    struct err not_canonical;
    char *canonical;
    size_t size;

    if (buffer_read_file(&bytes, path, DOCUMENT_SIZE_MAX, e))
        return -1;
    if ((!bytes.data || document_decode(bytes.data, bytes.size, out, &not_canonical)) &&
        read_plain(path, &bytes, out, e))
        return -1;
    if (document_encode(*out, &canonical, &size, hash, e))
        return -1;
    free(canonical);
    return 0;
}

/* ---- a document out of the cache ---- */

static int read_held(struct cache *cache, const struct agent_scope *scope, bool is_prepared,
                     struct document **out, struct hash *hash, struct err *e)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };
    struct promise promise;

    if (cache_get_promise(cache, scope->name, &promise, e))
        return -1;
    if (is_prepared && !promise.slot_attempt)
        return err_set(e, ERR_NOT_FOUND, "%s: nothing is prepared; leave --prepared out",
                       scope->name);
    *hash = is_prepared ? promise.slot.hash : promise.active.hash;
    if (hash_is_zero(hash))
        return 0;
    return cache_get_document(cache, hash, &bytes, e) ||
                   document_decode(bytes.data, bytes.size, out, e)
               ? -1
               : 0;
}

/* ---- all of it ---- */

static int show_scope(const struct agent_settings *settings, const struct diff_wish *wish,
                      struct cache *cache, const struct agent_scope *scope, struct buffer *out,
                      struct err *e)
{
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source = { .scope = scope };

    if (wish->document ? read_document(wish->document, &document, &source.hash, e)
                       : read_held(cache, scope, wish->is_prepared, &document, &source.hash, e))
        return -1;
    source.document = document;
    return files_diff(&source, settings->state_dir, FILES_DIFF_ALL, SHOWN_BYTES, out, e);
}

int diff_show(const struct agent_settings *settings, const struct diff_wish *wish,
              struct buffer *out, struct err *e)
{
    SCOPED(cache_close) struct cache *cache = NULL;
    int count = 0, found = 0;

    if (wish->document && !wish->scope && settings->scope_count > 1)
        return err_set(e, ERR_INVALID, "--document is for one scope; name it");
    if (!wish->document && cache_peek(settings->state_dir, &cache, e))
        return -1;
    for (unsigned i = 0; i < settings->scope_count; i++) {
        int differences;

        if (wish->scope && strcmp(settings->scopes[i]->name, wish->scope) != 0)
            continue;
        found++;
        differences = show_scope(settings, wish, cache, settings->scopes[i], out, e);
        if (differences < 0)
            return err_wrap(e, "%s", settings->scopes[i]->name);
        count += differences;
    }
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "the settings have no [scope %s]", wish->scope);
    return count;
}
