/* client.c - the HTTP API through libcurl; problem+json becomes a sentence and its code. */
#include "coordinator/cli/client.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/cli/api_words.h"
#include "coordinator/cli/context.h"

#define CONNECT_SECONDS 5L
#define REQUEST_SECONDS 60L
#define ANSWER_MAX (64u << 20) /* a document may have 16 MiB, and JSON escapes blow it up */

struct client {
    CURL *curl;
    struct curl_slist *headers; /* of every request */
    struct context context;
    struct buffer answer;
    char code[80];        /* of the last problem */
    struct buffer fields; /* lines of the last problem's field errors */
    size_t field_count;
    char first_pointer[80], first_detail[320];
    bool is_verbose;
    bool is_known; /* to be a coordinator: see client_greet */
    const volatile int *stop;
    int64_t hurry_until_ms; /* 0: each request has its own time */
};

static size_t take_bytes(char *data, size_t one, size_t count, void *ctx)
{
    struct client *c = ctx;

    (void)one;
    if (c->answer.size + count > ANSWER_MAX)
        return 0;
    buffer_add(&c->answer, data, count);
    return count;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t f)
{
    const struct client *c = ctx;

    (void)a, (void)b, (void)d, (void)f;
    return c->stop && *c->stop;
}

struct client *client_new(const struct context *context, bool is_verbose)
{
    struct client *c = calloc(1, sizeof(*c));
    SCOPED_BUFFER struct buffer bearer = { 0 };

