/* agent_consumers.c - tests of an agent with processes that confirm, refuse, keep silent or die. */
#include "agent/client/lockstep.h"

#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/client/report.h"
#include "agent/publish/consumers.h"
#include "common/crypto/digest.h"
#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/rights.h"

#define SCOPE "demo/prod"

static struct kit kit;
static struct version v1, v2;
static char public_folder[KIT_PATH];

static void begin(const char *scope_lines)
{
    v1 = version_of(1, "one\n");
    v2 = version_of(2, "two\n");
    kit_open(&kit, scope_lines);
    snprintf(public_folder, sizeof(public_folder), "%s/state.public", kit.folder);
    kit_start(&kit);
    kit_welcome(&kit);
}

static void end(void)
{
    kit_close(&kit);
    version_free(&v1);
    version_free(&v2);
}

static struct lockstep *open_scope(int wait_ms)
{
    struct lockstep *ls;

    ck_assert_int_ge(lockstep_open_at(&ls, public_folder, SCOPE, wait_ms), 0);
    return ls;
}

/* An application that follows, unless it was told to refuse or to keep silent. */
struct application {
    struct lockstep *config;
    atomic_bool refuses, is_silent;
    atomic_ullong runs;
};

static void follow(struct lockstep *config, const struct lockstep_snapshot *s, void *context)
{
    struct application *app = context;

    if (atomic_load(&app->is_silent))
        return;
    if (atomic_load(&app->refuses) && lockstep_held_revision(s) == 2) {
        lockstep_confirm(config, s, "value: two is one too many");
        return;
    }
    atomic_store(&app->runs, lockstep_held_revision(s));
    lockstep_confirm(config, s, NULL);
}

static void launch(struct application *app, bool is_silent, bool refuses)
{
    *app = (struct application){ .config = open_scope(0) };
    atomic_init(&app->is_silent, is_silent);
    atomic_init(&app->refuses, refuses);
    ck_assert_int_eq(lockstep_register(app->config, "application"), 0);
    ck_assert_int_eq(lockstep_watch(app->config, follow, app), 0);
}

static int confirm(struct lockstep *config)
{
    const struct lockstep_snapshot *s = lockstep_hold(config);
    int rc = lockstep_confirm(config, s, NULL);

    lockstep_release(s);
    return rc;
}

static void expect_runs(struct application *app, uint64_t revision)
{
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (atomic_load(&app->runs) != revision) {
        ck_assert_msg(clock_monotonic_ms() < until_ms, "it runs %llu",
                      (unsigned long long)atomic_load(&app->runs));
        poll(NULL, 0, 5);
    }
}

static struct wire_ack roll(uint64_t number, const struct version *from, const struct version *to,
                            enum wire_type expected)
{
    struct wire_ack ack;

    kit_prepare(&kit, number, from, to, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, number + 1, number, to);
    ack = kit_expect_ack(&kit, expected);
    kit_receipt(&kit, ack.outbox_id);
    return ack;
}

/* The first version, finalized: the last known good. */
static void settle_first(void)
{
    roll(10, NULL, &v1, WIRE_APPLIED);
    kit_decide(&kit, WIRE_FINALIZE, 12, 0, &v1);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_FINALIZED).outbox_id);
}

static bool has_step(const struct wire_ack *ack, enum wire_step step)
{
    for (unsigned i = 0; i < ack->step_count; i++)
        if (ack->steps[i].step == step)
            return true;
    return false;
}

static void expect_text(const struct wire_ack *ack, const char *part)
{
    char text[WIRE_TEXT_MAX + 1];

    wire_text_copy(ack->text, text, sizeof(text));
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" does not say %s", text, part);
}

