/* local.c - HTTP for programs of this server: on a Unix socket, perhaps on loopback too. */
#include "agent/local/local.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/local/local_bind.h"
#include "agent/local/local_confirm.h"
#include "agent/local/local_read.h"
#include "agent/local/local_request.h"
#include "agent/local/local_watch.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"

#define IO_THREADS 2 /* one alone can stall when many events come at once */
#define CONNECTION_MEMORY 8192 /* request line and headers */
#define INACTIVITY_S 60
#define STREAM_BLOCK 4096

struct local {
    struct local_settings settings; /* its texts are not kept, but for the socket's path */
    struct MHD_Daemon *on_unix, *on_loopback;
    char *path;
    struct local_context house;
    pthread_mutex_t status_lock;
    struct status *status;
};

/* ---- routes ---- */

typedef int handler_fn(struct local_request *rq, struct err *e); /* 1: it waits */

/* The last part is a verb here. */
static int post_key(struct local_request *rq, struct err *e)
{
    if (strcmp(rq->parts[4], "confirm") == 0)
        return local_post_confirm(rq, e);
    rq->answer.allow = "GET, HEAD";
    return err_set(e, ERR_INVALID, "POST is not for a key; there is POST …/confirm");
}

static const struct route {
    unsigned part_count;
    const char *parts[2]; /* the beginning; what follows are names */
    handler_fn *get, *post; /* NULL: no such method */
} routes[] = {
    { 1, { "healthz", NULL }, local_get_health, NULL },
    { 1, { "metrics", NULL }, local_get_metrics, NULL },
    { 2, { "v1", "status" }, local_get_status, NULL },
    { 4, { "v1", "config" }, local_get_document, NULL },
    { 5, { "v1", "config" }, local_get_key, post_key },
    { 4, { "v1", "watch" }, local_get_watch, NULL },
    { 4, { "v1", "events" }, local_get_events, NULL },
};

static bool fits(const struct route *route, const struct local_request *rq)
{
    if (route->part_count != rq->part_count)
        return false;
    for (unsigned i = 0; i < 2 && i < route->part_count; i++)
        if (strcmp(route->parts[i], rq->parts[i]) != 0)
            return false;
    return true;
}

static int route(struct local_request *rq, struct err *e)
{
    for (unsigned i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!fits(&routes[i], rq))
            continue;
        if (strcmp(rq->method, "GET") == 0 || strcmp(rq->method, "HEAD") == 0)
            return routes[i].get(rq, e);
        if (routes[i].post && strcmp(rq->method, "POST") == 0)
            return routes[i].post(rq, e);
        rq->answer.allow = routes[i].post ? "GET, HEAD, POST" : "GET, HEAD";
        return err_set(e, ERR_INVALID, "%.20s is not for this path", rq->method);
    }
    return err_set(e, ERR_NOT_FOUND, "there is nothing at this path; begin with /v1/config/SERVICE/"
                   "ENV, /v1/watch/SERVICE/ENV, /v1/events/SERVICE/ENV, /v1/status, /healthz or "
                   "/metrics");
}

/* ---- answering ---- */

/* Secrets are wiped. */
static void free_body(void *body)
{
    buffer_fini(body);
    free(body);
}

static struct MHD_Response *make_response(struct local_answer *answer)
{
    struct buffer *body;

    if (answer->stream)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, local_stream_read,
                                                 MOVE(answer->stream), local_stream_close);
    body = memory_new(sizeof(*body));
    *body = answer->body;
    answer->body = (struct buffer){ 0 };
    return MHD_create_response_from_buffer_with_free_callback_cls(
        body->size, body->data ? body->data : "", free_body, body);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value && *value)
        MUST(MHD_add_response_header(response, name, value) == MHD_YES);
}

static enum MHD_Result answer(struct local_request *rq)
{
    struct local_answer *a = &rq->answer;
    bool is_stream = a->stream != NULL;
    struct MHD_Response *response = make_response(a);
    enum MHD_Result rc;

