/* agent_exec.c - tests of a command below lockstep-agent exec: what reaches it, whoever started it. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/publish/publish.h"
#include "common/clock.h"
#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/temp_folder.h"

#define SCOPE "payments/prod"
#define END_MS 40000 /* the ten seconds of one that does not get ready, and a busy machine */
#define FOLLOW "while test -e $0; do sleep 0.02 & wait $!; done"

/* The script of the command writes what happens to it into `out`, and goes on where `go` is. */
static char folder[TEMP_PATH / 2], out[TEMP_PATH], go[TEMP_PATH];
static struct agent_settings settings;
static struct agent_scope scope;
static struct publisher *publisher;
static pid_t exec;
static struct err e;

static void publish(uint64_t revision, const char *value)
{
    struct content content = { .revision = revision };
    struct document *d = document_new();
    char *bytes;
    size_t size;

    ck_assert_int_eq(document_set(d, "note", VALUE_STRING, value, &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, &content.hash, &e), 0);
    free(bytes);
    ck_assert_msg(publish_write(publisher, 0, d, &content.hash, &e) == 0, "%s", e.text);
    ck_assert_msg(publish_switch(publisher, 0, &content, &e) == 0, "%s", e.text);
    document_free(d);
}

static void begin(void)
{
    temp_make(folder);
    snprintf(out, sizeof(out), "%s/out", folder);
    snprintf(go, sizeof(go), "%s/out.go", folder);
    temp_write(out, "", 0644);
    scope = (struct agent_scope){ .name = SCOPE, .service = "payments", .environment = "prod" };
    settings = (struct agent_settings){ .publish_dir = folder, .scope_count = 1,
                                        .scopes = { &scope } };
    ck_assert_msg(publish_open(&settings, &publisher, &e) == 0, "%s", e.text);
    publish(1, "first");
}

/* `ignored`: by whoever starts exec; 0: nothing. */
static void launch(const char *on_change, const char *script, int ignored)
{
    struct kit k;

    kit_find_program(&k);
    exec = fork();
    ck_assert_int_ge(exec, 0);
    if (exec)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ignored)
        signal(ignored, SIG_IGN);
    execl(k.program, k.program, "exec", SCOPE, "--dir", folder, "--on-change", on_change, "--",
          "sh", "-c", script, out, (char *)NULL);
    _exit(127);
}

static void expect(const char *text)
{
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!temp_holds(out, text)) {
        SCOPED_BUFFER struct buffer found = { 0 };

        ck_assert_int_eq(buffer_read_file(&found, out, 4096, &e), 0);
        ck_assert_msg(clock_monotonic_ms() < until_ms, "the command wrote \"%s\"",
                      found.size ? found.data : "");
        poll(NULL, 0, 5);
    }
}

static void expect_end(int expected)
{
    int64_t until_ms = clock_monotonic_ms() + END_MS;
    int status;

    while (waitpid(exec, &status, WNOHANG) != exec) {
        ck_assert_msg(clock_monotonic_ms() < until_ms, "exec does not end");
        poll(NULL, 0, 5);
    }
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), expected);
}

static void end(void)
{
    publish_close(publisher);
    temp_remove(folder);
}

/* Below nohup a shell inherits that SIGHUP is ignored, and its trap would never run. */
TEST(a_change_is_told_where_its_signal_was_ignored)
{
    begin();
    launch("signal:HUP", "trap 'echo hup >>$0' HUP; trap 'exit 3' TERM; echo up >>$0; " FOLLOW,
           SIGHUP);
    expect("up\n");
    publish(2, "second");
    expect("up\nhup\n");
    kill(exec, SIGTERM);
    expect_end(3);
    end();
}

TEST(a_restart_is_asked_for_where_its_signal_was_ignored)
{
    begin();
    launch("restart", "trap 'echo bye >>$0; exit 0' TERM; echo up $NOTE >>$0; " FOLLOW, SIGTERM);
    expect("up first\n");
    publish(2, "second");
    expect("up first\nbye\nup second\n");
    kill(exec, SIGTERM);
    expect_end(0);
    end();
}

/* Where SIGCHLD is ignored children vanish with their status. */
TEST(the_end_is_seen_where_ends_were_ignored)
{
    begin();
    launch("restart", "exit 7", SIGCHLD);
    expect_end(7);
    end();
}

/* A change in the middle of the start would have ended it. */
TEST(a_command_that_starts_hears_when_it_is_ready)
{
    begin();
    launch("signal:HUP", "echo begun >>$0; while ! test -e $0.go; do sleep 0.02; done; "
           "trap 'echo hup >>$0' HUP; trap 'exit 3' TERM; echo up >>$0; " FOLLOW, 0);
    expect("begun\n");
    publish(2, "second");
    publish(3, "third");
    poll(NULL, 0, 200); /* as long as it took to tell one that is ready, and more */
    temp_write(go, "", 0644);
    expect("begun\nup\nhup\n");
    kill(exec, SIGTERM);
    expect_end(3);
    end();
}

/* One that never arranges for it may mean to be ended. */
TEST(a_command_that_never_is_ready_hears_too)
{
    begin();
    launch("signal:TERM", "echo up >>$0; exec sleep 120", 0);
    expect("up\n");
    publish(2, "second");
    expect_end(128 + SIGTERM);
    end();
}
