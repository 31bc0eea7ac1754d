/* exec.c - the command exec: a program that runs with a scope's values as its environment. */
#include "agent/commands/exec.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/client/lockstep.h"
#include "agent/commands/read_commands.h"
#include "agent/commands/variables.h"
#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"

#define WAIT_PRESET_MS 60000
#define STOP_PRESET_MS 10000
#define LOOK_MS 1000
#define PREPARING_MS 10000   /* a command that starts is waited for so long … */
#define PREPARING_LOOK_MS 20 /* … and looked at so often */
#define STATUS_MAX 65536
#define NOT_FOUND_STATUS 127 /* what shells say */
#define NOT_RUNNABLE_STATUS 126

enum on_change { ON_CHANGE_IGNORE, ON_CHANGE_RESTART, ON_CHANGE_SIGNAL };

struct exec {
    const char *scope, *folder;
    struct variables_choice choice;
    struct buffer allowed; /* the words of --allow-variable */
    enum on_change on_change;
    int change_signal;
    int64_t wait_ms, stop_ms;
    char **command;

    struct lockstep *config;
    struct variables given; /* what the command runs with */
    pid_t child;
    int signal_fd;
    bool is_restarting;
    int64_t kill_ms; /* 0: it was not asked to stop for a restart */
    bool is_due;     /* it has not been told yet of a change */
    int64_t prepared_ms; /* from then on it is taken for prepared to hear of changes */
};

/* ---- the command line ---- */

static int signal_of(const char *name)
{
    for (int n = 1; n < NSIG; n++)
        if (sigabbrev_np(n) && strcasecmp(sigabbrev_np(n), name) == 0)
            return n;
    return -1;
}

static int parse_on_change(struct exec *x, const char *text)
{
    if (strcmp(text, "ignore") == 0) {
        x->on_change = ON_CHANGE_IGNORE;
    } else if (strcmp(text, "restart") == 0) {
        x->on_change = ON_CHANGE_RESTART;
    } else if (strncmp(text, "signal:", 7) == 0) {
        x->on_change = ON_CHANGE_SIGNAL;
        x->change_signal = signal_of(strncasecmp(text + 7, "SIG", 3) ? text + 7 : text + 10);
    }
    if ((x->on_change == ON_CHANGE_IGNORE && strcmp(text, "ignore")) || x->change_signal < 0)
        return read_commands_say(READ_COMMANDS_USAGE,
                                 "--on-change %s: there are restart, signal:HUP (or "
                                 "another one) and ignore",
                                 text);
    return 0;
}

/* May be repeated. */
static int allow_variables(struct exec *x, const char *text)
{
    struct err e;

    if (variable_check_list(text, &e))
        return read_commands_say(READ_COMMANDS_USAGE, "--allow-variable: %s", e.text);
    buffer_printf(&x->allowed, "%s%s", x->allowed.size ? " " : "", text);
    x->choice.names.allowed = x->allowed.data;
    return 0;
}

static int parse_option(struct exec *x, int c, const char *text)
{
    struct err e;

    switch (c) {
    case 'd':
        x->folder = text;
        return 0;
    case 'p':
        x->choice.names.prefix = text;
        return variable_check_prefix(text, &e)
                   ? read_commands_say(READ_COMMANDS_USAGE, "--prefix: %s", e.text)
                   : 0;
    case 'a':
        return allow_variables(x, text);
    case 'O':
        x->choice.is_overwriting = true;
        return 0;
    case 'o':
        if (x->choice.only_count == VARIABLES_ONLY_MAX)
            return read_commands_say(READ_COMMANDS_USAGE, "--only: at most %d", VARIABLES_ONLY_MAX);
        x->choice.only[x->choice.only_count++] = text;
        return 0;
    case 'c':
        return parse_on_change(x, text);
    case 'w':
        return read_commands_duration("--wait", text, &x->wait_ms) ? 0 : READ_COMMANDS_USAGE;
    case 's':
        return read_commands_duration("--stop-timeout", text, &x->stop_ms) ? 0
                                                                           : READ_COMMANDS_USAGE;
    default:
        return READ_COMMANDS_USAGE;
    }
}

