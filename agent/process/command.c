/* command.c - one command of the settings, running by itself: time limit, captured output, reason. */
#include "agent/process/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/process/cgroup.h"
#include "agent/process/supervise.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/name.h"

#define REAP_MS 200 /* for the supervisor to end all of it; what takes longer is left to it */
#define LEAVING_LEAST 64 /* places at first; twice as many whenever they are taken */
#define LOADS_TOLD 2 /* processes that want to run, for each processor: more of them is a reason */

struct command {
    pid_t pid; /* the supervisor */
    int pid_fd, pipe_fd;
    struct cgroup cgroup;
    int64_t limit_ms, deadline_ms, kill_ms; /* kill_ms 0: not asked to end yet */
    bool has_ended;
    int status;
    char tail[2 * COMMAND_OUTPUT_MAX]; /* the newest output; older bytes are dropped by halves */
    size_t tail_size;
    bool is_cut;
};

/* Supervisors that were told to end all of it, and were still at it when nobody waited any more: a
 * process that is stuck in the kernel keeps its own. For one thread, as all of this file. */
static struct {
    pid_t *pids;
    size_t count, size;
} leaving;

static void reap_leaving(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < leaving.count; i++)
        if (waitpid(leaving.pids[i], NULL, WNOHANG) == 0)
            leaving.pids[kept++] = leaving.pids[i];
    leaving.count = kept;
}

static void leave(pid_t pid)
{
    if (leaving.count == leaving.size) {
        leaving.size = leaving.size ? 2 * leaving.size : LEAVING_LEAST;
        leaving.pids = reallocarray(leaving.pids, leaving.size, sizeof(*leaving.pids));
        MUST(leaving.pids);
        if (leaving.count)
            log_warn("many commands do not end though they were killed", "count",
                     LOG_NUMBER(leaving.count));
    }
    leaving.pids[leaving.count++] = pid;
}

/* The supervisor is asked to end by signals: until it waits for them, none may reach a handler that
 * it has from its parent. */
static pid_t fork_supervisor(const struct supervise_plan *plan)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        supervise_run(plan);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int start(struct command *c, struct supervise_plan *plan, struct err *e)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return err_code(e, ERR_SYSTEM, "io", "pipe: %s", strerror(errno));
    c->pipe_fd = ends[0];
    fcntl(c->pipe_fd, F_SETFL, O_NONBLOCK);
    plan->output = ends[1];
    plan->parent = getpid();
    c->pid = fork_supervisor(plan);
    close(ends[1]);
    if (c->pid < 0)
        return err_code(e, ERR_SYSTEM, "io", "fork: %s", strerror(errno));
    c->pid_fd = pidfd_open(c->pid, 0);
    if (c->pid_fd < 0)
        return err_code(e, ERR_SYSTEM, "io", "pidfd_open: %s", strerror(errno));
    return 0;
}

int command_start(const struct command_order *order, int64_t now_ms, struct command **out,
                  struct err *e)
{
    struct command *c = memory_new(sizeof(*c));
    struct supervise_plan plan = { .text = order->text, .user = order->user, .cgroup = &c->cgroup };
    char **env = environment_of_command(order->said, order->user, order->named);
    int rc;