    MUST(response);
    add_header(response, "Content-Type", a->content_type);
    add_header(response, "ETag", a->etag);
    add_header(response, "Allow", a->allow);
    add_header(response, "Cache-Control", is_stream ? "no-store" : "no-cache");
    add_header(response, "X-Accel-Buffering", is_stream ? "no" : NULL); /* a proxy passes it on */
    add_header(response, "X-Content-Type-Options", "nosniff");
    add_header(response, "Retry-After", a->status == 503 ? "1" : NULL);
    peer_set_time(rq->peer, is_stream ? PEER_FOR_EVER : PEER_ANSWER_MS);
    rc = MHD_queue_response(rq->connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result refuse(struct local_request *rq, const struct err *e)
{
    local_answer_error(&rq->answer, e);
    return answer(rq);
}

/* ---- receiving ---- */

static enum MHD_Result count_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    unsigned *count = ctx;

    (void)kind;
    (void)value;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        *count += 1;
    else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
        *count += 2;
    return MHD_YES;
}

static const char *header(const struct local_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

/* A page in somebody's browser may knock at loopback, under any name that leads there. */
static bool is_from_a_page(const struct local_request *rq)
{
    static const char *const ours[] = { "localhost", "127.0.0.1", "[::1]" };
    const char *host = header(rq, MHD_HTTP_HEADER_HOST);

    if (rq->peer->is_known)
        return false;
    if (header(rq, MHD_HTTP_HEADER_ORIGIN) || !host)
        return true;
    for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        size_t size = strlen(ours[i]);

        if (strncasecmp(host, ours[i], size) == 0 && (!host[size] || host[size] == ':'))
            return false;
    }
    return true;
}

static int check_headers(const struct local_request *rq, struct err *e)
{
    unsigned lengths = 0;

    (void)MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, count_header, &lengths);
    if (lengths > 1)
        return err_set(e, ERR_MALFORMED, "give a body with one Content-Length, or none");
    if (is_from_a_page(rq))
        return err_set(e, ERR_FORBIDDEN, "over loopback requests are answered that name localhost "
                       "as their Host and come from no page (Origin)");
    return 0;
}

static void *begin_request(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct local_request *rq = calloc(1, sizeof(*rq));

    (void)cls;
    MUST(rq && (rq->target = strdup(uri)));
    rq->connection = connection;
    return rq;
}

static void end_request(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode code)
{
    struct local_request *rq = *con_cls;

    (void)cls;
    (void)connection;
    (void)code;
    *con_cls = NULL;
    if (!rq)
        return;
    if (rq->peer)
        peer_set_time(rq->peer, PEER_IDLE_MS);
    waiter_close(rq->waiter);
    desk_forget(rq->ask);
    if (rq->answer.stream)
        local_stream_close(rq->answer.stream);
    local_request_fini(rq);
    free(rq);
}

static void watch_connection(void *cls, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    struct local *l = cls;
    const union MHD_ConnectionInfo *info;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        MUST(info);
        *context = peer_open(l->house.peers, info->connect_fd);
    } else if (*context) {
        peer_close(l->house.peers, MOVE(*context));
    }
}

/* The headers are there. Answers are queued on a later call: now, each would end the connection. */
static void open_request(struct local *l, struct local_request *rq, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct err e;

    MUST(info && info->socket_context);
    rq->house = &l->house;
    rq->peer = info->socket_context;
    rq->method = method;
    rq->if_none_match = header(rq, MHD_HTTP_HEADER_IF_NONE_MATCH);
    rq->last_event_id = header(rq, "Last-Event-ID");
    peer_set_time(rq->peer, PEER_BODY_MS);
    if (check_headers(rq, &e) || local_request_parse(rq, &e))
        local_answer_error(&rq->answer, &e);
}

static void receive(struct local_request *rq, const char *data, size_t size)
{
    struct err e;

    if (rq->answer.status)
        return;
    if (rq->body.size + size <= LOCAL_BODY_MAX) {
        buffer_add(&rq->body, data, size);
        return;
    }
    err_set(&e, ERR_TOO_LARGE, "a body has at most %u bytes", LOCAL_BODY_MAX);
    local_answer_error(&rq->answer, &e);
}

/* Also after every resume. */
static enum MHD_Result serve(struct local_request *rq)
{
    struct err e;
    int rc;

