/* command.c - one command of the settings, running by itself: time limit, captured output, reason. */
#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/duration.h"
#include "common/invariant.h"
#include "common/name.h"

#define NAME_BYTES 300
#define REAP_MS 200 /* after KILL; only a process stuck in the kernel takes longer */

struct command {
    pid_t pid;
    int pid_fd, pipe_fd;
    int64_t limit_ms, deadline_ms, kill_ms; /* kill_ms 0: not asked to end yet */
    bool has_ended;
    int status;
    char tail[2 * COMMAND_OUTPUT_MAX]; /* the newest output; older bytes are dropped by halves */
    size_t tail_size;
    bool is_cut;
};

static size_t count_texts(const char *const *texts)
{
    size_t n = 0;

    while (texts[n])
        n++;
    return n;
}

/* Is NAME of a NAME=VALUE text set by one of these as well? */
static bool is_set(const char *const *texts, const char *text)
{
    size_t size = strcspn(text, "=") + 1;

    for (; *texts; texts++)
        if (strncmp(*texts, text, size) == 0)
            return true;
    return false;
}

/* The agent's environment with `more` and `user` put over it; the texts stay where they are. */
static const char **merge_environment(const char *const *more, const char *const *user)
{
    size_t count = count_texts((const char *const *)environ), kept = 0;
    size_t more_count = count_texts(more), user_count = count_texts(user);
    const char **merged = calloc(count + more_count + user_count + 1, sizeof(*merged));

    MUST(merged);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LOCKSTEP_", 9) != 0 && !is_set(user, environ[i]))
            merged[kept++] = environ[i]; /* LOCKSTEP_ ones speak to the agent alone */
    memcpy(merged + kept, user, user_count * sizeof(*merged));
    memcpy(merged + kept + user_count, more, more_count * sizeof(*merged));
    return merged;
}

/* ---- in the child: only what is safe after fork ---- */

static _Noreturn void become_shell(const char *text, const char **env, const struct user *user,
                                   int output)
{
    const char *argv[] = { "/bin/sh", "-c", text, NULL };
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    close_range(3, ~0U, 0);
    if (user && user_become(user))
        _exit(126);
    execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

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

/* The group's leader: the kernel tells it (SIGHUP) when the agent dies, and it takes the whole
 * group along, which the shell's own children would outlive. Else it hears the shell's end only. */
static _Noreturn void supervise(const char *text, const char **env, const struct user *user,
                                int output, pid_t parent)
{
    siginfo_t info;
    sigset_t all;
    int status;
    pid_t shell;

    setpgid(0, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* an ignored one would never come */
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    if (getppid() != parent)
        _exit(125); /* the agent died before the line above */
    shell = _Fork();
    if (shell == 0)
        become_shell(text, env, user, output);
    if (shell < 0)
        _exit(126);
    close_range(0, ~0U, 0);
    for (;;) {
        if (waitpid(shell, &status, WNOHANG) == shell)
            end_like(status);
        if (sigwaitinfo(&all, &info) == SIGHUP && getppid() != parent)
            kill(0, SIGKILL);
    }
}

static int start(struct command *c, const char *text, const char **env, const struct user *user,
                 struct err *e)
{
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return err_code(e, ERR_SYSTEM, "io", "pipe: %s", strerror(errno));
    c->pipe_fd = ends[0];
    fcntl(c->pipe_fd, F_SETFL, O_NONBLOCK);
    c->pid = fork();
    if (c->pid == 0)
        supervise(text, env, user, ends[1], parent);
    close(ends[1]);
    if (c->pid < 0)
        return err_code(e, ERR_SYSTEM, "io", "fork: %s", strerror(errno));
    setpgid(c->pid, c->pid); /* also here: whoever comes first */
    c->pid_fd = pidfd_open(c->pid, 0);
    if (c->pid_fd < 0)
        return err_code(e, ERR_SYSTEM, "io", "pidfd_open: %s", strerror(errno));
    return 0;
}

int command_start(const char *text, const char *const *env, const struct user *user,
                  int64_t limit_ms, int64_t now_ms, struct command **out, struct err *e)
{
    struct command *c = calloc(1, sizeof(*c));
    char home[PATH_MAX + 8], name[NAME_BYTES], logname[NAME_BYTES];
    const char *of_user[] = { home, name, logname, NULL };
    const char **merged;
    int rc;

    MUST(c);
    if (user) {
        snprintf(home, sizeof(home), "HOME=%s", user->home);
        snprintf(name, sizeof(name), "USER=%s", user->name);
        snprintf(logname, sizeof(logname), "LOGNAME=%s", user->name);
    }
    merged = merge_environment(env, user ? of_user : &of_user[3]);
    c->pid_fd = c->pipe_fd = -1;
    c->limit_ms = limit_ms;
    c->deadline_ms = now_ms + limit_ms;
    rc = start(c, text, merged, user, e);
    free(merged);
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
    waitpid(c->pid, &c->status, WNOHANG);
}

void command_free(struct command *c)
{
    if (!c)
        return;
    if (c->pid > 0 && !c->has_ended) {
        kill(-c->pid, SIGKILL);
        reap(c);
    }
    if (c->pid_fd >= 0)
        close(c->pid_fd);
    if (c->pipe_fd >= 0)
        close(c->pipe_fd);
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

int64_t command_wake_ms(const struct command *c)
{
    if (c->has_ended)
        return 0;
    return c->kill_ms ? c->kill_ms : c->deadline_ms;
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
        kill(-c->pid, SIGTERM);
        c->kill_ms = now_ms + COMMAND_KILL_MS;
    } else if (c->kill_ms && now_ms >= c->kill_ms) {
        kill(-c->pid, SIGKILL);
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
    if (c->kill_ms)
        kill(-c->pid, SIGKILL); /* over its time: nothing of it stays */
    return true;
}

bool command_succeeded(const struct command *c)
{
    MUST(c->has_ended);
    return !c->kill_ms && WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
}

static int put_ending(const struct command *c, const char *what, char *out, size_t size)
{
    char limit[32];

    if (c->kill_ms) {
        duration_format(c->limit_ms, limit);
        return snprintf(out, size, "%s took longer than %s and was ended", what, limit);
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