    reap_leaving();
    (void)cgroup_open(&c->cgroup);
    c->pid_fd = c->pipe_fd = -1;
    c->limit_ms = order->limit_ms;
    c->deadline_ms = now_ms + order->limit_ms;
    plan.env = (const char **)env;
    rc = start(c, &plan, e);
    environment_free(env);
    if (rc) {
        command_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

static void reap(struct command *c)
{
    struct pollfd fd = { .fd = c->pid_fd, .events = POLLIN };

    if (c->pid_fd >= 0)
        poll(&fd, 1, REAP_MS);
    if (waitpid(c->pid, &c->status, WNOHANG) == 0)
        leave(c->pid);
}

void command_free(struct command *c)
{
    if (!c)
        return;
    if (c->pid > 0 && !c->has_ended) {
        kill(c->pid, SIGUSR1);
        reap(c);
    }
    if (c->pid_fd >= 0)
        close(c->pid_fd);
    if (c->pipe_fd >= 0)
        close(c->pipe_fd);
    cgroup_close(&c->cgroup);
    free(c);
}

unsigned command_fds(const struct command *c, int fds[2])
{
    unsigned n = 0;

    if (c->pid_fd >= 0)
        fds[n++] = c->pid_fd;
    if (c->pipe_fd >= 0)
        fds[n++] = c->pipe_fd;
    return n;
}

static void keep_output(struct command *c, const char *data, size_t size)
{
    if (size > COMMAND_OUTPUT_MAX) {
        data += size - COMMAND_OUTPUT_MAX;
        size = COMMAND_OUTPUT_MAX;
        c->is_cut = true;
    }
    if (c->tail_size + size > sizeof(c->tail)) {
        size_t keep = sizeof(c->tail) - size;

        keep = keep < COMMAND_OUTPUT_MAX ? keep : COMMAND_OUTPUT_MAX;
        memmove(c->tail, c->tail + c->tail_size - keep, keep);
        c->tail_size = keep;
        c->is_cut = true;
    }
    memcpy(c->tail + c->tail_size, data, size);
    c->tail_size += size;
}

/* What is there now; a command that never stops writing must not hold the loop. */
static void read_output(struct command *c)
{
    char data[4096];
    ssize_t n = 0;

    for (int rounds = 0; c->pipe_fd >= 0 && rounds < 64; rounds++) {
        n = read(c->pipe_fd, data, sizeof(data));
        if (n > 0)
            keep_output(c, data, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            close(c->pipe_fd);
            c->pipe_fd = -1;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void enforce_limit(struct command *c, int64_t now_ms)
{
    if (!c->kill_ms && now_ms >= c->deadline_ms) {
        kill(c->pid, SIGTERM);
        c->kill_ms = now_ms + COMMAND_KILL_MS;
    } else if (c->kill_ms && now_ms >= c->kill_ms) {
        kill(c->pid, SIGUSR1);
        c->kill_ms = now_ms + COMMAND_KILL_MS;
    }
}

bool command_step(struct command *c, int64_t now_ms)
{
    if (c->has_ended)
        return true;
    read_output(c);
    if (waitpid(c->pid, &c->status, WNOHANG) != c->pid) {
        enforce_limit(c, now_ms);
        return false;
    }
    read_output(c); /* what came between the two calls */
    c->has_ended = true;
    return true;
}

bool command_succeeded(const struct command *c)
{
    MUST(c->has_ended);
    return !c->kill_ms && WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
}

/* A time limit that passes while everything is slow says little about the command. */
static int put_load(char *out, size_t size)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    double load;

    if (getloadavg(&load, 1) != 1 || processors < 1 || load < (double)(LOADS_TOLD * processors))
        return 0;
    return snprintf(out, size, "; this server is busy: load %.0f on %ld processor%s", load,
                    processors, processors == 1 ? "" : "s");
}

static int put_ending(const struct command *c, const char *what, char *out, size_t size)
{
    char limit[32];
    int n;

    if (c->kill_ms) {
        duration_format(c->limit_ms, limit);
        n = snprintf(out, size, "%s timed out: it took longer than %s and was ended", what, limit);
        return n + put_load(out + n, size - (size_t)n);
    }
    if (WIFSIGNALED(c->status))
        return snprintf(out, size, "%s was ended by signal %d (%s)", what, WTERMSIG(c->status),
                        strsignal(WTERMSIG(c->status)));
    return snprintf(out, size, "%s ended with %d", what, WEXITSTATUS(c->status));
}

/* Lines and tabs stay, other control characters have no place in a message. */
static void clean(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') ||
            text[i] == 0x7f)
            text[i] = '?';
    name_clean_utf8(text, size);
}

void command_reason(const struct command *c, const char *what, char *out, size_t size)
{
    const char *from = c->tail;
    size_t length = c->tail_size, room, n;

    MUST(c->has_ended && size > 256);
    n = (size_t)put_ending(c, what, out, size);
    MUST(n + 16 < size);
    while (length && strchr(" \t\r\n", from[length - 1]))
        length--;
    if (!length)
        return;
    room = size - n - 16 < COMMAND_OUTPUT_MAX ? size - n - 16 : COMMAND_OUTPUT_MAX;
    n += (size_t)snprintf(out + n, size - n, ": %s", c->is_cut || length > room ? "…" : "");
    if (length > room) {
        from += length - room;
        length = room;
    }
    while (length && ((unsigned char)*from & 0xC0) == 0x80) { /* within a character: after it */
        from++;
        length--;
    }
    memcpy(out + n, from, length);
    clean(out + n, length);
    out[n + length] = '\0';
}
