/* local_client.c - one question to the agent that runs here, over its Unix socket. */
#include "agent/commands/local_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/scoped.h"

#define ANSWER_MAX (8 << 20)
#define PATIENCE_S 5

static int not_reached(const char *socket_path, int why, struct err *e)
{
    switch (why) {
    case ENOENT:
        return err_set(e, ERR_NOT_FOUND, "no agent runs here, or none that serves local HTTP: "
                       "there is no %s; `systemctl status lockstep-agent` says more", socket_path);
    case ECONNREFUSED:
        return err_set(e, ERR_NOT_FOUND, "no agent runs here: nobody listens on %s, which one "
                       "that ended left behind; `systemctl status lockstep-agent` says more",
                       socket_path);
    case EACCES:
    case EPERM:
        return err_set(e, ERR_FORBIDDEN, "this user may not ask the agent: %s is for its group "
                       "([local] mode and group in the settings); join it, or use sudo",
                       socket_path);
    default:
        return err_set(e, ERR_UNAVAILABLE, "the agent cannot be reached on %s: %s", socket_path,
                       strerror(why));
    }
}

static int reach(const char *socket_path, struct err *e)
{
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd, why;

    if (strlen(socket_path) >= sizeof(address.sun_path))
        return err_set(e, ERR_INVALID, "%.200s is too long for the path of a socket", socket_path);
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    why = errno;
    if (fd >= 0)
        close(fd);
    return not_reached(socket_path, why, e);
}

/* Until the other side closes: HTTP/1.0 has no other end. */
static int read_all(int fd, struct buffer *out, struct err *e)
{
    char piece[16384];

    for (;;) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);

        if (n == 0)
            return 0;
        if (n > 0)
            buffer_add(out, piece, (size_t)n);
        else if (errno != EINTR)
            return err_set(e, ERR_UNAVAILABLE, "the agent does not answer: %s",
                           errno == EAGAIN ? "nothing came for 5 s" : strerror(errno));
        if (out->size > ANSWER_MAX)
            return err_set(e, ERR_UNAVAILABLE, "the agent's answer has no end");
    }
}

static int closed(struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "the agent closes the connection without an answer: this "
                   "user may have too many open, see [local] connections");
}

static int exchange(int fd, const char *path, struct buffer *answer, struct err *e)
{
    SCOPED_BUFFER struct buffer ask = { 0 };

    buffer_printf(&ask, "GET %s HTTP/1.0\r\nHost: local\r\n\r\n", path);
    if (send(fd, ask.data, ask.size, MSG_NOSIGNAL) != (ssize_t)ask.size)
        return closed(e);
    return read_all(fd, answer, e);
}

int local_client_get(const char *socket_path, const char *path, struct buffer *out, struct err *e)
{
    SCOPED_BUFFER struct buffer answer = { 0 };
    int fd = reach(socket_path, e), status = 0, rc;
    const char *body;

    if (fd < 0)
        return -1;
    rc = exchange(fd, path, &answer, e);
    close(fd);
    if (rc)
        return -1;
    buffer_add(&answer, "", 1);
    body = strstr(answer.data, "\r\n\r\n");
    if (!body || sscanf(answer.data, "HTTP/%*s %d", &status) != 1)
        return closed(e);
    if (status != 200)
        return err_set(e, ERR_UNAVAILABLE, "the agent answers with %d: %.300s", status, body + 4);
    buffer_add(out, body + 4, answer.size - (size_t)(body + 4 - answer.data));
    return 0;
}
