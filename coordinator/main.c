/* main.c - lockstepd: read the settings, prepare the database, start the parts, stop them. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/core_dump.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/service.h"
#include "common/settings.h"
#include "coordinator/commands/check_settings.h"
#include "coordinator/commands/rewrap.h"
#include "coordinator/commands/secrets.h"
#include "coordinator/courier/courier.h"
#include "coordinator/descriptors.h"
#include "coordinator/http/server.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/loop.h"
#include "coordinator/router_key.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/access/tokens.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/listener.h"
#include "coordinator/store/migrate.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/retention_thread.h"
#include "coordinator/store/rollout/servers.h"

#ifndef LOCKSTEP_VERSION
#define LOCKSTEP_VERSION "0.1.0"
#endif

#define POOL_EXTRA 7 /* connections beside the HTTP workers' */
#define RETRY_S 2

static const char usage[] =
    "lockstepd - the Lockstep coordinator\n"
    "\n"
    "  lockstepd                               run\n"
    "  lockstepd check-settings [FILE]         are the settings right?\n"
    "  lockstepd bootstrap-token --name NAME   make an administrator's token\n"
    "  lockstepd new-secret-key                make a key file or a newest key\n"
    "  lockstepd check-secrets                 is the key of all secrets there?\n"
    "  lockstepd rewrap                        wrap all secrets' keys by the newest\n"
    "  lockstepd replace-router-key            agents are to know this key from now on\n"
    "  lockstepd --version | --help\n"
    "\n"
    "  -c, --config FILE   settings (" COORDINATOR_SETTINGS_PATH " when it is there)\n"
    "\n"
    "Every setting is also an environment variable, LOCKSTEP_SECTION_KEY, which wins.\n";

enum command {
    RUN,
    CHECK_SETTINGS,
    BOOTSTRAP_TOKEN,
    NEW_SECRET_KEY,
    CHECK_SECRETS,
    REWRAP,
    REPLACE_ROUTER_KEY,
};

static const char *const commands[] = { [CHECK_SETTINGS] = "check-settings",
                                        [BOOTSTRAP_TOKEN] = "bootstrap-token",
                                        [NEW_SECRET_KEY] = "new-secret-key",
                                        [CHECK_SECRETS] = "check-secrets",
                                        [REWRAP] = "rewrap",
                                        [REPLACE_ROUTER_KEY] = "replace-router-key" };

struct arguments {
    const char *config, *name;
    enum command command;
};

static int refuse(const char *text, const char *what)
{
    fprintf(stderr, "lockstepd: %s%s\n", text, what);
    return 2;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "name", required_argument, NULL, 'n' },
                                             { "version", no_argument, NULL, 'V' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (c == 'c')
            out->config = optarg;
        else if (c == 'n')
            out->name = optarg;
        else if (c == 'V')
            return printf("lockstepd %s\n", LOCKSTEP_VERSION), 0;
        else if (c == 'h')
            return fputs(usage, stdout), 0;
        else
            return 2;
    }
    for (unsigned i = CHECK_SETTINGS; i <= REPLACE_ROUTER_KEY && optind < argc; i++) {
        if (strcmp(argv[optind], commands[i]) != 0)
            continue;
        out->command = (enum command)i;
        optind++;
        break;
    }
    if (out->command == CHECK_SETTINGS && optind < argc)
        out->config = argv[optind++];
    if (optind < argc)
        return refuse("unknown argument ", argv[optind]);
    if (out->command == BOOTSTRAP_TOKEN && !out->name)
        return refuse("bootstrap-token needs --name NAME", "");
    return -1;
}

static int prepare_database(const char *url, struct err *e)
{
    SCOPED(pg_close) struct pg *pg = NULL;

    return pg_open(url, "lockstepd migrate", &pg, e) != 0 || migrate(pg, e) != 0 ? -1 : 0;
}

