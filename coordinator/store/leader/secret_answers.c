/* secret_answers.c - what agents ask about secrets becomes the bodies of the messages they get. */
#include "coordinator/store/leader/secret_answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/crypto/seal.h"
#include "common/document/document.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"

#define DOCUMENTS_MAX 32
#define TOLD_MAX 4096
#define DATABASE_AWAY "the coordinator's database does not answer"

/* The digests that a document names. */
struct names {
    struct hash document;
    struct hash *digests;
    size_t count;
};

struct secret_answers {
    struct keyring *keyring;
    secret_answer_fn *put;
    void *ctx;
    struct names documents[DOCUMENTS_MAX];
    unsigned document_next;
    struct hash told[TOLD_MAX]; /* destroyed, and everybody was told */
    unsigned told_count;
    char said[480]; /* the newest trouble, so that it is logged once */
    uint8_t body[WIRE_MESSAGE_MAX];
};

/* One secret of a batch: looked up once for all that wish for it. */
struct found {
    struct hash digest;
    struct secrets secrets; /* one or none */
    struct seal_key data_key;
    enum wire_secret_state state;
    char text[480];
};

struct secret_answers *secret_answers_new(struct keyring *keyring, secret_answer_fn *put,
                                          void *ctx)
{
    struct secret_answers *a = memory_new(sizeof(*a));

    a->keyring = keyring;
    a->put = put;
    a->ctx = ctx;
    return a;
}

void secret_answers_free(struct secret_answers *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < DOCUMENTS_MAX; i++)
        free(a->documents[i].digests);
    seal_wipe(a->body, sizeof(a->body));
    free(a);
}

static void digest_text(const struct hash *digest, char out[ENVELOPE_DIGEST_SIZE])
{
    SCOPED_BUFFER struct buffer text = { 0 };

    base64_encode(digest->bytes, HASH_SIZE, &text);
    snprintf(out, ENVELOPE_DIGEST_SIZE, "%s", text.data);
}

static bool digest_parse(const char *text, struct hash *out)
{
    size_t size;

    return base64_decode(text, strlen(text), out->bytes, HASH_SIZE, &size) == 0 &&
           size == HASH_SIZE;
}

static void say_once(struct secret_answers *a, const char *trouble)
{
    if (strcmp(a->said, trouble) == 0)
        return;
    snprintf(a->said, sizeof(a->said), "%s", trouble);
    if (trouble[0])
        log_warn("agents cannot get secrets now", "reason", trouble);
    else
        log_info("agents get secrets again");
}

/* ---- which digests a document names ---- */

static void add_name(struct names *n, const struct document_item *item)
{
    char text[VALUE_DIGEST_SIZE];

    if (!value_is_reference(item->text, text))
        return;
    n->digests = reallocarray(n->digests, n->count + 1, sizeof(*n->digests));
    MUST(n->digests);
    if (digest_parse(text, &n->digests[n->count]))
        n->count++;
}

static int read_names(struct pg *pg, const struct hash *document, struct names *out,
                      struct err *e)
{
    SCOPED(document_free) struct document *d = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int rc = document_load(pg, document, &bytes, &size, e);

    if (rc == 0)
        rc = document_decode(bytes, size, &d, e);
    free(bytes);
    if (rc)
        return -1;
    for (size_t i = 0; i < document_count(d); i++) {
        struct document_item item;

        document_at(d, i, &item);
        add_name(out, &item);
    }
    out->document = *document;
    return 0;
}

/* NULL: not to be had now, or no document. */
static const struct names *names_of(struct secret_answers *a, struct pg *pg,
                                    const struct hash *document, struct err *e)
{
    struct names fresh = { 0 }, *place;

    for (unsigned i = 0; i < DOCUMENTS_MAX; i++)
        if (!hash_is_zero(document) && hash_equal(&a->documents[i].document, document))
            return &a->documents[i];
    if (read_names(pg, document, &fresh, e)) {
        free(fresh.digests);
        return NULL;
    }
    place = &a->documents[a->document_next++ % DOCUMENTS_MAX];
    free(place->digests);
    *place = fresh;
    return place;
}

