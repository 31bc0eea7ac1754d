/* supervise.c - the process above a command: it hears of all that the command started, and ends it. */
#include "agent/process/supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/core_dump.h"

#define ROUND_MS 20     /* between two looks at what is still there */
#define ROUNDS_MAX 500  /* a process that is stuck in the kernel ends when it comes out of it */
#define KEPT_FD 3       /* the first descriptor of the supervisor: what is below is the world's */

/* ---- the shell: only what is safe after fork ---- */

/* A handler of whoever forked is not for this process: a signal may be faster than execve. */
static void forget_handlers(void)
{
    struct sigaction now;

    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            signal(number, SIG_DFL);
}

static _Noreturn void become_shell(const struct supervise_plan *plan)
{
    const char *argv[] = { "/bin/sh", "-c", plan->text, NULL };
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;

    setpgid(0, 0); /* `kill 0` of a command is about itself, not about who watches it */
    cgroup_enter(plan->cgroup);
    signal(SIGPIPE, SIG_DFL);
    forget_handlers();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(plan->output, STDOUT_FILENO) < 0 ||
        dup2(plan->output, STDERR_FILENO) < 0)
        _exit(126);
    close_range(3, ~0U, 0);
    core_dump_restore();
    if (plan->user && user_become(plan->user))
        _exit(126);
    execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)plan->env);
    _exit(127);
}

/* ---- the supervisor ---- */

struct supervisor {
    pid_t self, shell;
    bool has_ended, is_overdue;
    int status; /* the shell's */
    struct cgroup cgroup;
};

/* End as the shell ended, so that the agent sees its status. */
static _Noreturn void end_like(int status)
{
    const struct rlimit no_core = { 0, 0 };
    sigset_t one;

    if (WIFSIGNALED(status)) {
        setrlimit(RLIMIT_CORE, &no_core);
        signal(WTERMSIG(status), SIG_DFL);
        sigemptyset(&one);
        sigaddset(&one, WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

/* True: nothing is below any more. */
static bool reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->shell) {
            s->status = status;
            s->has_ended = true;
        }
    return pid < 0 && errno == ECHILD;
}

/* The parent of a process: the second number behind its name, which may hold anything. */
static pid_t parent_of(int proc, const char *pid)
{
    char path[64], text[512];
    const char *behind;
    int parent = 0, fd;
    ssize_t size;

    snprintf(path, sizeof(path), "%.40s/stat", pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    behind = strrchr(text, ')');
    return behind && sscanf(behind, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* Signal the direct children: their pids are not given to others before they are reaped here. */
static void signal_children(const struct supervisor *s, int number)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parent_of(dirfd(folder), entry->d_name) == s->self)
            kill((pid_t)strtol(entry->d_name, NULL, 10), number);
    if (folder)
        closedir(folder);
}

/* Whoever dies hands its children up, until there are none. */
static _Noreturn void end_all(struct supervisor *s)
{
    const struct timespec pause = { .tv_nsec = ROUND_MS * 1000000L };

    for (int i = 0; i < ROUNDS_MAX && !reap(s); i++) {
        cgroup_kill(&s->cgroup);
        if (!s->has_ended)
            kill(-s->shell, SIGKILL);
        signal_children(s, SIGKILL);
        if (reap(s))
            break;
        nanosleep(&pause, NULL);
    }
    if (!s->has_ended)
        _exit(125);
    end_like(s->status);
}

static void ask_to_end(struct supervisor *s)
{
    s->is_overdue = true;
    if (!s->has_ended)
        kill(-s->shell, SIGTERM);
    signal_children(s, SIGTERM);
}

/* Close all descriptors of the agent but that of the cgroup. */
static void close_others(struct supervisor *s, const struct supervise_plan *plan)
{
    s->cgroup = (struct cgroup){ .procs_fd = -1, .kill_fd = -1 };
    if (plan->cgroup->kill_fd >= 0 && dup2(plan->cgroup->kill_fd, KEPT_FD) == KEPT_FD)
        s->cgroup.kill_fd = KEPT_FD;
    close_range(0, KEPT_FD - 1, 0);
    close_range(KEPT_FD + (s->cgroup.kill_fd >= 0), ~0U, 0);
}

static _Noreturn void watch(struct supervisor *s, const sigset_t *all, pid_t parent)
{
    siginfo_t info;

    for (;;) {
        int number;

        reap(s);
        if (s->has_ended && s->is_overdue)
            end_all(s);
        if (s->has_ended)
            end_like(s->status);
        number = sigwaitinfo(all, &info);
        if (number == SIGUSR1 || (number == SIGHUP && getppid() != parent))
            end_all(s);
        if (number == SIGTERM)
            ask_to_end(s);
    }
}

void supervise_run(const struct supervise_plan *plan)
{
    struct supervisor s = { .self = getpid() };
    sigset_t all;

    setpgid(0, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* an ignored one would never come */
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    if (getppid() != plan->parent)
        _exit(125); /* the agent died before the line above */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    s.shell = _Fork();
    if (s.shell == 0)
        become_shell(plan);
    if (s.shell < 0)
        _exit(126);
    setpgid(s.shell, s.shell); /* also here: whoever comes first */
    close_others(&s, plan);
    watch(&s, &all, plan->parent);
}
