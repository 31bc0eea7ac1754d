/* rights.h - what a test may need and not have: root, mounts of its own; and how it says so. */
#ifndef TESTS_UNIT_RIGHTS_H
#define TESTS_UNIT_RIGHTS_H

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* A sentence: what is not proved here, and why. The runner (tests/check.sh) shows it and does not
 * count the test as passed. Each test is a process of its own and is taken away once. */
__attribute__((format(printf, 1, 2))) static inline void not_run(const char *fmt, ...)
{
    static bool is_said;
    va_list ap;

    if (is_said)
        return;
    is_said = true;
    fputs("NOT RUN: ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

/* Where false `what` is said to be not run. A user namespace is no help: without a range of users
 * that root lent, there is nobody else in it. */
static inline bool is_root(const char *what)
{
    if (geteuid() == 0)
        return true;
    not_run("%s: only root can act as several users", what);
    return false;
}

static inline bool rights_say(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_said = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return is_said;
}

/* An ordinary user stays who he is in a user namespace, and may mount there. */
static inline bool rights_unshare(void)
{
    char uids[64], gids[64];

    snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
    snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           rights_say("/proc/self/setgroups", "deny") && rights_say("/proc/self/uid_map", uids) &&
           rights_say("/proc/self/gid_map", gids);
}

/* From here on mounts are this test's alone and end with it. Where false `what` is said to be not
 * run. */
static inline bool own_mounts(const char *what)
{
    if (rights_unshare() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    not_run("%s: no mounts may be made here, nor in a user namespace", what);
    return false;
}

#endif
