/* agent_command.c - tests of running commands: reasons, limits, output, what stays and what goes. */
#include "agent/process/command.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/process/cgroup.h"
#include "common/clock.h"
#include "common/name.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define PATIENCE_MS 10000
#define LATE 70 /* commands: more than are kept at first */

static char reason[4001];
static struct err e;

static const char *const said[] = { "LOCKSTEP_SCOPE=demo/prod", "LOCKSTEP_REVISION=7", NULL };
static struct environment named;

static struct command *start_as(const char *text, const struct user *user, int64_t limit_ms)
{
    struct command_order order = { .text = text, .said = said, .named = &named, .user = user,
                                   .limit_ms = limit_ms };
    struct command *c = NULL;

    ck_assert_msg(command_start(&order, clock_monotonic_ms(), &c, &e) == 0, "%s", e.text);
    return c;
}

static struct command *start(const char *text, int64_t limit_ms)
{
    return start_as(text, NULL, limit_ms);
}

/* Poll it to its end as the loop does. */
static void finish(struct command *c)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (!command_step(c, clock_monotonic_ms())) {
        struct pollfd fds[2];
        int pair[2];
        unsigned n = command_fds(c, pair);

        for (unsigned i = 0; i < n; i++)
            fds[i] = (struct pollfd){ .fd = pair[i], .events = POLLIN };
        poll(fds, n, 20);
        ck_assert_msg(clock_monotonic_ms() < until, "it does not end");
    }
}

static bool run(const char *text, int64_t limit_ms)
{
    struct command *c = start(text, limit_ms);
    bool is_ok;

    finish(c);
    is_ok = command_succeeded(c);
    command_reason(c, "check", reason, sizeof(reason));
    command_free(c);
    return is_ok;
}

TEST(success_and_failure)
{
    ck_assert(run("true", 5000));
    ck_assert(!run("exit 3", 5000));
    ck_assert_str_eq(reason, "check ended with 3");
    ck_assert(!run("echo out; echo err >&2; echo; exit 1", 5000));
    ck_assert_str_eq(reason, "check ended with 1: out\nerr");
    ck_assert(!run("kill -9 $$", 5000));
    ck_assert_str_eq(reason, "check was ended by signal 9 (Killed)");
    ck_assert(!run("nosuchprogram", 5000));
    ck_assert_ptr_nonnull(strstr(reason, "nosuchprogram"));
}

/* What is the agent's own stays its own, whoever runs the command. */
TEST(environment_is_given_by_name)
{
    static const char *const hidden[] = { "LOCKSTEP_AGENT_SECRET", "HTTP_PROXY", "PGPASSWORD",
                                          "CREDENTIALS_DIRECTORY", "LD_LIBRARY_PATH", "ORDINARY" };

    for (unsigned i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        setenv(hidden[i], "hush", 1);
    setenv("WANTED", "passed on", 1);
    setenv("LC_TIME", "C", 1);
    ck_assert(!run("echo $LOCKSTEP_SCOPE@$LOCKSTEP_REVISION; env | grep hush; exit 1", 5000));
    ck_assert_str_eq(reason, "check ended with 1: demo/prod@7");
    ck_assert(!run("env | cut -d= -f1 | grep -Ev '^(PWD|SHLVL|_|OLDPWD|TZ|LANG|LANGUAGE|LC_.*)$' | "
                   "sort | tr '\\n' ' '; exit 1", 5000));
    ck_assert_ptr_nonnull(strstr(reason, "LOCKSTEP_REVISION LOCKSTEP_SCOPE"));
    ck_assert_ptr_nonnull(strstr(reason, "PATH"));
    ck_assert_ptr_null(strstr(reason, "WANTED"));
    ck_assert_int_eq(environment_add(&named, "WANTED, ABSENT", &e), 0);
    ck_assert_int_eq(environment_add(&named, "SAID=with blanks, and = signs", &e), 0);
    ck_assert(!run("echo \"$WANTED/${ABSENT-absent}/$SAID/$LC_TIME\"; exit 1", 5000));
    ck_assert_str_eq(reason, "check ended with 1: passed on/absent/with blanks, and = signs/C");
    environment_fini(&named);
}

TEST(environment_lines_that_are_refused)
{
    struct environment env = { 0 };

    ck_assert_int_eq(environment_add(&env, "", &e), -1);
    ck_assert_int_eq(environment_add(&env, "2ND", &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "2ND"));
    ck_assert_int_eq(environment_add(&env, "A B=c", &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "line of its own"));
    ck_assert_int_eq(environment_add(&env, "LOCKSTEP_SCOPE=x", &e), -1);
    ck_assert_int_eq(environment_add(&env, "=x", &e), -1);
    environment_fini(&env);
}

TEST(a_path_is_there_without_the_agents)
{
    unsetenv("PATH");
    ck_assert_msg(run("command -v env >/dev/null", 5000), "%s", reason);
}

/* The pid that the command wrote down. */
static pid_t noted_pid(const char *path)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    for (;;) {
        SCOPED_BUFFER struct buffer b = { 0 };

        if (buffer_read_file(&b, path, 100, &e) == 0 && b.size && b.data[b.size - 1] == '\n')
            return (pid_t)strtol(b.data, NULL, 10);
        ck_assert_msg(clock_monotonic_ms() < until, "no pid in %s", path);
        poll(NULL, 0, 5);
    }
}