    MUST(c && curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
    c->curl = curl_easy_init();
    MUST(c->curl);
    c->context = *context;
    c->is_verbose = is_verbose;
    c->headers = curl_slist_append(NULL, "Accept: application/json");
    c->headers = curl_slist_append(c->headers, "Content-Type: application/json");
    c->headers = curl_slist_append(c->headers, "Expect:");
    if (context->token[0]) {
        buffer_printf(&bearer, "Authorization: Bearer %s", context->token);
        c->headers = curl_slist_append(c->headers, bearer.data);
    }
    MUST(c->headers);
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    buffer_fini(&c->answer);
    buffer_fini(&c->fields);
    free(c);
}

void client_reply_fini(struct client_reply *r)
{
    json_decref(r->body);
    free(r->text);
    *r = (struct client_reply){ 0 };
}

const char *client_field_errors(const struct client *c)
{
    return c->field_count > 1 ? c->fields.data : "";
}

const char *client_field(const struct client *c, const char *ending)
{
    size_t size = strlen(c->first_pointer), end = strlen(ending);

    return c->field_count && size >= end && strcmp(c->first_pointer + size - end, ending) == 0
               ? c->first_detail
               : NULL;
}

const char *client_token_source(const struct client *c)
{
    return c->context.token_source;
}

const char *client_address(const struct client *c)
{
    return c->context.address;
}

void client_stop_on(struct client *c, const volatile int *flag)
{
    c->stop = flag;
}

void client_hurry(struct client *c, int64_t ms)
{
    c->hurry_until_ms = clock_monotonic_ms() + ms;
}

void client_escape(struct buffer *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text; text++) {
        if (strchr(plain, *text))
            buffer_add(out, text, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* Verification is on in any case: these only say by what, and who we are. */
static void set_certificates(const struct client *c)
{
    if (c->context.ca_file[0]) {
        curl_easy_setopt(c->curl, CURLOPT_CAINFO, c->context.ca_file);
        curl_easy_setopt(c->curl, CURLOPT_CAPATH, NULL);
    }
    if (c->context.client_cert[0]) {
        curl_easy_setopt(c->curl, CURLOPT_SSLCERT, c->context.client_cert);
        curl_easy_setopt(c->curl, CURLOPT_SSLKEY, c->context.client_cert);
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
static void name_proxy(const struct client *c, char *out, size_t size)
{
    static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
    bool is_tls = strncmp(c->context.address, "https:", 6) == 0;
    const char *proxy = is_tls ? NULL : getenv("http_proxy"), *at;

    for (size_t i = is_tls ? 0 : 2; !proxy && i < sizeof(names) / sizeof(*names); i++)
        proxy = getenv(names[i]);
    out[0] = 0;
    if (!proxy || !*proxy || is_loopback(c->context.address))
        return;
    at = strrchr(proxy, '@');
    snprintf(out, size, " through the proxy %.100s (of the environment)", at ? at + 1 : proxy);
}

/* No answer came at all: which address, why, and what to try. */
static int no_answer(const struct client *c, CURLcode rc, const char *text, struct err *e)
{
    char proxy[160];

    name_proxy(c, proxy, sizeof(proxy));
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return err_code(e, ERR_UNAVAILABLE, "interrupted", "interrupted");
    if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ||
        rc == CURLE_COULDNT_RESOLVE_PROXY)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "no coordinator answers at %s (address from %s)%s: %s.\n"
                        "Is lockstepd running there? Another address: --addr URL, LOCKSTEP_ADDR "
                        "or --context. One to play with: `lockstep dev`",
                        c->context.address, c->context.source, proxy, text);
    if (rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR ||
        rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "what listens at %s (address from %s)%s does not speak %s: %s.\n"
                        "Is it the port of the HTTP API (7780 unless set; 7781 is for agents), and "
                        "http:// or https:// as that is set?",
                        c->context.address, c->context.source, proxy,
                        strncmp(c->context.address, "https:", 6) == 0 ? "HTTPS" : "HTTP", text);
    if (rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM)
        return err_code(e, ERR_INVALID, "unreachable",
                        "the certificate file %s cannot be used: %s.\n"
                        "It is PEM text (-----BEGIN CERTIFICATE-----), named with %s",
                        rc == CURLE_SSL_CERTPROBLEM ? c->context.client_cert : c->context.ca_file,
                        text, rc == CURLE_SSL_CERTPROBLEM ? "--client-cert" : "--ca-file");
    if (rc == CURLE_PEER_FAILED_VERIFICATION)
        return err_code(e, ERR_UNAVAILABLE, "unreachable",
                        "the certificate of %s cannot be trusted: %s.\n"
                        "An authority of your own is named with --ca-file FILE, LOCKSTEP_CA_FILE "
                        "or ca_file in the context",
                        c->context.address, text);
    return err_code(e, ERR_UNAVAILABLE, "unreachable", "the coordinator at %s%s: %s",
                    c->context.address, proxy, text);
}

static enum err_kind kind_of(int status)
{
    switch (status) {
    case 400:
    case 405:
    case 415:
    case 422:
        return ERR_INVALID;
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
    case 410:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 412:
        return ERR_STALE;
    case 413:
        return ERR_TOO_LARGE;
    case 429:
    case 502:
    case 503:
    case 504:
        return ERR_UNAVAILABLE;
    default:
        return ERR_SYSTEM;
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static const char *content_type(const struct client *c)
{
    const char *type = NULL;

    curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
    return type ? type : "no content type";
}

static void note_fields(struct client *c, const json_t *problem)
{
    size_t i;
    json_t *one;

    c->field_count = 0;
    json_array_foreach(json_object_get(problem, "errors"), i, one) {
        const char *pointer = text_of(one, "pointer"), *detail = text_of(one, "detail");

        buffer_printf(&c->fields, "  %s  ", pointer && *pointer ? pointer : "(whole body)");
        api_words_add(&c->fields, detail ? detail : "");
        buffer_add_text(&c->fields, "\n");
        if (c->field_count++ > 0)
            continue;
        snprintf(c->first_pointer, sizeof(c->first_pointer), "%s", pointer ? pointer : "");
        snprintf(c->first_detail, sizeof(c->first_detail), "%s", detail ? detail : "");
    }
}

static int problem(struct client *c, int status, const json_t *body, struct err *e)
{
    const char *title = text_of(body, "title"), *detail = text_of(body, "detail");
    const char *code = text_of(body, "code");
    const char *say = detail && *detail ? detail : title;
    SCOPED_BUFFER struct buffer words = { 0 };

    note_fields(c, body);
    snprintf(c->code, sizeof(c->code), "%s", code ? code : "");
    if (!say && status == 401)
        say = "the coordinator wants a token";
    if (say) {
        api_words_add(&words, say);
        say = words.data;
    }
    err_code(e, kind_of(status), code ? c->code : NULL, "%.400s%s%s%s",
             say ? say : "the coordinator gave no reason", code ? " (" : "", code ? c->code : "",
             code ? ")" : "");
    if (!say || !code)
        err_wrap(e, "HTTP %d from %.200s (%.60s)", status, c->context.address, content_type(c));
    if (status == 401 && !c->context.token[0])
        err_wrap(e, "no token was sent (--token-file FILE or LOCKSTEP_TOKEN)");
    return -1;
}

static void limit_time(struct client *c)
{
    int64_t left = c->hurry_until_ms - clock_monotonic_ms();

    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, REQUEST_SECONDS);
    if (c->hurry_until_ms) /* 0 would be for ever */
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
}

static void prepare(struct client *c, const char *method, const char *url, const char *body,
                    char error[CURL_ERROR_SIZE])
{
    curl_easy_reset(c->curl);
    buffer_clear(&c->answer);
    buffer_clear(&c->fields);
    c->field_count = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_PATH_AS_IS, 1L); /* a key may be called ".." */
    if (is_loopback(url))
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    set_certificates(c);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "lockstep-cli");
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, error);
    limit_time(c);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
    if (body) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    } else if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
    }
}