/* Options stand before or behind the scope, never behind "--". */
static int parse(struct exec *x, int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },       { "prefix", required_argument, NULL, 'p' },
        { "only", required_argument, NULL, 'o' },      { "on-change", required_argument, NULL, 'c' },
        { "wait", required_argument, NULL, 'w' },      { "stop-timeout", required_argument, NULL, 's' },
        { "allow-variable", required_argument, NULL, 'a' }, { "overwrite", no_argument, NULL, 'O' },
        { NULL, 0, NULL, 0 },
    };
    int c, rc;

    while ((c = getopt_long(argc, argv, "-d:p:o:c:w:s:", options, NULL)) != -1) {
        if (c == 1 && !x->scope) {
            x->scope = optarg;
            continue;
        }
        rc = c == 1 ? read_commands_say(READ_COMMANDS_USAGE,
                                        "put -- in front of the command, as in "
                                        "lockstep-agent exec %s -- %s",
                                        x->scope, optarg)
                    : parse_option(x, c, optarg);
        if (rc)
            return rc;
    }
    x->command = argv + optind;
    if (!x->scope || !x->command[0])
        return read_commands_say(READ_COMMANDS_USAGE,
                                 "usage: lockstep-agent exec SCOPE [--prefix P] [--only "
                                 "GLOB] [--allow-variable NAME] [--overwrite] "
                                 "[--on-change restart|signal:HUP|ignore] [--wait 60s] "
                                 "[--stop-timeout 10s] [--dir DIR] -- command …");
    return 0;
}

/* ---- the command ---- */

static void become(const struct exec *x, char **environment)
{
    int problem;

    execvpe(x->command[0], x->command, environment);
    problem = errno;
    read_commands_say(0, "%s cannot be run: %s", x->command[0], strerror(problem));
    _exit(problem == ENOENT ? NOT_FOUND_STATUS : NOT_RUNNABLE_STATUS);
}

/* What exec itself sends arrives, though it may be ignored where exec was started, as SIGHUP is
 * below nohup: a shell that inherits that cannot even set a trap. */
static void heed(const struct exec *x)
{
    signal(SIGTERM, SIG_DFL);
    if (x->on_change == ON_CHANGE_SIGNAL)
        signal(x->change_signal, SIG_DFL);
}

static void run_child(const struct exec *x, char **environment, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever kills this process means the command */
    if (getppid() != parent)
        _exit(NOT_RUNNABLE_STATUS);
    heed(x);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    become(x, environment);
}

/* Variables of the newest revision; into `out`, with the environment made of them. */
static int read_variables(struct exec *x, struct variables *out, char ***environment_out)
{
    const struct lockstep_snapshot *s = lockstep_hold(x->config);
    struct err e;
    int rc = variables_of(s, &x->choice, out, &e);

    if (rc == 0)
        *environment_out = variables_environment(out, x->scope, s);
    lockstep_release(s);
    if (rc)
        return read_commands_say(READ_COMMANDS_CONFLICT, "%s", e.text);
    if (out->secret_count)
        read_commands_say(0, "%zu secret%s of %s left out of the environment", out->secret_count,
                          out->secret_count == 1 ? "" : "s", x->scope);
    if (out->kept_count)
        read_commands_say(
            0,
            "%s %s set already and not overwritten: give --overwrite, or --prefix, for "
            "the configuration's",
            out->kept, out->kept_count == 1 ? "is" : "are");
    return 0;
}

static int start(struct exec *x)
{
    struct variables fresh;
    char **environment = NULL;
    pid_t self = getpid();
    int rc = read_variables(x, &fresh, &environment);

    if (rc)
        return rc;
    variables_fini(&x->given);
    x->given = fresh;
    x->kill_ms = 0;
    x->is_restarting = false;
    x->prepared_ms = clock_monotonic_ms() + PREPARING_MS;
    x->child = fork();
    if (x->child == 0)
        run_child(x, environment, self);
    variables_free_environment(environment);
    return x->child < 0 ? read_commands_say(READ_COMMANDS_FAILED, "fork: %s", strerror(errno)) : 0;
}

/* ---- above the command ---- */

