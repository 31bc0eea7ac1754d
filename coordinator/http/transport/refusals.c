/* refusals.c - libmicrohttpd's own pages of HTML, caught where it queues them, as problem documents.
 *
 * What the library (0.9.75) cannot read it answers without asking us, with a page of HTML, and when
 * it is the headers that it cannot take, it sends the head of that answer twice. It queues these
 * answers by MHD_queue_response, and calls the one here, because the program's own functions come
 * first. This one says what is wrong by itself, once; the library closes a connection for which
 * nothing could be queued.
 */
#include "coordinator/http/transport/refusals.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/invariant.h"

#define DRAINED_MAX 65536

static enum MHD_Result (*queue)(struct MHD_Connection *connection, unsigned status,
                                struct MHD_Response *response);

struct problem {
    unsigned status; /* 0: any other */
    const char *title, *code, *detail;
};

static const struct problem problems[] = {
    { 431, "Request Header Fields Too Large", "too_large",
      "the request line and its headers may have about 30,000 bytes, and cookies a third of that: "
      "send fewer or shorter ones" },
    { 413, "Content Too Large", "too_large", "a part of the body is larger than can be taken" },
    { 500, "Internal Server Error", "internal", "the request cannot be answered" },
    { 0, "Bad Request", "malformed",
      "this is no HTTP request that can be understood: a line of it is malformed, or it is of "
      "HTTP/1.1 and has no header Host" },
};

static int write_problem(unsigned status, char *out, size_t size)
{
    const struct problem *p = problems;
    char body[600];
    int length;

    while (p->status && p->status != status)
        p++;
    length = snprintf(body, sizeof(body),
                      "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\","
                      "\"code\":\"%s\"}\n",
                      p->title, status, p->detail, p->code);
    return snprintf(out, size,
                    "HTTP/1.1 %u %s\r\nConnection: close\r\n"
                    "Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s",
                    status, p->title, length, body);
}

/* What was sent and not read is dropped: a socket that is closed with it takes its last words back.
 * Nothing here waits. */
static void say(struct MHD_Connection *connection, const char *text, size_t size)
{
    const union MHD_ConnectionInfo *tls =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char dropped[4096];

    if (tls && tls->tls_session)
        (void)gnutls_record_send(tls->tls_session, text, size);
    else if (info)
        (void)!send(info->connect_fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (size_t n = 0; info && n < DRAINED_MAX; n += sizeof(dropped))
        if (recv(info->connect_fd, dropped, sizeof(dropped), MSG_DONTWAIT) <= 0)
            break;
}

/* The library's own calls come here. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned int status,
                                   struct MHD_Response *response)
{
    char text[1200];

    (void)response;
    say(connection, text, (size_t)write_problem(status, text, sizeof(text)));
    return MHD_NO;
}

int refusals_queue(struct MHD_Connection *connection, unsigned status,
                   struct MHD_Response *response)
{
    return (int)queue(connection, status, response);
}

void refusals_translate(void)
{
    void *found = dlsym(RTLD_NEXT, "MHD_queue_response");

    MUST(found);
    memcpy(&queue, &found, sizeof(queue));
}