TEST(all_confirm)
{
    struct application one, two;
    struct wire_ack ack;

    begin("check_interval = 0");
    settle_first();
    launch(&one, false, false);
    launch(&two, false, false);
    ack = roll(20, &v1, &v2, WIRE_APPLIED);
    ck_assert_uint_eq(atomic_load(&one.runs), 2);
    ck_assert_uint_eq(atomic_load(&two.runs), 2);
    ck_assert(has_step(&ack, WIRE_STEP_READERS));
    ck_assert(has_step(&ack, WIRE_STEP_CONSUMERS));
    kit_decide(&kit, WIRE_ROLLBACK, 30, 0, &v1);
    kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    ck_assert_uint_eq(atomic_load(&one.runs), 1);
    ck_assert_uint_eq(atomic_load(&two.runs), 1);
    lockstep_close(one.config);
    lockstep_close(two.config);
    end();
}

TEST(one_cannot)
{
    struct application one, two;
    struct wire_ack ack;

    begin("check_interval = 0");
    settle_first();
    launch(&one, false, false);
    launch(&two, false, true);
    expect_runs(&one, 1);
    expect_runs(&two, 1);
    ack = roll(20, &v1, &v2, WIRE_FAILED);
    ck_assert_int_eq(ack.step, WIRE_STEP_CONSUMERS);
    expect_text(&ack, "cannot run it: value: two is one too many");
    ck_assert_uint_eq(ack.is_broken, 0);
    ck_assert_uint_eq(ack.held[0].revision, 1);
    expect_runs(&one, 1);
    ck_assert_uint_eq(lockstep_revision(two.config), 1);
    ck_assert(temp_holds(kit.file, "one\n"));
    atomic_store(&two.refuses, false); /* what it said of this content before is no answer now */
    roll(30, &v1, &v2, WIRE_APPLIED);
    lockstep_close(one.config);
    lockstep_close(two.config);
    end();
}

TEST(one_keeps_silent)
{
    struct application one, two;
    struct wire_ack ack;

    begin("check_interval = 0\nconsumers_timeout = 200ms");
    settle_first();
    launch(&one, false, false);
    launch(&two, true, false);
    ack = roll(20, &v1, &v2, WIRE_FAILED);
    ck_assert_int_eq(ack.step, WIRE_STEP_CONSUMERS);
    expect_text(&ack, "1 of the 2 consumers needed confirmed it within 200 ms; no word from "
                      "application (pid ");
    ck_assert_uint_eq(ack.is_broken, 0);
    lockstep_close(one.config);
    lockstep_close(two.config);
    end();
}

TEST(the_dead_are_not_waited_for)
{
    struct application one, two;

    begin("check_interval = 0\nconsumers_timeout = 1m");
    settle_first();
    launch(&one, false, false);
    launch(&two, true, false);
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, 21, 20, &v2);
    expect_runs(&one, 2);
    kit_expect_none(&kit, WIRE_APPLIED, 150);
    lockstep_close(two.config);
    kit_expect_ack(&kit, WIRE_APPLIED);
    lockstep_close(one.config);
    end();
}

TEST(a_part_is_enough)
{
    struct application one, two;

    begin("check_interval = 0\nconsumers = 50%\nconsumers_timeout = 1m");
    settle_first();
    launch(&one, false, false);
    launch(&two, true, false);
    roll(20, &v1, &v2, WIRE_APPLIED);
    lockstep_close(one.config);
    lockstep_close(two.config);
    end();
}

TEST(so_many_are_needed)
{
    struct application one;
    struct wire_ack ack;

    begin("check_interval = 0\nconsumers = 2\nconsumers_timeout = 100ms");
    launch(&one, false, false);
    ack = roll(10, NULL, &v1, WIRE_FAILED);
    expect_text(&ack, "1 of the 2 consumers needed");
    lockstep_close(one.config);
    end();
}

TEST(none_is_asked)
{
    struct application one;

    begin("check_interval = 0\nconsumers = none");
    launch(&one, true, true);
    settle_first();
    roll(20, &v1, &v2, WIRE_APPLIED);
    lockstep_close(one.config);
    end();
}