static int open_signals(void)
{
    static const int all[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT,
                               SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        sigaddset(&set, all[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* A terminal has told the command already. Asked to end, it is not started again. */
static void pass_on(struct exec *x, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    if (number == SIGTERM || number == SIGINT || number == SIGQUIT)
        x->is_restarting = false;
    if (info->ssi_code != SI_KERNEL)
        kill(x->child, number);
}

/* True: it has ended. */
static bool reap(struct exec *x, int *status_out)
{
    int status;

    if (waitpid(x->child, &status, WNOHANG) != x->child)
        return false;
    *status_out = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

static void begin_restart(struct exec *x)
{
    x->is_restarting = true;
    x->kill_ms = clock_monotonic_ms() + x->stop_ms;
    kill(x->child, SIGTERM);
    kill(x->child, SIGCONT); /* one that is stopped hears nothing */
}

/* It has a handler for the signal; true too when that cannot be known. A signal that is blocked
 * says nothing: programs block all of them for a moment whenever they fork. */
static bool is_prepared(const struct exec *x)
{
    SCOPED_BUFFER struct buffer status = { 0 };
    char path[64];
    const char *at;
    struct err e;

    if (clock_monotonic_ms() >= x->prepared_ms)
        return true;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)x->child);
    if (buffer_read_file(&status, path, STATUS_MAX, &e) || !status.size)
        return true;
    at = strstr(status.data, "\nSigCgt:");
    return !at || strtoull(at + strlen("\nSigCgt:"), NULL, 16) >> (x->change_signal - 1) & 1;
}

/* A command that is still starting would be ended by most signals: it is told when it is ready. */
static void tell_change(struct exec *x)
{
    if (!x->is_due || !is_prepared(x))
        return;
    x->is_due = false;
    kill(x->child, x->change_signal);
}

/* Values that the command was not given do not concern it. */
static void look_for_change(struct exec *x)
{
    struct variables now;
    char **environment = NULL;
    bool is_same;

    if (lockstep_changed(x->config) <= 0 || x->is_restarting ||
        read_variables(x, &now, &environment))
        return;
    variables_free_environment(environment);
    is_same = variables_equal(&now, &x->given);
    if (is_same || x->on_change == ON_CHANGE_RESTART) {
        variables_fini(&now);
        if (!is_same)
            begin_restart(x);
        return;
    }
    variables_fini(&x->given);
    x->given = now;
    x->is_due = true;
}

static void hear_signals(struct exec *x)
{
    struct signalfd_siginfo info;

    while (read(x->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            pass_on(x, &info);
}

static int supervise(struct exec *x)
{
    struct pollfd fds[] = { { .fd = x->signal_fd, .events = POLLIN },
                            { .fd = lockstep_fd(x->config), .events = POLLIN } };
    int rc = start(x), status;

    while (rc == 0) {
        (void)poll(fds, 2, x->is_due ? PREPARING_LOOK_MS : LOOK_MS);
        hear_signals(x);
        if (reap(x, &status)) {
            if (!x->is_restarting)
                return status;
            rc = start(x);
            continue;
        }
        look_for_change(x);
        tell_change(x);
        if (x->kill_ms && clock_monotonic_ms() >= x->kill_ms)
            kill(x->child, SIGKILL);
    }
    return rc;
}

static int replace_self(struct exec *x)
{
    char **environment = NULL;
    int rc = read_variables(x, &x->given, &environment);

    if (rc == 0)
        become(x, environment);
    return rc;
}

int exec_run(int argc, char **argv)
{
    struct exec x = { .wait_ms = WAIT_PRESET_MS, .stop_ms = STOP_PRESET_MS,
                      .choice.names.remedy = "rename it, choose with --only, give --prefix APP_, "
                                             "or say --allow-variable NAME" };
    int rc = parse(&x, argc, argv);

    if (rc == 0)
        rc = read_commands_open(x.folder, x.scope, x.wait_ms, &x.config);
    if (rc)
        return rc;
    if (x.on_change == ON_CHANGE_IGNORE)
        return replace_self(&x);
    (void)lockstep_changed(x.config);
    x.signal_fd = open_signals();
    MUST(x.signal_fd >= 0);
    rc = supervise(&x);
    variables_fini(&x.given);
    lockstep_close(x.config);
    close(x.signal_fd);
    return rc;
}
