/* bind.h - where the HTTP side listens: "127.0.0.1:7780", "[::1]:0". */
#ifndef COORDINATOR_HTTP_TRANSPORT_BIND_H
#define COORDINATOR_HTTP_TRANSPORT_BIND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct addrinfo;

/* The caller's to free (freeaddrinfo). */
int bind_resolve(const char *text, struct addrinfo **out, struct err *e)
    __attribute__((warn_unused_result));
/* A socket that listens there; *port_out says where when 0 was asked for. */
int bind_open(const struct addrinfo *at, int *fd_out, unsigned *port_out, struct err *e)
    __attribute__((warn_unused_result));
/* Nobody from outside this machine reaches it. */
bool bind_is_loopback(const struct addrinfo *at);
/* As text, with the port that was chosen. */
void bind_text(const struct addrinfo *at, unsigned port, char *out, size_t size);

#endif
