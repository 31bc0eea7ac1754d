/* exchange.c - one HTTP request through libcurl: the way there, its limits, why no answer came. */
#include "coordinator/cli/exchange.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "coordinator/cli/context.h"

#define CONNECT_MS 5000L
#define REQUEST_MS 60000L
#define GREETING_CONNECT_MS 2000L
#define GREETING_MS 5000L
#define SILENCE_MS 5000 /* then somebody who waits is told for what */
#define ANSWER_MAX (64u << 20) /* a document may have 16 MiB, and JSON escapes blow it up */

struct exchange {
    CURL *curl;
    struct curl_slist *headers;                         /* of every request */
    char ca_file[1100], client_cert[1100], source[600]; /* as context.h has them */
    struct buffer answer;
    bool is_verbose;
    const volatile int *stop;
    int64_t hurry_until_ms; /* 0: each request has its own time */
    int64_t patience_ms;
    const struct exchange_ask *asked; /* under way; NULL: none, or its silence was told */
    int64_t asked_ms;
    CURLcode why;
    char why_text[CURL_ERROR_SIZE];
};

static size_t take_bytes(char *data, size_t one, size_t count, void *ctx)
{
    struct exchange *x = ctx;

    (void)one;
    if (x->answer.size + count > ANSWER_MAX)
        return 0;
    buffer_add(&x->answer, data, count);
    return count;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t f)
{
    struct exchange *x = ctx;

    (void)a, (void)d, (void)f;
    if (x->asked && !x->asked->is_greeting && !x->hurry_until_ms && b == 0 &&
        clock_monotonic_ms() - x->asked_ms > SILENCE_MS) {
        char patience[32];

        duration_format(x->patience_ms, patience);
        fprintf(stderr, "lockstep: no answer from %s yet; waiting for %s (--request-timeout)\n",
                x->asked->address, patience);
        x->asked = NULL;
    }
    return x->stop && *x->stop;
}

struct exchange *exchange_new(const struct context *context, bool is_verbose)
{
    struct exchange *x = calloc(1, sizeof(*x));
    SCOPED_BUFFER struct buffer bearer = { 0 };

    MUST(x && curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
    x->curl = curl_easy_init();
    MUST(x->curl);
    snprintf(x->ca_file, sizeof(x->ca_file), "%s", context->ca_file);
    snprintf(x->client_cert, sizeof(x->client_cert), "%s", context->client_cert);
    snprintf(x->source, sizeof(x->source), "%s", context->source);
    x->is_verbose = is_verbose;
    x->patience_ms = context->patience_ms ? context->patience_ms : REQUEST_MS;
    x->headers = curl_slist_append(NULL, "Accept: application/json");
    x->headers = curl_slist_append(x->headers, "Content-Type: application/json");
    x->headers = curl_slist_append(x->headers, "Expect:");
    if (context->token[0]) {
        buffer_printf(&bearer, "Authorization: Bearer %s", context->token);
        x->headers = curl_slist_append(x->headers, bearer.data);
    }
    MUST(x->headers);
    return x;
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    curl_easy_cleanup(x->curl);
    curl_slist_free_all(x->headers);
    buffer_fini(&x->answer);
    free(x);
}

void exchange_stop_on(struct exchange *x, const volatile int *flag)
{
    x->stop = flag;
}

void exchange_hurry(struct exchange *x, int64_t ms)
{
    x->hurry_until_ms = clock_monotonic_ms() + ms;
}

struct buffer *exchange_answer(struct exchange *x)
{
    return &x->answer;
}

const char *exchange_type(const struct exchange *x)
{
    const char *type = NULL;

    curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type);
    return type ? type : "no content type";
}

bool exchange_was_sent(const struct exchange *x)
{
    return x->why != CURLE_COULDNT_CONNECT && x->why != CURLE_COULDNT_RESOLVE_HOST &&
           x->why != CURLE_COULDNT_RESOLVE_PROXY;
}

const char *exchange_why(const struct exchange *x)
{
    return x->why == CURLE_OPERATION_TIMEDOUT ? "no answer in time" : x->why_text;
}

/* Verification is on in any case: these only say by what, and who we are. */
static void set_certificates(const struct exchange *x)
{
    if (x->ca_file[0]) {
        curl_easy_setopt(x->curl, CURLOPT_CAINFO, x->ca_file);
        curl_easy_setopt(x->curl, CURLOPT_CAPATH, NULL);
    }
    if (x->client_cert[0]) {
        curl_easy_setopt(x->curl, CURLOPT_SSLCERT, x->client_cert);
        curl_easy_setopt(x->curl, CURLOPT_SSLKEY, x->client_cert);
    }
}

/* ---------------------------------------------------------------- the way there */