/* A coordinator that starts before its database waits for it and says so. false: asked to stop. */
static bool wait_for_database(const struct coordinator_settings *s)
{
    bool is_told = s->is_database_named;
    const struct timespec pause = { .tv_sec = RETRY_S };
    sigset_t signals;
    struct err e = { 0 };

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    while (prepare_database(s->database_url, &e) != 0) {
        if (e.kind != ERR_UNAVAILABLE) {
            log_error("the database cannot be used", "reason", e.text);
            exit(1);
        }
        log_warn("waiting for the database", "reason", e.text);
        if (!is_told)
            log_warn("nobody named a database: lockstepd tries the one called lockstep on this "
                     "machine, and goes on trying",
                     "remedy",
                     "give [database] url in " COORDINATOR_SETTINGS_PATH
                     " or in the file of --config, or LOCKSTEP_DATABASE_URL");
        is_told = true;
        service_status("waiting for the database");
        if (sigtimedwait(&signals, NULL, &pause) > 0)
            return false;
    }
    return true;
}

static int make_first_token(struct pg *pg, const char *name, char token_out[TOKEN_TEXT_SIZE],
                            struct err *e)
{
    struct token_new token = {
        .name = name, .subject = name, .grants = TOKEN_FIRST_GRANTS, .created_by = ""
    };
    char id[TOKEN_ID_SIZE];

    if (pg_exec(pg, "BEGIN", e) != 0 || tokens_create(pg, &token, id, token_out, e) != 0 ||
        PG_QUERY(pg,
                 "SELECT audit_append('lockstepd', 'token.create', NULL, NULL, NULL,"
                 " jsonb_build_object('token', token_id, 'name', name, 'grants', grants), '',"
                 " 'bootstrap') FROM token WHERE token_id = $1",
                 NULL, e, PARAM_TEXT(id)) != 0)
        return -1;
    return pg_exec(pg, "COMMIT", e);
}

static int bootstrap_token(const struct coordinator_settings *s, const char *name)
{
    SCOPED(pg_close) struct pg *pg = NULL;
    char token[TOKEN_TEXT_SIZE];
    struct err e = { 0 };

    if (pg_open(s->database_url, "lockstepd bootstrap", &pg, &e) != 0 || migrate(pg, &e) != 0 ||
        make_first_token(pg, name, token, &e) != 0)
        return fprintf(stderr, "lockstepd: %s\n", e.text), 1;
    puts(token);
    return 0;
}

/* Signals are read by the loop; every thread inherits the mask. */
static void block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGPIPE);
    MUST(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
}

static int fail(const struct err *e)
{
    log_error("cannot start", "reason", e->text);
    return 1;
}

/* Every agent is a connection and takes a descriptor: as many as may be had. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static struct descriptors deal_descriptors(const struct coordinator_settings *s)
{
    struct descriptors dealt;

    descriptors_of_process((uint64_t)s->servers_max, (uint64_t)s->http_workers, &dealt);
    return dealt;
}

static void read_certificates(void *ctx)
{
    struct err e = { 0 };

    service_reloading();
    if (http_reload(ctx, &e) != 0)
        log_error("the certificates could not be read again; the old ones stay", "reason", e.text);
    else
        log_info("certificates read again", "remedy",
                 "for everything else in the settings: restart lockstepd");
    service_ready("certificates read again");
}

/* Plain HTTP has no certificates. */
static void read_nothing(void *ctx)
{
    (void)ctx;
    log_warn("nothing was read again", "reason",
             "without TLS there are no certificates, and settings are read at the start", "remedy",
             "restart lockstepd to follow its settings file");
}