/* Gone, or dead and waiting for somebody to look. */
static void expect_gone(pid_t pid)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (kill(pid, 0) == 0) {
        SCOPED_BUFFER struct buffer state = { 0 };

        if (buffer_read_file(&state, path, 4096, &e) || strstr(state.data, ") Z "))
            return;
        ck_assert_msg(clock_monotonic_ms() < until, "process %d lives on", (int)pid);
        poll(NULL, 0, 10);
    }
}

/* The load of the machine may stand between the two. */
static void expect_timed_out(const char *limit, const char *output)
{
    char begin[100];
    size_t size = (size_t)snprintf(begin, sizeof(begin), "check timed out: it took longer than %s "
                                   "and was ended", limit);

    ck_assert_msg(strncmp(reason, begin, size) == 0, "%s", reason);
    ck_assert_msg(strcmp(reason + strlen(reason) - strlen(output), output) == 0, "%s", reason);
}

TEST(time_limit_ends_the_group)
{
    char folder[TEMP_PATH / 2], text[2 * TEMP_PATH], path[TEMP_PATH];

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    /* The inner process ignores TERM: only KILL ends it. */
    snprintf(text, sizeof(text), "(trap '' TERM; sh -c 'echo $PPID' > %s; sleep 3000; sleep 3000) "
             "& echo slow; wait", path);
    ck_assert(!run(text, 500));
    expect_timed_out("500ms", ": slow");
    expect_gone(noted_pid(path));
    temp_remove(folder);
}

/* In sessions and with parents of their own, and deaf to whatever can be ignored. */
static void escape(char *text, size_t size, const char *path, const char *then)
{
    snprintf(text, size, "setsid sh -c 'trap \"\" TERM HUP INT; "
             "(setsid sh -c \"trap \\\"\\\" TERM HUP; echo \\$\\$ > %s; "
             "sleep 3000; sleep 3000\" &) ; sleep 3000; sleep 3000' & %s", path, then);
}

TEST(time_limit_ends_other_sessions)
{
    char folder[TEMP_PATH / 2], text[3 * TEMP_PATH], path[TEMP_PATH];

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    escape(text, sizeof(text), path, "sleep 3000");
    ck_assert(!run(text, 1000));
    expect_timed_out("1s", "");
    expect_gone(noted_pid(path));
    temp_remove(folder);
}

/* Who may not write the tree of cgroups has the supervisor alone. */
TEST(without_a_cgroup_too)
{
    char folder[TEMP_PATH / 2], text[3 * TEMP_PATH], path[TEMP_PATH];
    int status;
    pid_t child;

    temp_make(folder);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    snprintf(path, sizeof(path), "%s/pid", folder);
    escape(text, sizeof(text), path, "sleep 3000");
    child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534))
            _exit(1);
        _exit(cgroup_is_there() || run(text, 1000) ? 2 : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect_gone(noted_pid(path));
    temp_remove(folder);
}

/* Folders of what commands left running are swept now and then; that of a command whose shell has
 * not entered yet is as empty as they are. */
TEST(a_cgroup_in_use_is_not_swept)
{
    struct cgroup first, other;
    bool is_there = cgroup_open(&first);
    char path[PATH_MAX];

    memcpy(path, first.path, sizeof(path));
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(cgroup_open(&other), is_there);
        cgroup_close(&other);
    }
    ck_assert(!is_there || access(path, F_OK) == 0);
    cgroup_close(&first);
    ck_assert(!is_there || mkdir(path, 0755) == 0);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(cgroup_open(&other), is_there);
        cgroup_close(&other);
    }
    ck_assert(!is_there || access(path, F_OK) != 0);
}

