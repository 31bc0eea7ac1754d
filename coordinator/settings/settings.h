/* settings.h - what lockstepd's settings file may say. */
#ifndef COORDINATOR_SETTINGS_SETTINGS_H
#define COORDINATOR_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define COORDINATOR_SETTINGS_PATH "/etc/lockstep/lockstepd.ini"

struct settings_report;

struct coordinator_settings {
    char *database_url; /* libpq: URL or key=value; several hosts with target_session_attrs */
    bool is_database_named; /* false: nobody named one, the url is the preset */
    char *http_listen;  /* 127.0.0.1:7780 */
    int64_t http_workers;
    int64_t address_connections;      /* at a time; 0: any number */
    int64_t token_rate, address_rate; /* requests a second; 0: any number */
    char *http_tls_cert, *http_tls_key; /* PEM files, read again on SIGHUP; NULL: plain HTTP */
    char *http_tls_client_ca;           /* NULL: clients need no certificate */
    char *http_tls_client_crl;          /* NULL: none was revoked */
    bool is_http_insecure;              /* plain HTTP on any address */
    int64_t cache_entries, cache_megabytes; /* of single-key reads; whichever is reached first */
    bool is_cache_warmed;                   /* filled after a start with what is released */
    int64_t retention_interval_ms; /* how often is looked for what is no longer to be kept */
    char *router_bind;      /* tcp://127.0.0.1:7781 */
    char *router_advertise; /* what other coordinators tell agents; default: the bound address */
    char *router_key_file;  /* CURVE key pair, made at the first start; FILE.pub: the public key */
    bool is_plain;          /* no CURVE: benchmarks only */
    int64_t lease_ms, heartbeat_ms, session_grace_ms, rollback_timeout_ms;
    int64_t servers_max, scopes_max, rollouts_max;
    char *secrets_provider; /* none file vault; coordinator/keyring/keyring.h for all of them */
    char *secrets_key_file, *vault_url, *vault_key, *vault_token_file, *vault_ca_file;
    int64_t vault_timeout_ms;
    char *courier_allow; /* private networks that messages may go to: "127.0.0.1 10.0.0.0/8" */
    char *log_level;  /* debug info warn error */
    char *log_format; /* text json */
};

/* What is wrong with the file, the environment and what they say together; `source`: their name for
 * people. *out is filled whatever is found, and released with the report by the caller. */
void coordinator_settings_judge(const char *path, const char *source,
                                struct coordinator_settings *out, struct settings_report *r);
/* One more thing that is wrong: its sentence begins with the key, "[http] listen", and gets the
 * line of that. */
void coordinator_settings_blame(const char *source, const char *sentence,
                                struct settings_report *r);
/* Settings that may be used, and the log begun as they say; -1: *r says what is wrong. */
int coordinator_settings_load(const char *path, const char *source,
                              struct coordinator_settings *out, struct settings_report *r)
    __attribute__((warn_unused_result));
void coordinator_settings_fini(struct coordinator_settings *s);
/* Places for servers: those that [limits] servers allows, and more for the ones that are forgotten
 * while the program runs, since a place is not given out twice. */
uint32_t coordinator_settings_places(const struct coordinator_settings *s);

#endif