static int run(const struct coordinator_settings *s, struct keyring *keyring)
{
    unsigned workers = (unsigned)s->http_workers;
    const struct descriptors descriptors = deal_descriptors(s);
    struct pg_pool *pool = pg_pool_new(s->database_url, "lockstepd http", workers + POOL_EXTRA);
    struct listener *listener = listener_start(s->database_url);
    struct http_settings http_settings = { .bind = s->http_listen,
                                           .tls = { .cert = s->http_tls_cert,
                                                    .key = s->http_tls_key,
                                                    .client_ca = s->http_tls_client_ca,
                                                    .client_crl = s->http_tls_client_crl },
                                           .is_insecure = s->is_http_insecure,
                                           .workers = workers,
                                           .token_rate = (uint32_t)s->token_rate,
                                           .address_rate = (uint32_t)s->address_rate,
                                           .address_connections =
                                               (unsigned)s->address_connections,
                                           .connections_max = descriptors.http,
                                           .cache_entries = (size_t)s->cache_entries,
                                           .cache_bytes = (size_t)s->cache_megabytes << 20,
                                           .is_cold = !s->is_cache_warmed };
    struct http_deps deps = {
        .pool = pool, .keyring = keyring, .listener = listener, .version = LOCKSTEP_VERSION
    };
    struct loop *loop = NULL;
    struct http *http = NULL;
    struct courier *courier = NULL;
    struct retention_thread *keeper = NULL;
    struct err e = { 0 };
    int rc = 0;

    keeper = retention_thread_start(s->database_url, s->retention_interval_ms);
    deps.keeper = keeper;
    deps.status = loop_status;
    if (loop_open(s, s->http_listen, keyring, &loop, &e) != 0)
        rc = fail(&e);
    deps.status_ctx = loop;
    deps.knocks = rc == 0 ? loop_knocks(loop) : NULL;
    if (rc == 0 && http_start(&http_settings, &deps, &http, &e) != 0)
        rc = fail(&e);
    if (rc == 0 && courier_start(s->database_url, s->courier_allow, keyring, &courier, &e) != 0)
        rc = fail(&e);
    if (rc == 0) {
        listener_add(listener, courier_hear, courier);
        loop_listen(loop, listener);
        loop_on_hangup(loop, s->http_tls_cert ? read_certificates : read_nothing, http);
        log_info("ready", "http", http_address(http), "router", loop_router_address(loop),
                 "public_key", loop_public_key(loop), "version", LOCKSTEP_VERSION);
        service_ready(http_address(http));
        loop_run(loop);
        service_stopping();
    }
    listener_stop(listener);
    courier_stop(courier);
    http_stop(http);
    retention_thread_stop(keeper);
    loop_close(loop);
    pg_pool_free(pool);
    return rc;
}

/* A key-encryption key that is gone is said, and keeps nothing but secrets from being served. */
static int start(const struct coordinator_settings *s)
{
    SCOPED(keyring_close) struct keyring *keyring = NULL;
    char newest[ENVELOPE_KEY_ID_SIZE];
    struct err e = { 0 };

    block_signals();
    service_init();
    raise_descriptor_limit();
    scopes_set_limit(s->scopes_max);
    servers_set_limit(s->servers_max);
    if (secrets_open(s, &keyring, &e) != 0)
        return fail(&e);
    if (strcmp(s->secrets_provider, "none") != 0 && keyring_check(keyring, newest, &e) != 0)
        log_warn("secrets can be neither read nor written", "reason", e.text);
    if (!wait_for_database(s))
        return 0;
    return router_key_check(s, &e) != 0 ? fail(&e) : run(s, keyring);
}

static const char *source_of(const struct arguments *arguments)
{
    return arguments->config ? arguments->config : "presets and environment";
}

static int obey(const struct arguments *arguments, const struct coordinator_settings *s)
{
    switch (arguments->command) {
    case BOOTSTRAP_TOKEN:
        return bootstrap_token(s, arguments->name);
    case NEW_SECRET_KEY:
        return secrets_new_key_command(s);
    case CHECK_SECRETS:
        return secrets_check_command(s);
    case REWRAP:
        return rewrap_command(s);
    case REPLACE_ROUTER_KEY:
        return router_key_replace_command(s);
    case CHECK_SETTINGS: /* before anything was read */
    case RUN:
        break;
    }
    log_info("settings read", "from", source_of(arguments));
    return start(s);
}

int main(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    struct coordinator_settings settings;
    struct settings_report report;
    int rc = parse(argc, argv, &arguments);

    if (rc >= 0)
        return rc;
    /* A file that is there and cannot be read is an error, not a reason for presets. */
    if (!arguments.config && (access(COORDINATOR_SETTINGS_PATH, F_OK) == 0 || errno != ENOENT))
        arguments.config = COORDINATOR_SETTINGS_PATH;
    core_dump_forbid(); /* its other commands open secrets, too */
    if (arguments.command == CHECK_SETTINGS)
        return check_settings_command(arguments.config, source_of(&arguments));
    if (coordinator_settings_load(arguments.config, source_of(&arguments), &settings, &report)) {
        settings_report_tell(&report, "lockstepd");
        settings_report_fini(&report);
        return 2;
    }
    settings_report_fini(&report);
    rc = obey(&arguments, &settings);
    coordinator_settings_fini(&settings);
    return rc;
}