static bool does_name(const struct names *n, const struct hash *digest)
{
    for (size_t i = 0; i < n->count; i++)
        if (hash_equal(&n->digests[i], digest))
            return true;
    return false;
}

/* ---- one secret ---- */

static void note(struct found *f, enum wire_secret_state state, const char *text)
{
    f->state = state;
    snprintf(f->text, sizeof(f->text), "%s", text);
}

/* Trouble that may pass is "away". */
static void note_trouble(struct secret_answers *a, struct pg *pg, struct found *f,
                         const struct err *e)
{
    if (!pg || pg_is_broken(pg)) {
        note(f, WIRE_SECRET_AWAY, DATABASE_AWAY);
        say_once(a, DATABASE_AWAY);
    } else if (e->kind == ERR_GONE) {
        note(f, WIRE_SECRET_DESTROYED, e->text);
    } else if (e->kind == ERR_CORRUPT) {
        note(f, WIRE_SECRET_REFUSED, e->text);
        say_once(a, e->text);
    } else {
        note(f, WIRE_SECRET_AWAY, e->text);
        say_once(a, e->text);
    }
}

/* Pieces behind the first carry no data key: no keyring is asked for them. */
static void find(struct secret_answers *a, struct pg *pg, struct found *f, bool needs_key)
{
    char text[ENVELOPE_DIGEST_SIZE];
    const char *const digests[] = { text };
    struct err e = { 0 };

    digest_text(&f->digest, text);
    f->state = WIRE_SECRET_THERE;
    if (!pg || secrets_find(pg, digests, 1, &f->secrets, &e)) {
        note_trouble(a, pg, f, &e);
        return;
    }
    if (f->secrets.count == 0) {
        note(f, WIRE_SECRET_REFUSED, "the coordinator does not have it");
        return;
    }
    if (!needs_key && !f->secrets.items[0].is_destroyed)
        return;
    if (secret_unwrap(&f->secrets.items[0], a->keyring, &f->data_key, &e))
        note_trouble(a, pg, f, &e);
    else
        say_once(a, "");
}

static void found_fini(struct found *f)
{
    secrets_fini(&f->secrets);
    seal_key_wipe(&f->data_key);
}

/* ---- messages ---- */

static void put(struct secret_answers *a, enum wire_type type, uint32_t server, uint64_t session,
                size_t size)
{
    struct secret_answer answer = { .type = type, .server = server, .session = session,
                                    .size = size };

    MUST(size > 0);
    answer.body = malloc(size);
    MUST(answer.body);
    memcpy(answer.body, a->body, size);
    seal_wipe(a->body, size);
    a->put(a->ctx, &answer);
}

static void fill(const struct found *f, uint32_t offset, struct wire_secret *out)
{
    const struct secret *s = &f->secrets.items[0];
    size_t left;

    if (offset > s->envelope.size)
        offset = (uint32_t)s->envelope.size;
    left = s->envelope.size - offset;
    out->offset = offset;
    out->total = (uint32_t)s->envelope.size;
    out->service = wire_text_of(s->service);
    out->environment = wire_text_of(s->environment);
    out->key = wire_text_of(s->key);
    out->version = s->version;
    memcpy(out->iv, s->envelope.seal.iv, WIRE_IV_SIZE);
    memcpy(out->tag, s->envelope.seal.tag, WIRE_TAG_SIZE);
    if (offset == 0)
        out->data_key = (struct wire_bytes){ f->data_key.bytes, SEAL_KEY_SIZE };
    if (left)
        out->content = (struct wire_bytes){
            s->envelope.ciphertext + offset,
            (uint32_t)(left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX),
        };
}

static void answer(struct secret_answers *a, const struct secret_wish *w, const struct found *f,
                   enum wire_secret_state state, const char *text)
{
    struct wire_secret secret = { .digest = w->digest, .state = state,
                                  .text = wire_text_of(text) };

    if (state == WIRE_SECRET_THERE)
        fill(f, w->offset, &secret);
    put(a, WIRE_SECRET, w->server, w->session,
        wire_encode_secret(&secret, a->body, sizeof(a->body)));
}

