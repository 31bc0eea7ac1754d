/* config_secret.c - values that become secrets: compared with what is there, and sealed. */
#include "coordinator/store/config/config_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/seal.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/store/config/sealing.h"
#include "coordinator/store/config/secrets.h"

/* A value is never the same as a secret that is damaged or destroyed. */
static int is_same(const struct config_write *write, const char *reference, const char *plain,
                   bool *out, struct err *e)
{
    char digest[VALUE_DIGEST_SIZE];
    const struct sealed_value *old;

    *out = false;
    if (!value_is_reference(reference, digest))
        return 0;
    old = sealing_find(write->sealing, digest);
    if (old && !old->text && old->why.kind == ERR_UNAVAILABLE) {
        *e = old->why;
        return -1;
    }
    *out = old && old->text && old->size == strlen(plain) &&
           memcmp(old->text, plain, old->size) == 0;
    return 0;
}

int config_judge_secret(const struct config_write *write, const struct config_change *c,
                        char **normal, struct config_outcome *o, bool *is_changed, struct err *e)
{
    bool is_old_one = false;

    o->plain = MOVE(*normal);
    o->plain_size = strlen(o->plain);
    *is_changed = true;
    if (!write->sealing)
        return err_code(e, ERR_UNAVAILABLE, "secrets_unavailable",
                        "%.200s is a secret, and secrets cannot be written here", c->key);
    if (o->was_present && !o->was_inherited && o->type == o->old_type &&
        is_same(write, o->old_value, o->plain, &is_old_one, e) < 0)
        return -1;
    if (!is_old_one)
        return 0;
    /* Whatever else changes, the envelope serves on. */
    *is_changed = false;
    seal_free(o->plain, o->plain_size);
    o->plain = NULL;
    o->value = memory_text(o->old_value);
    return 0;
}

bool config_has_secrets(const struct config_write *write, struct config_result *result)
{
    size_t count = 0;

    for (size_t i = 0; i < result->count; i++)
        count += result->outcomes[i].plain != NULL;
    if (!write->sealing)
        return true;
    sealing_want_keys(write->sealing, count);
    result->is_wanting = sealing_is_wanting(write->sealing);
    return !result->is_wanting;
}

int config_seal(struct pg *pg, const struct scope *scope, const struct config_write *write,
                const struct config_change *c, struct config_outcome *o, struct err *e)
{
    struct envelope_place place = { scope->service, scope->environment, c->key, o->version + 1 };
    SCOPED_ENVELOPE struct envelope envelope = { 0 };
    char digest[ENVELOPE_DIGEST_SIZE];

    if (!o->plain)
        return 0;
    sealing_seal(write->sealing, &place, o->plain, o->plain_size, &envelope);
    envelope_digest(&envelope, digest);
    o->value = malloc(VALUE_REFERENCE_SIZE);
    MUST(o->value);
    value_reference(digest, o->value);
    return secrets_append(pg, scope->scope_id, digest, &place, &envelope, e);
}
