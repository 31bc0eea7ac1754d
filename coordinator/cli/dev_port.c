/* dev_port.c - addresses of `lockstep dev` and whether they are free. */
#include "coordinator/cli/dev_port.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port that is free at this moment, for demos and tests that run side by side. */
static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

/* A port alone means this machine; port 0 any that is free. */
/* The system's own reading takes 99999 for the port that is left of it in 16 bits. */
static bool is_port_number(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n && n <= 5 && !text[n] && strtol(text, NULL, 10) <= 65535;
}

int dev_port_take(const char *given, const char *preset, char out[DEV_PORT_SIZE])
{
    const char *text = given ? given : preset, *colon;
    bool is_port = text[0] && !text[strspn(text, "0123456789")];

    if (strcmp(text, "0") == 0)
        snprintf(out, DEV_PORT_SIZE, "127.0.0.1:%d", free_port());
    else
        snprintf(out, DEV_PORT_SIZE, "%s%s", is_port ? "127.0.0.1:" : "", text);
    colon = strrchr(out, ':');
    return colon && is_port_number(colon + 1) && strlen(out) < 120 &&
                   !out[strcspn(out, " \t/;#")]
               ? 0
               : -1;
}

static int try_bind(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, problem = 0;

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* as servers do */
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0)
        problem = errno;
    close(fd);
    return problem;
}

int dev_port_check(const char *option, const char *address, struct err *e)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
    const char *port = strrchr(address, ':') + 1;
    char host[DEV_PORT_SIZE];
    int problem;

    snprintf(host, sizeof(host), "%.*s", (int)(port - address - 1), address);
    if (host[0] == '[') { /* an IPv6 address */
        memmove(host, host + 1, strlen(host));
        host[strcspn(host, "]")] = 0;
    }
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return err_set(e, ERR_MALFORMED, "%s %s is no address", option, address);
    problem = try_bind(found);
    freeaddrinfo(found);
    if (problem)
        return err_set(e, ERR_CONFLICT, "%s %s: %s; another `lockstep dev`? Give %s PORT", option,
                       address, strerror(problem), option);
    return 0;
}
