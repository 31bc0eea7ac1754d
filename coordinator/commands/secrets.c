/* secrets.c - opens the keyring as the settings say, and runs the commands about it. */
#include "coordinator/commands/secrets.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/keyring/key_file.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"

int secrets_open(const struct coordinator_settings *s, struct keyring **out, struct err *e)
{
    const struct keyring_settings settings = {
        .provider = s->secrets_provider,
        .key_file = s->secrets_key_file,
        .vault_url = s->vault_url,
        .vault_key = s->vault_key,
        .vault_token_file = s->vault_token_file,
        .vault_ca_file = s->vault_ca_file,
        .vault_timeout_ms = s->vault_timeout_ms,
    };

    return keyring_open(&settings, out, e);
}

static int fail(const struct err *e)
{
    fprintf(stderr, "lockstepd: %s\n", e->text);
    return 1;
}

/* The key is there; is it the one of the secrets? Where nobody named a database, and before there
 * are tables, nothing can be compared. */
static int check_database(const struct coordinator_settings *s, struct keyring *keyring,
                          struct err *e)
{
    SCOPED(pg_close) struct pg *pg = NULL;
    SCOPED(rows_free) struct rows *tables = NULL;
    SCOPED(rows_free) struct rows *samples = NULL;

    if (!s->is_database_named)
        return 0;
    if (pg_open(s->database_url, "lockstepd check-secrets", &pg, e) != 0 ||
        pg_query(pg, "SELECT 1 WHERE to_regclass('secret_key') IS NOT NULL", NULL, 0, &tables,
                 e) != 0)
        return err_wrap(e, "the secrets of the database");
    if (rows_count(tables) == 0)
        return 0;
    return secret_keys_samples(pg, &samples, e) || secret_keys_try(samples, keyring, e) ? -1 : 0;
}

int secrets_check_command(const struct coordinator_settings *s)
{
    SCOPED(keyring_close) struct keyring *keyring = NULL;
    char newest[ENVELOPE_KEY_ID_SIZE];
    struct err e = { 0 };

    if (secrets_open(s, &keyring, &e) != 0 || keyring_check(keyring, newest, &e) != 0 ||
        check_database(s, keyring, &e) != 0)
        return fail(&e);
    printf("new secrets are wrapped by %s\n", newest);
    return 0;
}

int secrets_new_key_command(const struct coordinator_settings *s)
{
    char id[KEY_FILE_ID_SIZE];
    struct err e = { 0 };
    int rc;

    if (!s->secrets_key_file || strcmp(s->secrets_provider, "file") != 0) {
        err_set(&e, ERR_INVALID,
                "[secrets] provider must be file, and key_file name the file; a Vault's key is "
                "made and rotated there");
        return fail(&e);
    }
    rc = key_file_create(s->secrets_key_file, id, &e);
    if (rc != 0 && e.kind == ERR_CONFLICT)
        rc = key_file_add(s->secrets_key_file, id, &e);
    if (rc != 0)
        return fail(&e);
    printf("%s has the newest key %s. Keep a copy in a safe place, and give it to every "
           "coordinator.\n",
           s->secrets_key_file, id);
    return 0;
}
