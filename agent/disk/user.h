/* user.h - a user of this machine that commands run as, with his groups. */
#ifndef AGENT_DISK_USER_H
#define AGENT_DISK_USER_H

#include <sys/types.h>

#include "common/err.h"

#define USER_GROUPS_MAX 256

struct user {
    char *name, *home;
    uid_t uid;
    gid_t gid;
    int group_count;
    gid_t groups[USER_GROUPS_MAX];
};

/* "USER" or "USER:GROUP", which replaces the user's own first group. Only root can become somebody
 * else, and the error says so. */
int user_find(const char *text, struct user **out, struct err *e)
    __attribute__((warn_unused_result));
void user_free(struct user *u);

/* "USER" or "USER:GROUP" as the owner of a file. */
int user_find_owner(const char *text, uid_t *uid, gid_t *gid, struct err *e)
    __attribute__((warn_unused_result));

/* In a child after fork: give up everything that is the agent's own. Only calls that are safe
 * there; -1 with errno. */
int user_become(const struct user *u);

#endif
