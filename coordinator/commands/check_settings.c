/* check_settings.c - judges settings that could be read: addresses, certificates, keys, networks.
 */
#include "coordinator/commands/check_settings.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/settings.h"
#include "coordinator/commands/secrets.h"
#include "coordinator/courier/address.h"
#include "coordinator/http/transport/bind.h"
#include "coordinator/http/transport/tls.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/link/curve_keys.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/pg.h"

#define PORT_MAX 65535

static int check_database(const struct coordinator_settings *s, struct err *e)
{
    return pg_check_conninfo(s->database_url, e) != 0 ? err_wrap(e, "[database] url") : 0;
}

static int check_http(const struct coordinator_settings *s, struct err *e)
{
    struct addrinfo *at = NULL;
    bool is_plain_far;

    if (bind_resolve(s->http_listen, &at, e) != 0)
        return err_wrap(e, "[http] listen");
    is_plain_far = !s->http_tls_cert && !s->is_http_insecure && !bind_is_loopback(at);
    freeaddrinfo(at);
    if (is_plain_far)
        return err_set(e, ERR_INVALID,
                       "[http] listen = %.200s would carry access tokens in clear text: give "
                       "tls_cert and tls_key, listen on 127.0.0.1, or say insecure = true",
                       s->http_listen);
    return 0;
}

static int check_certificates(const struct coordinator_settings *s, struct err *e)
{
    const struct tls_files files = { s->http_tls_cert, s->http_tls_key, s->http_tls_client_ca,
                                     s->http_tls_client_crl };
    struct tls *tls = NULL;

    if (!s->http_tls_cert)
        return 0;
    if (tls_new(&files, &tls, e) != 0)
        return err_wrap(e, "[http]");
    tls_free(tls);
    return 0;
}

/* tcp://HOST:PORT, as ZeroMQ takes it. Port 0 is for tests: any free one. */
static int check_endpoint(const char *key, const char *text, struct err *e)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    if (strncmp(text, "tcp://", 6) != 0 || colon < text + 7 || end == colon + 1 || *end ||
        port > PORT_MAX)
        return err_set(e, ERR_INVALID, "[router] %s = %.200s is no address; give tcp://HOST:PORT",
                       key, text);
    return 0;
}

static int check_router(const struct coordinator_settings *s, struct err *e)
{
    return check_endpoint("bind", s->router_bind, e);
}

static int check_advertise(const struct coordinator_settings *s, struct err *e)
{
    return s->router_advertise ? check_endpoint("advertise", s->router_advertise, e) : 0;
}

/* A key file that is not there is made at the first start. */
static int check_key_file(const struct coordinator_settings *s, struct err *e)
{
    struct key_pair keys;
    int rc;

    if (s->is_plain || access(s->router_key_file, F_OK) != 0)
        return 0;
    rc = curve_keys_load(s->router_key_file, &keys, e);
    explicit_bzero(&keys, sizeof(keys));
    return rc != 0 ? err_wrap(e, "[router] key_file") : 0;
}

static int check_courier(const struct coordinator_settings *s, struct err *e)
{
    struct address_list list;

    return address_list_read(s->courier_allow, &list, e);
}

/* The settings alone: whether the key is there, `check-secrets` says. */
static int check_secrets(const struct coordinator_settings *s, struct err *e)
{
    SCOPED(keyring_close) struct keyring *keyring = NULL;

    return secrets_open(s, &keyring, e);
}

int check_settings_command(const char *path, const char *source)
{
    static int (*const checks[])(const struct coordinator_settings *, struct err *) = {
        check_database,  check_http,     check_certificates, check_router,
        check_advertise, check_key_file, check_courier,      check_secrets,
    };
    struct coordinator_settings settings;
    struct settings_report report;
    unsigned bad;
    struct err e;

    coordinator_settings_judge(path, source, &settings, &report);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (checks[i](&settings, &e) != 0)
            coordinator_settings_blame(source, e.text, &report);
    bad = report.count;
    settings_report_tell(&report, "lockstepd");
    if (bad == 0)
        printf("%s: fine\n", source);
    settings_report_fini(&report);
    coordinator_settings_fini(&settings);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
