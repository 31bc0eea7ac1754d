/* file.c - the provider whose key-encryption keys stand in a local file. */
#include "coordinator/keyring/provider.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/keyring/key_file.h"

#define PREFIX "file:" /* of key ids, so that those of a Vault are told apart */

struct curve_keys {
    char *path;
    pthread_mutex_t lock; /* over everything below */
    struct key_file file; /* count 0: not read yet, or not readable */
};

static int open_keys(const struct keyring_settings *s, void **self_out, struct err *e)
{
    struct curve_keys *k;

    if (!s->key_file || !s->key_file[0])
        return err_set(e, ERR_INVALID, "[secrets] key_file is missing: provider file needs it");
    k = memory_new(sizeof(*k));
    k->path = strdup(s->key_file);
    MUST(k->path && pthread_mutex_init(&k->lock, NULL) == 0);
    *self_out = k;
    return 0;
}

static void close_keys(void *self)
{
    struct curve_keys *k = self;

    pthread_mutex_destroy(&k->lock);
    free(k->path);
    key_file_wipe(&k->file);
    free(k);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Times alone do not do: their grain is coarse. */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           is_same_time(&a->st_mtim, &b->st_mtim) && is_same_time(&a->st_ctim, &b->st_ctim);
}

/* The file as it is now. Keys that are not in it any more, or in a file that others may read, are
 * not used on from memory: what is wrapped under them might be unreadable after a restart. */
static int refresh(struct curve_keys *k, struct err *e)
{
    struct err why;
    struct stat st;

    if (k->file.count > 0 && stat(k->path, &st) == 0 && is_same(&st, &k->file.seen))
        return 0;
    key_file_wipe(&k->file);
    if (key_file_load(k->path, &k->file, &why) == 0)
        return 0;
    return provider_unavailable(e, "%s", why.text);
}

/* Copies the newest key and its id. */
static int newest(struct curve_keys *k, char id_out[ENVELOPE_KEY_ID_SIZE], struct seal_key *key_out,
                  struct err *e)
{
    int rc;

    MUST(pthread_mutex_lock(&k->lock) == 0);
    rc = refresh(k, e);
    if (rc == 0) {
        unsigned last = k->file.count - 1;

        snprintf(id_out, ENVELOPE_KEY_ID_SIZE, PREFIX "%s", k->file.keys[last].id);
        *key_out = k->file.keys[last].key;
    }
    MUST(pthread_mutex_unlock(&k->lock) == 0);
    return rc;
}

static int search(const struct curve_keys *k, const char *id, struct seal_key *key_out)
{
    if (strncmp(id, PREFIX, strlen(PREFIX)) != 0)
        return -1;
    for (unsigned i = 0; i < k->file.count; i++) {
        if (strcmp(k->file.keys[i].id, id + strlen(PREFIX)) == 0) {
            *key_out = k->file.keys[i].key;
            return 0;
        }
    }
    return -1;
}

static int find(struct curve_keys *k, const char *id, struct seal_key *key_out, struct err *e)
{
    int rc;

    MUST(pthread_mutex_lock(&k->lock) == 0);
    rc = refresh(k, e);
    if (rc == 0 && search(k, id, key_out) != 0)
        rc = provider_unavailable(e,
                                  "key file %s: it lacks the key %s that the secret was written "
                                  "under; put that line back above the newest",
                                  k->path, id);
    MUST(pthread_mutex_unlock(&k->lock) == 0);
    return rc;
}

static int new_key(void *self, struct seal_key *data_key_out, struct envelope_wrapped *wrapped_out,
                   struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key key;
    char id[ENVELOPE_KEY_ID_SIZE];

    if (newest(self, id, &key, e) != 0)
        return -1;
    seal_key_draw(data_key_out);
    envelope_wrap(&key, id, data_key_out, wrapped_out);
    return 0;
}

static int unwrap(void *self, const struct envelope_wrapped *wrapped,
                  struct seal_key *data_key_out, struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key key;

    if (find(self, wrapped->key_id, &key, e) != 0)
        return -1;
    if (envelope_unwrap(&key, wrapped, data_key_out) != 0)
        return err_set(e, ERR_CORRUPT,
                       "a data key was changed at rest, or %s is another key than the one that "
                       "wrapped it",
                       wrapped->key_id);
    return 0;
}

static int rewrap(void *self, const struct envelope_wrapped *wrapped, struct envelope_wrapped *out,
                  struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key key, data_key;
    char id[ENVELOPE_KEY_ID_SIZE];

    if (unwrap(self, wrapped, &data_key, e) != 0 || newest(self, id, &key, e) != 0)
        return -1;
    envelope_wrap(&key, id, &data_key, out);
    return 0;
}

static int check(void *self, char newest_out[ENVELOPE_KEY_ID_SIZE], struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key key;

    return newest(self, newest_out, &key, e);
}

const struct provider provider_file = { open_keys, close_keys, new_key, unwrap, rewrap, check };