/* The wishes of this batch for one digest, with one look and one unwrapping. */
static void give_one(struct secret_answers *a, struct pg *pg, const struct secret_wish *wishes,
                     bool *done, unsigned count)
{
    struct found f = { .digest = wishes[0].digest };
    bool needs_key = false;

    for (unsigned i = 0; i < count; i++)
        needs_key |= wishes[i].offset == 0 && hash_equal(&wishes[i].digest, &f.digest);
    find(a, pg, &f, needs_key);
    for (unsigned i = 0; i < count; i++) {
        const struct names *names;
        struct err e = { 0 };

        if (done[i] || !hash_equal(&wishes[i].digest, &f.digest))
            continue;
        done[i] = true;
        names = pg ? names_of(a, pg, &wishes[i].document, &e) : NULL;
        if (names && !does_name(names, &f.digest))
            answer(a, &wishes[i], &f, WIRE_SECRET_REFUSED, "its document does not name it");
        else if (!names && e.kind == ERR_NOT_FOUND)
            answer(a, &wishes[i], &f, WIRE_SECRET_REFUSED, "its document is not there");
        else if (!names)
            answer(a, &wishes[i], &f, WIRE_SECRET_AWAY, DATABASE_AWAY);
        else
            answer(a, &wishes[i], &f, f.state, f.text);
    }
    found_fini(&f);
}

void secret_answers_give(struct secret_answers *a, struct pg *pg,
                         const struct secret_wish *wishes, unsigned count)
{
    bool *done = memory_array(count + 1, sizeof(*done));

    for (unsigned i = 0; i < count; i++)
        if (!done[i])
            give_one(a, pg, &wishes[i], &done[i], count - i);
    free(done);
}

/* ---- what is destroyed ---- */

static void put_destroyed(struct secret_answers *a, uint32_t server, uint64_t session,
                          const struct wire_digests *list)
{
    if (list->digest_count)
        put(a, WIRE_DESTROYED, server, session,
            wire_encode_destroyed(list, a->body, sizeof(a->body)));
}

void secret_answers_check(struct secret_answers *a, struct pg *pg, uint32_t server,
                          uint64_t session, const struct hash *digests, size_t count)
{
    static const char sql[] =
        "SELECT digest FROM secret WHERE digest = ANY ($1) AND destroyed_at IS NOT NULL";
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };
    struct wire_digests list = { 0 };
    char(*texts)[ENVELOPE_DIGEST_SIZE] = calloc(count + 1, sizeof(*texts));
    const char **pointers = calloc(count + 1, sizeof(*pointers));
    struct err e;

    MUST(texts && pointers && count <= WIRE_SECRETS_MAX);
    for (size_t i = 0; i < count; i++) {
        digest_text(&digests[i], texts[i]);
        pointers[i] = texts[i];
    }
    if (pg && PG_QUERY(pg, sql, &rows, &e, pg_array_text(pointers, count, &memory)) == 0)
        for (size_t i = 0; i < rows_count(rows) && i < WIRE_SECRETS_MAX; i++)
            list.digest_count += digest_parse(rows_text(rows, i, 0),
                                              &list.digests[list.digest_count]);
    free(texts);
    free(pointers);
    put_destroyed(a, server, session, &list);
}

static bool is_told(const struct secret_answers *a, const struct hash *digest)
{
    for (unsigned i = 0; i < a->told_count; i++)
        if (hash_equal(&a->told[i], digest))
            return true;
    return false;
}

/* By the hour, since transactions end in another order than they began. */
void secret_answers_look(struct secret_answers *a, struct pg *pg)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct wire_digests list = { 0 };
    struct err e;

    if (!pg || PG_QUERY(pg,
                        "SELECT digest FROM secret WHERE destroyed_at > now() - interval '1 hour'"
                        " ORDER BY destroyed_at DESC LIMIT $1",
                        &rows, &e, PARAM_INT(WIRE_SECRETS_MAX)) != 0)
        return;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct hash digest;

        if (!digest_parse(rows_text(rows, i, 0), &digest) || is_told(a, &digest))
            continue;
        list.digests[list.digest_count++] = digest;
        a->told[a->told_count++ % TOLD_MAX] = digest;
        if (a->told_count > TOLD_MAX)
            a->told_count = 1; /* some are told once more */
    }
    put_destroyed(a, SECRET_EVERYBODY, 0, &list);
}