/* The first line of what came, for people; what is no text is left out. */
static void excerpt(const struct buffer *answer, char out[64])
{
    size_t n = 0;

    for (size_t i = 0; i < answer->size && n < 60 && answer->data[i] != '\n'; i++)
        if (answer->data[i] >= ' ' && answer->data[i] <= '~')
            out[n++] = answer->data[i];
    out[n] = 0;
}

/* Catch-all pages, captive portals and fallbacks of load balancers answer everything. */
static int is_no_coordinator(struct client *c, int status, struct err *e)
{
    char text[64];

    excerpt(&c->answer, text);
    return err_code(e, ERR_UNAVAILABLE, "no_coordinator",
                    "what answers at %s (address from %s) is no Lockstep coordinator "
                    "(HTTP %d, %.60s: %s).\n"
                    "Nothing was done. Another address: --addr URL, LOCKSTEP_ADDR or --context",
                    c->context.address, c->context.source, status, content_type(c), text);
}

static int take_answer(struct client *c, bool may_be_text, struct client_reply *reply,
                       struct err *e)
{
    bool is_good = reply->status >= 200 && reply->status < 300;
    json_error_t je;

    if (strstr(content_type(c), "json")) {
        reply->body = json_loadb(c->answer.data, c->answer.size, JSON_DECODE_ANY, &je);
        if (!reply->body)
            return err_set(e, ERR_SYSTEM, "%s answered with broken JSON: %s", c->context.address,
                           je.text);
    } else if (is_good && may_be_text) {
        reply->text = buffer_take(&c->answer);
    } else if (is_good) {
        return is_no_coordinator(c, reply->status, e);
    }
    return 0;
}

static int perform(struct client *c, const char *method, const char *url, const char *body,
                   int *status_out, struct err *e)
{
    char error[CURL_ERROR_SIZE] = "";
    CURLcode rc;
    long status = 0;

    prepare(c, method, url, body, error);
    if (!c->is_known) /* nothing that is secret, before it is known who asks */
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    rc = curl_easy_perform(c->curl);
    if (rc != CURLE_OK)
        return no_answer(c, rc, *error ? error : curl_easy_strerror(rc), e);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (c->is_verbose)
        fprintf(stderr, "lockstep: %s %s: %ld\n", method, url, status);
    *status_out = (int)status;
    return 0;
}

