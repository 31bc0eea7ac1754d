/* local_bind.c - the sockets that local HTTP listens on: one in a folder, perhaps one on loopback. */
#include "agent/local/local_bind.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

static int trouble(int fd, const char *what, const char *where, struct err *e)
{
    err_set(e, ERR_SYSTEM, "local HTTP cannot %s %s: %s", what, where, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_there = fd >= 0 && (connect(fd, (const void *)address, sizeof(*address)) == 0 ||
                                errno == EAGAIN);

    if (fd >= 0)
        close(fd);
    return is_there;
}

static int clear_path(const struct sockaddr_un *address, struct err *e)
{
    struct stat st;

    if (lstat(address->sun_path, &st))
        return errno == ENOENT ? 0 : trouble(-1, "look at", address->sun_path, e);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_CONFLICT, "[local] socket: %s is there and is no socket; move it "
                       "away or name another path", address->sun_path);
    if (is_answered(address))
        return err_set(e, ERR_CONFLICT, "[local] socket: somebody else listens on %s; give each "
                       "agent its own", address->sun_path);
    return unlink(address->sun_path) ? trouble(-1, "remove", address->sun_path, e) : 0;
}

int local_bind_unix(const struct local_settings *s, struct err *e)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    gid_t group = s->has_group ? s->group : (gid_t)-1;
    mode_t before;
    int fd, rc;

    memcpy(address.sun_path, s->socket, strlen(s->socket));
    if (clear_path(&address, e))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    before = umask(0777); /* nobody connects before the mode is what it should be */
    rc = fd < 0 ? -1 : bind(fd, (const void *)&address, sizeof(address));
    umask(before);
    if (rc || chown(s->socket, (uid_t)-1, group) || chmod(s->socket, s->mode) ||
        listen(fd, BACKLOG))
        return trouble(fd, "listen on", s->socket, e);
    return fd;
}

int local_bind_loopback(const struct local_settings *s, struct err *e)
{
    int one = 1, fd = socket(s->listen.sin6_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = s->listen.sin6_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                       : sizeof(struct sockaddr_in);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(fd, (const void *)&s->listen, size) || listen(fd, BACKLOG))
        return trouble(fd, "listen on", s->listen_text, e);
    return fd;
}
