/* transfer.c - prepares a POST for libcurl and reads what came of it. */
#include "coordinator/courier/transfer.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/courier/signature.h"

#define CONNECT_LIMIT_MS 5000L
#define ANSWER_MAX 65536

_Static_assert(sizeof(((struct transfer *)0)->error) >= CURL_ERROR_SIZE, "libcurl writes there");

/* The body of a receiver's answer is not read, and an endless one must not hold the thread. */
static size_t take_bytes(char *data, size_t one, size_t count, void *ctx)
{
    struct transfer *t = ctx;

    (void)data;
    (void)one;
    t->received += count;
    return t->received <= ANSWER_MAX ? count : 0;
}

static const char *text_of(const struct sockaddr *address, char out[INET6_ADDRSTRLEN])
{
    const void *at = NULL;

    if (address->sa_family == AF_INET)
        at = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        at = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return at && inet_ntop(address->sa_family, at, out, INET6_ADDRSTRLEN) ? out : "another kind";
}

/* Before there is a connection: an address that messages may not go to gets not even that. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = ctx;
    char text[INET6_ADDRSTRLEN];

    (void)purpose;
    if (address_is_allowed(t->allowed, text_of(&to->addr, text)))
        return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    snprintf(t->refused, sizeof(t->refused), "%s", text_of(&to->addr, text));
    return CURL_SOCKET_BAD;
}

static void add_header(struct transfer *t, const char *text)
{
    t->headers = curl_slist_append(t->headers, text);
    MUST(t->headers);
}

static int make_headers(struct transfer *t, const struct outbox_row *m, int64_t now_ms,
                        struct err *e)
{
    struct signature_input in = { m->secret, m->message_id, now_ms / 1000, m->body };
    char signature[SIGNATURE_SIZE], line[160];

    if (signature_make(&in, signature) != 0)
        return err_set(e, ERR_CORRUPT, "the secret of subscription %.50s is none",
                       m->subscription_id);
    add_header(t, "Content-Type: application/json");
    add_header(t, "Expect:");
    snprintf(line, sizeof(line), "webhook-id: %.100s", m->message_id);
    add_header(t, line);
    snprintf(line, sizeof(line), "webhook-timestamp: %" PRId64, in.timestamp_s);
    add_header(t, line);
    snprintf(line, sizeof(line), "webhook-signature: %s", signature);
    add_header(t, line);
    return 0;
}

static void prepare(struct transfer *t, CURL *curl, const char *url)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TRANSFER_LIMIT_MS);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_LIMIT_MS);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lockstepd");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(t->body));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, t->body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, t);
}

int transfer_open(struct transfer *t, const struct outbox_row *m,
                  const struct address_list *allowed, int64_t now_ms, struct err *e)
{
    *t = (struct transfer){ .allowed = allowed, .outbox_id = m->outbox_id, .attempt = m->attempt };
    if (make_headers(t, m, now_ms, e) != 0)
        return -1;
    t->body = strdup(m->body);
    t->subscription_id = strdup(m->subscription_id);
    t->receiver = strdup(m->receiver);
    t->owner = strdup(m->owner);
    t->easy = curl_easy_init();
    MUST(t->body && t->subscription_id && t->receiver && t->owner && t->easy);
    prepare(t, t->easy, m->url);
    return 0;
}

/* Sentences of ours where libcurl's would name what is nobody's concern, or too little. */
static const char *why(const struct transfer *t, CURLcode code)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        return "it took longer than 10 seconds";
    return t->error[0] ? t->error : curl_easy_strerror(code);
}

void transfer_result(const struct transfer *t, int code, struct transfer_result *out)
{
    curl_off_t retry_after_s = 0;
    long status = 0;

    *out = (struct transfer_result){ 0 };
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    out->retry_after_ms = retry_after_s > 0 && retry_after_s < INT32_MAX ? retry_after_s * 1000 : 0;
    if (t->refused[0] && code == CURLE_COULDNT_CONNECT) {
        snprintf(out->reason, sizeof(out->reason),
                 "%s is no public address, and [courier] allow does not have it", t->refused);
    } else if (code != CURLE_OK && code != CURLE_WRITE_ERROR) {
        snprintf(out->reason, sizeof(out->reason), "no answer: %.250s", why(t, (CURLcode)code));
    } else {
        out->status = status;
        if (status >= 300 && status <= 399)
            snprintf(out->reason, sizeof(out->reason),
                     "the answer was %ld, and redirects are not followed", status);
        else if (status < 200 || status > 299)
            snprintf(out->reason, sizeof(out->reason), "the answer was %ld", status);
    }
}

void transfer_close(struct transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t->subscription_id);
    free(t->body);
    free(t->receiver);
    free(t->owner);
    *t = (struct transfer){ 0 };
}
