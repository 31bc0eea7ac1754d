/* bind.h - from HOST:PORT of a setting to what can be listened on. */
#ifndef COORDINATOR_HTTP_BIND_H
#define COORDINATOR_HTTP_BIND_H

#include "common/err.h"

struct addrinfo;

/* freeaddrinfo is the caller's. */
int bind_resolve(const char *text, struct addrinfo **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
