/* sealing.c - remembers the opened values and the fresh data keys of one request. */
#include "coordinator/store/config/sealing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/config/secrets.h"

struct entry {
    struct sealed_value shown;
    bool is_known; /* else it is wanted */
    UT_hash_handle hh;
};

struct fresh {
    struct seal_key key;
    struct envelope_wrapped wrapped;
};

struct sealing {
    struct entry *entries;
    size_t wanted;
    struct fresh *keys; /* of them `taken` are spent */
    size_t key_count, taken, needed;
};

struct sealing *sealing_new(void)
{
    struct sealing *s = memory_new(sizeof(*s));

    return s;
}

void sealing_free(struct sealing *s)
{
    struct entry *entry, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->entries, entry, next)
    {
        HASH_DEL(s->entries, entry);
        seal_free(entry->shown.text, entry->shown.size);
        free(entry);
    }
    seal_free(s->keys, s->key_count * sizeof(*s->keys));
    free(s);
}

/* ---------------------------------------------------------------- looking and wanting */

static struct entry *find(const struct sealing *s, const char *digest)
{
    struct entry *entry;

    HASH_FIND(hh, s->entries, digest, strlen(digest), entry);
    return entry;
}

static struct entry *add(struct sealing *s, const char *digest)
{
    struct entry *entry = memory_new(sizeof(*entry));

    snprintf(entry->shown.digest, sizeof(entry->shown.digest), "%s", digest);
    HASH_ADD_KEYPTR(hh, s->entries, entry->shown.digest, strlen(entry->shown.digest), entry);
    return entry;
}

const struct sealed_value *sealing_look(const struct sealing *s, const char *digest)
{
    const struct entry *entry = find(s, digest);

    return entry && entry->is_known ? &entry->shown : NULL;
}

const struct sealed_value *sealing_find(struct sealing *s, const char *digest)
{
    if (!find(s, digest)) {
        add(s, digest);
        s->wanted++;
    }
    return sealing_look(s, digest);
}

void sealing_want_keys(struct sealing *s, size_t count)
{
    s->needed = count;
}

bool sealing_is_wanting(const struct sealing *s)
{
    return s->wanted > 0 || s->key_count - s->taken < s->needed;
}

/* ---------------------------------------------------------------- fetching */

static int fetch_keys(struct sealing *s, struct keyring *keyring, struct pg *pg, struct err *e)
{
    size_t count = s->taken + s->needed;
    struct fresh *keys;

    if (s->key_count >= count)
        return 0;
    if (secret_keys_compare(pg, keyring, e) < 0)
        return -1;
    keys = memory_array(count, sizeof(*keys));
    if (s->key_count)
        memcpy(keys, s->keys, s->key_count * sizeof(*keys));
    seal_free(s->keys, s->key_count * sizeof(*keys));
    s->keys = keys;
    for (; s->key_count < count; s->key_count++)
        if (keyring_new_key(keyring, &keys[s->key_count].key, &keys[s->key_count].wrapped, e) < 0)
            return -1;
    return 0;
}

/* Its data key may have been wrapped anew, and the old key-encryption key taken away, between the
 * statement and the keyring. */
static int open_again(struct pg *pg, struct keyring *keyring, const struct secret *old,
                      struct sealed_value *out, struct err *e)
{
    SCOPED_SECRETS struct secrets found = { 0 };
    const char *digest = old->digest;

    if (secrets_find(pg, &digest, 1, &found, e) < 0)
        return -1;
    if (found.count == 0 ||
        strcmp(found.items[0].envelope.wrapped.key_id, old->envelope.wrapped.key_id) == 0)
        return 0;
    if (secret_open(&found.items[0], keyring, &out->text, &out->size, &out->why) < 0)
        out->text = NULL;
    return 0;
}

static int open_one(struct pg *pg, struct keyring *keyring, const struct secret *secret,
                    struct sealed_value *out, struct err *e)
{
    snprintf(out->scope, sizeof(out->scope), "%s/%s", secret->service, secret->environment);
    if (secret_open(secret, keyring, &out->text, &out->size, &out->why) == 0)
        return 0;
    out->text = NULL;
    return secret->is_destroyed ? 0 : open_again(pg, keyring, secret, out, e);
}

static int open_all(struct sealing *s, struct keyring *keyring, struct pg *pg,
                    const struct secrets *found, struct err *e)
{
    const struct sealed_value *away = NULL; /* asking again would only take as long again */

    for (size_t i = 0; i < found->count; i++) {
        struct entry *entry = find(s, found->items[i].digest);

        MUST(entry && !entry->is_known);
        if (away && !found->items[i].is_destroyed)
            entry->shown.why = away->why;
        else if (open_one(pg, keyring, &found->items[i], &entry->shown, e) < 0)
            return -1;
        if (!entry->shown.text && entry->shown.why.kind == ERR_UNAVAILABLE)
            away = &entry->shown;
        entry->is_known = true;
        s->wanted--;
    }
    return 0;
}

static void miss(struct sealing *s)
{
    for (struct entry *entry = s->entries; entry; entry = entry->hh.next) {
        if (entry->is_known)
            continue;
        err_set(&entry->shown.why, ERR_CORRUPT, "there is no envelope %.44s",
                entry->shown.digest);
        entry->is_known = true;
    }
    s->wanted = 0;
}

int sealing_fetch(struct sealing *s, struct keyring *keyring, struct pg *pg, struct err *e)
{
    SCOPED_SECRETS struct secrets found = { 0 };
    const char **digests;
    size_t count = 0;
    int rc;

    if (fetch_keys(s, keyring, pg, e) < 0)
        return -1;
    if (s->wanted == 0)
        return 0;
    digests = memory_array(s->wanted, sizeof(*digests));
    for (const struct entry *entry = s->entries; entry; entry = entry->hh.next)
        if (!entry->is_known)
            digests[count++] = entry->shown.digest;
    rc = secrets_find(pg, digests, count, &found, e);
    free(digests);
    if (rc < 0 || open_all(s, keyring, pg, &found, e) < 0)
        return -1;
    miss(s);
    return 0;
}

/* ---------------------------------------------------------------- sealing */

static char *copy(const char *text, size_t size)
{
    char *made = malloc(size + 1);

    MUST(made);
    memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

void sealing_seal(struct sealing *s, const struct envelope_place *place, const char *text,
                  size_t size, struct envelope *out)
{
    char digest[ENVELOPE_DIGEST_SIZE];
    struct entry *entry;
    struct fresh *fresh;

    MUST(s->taken < s->key_count);
    fresh = &s->keys[s->taken++];
    s->needed -= s->needed > 0;
    envelope_seal(&fresh->key, &fresh->wrapped, place, text, size, out);
    seal_key_wipe(&fresh->key);
    envelope_digest(out, digest);
    entry = add(s, digest);
    entry->is_known = entry->shown.is_made = true;
    entry->shown.text = copy(text, size);
    entry->shown.size = size;
    snprintf(entry->shown.scope, sizeof(entry->shown.scope), "%s/%s", place->service,
             place->environment);
}
