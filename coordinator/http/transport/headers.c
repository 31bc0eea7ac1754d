/* headers.c - what libmicrohttpd knows of a request, taken over into ours. */
#include "coordinator/http/transport/headers.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/invariant.h"
#include "coordinator/http/request/peer.h"
#include "coordinator/http/request/request.h"

#define DROPPED_MAX (64u << 20) /* of a body that is refused */

struct framing {
    unsigned lengths, encodings;
};

static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct framing *f = cls;

    (void)kind;
    (void)value;
    f->lengths += strcasecmp(name, "Content-Length") == 0;
    f->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

static char *header(struct MHD_Connection *connection, const char *name)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    char *copy = value ? strdup(value) : NULL;

    MUST(!value || copy);
    return copy;
}

static void take_headers(struct request *rq, struct MHD_Connection *connection)
{
    rq->authorization = header(connection, "Authorization");
    rq->content_type = header(connection, "Content-Type");
    rq->if_match = header(connection, "If-Match");
    rq->if_none_match = header(connection, "If-None-Match");
    rq->accept = header(connection, "Accept");
    rq->last_event_id = header(connection, "Last-Event-ID");
    rq->idempotency_key = header(connection, "Idempotency-Key");
}

/* The library would read on for as long as the connection lives. */
static bool is_coded_otherwise(struct MHD_Connection *connection)
{
    const char *coding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding");

    return coding && strcasecmp(coding, "chunked") != 0;
}

/* Two readings of where a body ends are how requests are smuggled: refused (RFC 9112, 6.3). */
static int check_framing(struct MHD_Connection *connection, struct err *e)
{
    struct framing f = { 0 };
    const char *length;

    if (is_coded_otherwise(connection))
        return err_set(e, ERR_MALFORMED, "the only Transfer-Encoding known here is chunked");
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_framing, &f);
    if (f.lengths > 1 || f.encodings > 1 || (f.lengths && f.encodings))
        return err_set(e, ERR_MALFORMED,
                       "send one Content-Length or one Transfer-Encoding, not several of them");
    length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (length && strtoull(length, NULL, 10) > REQUEST_BODY_MAX)
        return err_set(e, ERR_TOO_LARGE, "the body may have at most %u bytes", REQUEST_BODY_MAX);
    return 0;
}

int headers_headers(struct request *rq, struct MHD_Connection *connection, struct err *e)
{
    take_headers(rq, connection);
    peer_address(connection, rq->address);
    return check_framing(connection, e);
}

bool headers_has_body(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") ||
           (length && strcmp(length, "0") != 0);
}

bool headers_is_hopeless(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Expect") ||
           is_coded_otherwise(connection) ||
           (length && strtoull(length, NULL, 10) > DROPPED_MAX);
}
