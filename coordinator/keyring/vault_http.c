/* vault_http.c - requests to a Vault through libcurl; connections are kept. */
#include "coordinator/keyring/vault_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "common/scoped.h"
#include "coordinator/keyring/provider.h"
#include "coordinator/keyring/vault_words.h"

#define ATTEMPTS_MAX 3
#define PAUSE_MS 100 /* before the second attempt; doubled for the third, each ± 50 % */
#define IDLE_MAX 16

struct vault_http {
    char *url, *token_file, *ca_file; /* url without a slash at its end */
    int64_t timeout_ms;
    pthread_mutex_t lock; /* over idle */
    CURL *idle[IDLE_MAX]; /* with their connections */
    unsigned idle_count;
};

static char *copy(const char *text)
{
    char *again = text ? strdup(text) : NULL;

    MUST(!text || again);
    return again;
}

int vault_http_open(const char *url, const char *token_file, const char *ca_file,
                    int64_t timeout_ms, struct vault_http **out, struct err *e)
{
    struct vault_http *v;
    size_t size = strlen(url);

    if (vault_check_url(url, e) != 0)
        return -1;
    MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
    v = calloc(1, sizeof(*v));
    MUST(v && pthread_mutex_init(&v->lock, NULL) == 0);
    v->url = copy(url);
    while (size > 0 && v->url[size - 1] == '/')
        v->url[--size] = '\0';
    v->token_file = copy(token_file);
    v->ca_file = copy(ca_file);
    v->timeout_ms = timeout_ms;
    *out = v;
    return 0;
}

void vault_http_close(struct vault_http *v)
{
    if (!v)
        return;
    while (v->idle_count > 0)
        curl_easy_cleanup(v->idle[--v->idle_count]);
    pthread_mutex_destroy(&v->lock);
    free(v->url);
    free(v->token_file);
    free(v->ca_file);
    free(v);
    curl_global_cleanup();
}

const char *vault_http_url(const struct vault_http *v)
{
    return v->url;
}

static CURL *take_handle(struct vault_http *v)
{
    CURL *curl = NULL;

    MUST(pthread_mutex_lock(&v->lock) == 0);
    if (v->idle_count > 0)
        curl = v->idle[--v->idle_count];
    MUST(pthread_mutex_unlock(&v->lock) == 0);
    if (!curl)
        curl = curl_easy_init();
    MUST(curl);
    return curl;
}

static void give_handle(struct vault_http *v, CURL *curl)
{
    curl_easy_reset(curl); /* it keeps the connection, and nothing of the request */
    MUST(pthread_mutex_lock(&v->lock) == 0);
    if (v->idle_count < IDLE_MAX)
        v->idle[v->idle_count++] = MOVE(curl);
    MUST(pthread_mutex_unlock(&v->lock) == 0);
    if (curl)
        curl_easy_cleanup(curl);
}

static size_t take_bytes(char *data, size_t one, size_t count, void *ctx)
{
    struct vault_answer *a = ctx;

    (void)one;
    if (count > VAULT_ANSWER_MAX - a->size)
        return 0;
    memcpy(a->text + a->size, data, count);
    a->size += count;
    a->text[a->size] = '\0';
    return count;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *text)
{
    list = curl_slist_append(list, text);
    MUST(list);
    return list;
}

static struct curl_slist *make_headers(const char *token)
{
    char line[VAULT_TOKEN_SIZE + 20];
    struct curl_slist *list = add_header(NULL, "Content-Type: application/json");

    list = add_header(list, "X-Vault-Request: true");
    list = add_header(list, "Expect:");
    snprintf(line, sizeof(line), "X-Vault-Token: %s", token);
    list = add_header(list, line);
    seal_wipe(line, sizeof(line));
    return list;
}

static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *one = list; one; one = one->next)
        seal_wipe(one->data, strlen(one->data));
    curl_slist_free_all(list);
}