/* A GET that says nothing secret. 1: the answer is JSON, in *reply. 0: it is anything else. */
static int ask_openly(struct client *c, const char *path, struct client_reply *reply, struct err *e)
{
    SCOPED_BUFFER struct buffer url = { 0 };

    buffer_printf(&url, "%s%s", c->context.address, path);
    if (perform(c, "GET", url.data, NULL, &reply->status, e) != 0)
        return -1;
    return take_answer(c, false, reply, e) == 0 && json_is_object(reply->body);
}

static bool is_text(const json_t *object, const char *name, const char *wanted)
{
    const char *text = text_of(object, name);

    return text && strcmp(text, wanted) == 0;
}

/* Is that a coordinator? Asked once, without the token: login pages and proxies answer as well,
 * with any status. A gateway that lets the API alone through may refuse /version; behind it the API
 * itself says that it wants a token. One that is full or busy says so in the API's form. */
static int greet(struct client *c, struct err *e)
{
    SCOPED_REPLY struct client_reply version = { 0 }, self = { 0 };
    int rc;

    if (c->is_known)
        return 0;
    if ((rc = ask_openly(c, "/version", &version, e)) < 0)
        return -1;
    if (rc && text_of(version.body, "code") &&
        (version.status == 503 || version.status == 429 || /* full or busy */
         is_text(version.body, "code", "client_certificate")))
        return problem(c, version.status, version.body, e);
    c->is_known = rc && version.status == 200 && is_text(version.body, "name", "lockstepd");
    if (c->is_known)
        return 0;
    if (version.status >= 200 && version.status < 300)
        return is_no_coordinator(c, version.status, e);
    if ((rc = ask_openly(c, "/api/v1/whoami", &self, e)) < 0)
        return -1;
    c->is_known = rc && self.status == 401 && is_text(self.body, "code", "unauthorized");
    return c->is_known ? 0 : is_no_coordinator(c, self.status, e);
}

static int call(struct client *c, const char *method, const char *path, const json_t *body,
                bool may_be_text, struct client_reply *reply, struct err *e)
{
    SCOPED_BUFFER struct buffer url = { 0 };
    char *text;
    int rc;

    *reply = (struct client_reply){ 0 };
    if (greet(c, e) != 0)
        return -1;
    text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    MUST(!body || text);
    buffer_printf(&url, "%s%s", c->context.address, path);
    rc = perform(c, method, url.data, text, &reply->status, e);
    free(text);
    if (rc != 0 || take_answer(c, may_be_text, reply, e) != 0)
        return -1;
    if (reply->status >= 200 && reply->status < 300)
        return 0;
    problem(c, reply->status, reply->body, e);
    client_reply_fini(reply);
    return -1;
}

int client_call(struct client *c, const char *method, const char *path, const json_t *body,
                struct client_reply *reply, struct err *e)
{
    return call(c, method, path, body, false, reply, e);
}

int client_get_text(struct client *c, const char *path, struct client_reply *reply, struct err *e)
{
    return call(c, "GET", path, NULL, true, reply, e);
}

int client_list(struct client *c, const char *path, const char *name, json_t **list_out,
                struct err *e)
{
    json_t *list = json_array();
    SCOPED_BUFFER struct buffer page = { 0 };

    buffer_add_text(&page, path);
    while (page.size) {
        SCOPED_REPLY struct client_reply reply = { 0 };
        const char *next;

        if (client_call(c, "GET", page.data, NULL, &reply, e) != 0) {
            json_decref(list);
            return -1;
        }
        if (!json_is_array(json_object_get(reply.body, name))) {
            json_decref(list);
            return err_code(e, ERR_UNAVAILABLE, "no_coordinator",
                            "%s answered without \"%s\": that is no Lockstep coordinator, or one "
                            "of another age",
                            c->context.address, name);
        }
        json_array_extend(list, json_object_get(reply.body, name));
        next = text_of(reply.body, "next");
        buffer_clear(&page);
        if (!next)
            break;
        buffer_printf(&page, "%s%ccursor=", path, strchr(path, '?') ? '&' : '?');
        client_escape(&page, next);
    }
    *list_out = list;
    return 0;
}
