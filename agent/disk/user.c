/* user.c - a user of this machine that commands run as, with his groups. */
#include "agent/disk/user.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"


#define NAME_BYTES 256

/* "USER:GROUP" in its parts; group is "" when there is none. */
static int split(const char *text, char user[NAME_BYTES], char group[NAME_BYTES], struct err *e)
{
    size_t size = strcspn(text, ":");
    const char *behind = text[size] ? text + size + 1 : "";

    if (!size || size >= NAME_BYTES || strlen(behind) >= NAME_BYTES || (text[size] && !*behind))
        return err_set(e, ERR_INVALID, "\"%s\" is not written like user or user:group", text);
    snprintf(user, NAME_BYTES, "%.*s", (int)size, text);
    snprintf(group, NAME_BYTES, "%s", behind);
    return 0;
}

static int find(const char *text, const struct passwd **out, gid_t *gid, struct err *e)
{
    char user[NAME_BYTES], group[NAME_BYTES];
    const struct group *g;

    if (split(text, user, group, e))
        return -1;
    *out = getpwnam(user);
    if (!*out)
        return err_set(e, ERR_INVALID, "there is no user \"%s\" here; create it, or name another",
                       user);
    *gid = (*out)->pw_gid;
    if (!*group)
        return 0;
    g = getgrnam(group);
    if (!g)
        return err_set(e, ERR_INVALID, "there is no group \"%s\" here; create it, or name another",
                       group);
    *gid = g->gr_gid;
    return 0;
}

int user_find_owner(const char *text, uid_t *uid, gid_t *gid, struct err *e)
{
    const struct passwd *entry;

    if (find(text, &entry, gid, e))
        return -1;
    *uid = entry->pw_uid;
    return 0;
}

int user_find(const char *text, struct user **out, struct err *e)
{
    const struct passwd *entry;
    struct user *u;
    gid_t gid;

    if (find(text, &entry, &gid, e))
        return -1;
    if (geteuid() != 0 && (entry->pw_uid != geteuid() || gid != getegid()))
        return err_set(e, ERR_INVALID, "only an agent that runs as root can run commands as "
                       "\"%s\"; this one runs as user %u: start it as root, or leave the line out",
                       text, (unsigned)geteuid());
    u = memory_new(sizeof(*u));
    u->name = memory_text(entry->pw_name);
    u->home = memory_text(entry->pw_dir);
    u->uid = entry->pw_uid;
    u->gid = gid;
    u->group_count = USER_GROUPS_MAX;
    if (getgrouplist(u->name, gid, u->groups, &u->group_count) < 0) {
        user_free(u);
        return err_set(e, ERR_INVALID, "\"%s\" is in more than %d groups", text, USER_GROUPS_MAX);
    }
    *out = u;
    return 0;
}

void user_free(struct user *u)
{
    if (!u)
        return;
    free(u->name);
    free(u->home);
    free(u);
}

int user_become(const struct user *u)
{
    if (geteuid() != 0)
        return 0; /* it is the same user: user_find saw to that */
    return setgroups((size_t)u->group_count, u->groups) || setresgid(u->gid, u->gid, u->gid) ||
                   setresuid(u->uid, u->uid, u->uid)
               ? -1
               : 0;
}