/* A killed agent comes back while it waits; so do its consumers, whose word it needs. */
TEST(agent_is_killed_while_it_waits)
{
    struct application one, two;

    begin("check_interval = 0\nconsumers_timeout = 1m");
    settle_first();
    launch(&one, false, false);
    launch(&two, true, false);
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, 21, 20, &v2);
    expect_runs(&one, 2);
    kit_kill(&kit);
    ck_assert_uint_eq(lockstep_revision(one.config), 2);
    kit_start(&kit);
    kit_welcome(&kit);
    kit_expect_none(&kit, WIRE_APPLIED, 300);
    atomic_store(&two.is_silent, false);
    ck_assert_int_eq(confirm(two.config), 0);
    kit_expect_ack(&kit, WIRE_APPLIED);
    lockstep_close(one.config);
    lockstep_close(two.config);
    end();
}

/* What they read does not change when the agent dies, and follows it when it is back. */
TEST(readers_without_an_agent)
{
    struct lockstep *early, *late;
    char text[16];

    begin("check_interval = 0");
    early = open_scope(0);
    ck_assert_uint_eq(lockstep_revision(early), 0);
    settle_first();
    ck_assert_int_eq(lockstep_wait(early, PATIENCE_MS), 0);
    kit_kill(&kit);
    late = open_scope(0);
    ck_assert_uint_eq(lockstep_revision(late), 1);
    ck_assert_int_eq(confirm(late), LOCKSTEP_UNREACHED);
    kit_start(&kit);
    kit_welcome(&kit);
    roll(20, &v1, &v2, WIRE_APPLIED);
    lockstep_string(early, "value", NULL, text, sizeof(text));
    ck_assert_str_eq(text, "two\n");
    lockstep_string(late, "value", NULL, text, sizeof(text));
    ck_assert_str_eq(text, "two\n");
    lockstep_close(early);
    lockstep_close(late);
    end();
}

/* What was damaged or removed below a running agent is put back. */
TEST(files_are_put_back)
{
    char path[KIT_PATH * 2], hex[HASH_HEX_SIZE];
    struct lockstep *ls;

    begin("check_interval = 0");
    settle_first();
    hash_to_hex(&v1.hash, hex);
    snprintf(path, sizeof(path), "%s/" SCOPE "/%s", public_folder, hex);
    ck_assert_int_eq(truncate(path, 100), 0);
    kit_kill(&kit);
    kit_start(&kit);
    kit_welcome(&kit);
    ls = open_scope(PATIENCE_MS);
    ck_assert_uint_eq(lockstep_revision(ls), 1);
    lockstep_close(ls);
    end();
}

static int knock_as_nobody(void)
{
    struct lockstep *ls;

    if (setgid(65534) || setuid(65534) || lockstep_open_at(&ls, public_folder, SCOPE, 0) != 1)
        return 1;
    if (lockstep_register(ls, "stranger") != 0)
        return 2;
    for (unsigned i = 0; i < 1000; i++) {
        if (confirm(ls) == -EACCES)
            return 0;
        poll(NULL, 0, 5);
    }
    return 3;
}

/* More than there are places, all of them silent; then one who has something to say. */
TEST(crowd_at_the_door)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct application one;
    int fds[300];

    begin("check_interval = 0\nconsumers = 1\nconsumers_timeout = 10s");
    ck_assert_int_lt(snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/.consumers",
                              public_folder), (int)sizeof(address.sun_path));
    for (size_t i = 0; i < 300; i++) {
        fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fds[i], (const void *)&address, sizeof(address)), 0);
    }
    launch(&one, false, false);
    settle_first();
    ck_assert_uint_eq(atomic_load(&one.runs), 1);
    for (size_t i = 0; i < 300; i++)
        close(fds[i]);
    lockstep_close(one.config);
    end();
}

