/* bind.c - takes an address apart, looks it up and writes it down. */
#include "coordinator/http/transport/bind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MAX 65535

/* getaddrinfo takes 99999 and listens on what is left of it in 16 bits. */
static int check_port(const char *text, const char *port, struct err *e)
{
    if (port[strspn(port, "0123456789")] || strtol(port, NULL, 10) <= PORT_MAX)
        return 0;
    return err_set(e, ERR_INVALID, "HTTP address %.200s: a port is a number up to %d", text,
                   PORT_MAX);
}

/* "[::1]:80" or "host:80" -> host and port. */
static int split_address(const char *text, char host[256], char port[16], struct err *e)
{
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;

    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (!colon || size == 0 || size > 255 || !colon[1] || strlen(colon) > 15)
        return err_set(e, ERR_INVALID, "HTTP address %.200s: write HOST:PORT", text);
    memcpy(host, text, size);
    host[size] = '\0';
    snprintf(port, 16, "%s", colon + 1);
    return check_port(text, port, e);
}

int bind_resolve(const char *text, struct addrinfo **out, struct err *e)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    char host[256], port[16];
    int rc;

    if (split_address(text, host, port, e) < 0)
        return -1;
    rc = getaddrinfo(host, port, &hints, out);
    if (rc != 0)
        return err_set(e, ERR_INVALID, "HTTP address %.200s: %s", text, gai_strerror(rc));
    return 0;
}

bool bind_is_loopback(const struct addrinfo *at)
{
    if (at->ai_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)at->ai_addr;

        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return ntohl(((const struct sockaddr_in *)(const void *)at->ai_addr)->sin_addr.s_addr) >> 24 ==
           127;
}

static int listen_on(int fd, const struct addrinfo *at, struct sockaddr_storage *bound)
{
    socklen_t size = sizeof(*bound);
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                   (at->ai_family == AF_INET6 &&
                    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
                   bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0 ||
                   getsockname(fd, (struct sockaddr *)bound, &size) < 0
               ? -1
               : 0;
}

int bind_open(const struct addrinfo *at, int *fd_out, unsigned *port_out, struct err *e)
{
    struct sockaddr_storage bound = { 0 };
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || listen_on(fd, at, &bound) < 0) {
        err_set(e, ERR_UNAVAILABLE, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* Both families have the port at the same place. */
    *port_out = ntohs(((const struct sockaddr_in *)(const void *)&bound)->sin_port);
    *fd_out = fd;
    return 0;
}

void bind_text(const struct addrinfo *at, unsigned port, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";

    getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
    snprintf(out, size, at->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}
