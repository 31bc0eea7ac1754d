/* local_settings.c - the [local] section: where programs of this server read, and who may. */
#include "agent/settings/local_settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/buffer.h"
#include "common/memory.h"

#define SOCKET_NAME "agent.sock"
#define SOCKET_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

static int check_socket(struct local_settings *s, const char *publish_dir, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    if (!s->socket) {
        buffer_printf(&path, "%s/" SOCKET_NAME, publish_dir);
        s->is_socket_too_long = path.size >= SOCKET_SIZE;
        if (!s->is_socket_too_long) /* nobody asked for it by name: said in the log */
            s->socket = buffer_take(&path);
        return 0;
    }
    if (strcmp(s->socket, "off") == 0) {
        free(s->socket);
        s->socket = NULL;
        return 0;
    }
    if (s->socket[0] != '/' || strlen(s->socket) >= SOCKET_SIZE)
        return err_set(e, ERR_INVALID, "[local] socket: \"%s\" is not an absolute path of at most "
                       "%zu bytes; name a shorter one, or say off", s->socket, SOCKET_SIZE - 1);
    return 0;
}

static int check_access(struct local_settings *s, struct err *e)
{
    const struct group *group;
    char *end;
    unsigned long mode = strtoul(s->mode_text, &end, 8);

    if (!isdigit((unsigned char)s->mode_text[0]) || *end || mode > 0777)
        return err_set(e, ERR_INVALID, "[local] mode: \"%s\" is no file mode; write it in octal, "
                       "like 0660", s->mode_text);
    s->mode = (mode_t)mode;
    if (!s->group_text)
        return 0;
    group = getgrnam(s->group_text);
    if (!group)
        return err_set(e, ERR_INVALID, "[local] group: there is no group \"%s\" here",
                       s->group_text);
    s->group = group->gr_gid;
    s->has_group = true;
    return 0;
}

static int add_secret_user(struct local_settings *s, const char *name, struct err *e)
{
    const struct passwd *user = getpwnam(name);

    if (!user)
        return err_set(e, ERR_INVALID, "[local] secret_users: there is no user \"%s\" here", name);
    if (s->secret_user_count == LOCAL_SECRET_USERS_MAX)
        return err_set(e, ERR_INVALID, "[local] secret_users: at most %d", LOCAL_SECRET_USERS_MAX);
    s->secret_users[s->secret_user_count++] = user->pw_uid;
    return 0;
}

static int check_secret_users(struct local_settings *s, struct err *e)
{
    char *names, *rest = NULL;
    int rc = 0;

    if (!s->secret_users_text)
        return 0;
    names = memory_text(s->secret_users_text);
    for (char *w = strtok_r(names, " \t,", &rest); w && rc == 0; w = strtok_r(NULL, " \t,", &rest))
        rc = add_secret_user(s, w, e);
    free(names);
    return rc;
}

/* Anybody on the machine may connect there, so nobody else may: 127.0.0.0/8 and ::1 alone. */
static int check_listen(struct local_settings *s, struct err *e)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&s->listen;
    char host[64] = "";
    const char *colon = s->listen_text ? strrchr(s->listen_text, ':') : NULL;
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    if (!s->listen_text)
        return 0;
    if (colon && (size_t)(colon - s->listen_text) < sizeof(host))
        memcpy(host, s->listen_text, (size_t)(colon - s->listen_text));
    if (port >= 1 && port <= 65535 && isdigit((unsigned char)colon[1]) && !*end) {
        if (strcmp(host, "[::1]") == 0) {
            s->listen.sin6_family = AF_INET6;
            s->listen.sin6_addr = in6addr_loopback;
            s->listen.sin6_port = htons((uint16_t)port);
            return 0;
        }
        if (inet_pton(AF_INET, host, &four->sin_addr) == 1 &&
            ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) {
            four->sin_family = AF_INET;
            four->sin_port = htons((uint16_t)port);
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "[local] listen: \"%s\" is not an address of this machine "
                   "alone, like 127.0.0.1:7782 or [::1]:7782", s->listen_text);
}

int local_settings_check(struct local_settings *s, const char *publish_dir, struct err *e)
{
    if (check_socket(s, publish_dir, e) || check_access(s, e) || check_listen(s, e) ||
        check_secret_users(s, e))
        return -1;
    if (s->metrics_file && s->metrics_file[0] != '/')
        return err_set(e, ERR_INVALID, "[local] metrics_file: \"%s\" is not an absolute path",
                       s->metrics_file);
    return 0;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool local_settings_equal(const struct local_settings *a, const struct local_settings *b)
{
    return is_same(a->socket, b->socket) && is_same(a->listen_text, b->listen_text) &&
           a->mode == b->mode && a->has_group == b->has_group && a->group == b->group &&
           a->connections == b->connections && a->secret_user_count == b->secret_user_count &&
           memcmp(a->secret_users, b->secret_users, sizeof(a->secret_users)) == 0;
}