    if (rq->answer.status)
        return answer(rq);
    peer_set_time(rq->peer, PEER_FOR_EVER); /* while it waits on purpose */
    rc = route(rq, &e);
    if (rc > 0)
        return MHD_YES;
    return rc < 0 ? refuse(rq, &e) : answer(rq);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **con_cls)
{
    struct local_request *rq = *con_cls;

    (void)url;
    (void)version;
    (void)connection;
    if (!rq->house) {
        open_request(cls, rq, method);
        return MHD_YES;
    }
    if (!*size)
        return serve(rq);
    receive(rq, data, *size);
    *size = 0;
    return MHD_YES;
}

/* ---- what the agent gives away ---- */

static struct status *hold_status(void *ctx)
{
    struct local *l = ctx;
    struct status *s;

    pthread_mutex_lock(&l->status_lock);
    s = l->status ? status_hold(l->status) : NULL;
    pthread_mutex_unlock(&l->status_lock);
    return s;
}

void local_tell(struct local *l, struct status **status)
{
    struct status *before;

    pthread_mutex_lock(&l->status_lock);
    before = l->status;
    l->status = MOVE(*status);
    pthread_mutex_unlock(&l->status_lock);
    status_release(before);
}

/* ---- start and stop ---- */

__attribute__((format(printf, 2, 0)))
static void log_library(void *cls, const char *fmt, va_list ap)
{
    char text[256];

    (void)cls;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http library", "says", text);
}

/* The descriptor is the library's, whatever happens. */
static int start_daemon(struct local *l, int fd, struct MHD_Daemon **out, struct err *e)
{
    *out = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, l, MHD_OPTION_EXTERNAL_LOGGER, log_library, l, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, IO_THREADS, MHD_OPTION_URI_LOG_CALLBACK, begin_request, l,
        MHD_OPTION_NOTIFY_COMPLETED, end_request, l, MHD_OPTION_NOTIFY_CONNECTION,
        watch_connection, l, MHD_OPTION_CONNECTION_LIMIT, (unsigned)l->settings.connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)INACTIVITY_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    if (*out)
        return 0;
    close(fd);
    return err_set(e, ERR_SYSTEM, "local HTTP does not start: %s", strerror(errno));
}

static int listen_everywhere(struct local *l, const struct local_settings *s, struct err *e)
{
    int fd;

    if (s->socket) {
        fd = local_bind_unix(s, e);
        if (fd < 0)
            return -1;
        MUST((l->path = strdup(s->socket)));
        if (start_daemon(l, fd, &l->on_unix, e))
            return -1;
    }
    if (!s->listen_text)
        return 0;
    fd = local_bind_loopback(s, e);
    return fd < 0 ? -1 : start_daemon(l, fd, &l->on_loopback, e);
}

static void look(void *ctx, int64_t now_ms)
{
    struct local *l = ctx;

    peers_look(l->house.peers, now_ms);
    confirmers_look(l->house.confirmers);
}

int local_start(const struct agent_settings *settings, struct local **out, struct err *e)
{
    struct local *l = memory_new(sizeof(*l));

    *out = NULL;
    l->settings = settings->local;
    l->house = (struct local_context){ .settings = &l->settings, .own_uid = geteuid(),
                                     .status = hold_status, .status_ctx = l };
    pthread_mutex_init(&l->status_lock, NULL);
    l->house.peers = peers_new((unsigned)settings->local.connections);
    l->house.desk = desk_new();
    l->house.confirmers = confirmers_new(settings->publish_dir);
    l->house.scopes = local_scopes_start(settings, look, l);
    if (listen_everywhere(l, &settings->local, e)) {
        local_stop(l);
        return -1;
    }
    *out = l;
    return 0;
}

struct desk *local_desk(struct local *l)
{
    return l->house.desk;
}

void local_follow(struct local *l, const struct agent_settings *settings)
{
    local_scopes_follow(l->house.scopes, settings);
}

void local_stop(struct local *l)
{
    if (!l)
        return;
    desk_stop(l->house.desk);
    local_scopes_stop(l->house.scopes); /* wakes who waits: nothing may be suspended below */
    if (l->on_unix)
        MHD_stop_daemon(l->on_unix);
    if (l->on_loopback)
        MHD_stop_daemon(l->on_loopback);
    if (l->path)
        unlink(l->path);
    free(l->path);
    local_scopes_free(l->house.scopes);
    peers_free(l->house.peers);
    desk_free(l->house.desk);
    confirmers_free(l->house.confirmers);
    status_release(l->status);
    pthread_mutex_destroy(&l->status_lock);
    free(l);
}
