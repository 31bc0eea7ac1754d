/* cgroup.c - a cgroup of its own for a command, by which the kernel ends all that it started. */
#include "agent/process/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "lockstep-command-"
#define SWEEP_EACH 16 /* commands: folders of what was left running are looked at so often */

/* The folder of this process in the tree of cgroup v2, found once: neither is ever moved. */
static char base[PATH_MAX];
static bool is_known;
static unsigned long counter;
static struct cgroup *in_use; /* opened and not closed yet */

/* "36 35 0:30 / /sys/fs/cgroup rw,… - cgroup2 cgroup2 rw": the root of the tree that is seen, and
 * where it is mounted. */
static bool find_mount(char root[PATH_MAX], char point[PATH_MAX])
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[2 * PATH_MAX + 512];
    bool is_found = false;

    while (f && !is_found && fgets(line, sizeof(line), f)) {
        const char *kind = strstr(line, " - ");

        is_found = kind && strncmp(kind, " - cgroup2 ", 11) == 0 &&
                   sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2;
    }
    if (f)
        fclose(f);
    return is_found;
}

/* "0::/system.slice/lockstep-agent.service" */
static bool find_own(char own[PATH_MAX])
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX + 16];
    bool is_found = false;

    while (f && !is_found && fgets(line, sizeof(line), f))
        is_found = sscanf(line, "0::%4095[^\n]", own) == 1;
    if (f)
        fclose(f);
    return is_found;
}

static void find_base(void)
{
    char root[PATH_MAX], point[PATH_MAX], own[PATH_MAX];
    size_t size;

    is_known = true;
    if (!find_mount(root, point) || !find_own(own))
        return;
    size = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(own, root, size) == 0 && (!own[size] || own[size] == '/'))
        (void)!snprintf(base, sizeof(base), "%.2000s%.2000s", point,
                        strcmp(own + size, "/") == 0 ? "" : own + size);
}

/* A cgroup of a command that runs, or that is about to enter it and finds it empty. */
static bool is_in_use(const char *name)
{
    for (const struct cgroup *g = in_use; g; g = g->next)
        if (strcmp(strrchr(g->path, '/') + 1, name) == 0)
            return true;
    return false;
}

/* Another agent's may be empty because its command is about to enter. */
static bool is_left_over(const char *name)
{
    pid_t pid = (pid_t)strtol(name + sizeof(PREFIX) - 1, NULL, 10);

    if (pid == getpid())
        return !is_in_use(name);
    return pid > 0 && kill(pid, 0) && errno == ESRCH;
}

/* What commands of before left running on purpose has ended meanwhile, or has not. */
static void sweep(void)
{
    DIR *folder = opendir(base);
    const struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (strncmp(entry->d_name, PREFIX, sizeof(PREFIX) - 1) == 0 && is_left_over(entry->d_name))
            (void)unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
    if (folder)
        closedir(folder);
}

static int open_file(const struct cgroup *g, const char *name)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/%s", g->path, name);
    return open(path, O_WRONLY | O_CLOEXEC);
}

bool cgroup_open(struct cgroup *out)
{
    *out = (struct cgroup){ .procs_fd = -1, .kill_fd = -1 };
    if (!is_known)
        find_base();
    if (!base[0])
        return false;
    if (counter++ % SWEEP_EACH == 0)
        sweep();
    if (snprintf(out->path, sizeof(out->path), "%.4000s/" PREFIX "%d-%lu", base, (int)getpid(),
                 counter) < 0 || mkdir(out->path, 0755)) {
        out->path[0] = '\0';
        return false;
    }
    out->next = in_use;
    in_use = out;
    out->procs_fd = open_file(out, "cgroup.procs");
    out->kill_fd = open_file(out, "cgroup.kill");
    if (out->procs_fd >= 0 && out->kill_fd >= 0)
        return true;
    cgroup_close(out);
    return false;
}

static void forget(const struct cgroup *g)
{
    struct cgroup **at = &in_use;

    while (*at && *at != g)
        at = &(*at)->next;
    if (*at)
        *at = g->next;
}

void cgroup_close(struct cgroup *g)
{
    forget(g);
    if (g->procs_fd >= 0)
        close(g->procs_fd);
    if (g->kill_fd >= 0)
        close(g->kill_fd);
    if (g->path[0])
        (void)rmdir(g->path);
    g->path[0] = '\0';
    g->procs_fd = g->kill_fd = -1;
}

void cgroup_enter(const struct cgroup *g)
{
    if (g->procs_fd >= 0)
        (void)!write(g->procs_fd, "0", 1); /* where that fails the supervisor does alone */
}

void cgroup_kill(const struct cgroup *g)
{
    if (g->kill_fd >= 0)
        (void)!write(g->kill_fd, "1", 1);
}

bool cgroup_is_there(void)
{
    struct cgroup g;
    bool is_there = cgroup_open(&g);

    cgroup_close(&g);
    return is_there;
}