/* A proxy of the environment is for addresses elsewhere: nobody else's 127.0.0.1 is meant. */
static bool is_loopback(const char *address)
{
    static const char *const hosts[] = { "127.", "localhost", "[::1]" };
    const char *host = strstr(address, "://");

    host = host ? host + 3 : address;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
        if (strncasecmp(host, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

/* " through the proxy HOST", without the password that such a variable may hold; "" without one. */
static void name_proxy(const char *address, char *out, size_t size)
{
    static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
    bool is_tls = strncmp(address, "https:", 6) == 0;
    const char *proxy = is_tls ? NULL : getenv("http_proxy"), *at;

    for (size_t i = is_tls ? 0 : 2; !proxy && i < sizeof(names) / sizeof(*names); i++)
        proxy = getenv(names[i]);
    out[0] = 0;
    if (!proxy || !*proxy || is_loopback(address))
        return;
    at = strrchr(proxy, '@');
    snprintf(out, size, " through the proxy %.100s (of the environment)", at ? at + 1 : proxy);
}

/* No answer came at all: which address, why, and what to try. */
static int no_answer(const struct exchange *x, const char *address, CURLcode rc, const char *text,
                     struct err *e)
{
    char proxy[160];

    name_proxy(address, proxy, sizeof(proxy));
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return err_code(e, ERR_UNAVAILABLE, "interrupted", "interrupted");
    if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ||
        rc == CURLE_COULDNT_RESOLVE_PROXY)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "no coordinator answers at %s (address from %s)%s: %s.\n"
                        "Is lockstepd running there? Another address: --addr URL, LOCKSTEP_ADDR "
                        "or --context. One to play with: `lockstep dev`",
                        address, x->source, proxy, text);
    if (rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR ||
        rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "what listens at %s (address from %s)%s does not speak %s: %s.\n"
                        "Is it the port of the HTTP API (7780 unless set; 7781 is for agents), and "
                        "http:// or https:// as that is set?",
                        address, x->source, proxy,
                        strncmp(address, "https:", 6) == 0 ? "HTTPS" : "HTTP", text);
    if (rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM)
        return err_code(e, ERR_INVALID, "unreachable",
                        "the certificate file %s cannot be used: %s.\n"
                        "It is PEM text (-----BEGIN CERTIFICATE-----), named with %s",
                        rc == CURLE_SSL_CERTPROBLEM ? x->client_cert : x->ca_file, text,
                        rc == CURLE_SSL_CERTPROBLEM ? "--client-cert" : "--ca-file");
    if (rc == CURLE_PEER_FAILED_VERIFICATION)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "the certificate of %s cannot be trusted: %s.\n"
                        "An authority of your own is named with --ca-file FILE, LOCKSTEP_CA_FILE "
                        "or ca_file in the context",
                        address, text);
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "the coordinator at %s%s gave no answer in time: %s.\n"
                        "Whether it did what was asked is not known; look before you ask again. "
                        "Another coordinator of the cluster: --addr URL; more time: "
                        "--request-timeout DURATION", address, proxy, text);
    return err_code(e, ERR_UNAVAILABLE, "unreachable", "the coordinator at %s%s: %s", address,
                    proxy, text);
}

static void limit_time(struct exchange *x, bool is_greeting)
{
    int64_t left = x->hurry_until_ms - clock_monotonic_ms();

    curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT_MS,
                     is_greeting ? GREETING_CONNECT_MS : CONNECT_MS);
    curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS,
                     is_greeting && x->patience_ms > GREETING_MS ? GREETING_MS
                                                                 : (long)x->patience_ms);
    if (x->hurry_until_ms) /* 0 would be for ever */
        curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
}

static void prepare(struct exchange *x, const struct exchange_ask *ask, const char *url,
                    char error[CURL_ERROR_SIZE])
{
    curl_easy_reset(x->curl);
    buffer_clear(&x->answer);
    curl_easy_setopt(x->curl, CURLOPT_URL, url);
    curl_easy_setopt(x->curl, CURLOPT_PATH_AS_IS, 1L); /* a key may be called ".." */
    if (is_loopback(url))
        curl_easy_setopt(x->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    set_certificates(x);
    curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, ask->method);
    if (!ask->is_open)
        curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->curl, CURLOPT_USERAGENT, "lockstep-cli");
    curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(x->curl, CURLOPT_ERRORBUFFER, error);
    limit_time(x, ask->is_greeting);
    curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(x->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(x->curl, CURLOPT_XFERINFODATA, x);
    if (ask->body) {
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(ask->body));
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, ask->body);
    } else if (strcmp(ask->method, "POST") == 0) {
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, "");
    }
}

int exchange_perform(struct exchange *x, const struct exchange_ask *ask, int *status_out,
                     struct err *e)
{
    SCOPED_BUFFER struct buffer url = { 0 };
    char error[CURL_ERROR_SIZE] = "";
    CURLcode rc;
    long status = 0;

    buffer_printf(&url, "%s%s", ask->address, ask->path);
    prepare(x, ask, url.data, error);
    x->asked = ask;
    x->asked_ms = clock_monotonic_ms();
    rc = curl_easy_perform(x->curl);
    x->asked = NULL;
    x->why = rc;
    if (rc != CURLE_OK) {
        snprintf(x->why_text, sizeof(x->why_text), "%s", *error ? error : curl_easy_strerror(rc));
        return no_answer(x, ask->address, rc, x->why_text, e);
    }
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->is_verbose)
        fprintf(stderr, "lockstep: %s %s: %ld\n", ask->method, url.data, status);
    *status_out = (int)status;
    return 0;
}