/* Proxies and redirects would carry the token elsewhere. */
static void prepare(const struct vault_http *v, CURL *curl, int64_t left_ms)
{
    long connect_ms = (long)(v->timeout_ms / 2 < left_ms ? v->timeout_ms / 2 : left_ms);

    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms > 0 ? connect_ms : 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (v->ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, v->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lockstepd");
}

/* Why no answer came; NULL: one did. Only what may pass is worth another attempt. */
static const char *perform(CURL *curl, struct vault_answer *out, char error[CURL_ERROR_SIZE],
                           bool *again_out)
{
    CURLcode rc;

    error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    out->size = 0;
    out->text[0] = '\0';
    rc = curl_easy_perform(curl);
    *again_out = rc != CURLE_OK && rc != CURLE_PEER_FAILED_VERIFICATION &&
                 rc != CURLE_SSL_CACERT_BADFILE && rc != CURLE_WRITE_ERROR;
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return "it was too slow ([secrets] vault_timeout)";
    if (rc == CURLE_WRITE_ERROR)
        return "its answer is far too long";
    if (rc == CURLE_SSL_CACERT_BADFILE)
        return "[secrets] vault_ca_file holds no certificates";
    if (rc != CURLE_OK)
        return error[0] ? error : curl_easy_strerror(rc);
    return NULL;
}

/* 0, or -1 with *again_out when another attempt may help. */
static int attempt(struct vault_http *v, const struct vault_request *request, int64_t left_ms,
                   struct vault_answer *out, bool *again_out, struct err *e)
{
    SCOPED_BUFFER struct buffer url = { 0 };
    struct curl_slist *headers = make_headers(request->token);
    CURL *curl = take_handle(v);
    char error[CURL_ERROR_SIZE];
    const char *why;
    long status = 0;

    buffer_printf(&url, "%s/v1/%s", v->url, request->path);
    prepare(v, curl, left_ms);
    curl_easy_setopt(curl, CURLOPT_URL, url.data);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    why = perform(curl, out, error, again_out);
    if (why) {
        provider_unavailable(e, "the Vault at %.200s gives no answer: %.200s", v->url, why);
    } else {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        *again_out = status == 429 || status >= 500;
        if (status != 200)
            vault_refused(request, status, out->text, out->size, e);
    }
    give_handle(v, curl);
    wipe_headers(headers);
    return status == 200 ? 0 : -1;
}

/* False when there is no time for it. Many coordinators must not come back at one moment. */
static bool pause_before(unsigned next, int64_t deadline_ms)
{
    int64_t ms = PAUSE_MS << (next - 1);
    struct timespec wait;
    uint8_t chance = 0;

    (void)!getrandom(&chance, 1, 0);
    ms = ms / 2 + ms * chance / 255;
    if (clock_monotonic_ms() + ms >= deadline_ms)
        return false;
    wait = (struct timespec){ .tv_nsec = (long)ms * 1000000L };
    nanosleep(&wait, NULL);
    return true;
}

int vault_http_post(struct vault_http *v, const char *path, const char *body,
                    struct vault_answer *out, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + v->timeout_ms;
    char token[VAULT_TOKEN_SIZE];
    struct vault_request request = { v->url, path, body, v->token_file, token };
    bool is_worth_it = true;
    int rc = -1;

    /* A thread that waits for a slow Vault is alive; several secrets are as many waits. */
    pulse_allow(v->timeout_ms + PULSE_IDLE_MS);
    if (vault_read_token(v->token_file, token, e) != 0)
        return -1;
    for (unsigned n = 0; n < ATTEMPTS_MAX && rc != 0 && is_worth_it; n++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();

        if (n > 0 && (left_ms <= 0 || !pause_before(n, deadline_ms)))
            break;
        left_ms = deadline_ms - clock_monotonic_ms();
        rc = attempt(v, &request, left_ms > 0 ? left_ms : 1, out, &is_worth_it, e);
    }
    seal_wipe(token, sizeof(token));
    return rc;
}
