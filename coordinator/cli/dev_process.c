/* dev_process.c - fork and exec with a parent-death signal, a log, and perhaps another user. */
#include "coordinator/cli/dev_process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/cli/interrupt.h"

#define OUTPUT_MAX (1u << 20)

void dev_process_init(struct dev_process *p, const char *name, const char *log, int stop_signal,
                      int keep_fd, const char *const *argv)
{
    *p = (struct dev_process){ .stop_signal = stop_signal, .keep_fd = keep_fd };
    snprintf(p->name, sizeof(p->name), "%s", name);
    snprintf(p->log, sizeof(p->log), "%s", log);
    for (size_t i = 0; argv[i]; i++) {
        MUST(i + 1 < DEV_ARGS_MAX);
        p->argv[i] = strdup(argv[i]);
        MUST(p->argv[i]);
    }
}

void dev_process_fini(struct dev_process *p)
{
    for (size_t i = 0; i < DEV_ARGS_MAX; i++)
        free(p->argv[i]);
}

/* In the child, before exec. The order matters: changing the user clears the death signal. */
static void become_child(const struct dev_user *user, int death_signal, pid_t parent, int keep_fd)
{
    sigset_t none;

    setpgid(0, 0); /* Ctrl-C is for us; we end the children in order */
    if (user && (setgroups(0, NULL) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, death_signal);
    if (getppid() != parent)
        _exit(126); /* it died before the signal was set */
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (keep_fd >= 0)
        fcntl(keep_fd, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void open_as(int fd, const char *path, int flags)
{
    int from = open(path, flags | O_CLOEXEC, 0600);

    if (from < 0)
        _exit(126);
    dup2(from, fd);
}

int dev_process_start(struct dev_process *p, struct err *e)
{
    pid_t parent = getpid();
    int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (log < 0)
        return err_set(e, ERR_SYSTEM, "open the log %s: %s", p->log, strerror(errno));
    p->pid = fork();
    if (p->pid == 0) {
        open_as(STDIN_FILENO, "/dev/null", O_RDONLY);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        become_child(p->user, p->stop_signal, parent, p->keep_fd);
        execv(p->argv[0], p->argv);
        dprintf(STDERR_FILENO, "cannot run %s: %s\n", p->argv[0], strerror(errno));
        _exit(127);
    }
    close(log);
    if (p->pid < 0) {
        p->pid = 0;
        return err_set(e, ERR_SYSTEM, "start %s: %s", p->name, strerror(errno));
    }
    p->started_ms = clock_monotonic_ms();
    return 0;
}

bool dev_process_runs(struct dev_process *p, int *status_out)
{
    if (p->pid == 0 || waitpid(p->pid, status_out, WNOHANG) == 0)
        return p->pid != 0;
    p->pid = 0;
    return false;
}

void dev_process_ask(const struct dev_process *p, int signal)
{
    if (p->pid > 0)
        kill(p->pid, signal);
}

void dev_process_wait(struct dev_process *p, int64_t limit_ms)
{
    int64_t end_ms = clock_monotonic_ms() + limit_ms;
    int status;

    while (dev_process_runs(p, &status)) {
        if (clock_monotonic_ms() >= end_ms) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, &status, 0);
            p->pid = 0;
            return;
        }
        usleep(10000); /* a look at a child that is ending; the limit above bounds it */
    }
}

void dev_process_say_status(int status, char out[32])
{
    if (WIFSIGNALED(status))
        snprintf(out, 32, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 32, "exit status %d", WEXITSTATUS(status));
}

/* ---------------------------------------------------------------- programs that end */

static void collect(int from, struct buffer *out)
{
    char bytes[4096];
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && out->size < OUTPUT_MAX)
            buffer_add(out, bytes, (size_t)n);
}

static const char *last_words(const struct buffer *out)
{
    size_t keep = 300;

    if (!out->size)
        return "it said nothing";
    return out->size > keep ? out->data + out->size - keep : out->data;
}

int dev_run_program(const char *const *argv, const struct dev_user *user, int keep_fd,
                    struct buffer *out, struct err *e)
{
    pid_t parent = getpid(), child;
    int ends[2], status = 0;
    char how[32];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(e, ERR_SYSTEM, "pipe: %s", strerror(errno));
    child = fork();
    if (child == 0) {
        open_as(STDIN_FILENO, "/dev/null", O_RDONLY);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        become_child(user, SIGKILL, parent, keep_fd);
        execv(argv[0], (char *const *)argv);
        dprintf(STDERR_FILENO, "%s", strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    if (child > 0)
        collect(ends[0], out);
    close(ends[0]);
    if (child < 0)
        return err_set(e, ERR_SYSTEM, "start %s: %s", argv[0], strerror(errno));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR && !interrupt_happened())
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    dev_process_say_status(status, how);
    return err_set(e, ERR_SYSTEM, "%s ended with %s: %.300s", argv[0], how, last_words(out));
}
