/* settings.c - the table of lockstepd's settings. */
#include "coordinator/settings/settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/settings.h"

#define AT(field) offsetof(struct coordinator_settings, field)
#define DAY_MS INT64_C(86400000)
#define DATABASE_PRESET "dbname=lockstep"

static const struct settings_key keys[] = {
    { "database", "url", SETTINGS_TEXT, AT(database_url), NULL, 0, 0, true },
    { "http", "listen", SETTINGS_TEXT, AT(http_listen), "127.0.0.1:7780", 0, 0, false },
    { "http", "workers", SETTINGS_NUMBER, AT(http_workers), "8", 1, 256, false },
    { "http", "token_rate", SETTINGS_NUMBER, AT(token_rate), "5000", 0, 1000000, false },
    { "http", "address_rate", SETTINGS_NUMBER, AT(address_rate), "10000", 0, 1000000, false },
    { "http", "address_connections", SETTINGS_NUMBER, AT(address_connections), "800", 0, 1000000,
      false },
    { "http", "tls_cert", SETTINGS_TEXT, AT(http_tls_cert), NULL, 0, 0, false },
    { "http", "tls_key", SETTINGS_TEXT, AT(http_tls_key), NULL, 0, 0, false },
    { "http", "tls_client_ca", SETTINGS_TEXT, AT(http_tls_client_ca), NULL, 0, 0, false },
    { "http", "tls_client_crl", SETTINGS_TEXT, AT(http_tls_client_crl), NULL, 0, 0, false },
    { "http", "insecure", SETTINGS_BOOLEAN, AT(is_http_insecure), "false", 0, 0, false },
    { "cache", "entries", SETTINGS_NUMBER, AT(cache_entries), "1000000", 64, INT64_C(1) << 32,
      false },
    { "cache", "megabytes", SETTINGS_NUMBER, AT(cache_megabytes), "1536", 1, INT64_C(1) << 22,
      false },
    { "cache", "warm_up", SETTINGS_BOOLEAN, AT(is_cache_warmed), "true", 0, 0, false },
    { "retention", "interval", SETTINGS_DURATION, AT(retention_interval_ms), "1d", 1000,
      30 * DAY_MS, false },
    { "router", "bind", SETTINGS_TEXT, AT(router_bind), "tcp://127.0.0.1:7781", 0, 0, false },
    { "router", "advertise", SETTINGS_TEXT, AT(router_advertise), NULL, 0, 0, false },
    { "router", "key_file", SETTINGS_TEXT, AT(router_key_file), "/var/lib/lockstep/router.key", 0,
      0, false },
    { "router", "plain", SETTINGS_BOOLEAN, AT(is_plain), "false", 0, 0, false },
    { "coordinator", "lease", SETTINGS_DURATION, AT(lease_ms), "10s", 1000, DAY_MS, false },
    { "coordinator", "heartbeat", SETTINGS_DURATION, AT(heartbeat_ms), "5s", 200, 60000, false },
    { "coordinator", "session_grace", SETTINGS_DURATION, AT(session_grace_ms), "30s", 0, 600000,
      false },
    { "coordinator", "rollback_timeout", SETTINGS_DURATION, AT(rollback_timeout_ms), "2m", 1000,
      DAY_MS, false },
    { "limits", "servers", SETTINGS_NUMBER, AT(servers_max), "20000", 64, 200000, false },
    { "limits", "scopes", SETTINGS_NUMBER, AT(scopes_max), "4096", 16, 65536, false },
    { "limits", "rollouts", SETTINGS_NUMBER, AT(rollouts_max), "256", 1, 4096, false },
    { "secrets", "provider", SETTINGS_TEXT, AT(secrets_provider), "none", 0, 0, false },
    { "secrets", "key_file", SETTINGS_TEXT, AT(secrets_key_file), NULL, 0, 0, false },
    { "secrets", "vault_url", SETTINGS_TEXT, AT(vault_url), NULL, 0, 0, false },
    { "secrets", "vault_key", SETTINGS_TEXT, AT(vault_key), NULL, 0, 0, false },
    { "secrets", "vault_token_file", SETTINGS_TEXT, AT(vault_token_file), NULL, 0, 0, false },
    { "secrets", "vault_ca_file", SETTINGS_TEXT, AT(vault_ca_file), NULL, 0, 0, false },
    { "secrets", "vault_timeout", SETTINGS_DURATION, AT(vault_timeout_ms), "5s", 100, 60000,
      false },
    { "courier", "allow", SETTINGS_TEXT, AT(courier_allow), NULL, 0, 0, false },
    { "log", "level", SETTINGS_TEXT, AT(log_level), "info", 0, 0, false },
    { "log", "format", SETTINGS_TEXT, AT(log_format), "text", 0, 0, false },
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static int check_log_format(const struct coordinator_settings *s, struct err *e)
{
    if (strcmp(s->log_format, "json") == 0 || strcmp(s->log_format, "text") == 0)
        return 0;
    return err_set(e, ERR_INVALID, "[log] format is \"%s\"; give text or json", s->log_format);
}

static int check_log_level(const struct coordinator_settings *s, struct err *e)
{
    enum log_level level;

    if (log_level_of(s->log_level, &level) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "[log] level is \"%s\"; give debug, info, warn or error",
                   s->log_level);
}

static void start_log(const struct coordinator_settings *s)
{
    enum log_level level;

    MUST(log_level_of(s->log_level, &level) == 0);
    log_init("lockstepd", level, strcmp(s->log_format, "json") == 0);
}

static void name_database(struct coordinator_settings *s)
{
    s->is_database_named = s->database_url != NULL;
    if (s->is_database_named)
        return;
    s->database_url = memory_text(DATABASE_PRESET);
}

static int check_tls(const struct coordinator_settings *s, struct err *e)
{
    if (!s->http_tls_cert != !s->http_tls_key)
        return err_set(e, ERR_INVALID, "[http] tls_%s is missing: a certificate and its key are "
                       "given together", s->http_tls_cert ? "key" : "cert");
    if (s->http_tls_client_ca && !s->http_tls_cert)
        return err_set(e, ERR_INVALID, "[http] tls_client_ca needs tls_cert and tls_key");
    if (s->http_tls_client_crl && !s->http_tls_client_ca)
        return err_set(e, ERR_INVALID, "[http] tls_client_crl needs tls_client_ca");
    return 0;
}

/* Sentences about a key begin with it: "[http] listen". 0: it does not stand in the file. */
static int line_of(const struct settings_report *r, const char *sentence)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t section = strlen(keys[i].section), key = strlen(keys[i].key);
        const char *at = sentence + 1;

        if (sentence[0] != '[' || strncmp(at, keys[i].section, section) != 0 ||
            strncmp(at + section, "] ", 2) != 0)
            continue;
        at += section + 2;
        if (strncmp(at, keys[i].key, key) == 0 && strchr(" :", at[key]))
            return r->lines[i];
    }
    return 0;
}