TEST(strangers_are_rejected)
{
    int status;
    pid_t child;

    begin("check_interval = 0");
    ck_assert_int_eq(chmod(kit.folder, 0711), 0);
    if (is_root("a stranger who knocks")) {
        child = fork();
        if (child == 0)
            _exit(knock_as_nobody());
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    settle_first(); /* and nobody waits for it */
    end();
}

/* A child of another user that registers, says nothing, and lives until it is ended. Its status of
 * the registration comes over the pipe: 0, or the error of a confirmation. */
static pid_t register_as_nobody(int *rc_out)
{
    int ends[2], rc = 0;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        struct lockstep *ls;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setgid(65534) || setuid(65534) || lockstep_open_at(&ls, public_folder, SCOPE, 0) < 0)
            _exit(1);
        rc = lockstep_register(ls, "reader");
        for (unsigned i = 0; i < 40 && rc == 0; i++) { /* a no takes a moment to come back */
            poll(NULL, 0, 25);
            rc = lockstep_register(ls, "reader");
        }
        (void)!write(ends[1], &rc, sizeof(rc));
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ends[0], &rc, sizeof(rc)), (ssize_t)sizeof(rc));
    close(ends[0]);
    close(ends[1]);
    *rc_out = rc;
    return child;
}

static void dismiss(pid_t child)
{
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* To read is no right to hold up a change: who may is named. */
TEST(readers_are_no_consumers)
{
    const struct group *group = getgrgid(65534);
    struct wire_ack ack;
    char lines[200];
    pid_t child;
    int rc;

    if (!is_root("readers who register"))
        return;
    ck_assert_msg(group != NULL, "no group has the number 65534");
    snprintf(lines, sizeof(lines), "check_interval = 0\nconsumers_timeout = 300ms\n"
             "readers_group = %s\n", group->gr_name);
    begin(lines);
    ck_assert_int_eq(chmod(kit.folder, 0711), 0);
    settle_first();
    child = register_as_nobody(&rc);
    ck_assert_int_eq(rc, -EACCES);
    roll(20, &v1, &v2, WIRE_APPLIED);
    dismiss(child);
    end();

    snprintf(lines, sizeof(lines), "check_interval = 0\nconsumers_timeout = 300ms\n"
             "readers_group = %s\nconsumer_users = 65534\n", group->gr_name);
    begin(lines);
    ck_assert_int_eq(chmod(kit.folder, 0711), 0);
    settle_first();
    child = register_as_nobody(&rc);
    ck_assert_int_eq(rc, 0);
    ack = roll(20, &v1, &v2, WIRE_FAILED);
    expect_text(&ack, "no word from reader");
    dismiss(child);
    end();
}

/* Registered, and as silent afterwards as those at the door. */
static int register_silently(void)
{
    struct report r = { .magic = REPORT_MAGIC, .kind = REPORT_REGISTER, .scope = SCOPE,
                        .name = "x" };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    ck_assert_int_lt(snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/.consumers",
                              public_folder), (int)sizeof(address.sun_path));
    ck_assert_int_eq(connect(fd, (const void *)&address, sizeof(address)), 0);
    (void)send(fd, &r, sizeof(r), MSG_NOSIGNAL);
    return fd;
}

/* One user's processes do not take the places of another's. */
TEST(a_user_has_half_of_the_places)
{
    struct pollfd all[AGENT_CONSUMERS_MAX + 40];
    unsigned count = sizeof(all) / sizeof(all[0]), kept = count;
    pid_t child;
    int rc;

    begin("check_interval = 0\nconsumers = none\nconsumer_users = 65534");
    ck_assert_int_eq(chmod(kit.folder, 0711), 0);
    for (unsigned i = 0; i < count; i++)
        all[i] = (struct pollfd){ .fd = register_silently(), .events = POLLIN };
    if (is_root("a consumer of another user")) {
        child = register_as_nobody(&rc);
        ck_assert_int_eq(rc, 0);
        dismiss(child);
    }
    for (int tries = 0; tries < 200 && kept != AGENT_CONSUMERS_MAX / 2; tries++) {
        usleep(tries ? 50000 : 0); /* the agent closes what it does not take, one after the other */
        (void)poll(all, count, 1000);
        kept = 0;
        for (unsigned i = 0; i < count; i++)
            kept += !all[i].revents;
    }
    for (unsigned i = 0; i < count; i++)
        close(all[i].fd);
    ck_assert_uint_eq(kept, AGENT_CONSUMERS_MAX / 2);
    end();
}
