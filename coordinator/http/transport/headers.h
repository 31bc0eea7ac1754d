/* headers.h - the headers of a request and how its body is framed. */
#ifndef COORDINATOR_HTTP_TRANSPORT_HEADERS_H
#define COORDINATOR_HTTP_TRANSPORT_HEADERS_H

#include <stdbool.h>

#include "common/err.h"

struct MHD_Connection;
struct request;

/* Copies the headers that mean something and the address. ERR_MALFORMED, ERR_TOO_LARGE: the body
 * cannot be taken. */
int headers_headers(struct request *rq, struct MHD_Connection *connection, struct err *e)
    __attribute__((warn_unused_result));
/* A body comes, or is announced. */
bool headers_has_body(struct MHD_Connection *connection);
/* A refused body is read and dropped, so that the client gets to read the answer and the
 * connection lives on; but not one that waits to be asked for, or that is beyond all measure. */
bool headers_is_hopeless(struct MHD_Connection *connection);

#endif