/* Supervisors that are stopped cannot end anything; once they go on, none stays a zombie. */
TEST(all_that_are_late_are_reaped)
{
    static int fds[LATE];

    for (int i = 0; i < LATE; i++) {
        struct command *c = start("echo; sleep 3000", 60000);
        struct pollfd output = { .events = POLLIN };
        int pair[2];

        ck_assert_uint_eq(command_fds(c, pair), 2);
        output.fd = pair[1];
        ck_assert_int_eq(poll(&output, 1, PATIENCE_MS), 1); /* the supervisor stands by now */
        fds[i] = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
        ck_assert_int_ge(fds[i], 0);
        ck_assert_int_eq(pidfd_send_signal(fds[i], SIGSTOP, NULL, 0), 0);
        command_free(c);
    }
    for (int i = 0; i < LATE; i++) {
        struct pollfd fd = { .fd = fds[i], .events = POLLIN };

        ck_assert_int_eq(pidfd_send_signal(fds[i], SIGCONT, NULL, 0), 0);
        ck_assert_int_eq(poll(&fd, 1, PATIENCE_MS), 1);
        close(fds[i]);
    }
    ck_assert(run("true", 60000));
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

TEST(free_ends_other_sessions)
{
    char folder[TEMP_PATH / 2], text[3 * TEMP_PATH], path[TEMP_PATH];
    struct command *c;
    pid_t pid;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    escape(text, sizeof(text), path, "sleep 3000");
    c = start(text, 60000);
    pid = noted_pid(path);
    ck_assert_int_eq(kill(pid, 0), 0);
    command_free(c);
    expect_gone(pid);
    temp_remove(folder);
}

/* A program that was started on purpose: it is nobody's when the command ended in time. */
TEST(in_time_other_sessions_stay)
{
    char folder[TEMP_PATH / 2], text[3 * TEMP_PATH], path[TEMP_PATH], then[200];
    pid_t pid;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    snprintf(then, sizeof(then), "while ! [ -s %.150s ]; do :; done", path);
    escape(text, sizeof(text), path, then);
    ck_assert_msg(run(text, 30000), "%s", reason);
    pid = noted_pid(path);
    poll(NULL, 0, 100);
    ck_assert_int_eq(kill(pid, 0), 0);
    kill(getpgid(pid), SIGKILL);
    kill(pid, SIGKILL);
    temp_remove(folder);
}

/* A command that ends its own process group ends itself, and nobody else. */
TEST(kill_of_its_own_group)
{
    ck_assert(!run("kill -9 0", 5000));
    ck_assert_str_eq(reason, "check was ended by signal 9 (Killed)");
}

TEST(output_is_bounded_and_clean)
{
    ck_assert(!run("i=0; while [ $i -lt 20000 ]; do echo \"line $i ä\"; i=$((i+1)); done; "
                   "printf 'bad \\377\\001 end'; exit 1", 30000));
    ck_assert_uint_le(strlen(reason), COMMAND_OUTPUT_MAX + 100);
    ck_assert_uint_ge(strlen(reason), COMMAND_OUTPUT_MAX - 10);
    ck_assert(name_is_utf8(reason, strlen(reason)));
    ck_assert_ptr_nonnull(strstr(reason, "line 19999 ä\nbad ?? end"));
    ck_assert_ptr_nonnull(strstr(reason, "check ended with 1: …"));
}

TEST(background_process_is_no_reason_to_wait)
{
    int64_t began_ms = clock_monotonic_ms();

    ck_assert(run("sleep 30 & echo started", 60000)); /* it keeps the pipe open */
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, 20000);
}

TEST(endless_output_does_not_hold_the_caller)
{
    struct command *c = start("yes", 60000);
    int64_t began_ms = clock_monotonic_ms();

    for (int i = 0; i < 20; i++)
        ck_assert(!command_step(c, clock_monotonic_ms()));
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, 20000);
    command_free(c);
}

TEST(free_ends_it)
{
    char folder[TEMP_PATH / 2], text[2 * TEMP_PATH], path[TEMP_PATH];
    struct command *c;
    pid_t pid;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    snprintf(text, sizeof(text), "trap '' TERM; echo $$ > %s; sleep 3000; sleep 3000", path);
    c = start(text, 60000);
    pid = noted_pid(path);
    command_free(c);
    expect_gone(pid);
    temp_remove(folder);
}

TEST(group_dies_with_its_parent)
{
    char folder[TEMP_PATH / 2], text[2 * TEMP_PATH], path[TEMP_PATH];
    pid_t agent, inner;
    int status;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/pid", folder);
    snprintf(text, sizeof(text), "sh -c 'trap \"\" TERM HUP; echo $$ > %s; sleep 3000; true'; "
             "true", path);
    agent = fork();
    if (agent == 0) {
        start(text, 3600000);
        for (;;)
            pause();
    }
    inner = noted_pid(path);
    ck_assert_int_eq(kill(inner, 0), 0);
    kill(agent, SIGKILL);
    ck_assert_int_eq(waitpid(agent, &status, 0), agent);
    expect_gone(inner);
    temp_remove(folder);
}

/* His rights, his groups, his home; and killed like all others. */
TEST(as_another_user)
{
    struct user *user;
    struct command *c;

    if (!is_root("a command as another user"))
        return;
    ck_assert_msg(user_find("nobody", &user, &e) == 0, "%s", e.text);
    c = start_as("home=$(getent passwd nobody | cut -d: -f6); "
                 "[ \"$(id -un) $(id -G)\" = \"nobody $(id -G nobody)\" ] && "
                 "[ \"$USER $HOME\" = \"nobody $home\" ] && ! touch /root/x 2>/dev/null", user,
                 5000);
    finish(c);
    command_reason(c, "check", reason, sizeof(reason));
    ck_assert_msg(command_succeeded(c), "%s", reason);
    command_free(c);
    c = start_as("setsid sleep 100 & sleep 100", user, 50);
    finish(c);
    ck_assert(!command_succeeded(c));
    command_free(c);
    user_free(user);
}