void coordinator_settings_blame(const char *source, const char *sentence,
                                struct settings_report *r)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    int line = line_of(r, sentence);

    buffer_add_text(&text, source);
    if (line)
        buffer_printf(&text, ":%d", line);
    buffer_printf(&text, ": %s", sentence);
    settings_report_add(r, text.data);
}

void coordinator_settings_judge(const char *path, const char *source,
                                struct coordinator_settings *out, struct settings_report *r)
{
    static int (*const checks[])(const struct coordinator_settings *, struct err *) = {
        check_tls, check_log_format, check_log_level
    };
    struct err e;

    *out = (struct coordinator_settings){ 0 };
    settings_judge(path, keys, KEY_COUNT, out, NULL, r);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (checks[i](out, &e) != 0)
            coordinator_settings_blame(source, e.text, r);
    name_database(out);
}

int coordinator_settings_load(const char *path, const char *source,
                              struct coordinator_settings *out, struct settings_report *r)
{
    coordinator_settings_judge(path, source, out, r);
    if (r->count == 0) {
        start_log(out);
        return 0;
    }
    coordinator_settings_fini(out);
    return -1;
}

uint32_t coordinator_settings_places(const struct coordinator_settings *s)
{
    return (uint32_t)(s->servers_max + s->servers_max / 4);
}

void coordinator_settings_fini(struct coordinator_settings *s)
{
    settings_fini(keys, KEY_COUNT, s);
}
