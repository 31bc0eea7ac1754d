/* keyring.c - picks the provider; without one, every call says that secrets are switched off. */
#include "coordinator/keyring/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/keyring/provider.h"

struct keyring {
    const struct provider *provider; /* NULL: none */
    void *self;
};

static const struct {
    const char *name;
    const struct provider *provider;
} providers[] = {
    { "none", NULL },
    { "file", &provider_file },
    { "vault", &provider_vault },
};
#define PROVIDER_COUNT (sizeof(providers) / sizeof(providers[0]))

static int find(const char *name, const struct provider **out, struct err *e)
{
    for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
        if (strcmp(name, providers[i].name) == 0) {
            *out = providers[i].provider;
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "[secrets] provider is \"%.40s\"; give none, file or vault",
                   name);
}

int keyring_open(const struct keyring_settings *s, struct keyring **out, struct err *e)
{
    struct keyring found = { 0 };

    if (find(s->provider ? s->provider : "none", &found.provider, e) != 0 ||
        (found.provider && found.provider->open(s, &found.self, e) != 0))
        return -1;
    *out = malloc(sizeof(**out));
    MUST(*out);
    **out = found;
    return 0;
}

void keyring_close(struct keyring *k)
{
    if (k && k->provider)
        k->provider->close(k->self);
    free(k);
}

bool keyring_is_on(const struct keyring *k)
{
    return k->provider != NULL;
}

static int switched_off(struct err *e)
{
    return provider_unavailable(e, "secrets are switched off: [secrets] provider is none; give "
                                   "file or vault");
}

int keyring_new_key(struct keyring *k, struct seal_key *data_key_out,
                    struct envelope_wrapped *wrapped_out, struct err *e)
{
    if (!k->provider)
        return switched_off(e);
    return k->provider->new_key(k->self, data_key_out, wrapped_out, e);
}

int keyring_unwrap(struct keyring *k, const struct envelope_wrapped *wrapped,
                   struct seal_key *data_key_out, struct err *e)
{
    if (!k->provider)
        return switched_off(e);
    return k->provider->unwrap(k->self, wrapped, data_key_out, e);
}

int keyring_rewrap(struct keyring *k, const struct envelope_wrapped *wrapped,
                   struct envelope_wrapped *out, struct err *e)
{
    struct envelope_wrapped anew;

    if (!k->provider)
        return switched_off(e);
    if (k->provider->rewrap(k->self, wrapped, &anew, e) != 0)
        return -1;
    *out = anew;
    return 0;
}

int keyring_check(struct keyring *k, char newest_out[ENVELOPE_KEY_ID_SIZE], struct err *e)
{
    return k->provider ? k->provider->check(k->self, newest_out, e) : switched_off(e);
}
