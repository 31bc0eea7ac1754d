/* agent_kills.c - a real lockstep-agent, killed at any moment: nothing said is lost, nothing is half.
 *
 * A coordinator of the test's own drives rollouts (prepare, activate, then finalize or roll back)
 * while the agent is killed at random moments. Whenever it is dead, everything it left behind is
 * judged: promises and outbox against every word that was heard, the rendered files, the group of
 * files and what readers map against the contents that may be active. KILLS=n for more of them,
 * SEED=n to begin elsewhere; CALLS=1 also ends one activation at each of its system calls in turn,
 * and lets the disk fill up or fail at each of its writes (strace does that).
 */
#include <errno.h>
#include <inttypes.h>

#include "agent/cache/cache.h"
#include "agent/client/lockstep.h"
#include "tests/test.h"
#include "tests/unit/agent_kit.h"

#define KILLS 60
#define REPEAT_MS 200
#define LINES 400 /* of a value: large enough to be caught half written */

static struct kit kit;
static char group[KIT_PATH], readers[KIT_PATH];
static uint64_t chance, sequence;
static int64_t said_ms; /* when the newest message went out */
static bool is_disk_bad;
static unsigned message_count, kill_count, survived_count;
static unsigned applied_count, rolled_back_count, failed_count;

/* What the coordinator knows and wants. */
enum drive { NOTHING, PREPARING, ACTIVATING, ROLLING_BACK, FINALIZING };
static struct {
    struct version base, next; /* base: released; its revision 0: none yet */
    enum drive phase;
    enum drive held; /* a phase whose message is not said yet */
    uint64_t attempt, decision;
    uint64_t dropped; /* revision of the one before, which was rolled back */
    bool is_bad; /* the next one is to be rolled back */
} rollout;

/* Every word of the agent that was heard, of the newest attempt and decision. */
static struct {
    uint64_t ready, outcome; /* attempt, dseq */
    enum wire_type outcome_type;
    uint64_t unreceipted; /* outbox id; 0: none */
    uint64_t receipted;   /* the highest outbox id that a receipt was sent for */
} heard;

static unsigned pick(unsigned bound)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)(chance >> 11) % bound;
}

static struct version make_version(uint64_t revision)
{
    SCOPED_BUFFER struct buffer value = { 0 };

    for (unsigned i = 0; i < LINES; i++)
        buffer_printf(&value, "revision %" PRIu64 "\n", revision);
    return version_of(revision, value.data);
}

/* ---- what was left behind ---- */

/* The revision that all lines name; 0: no such file. */
static uint64_t revision_in(const char *what, const char *text, size_t size)
{
    uint64_t revision = 0;
    char line[64];
    size_t at = 0;

    ck_assert_msg(sscanf(text, "revision %" SCNu64 "\n", &revision) == 1, "%s: %.40s", what, text);
    snprintf(line, sizeof(line), "revision %" PRIu64 "\n", revision);
    for (unsigned i = 0; i < LINES; i++, at += strlen(line))
        ck_assert_msg(at + strlen(line) <= size && memcmp(text + at, line, strlen(line)) == 0,
                      "%s is a mix: line %u is not of revision %" PRIu64, what, i, revision);
    ck_assert_msg(at == size, "%s has %zu bytes too many", what, size - at);
    return revision;
}

static uint64_t revision_of_file(const char *path)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err e;

    if (access(path, F_OK) != 0)
        return 0;
    ck_assert_msg(buffer_read_file(&text, path, 1 << 20, &e) == 0, "%s", e.text);
    return revision_in(path, text.data, text.size);
}

static uint64_t revision_of_group(void)
{
    char one[2 * KIT_PATH], two[2 * KIT_PATH];
    uint64_t revision;

    snprintf(one, sizeof(one), "%s/one", group);
    snprintf(two, sizeof(two), "%s/two", group);
    revision = revision_of_file(one);
    ck_assert_msg(revision == revision_of_file(two), "%s is half of revision %" PRIu64, group,
                  revision);
    return revision;
}

static uint64_t revision_of_readers(void)
{
    const struct lockstep_snapshot *held;
    struct lockstep *config = NULL;
    uint64_t revision;

    ck_assert_int_ge(lockstep_open_at(&config, readers, "demo/prod", 0), 0);
    held = lockstep_hold(config);
    revision = lockstep_held_revision(held);
    if (revision) {
        const char *value = lockstep_held_string(held, "value", "");

        ck_assert_uint_eq(revision_in("what readers map", value, strlen(value)), revision);
    }
    lockstep_release(held);
    lockstep_close(config);
    return revision;
}

static void may_show(const char *what, uint64_t shown, const struct promise *p)
{
    bool is_near = shown == rollout.base.revision || shown == rollout.next.revision ||
                   (p->outcome == OUTCOME_BROKEN && shown == rollout.dropped);

    if (p->outcome == OUTCOME_OK || p->outcome == OUTCOME_FAILED || p->outcome == OUTCOME_NONE)
        ck_assert_msg(shown == p->active.revision,
                      "%s shows revision %" PRIu64 ", active is %" PRIu64 " (outcome %d)", what,
                      shown, p->active.revision, p->outcome);
    else
        ck_assert_msg(is_near, "%s shows revision %" PRIu64, what, shown);
}

/* S3, S5: what was heard is still so. */
static void judge_words(const struct promise *p)
{
    if (heard.ready == rollout.attempt && p->obeyed < heard.ready)
        ck_assert_msg(p->slot_attempt == heard.ready, "READY of %" PRIu64 " is not held any more",
                      heard.ready);
    if (!heard.outcome)
        return;
    ck_assert_msg(p->obeyed >= heard.outcome, "the outcome of %" PRIu64 " is lost", heard.outcome);
    if (p->obeyed != heard.outcome)
        return;
    if (heard.outcome_type == WIRE_FAILED)
        ck_assert_int_ne(p->outcome, OUTCOME_OK);
    else
        ck_assert_int_eq(p->outcome, OUTCOME_OK);
}

static void look_for(void *ctx, uint64_t id, const void *body, size_t size)
{
    (void)body;
    (void)size;
    if (id == heard.unreceipted)
        *(bool *)ctx = true;
}

/* The agent is dead. A second look at the same bytes finds the same. */
static void judge(void)
{
    struct cache *cache = NULL;
    struct promise p;
    char state[KIT_PATH];
    bool is_kept = !heard.unreceipted;
    struct err e;

    snprintf(state, sizeof(state), "%s/state", kit.folder);
    if (access(state, F_OK) != 0 || cache_peek(state, &cache, &e)) {
        ck_assert_msg(!heard.ready && !heard.outcome, "the cache is gone: %s", e.text);
        return;
    }
    ck_assert_msg(cache_get_promise(cache, "demo/prod", &p, &e) == 0, "%s", e.text);
    judge_words(&p);
    ck_assert(hash_is_zero(&p.active.hash) || cache_has_document(cache, &p.active.hash));
    ck_assert_msg(cache_outbox(cache, look_for, &is_kept, &e) == 0, "%s", e.text);
    ck_assert_msg(is_kept, "outbox entry %" PRIu64 " was said, not receipted, and is gone",
                  heard.unreceipted);
    cache_close(cache);
    may_show(kit.file, revision_of_file(kit.file), &p);
    may_show(group, revision_of_group(), &p);
    may_show("what readers map", revision_of_readers(), &p);
}

/* ---- the coordinator's part ---- */

static void begin_rollout(void)
{
    rollout.next = make_version(++sequence);
    rollout.phase = PREPARING;
    rollout.attempt = ++sequence;
    rollout.decision = 0;
    rollout.is_bad = pick(3) == 0;
}

static void decide(enum drive phase)
{
    rollout.phase = phase;
    rollout.decision = ++sequence;
}

static void end_rollout(bool is_next)
{
    struct version gone = is_next ? rollout.base : rollout.next;

    if (is_next)
        rollout.base = rollout.next;
    rollout.dropped = is_next ? 0 : gone.revision;
    version_free(&gone);
    begin_rollout();
}

static const struct version *base_or_none(void)
{
    return rollout.base.revision ? &rollout.base : NULL;
}

/* Says what is wanted now; repeats do no harm. */
static void say_again(void)
{
    said_ms = clock_monotonic_ms();
    if (rollout.phase == rollout.held || !kit.peer.id_size)
        return;
    switch (rollout.phase) {
    case NOTHING:
        break;
    case PREPARING:
        kit_prepare(&kit, rollout.attempt, base_or_none(), &rollout.next, true);
        break;
    case ACTIVATING:
        kit_decide(&kit, WIRE_ACTIVATE, rollout.decision, rollout.attempt, &rollout.next);
        break;
    case ROLLING_BACK:
        kit_decide(&kit, WIRE_ROLLBACK, rollout.decision, 0, base_or_none());
        break;
    case FINALIZING:
        kit_decide(&kit, WIRE_FINALIZE, rollout.decision, 0, &rollout.next);
        break;
    }
}

static void hear_outcome(const struct wire_ack *ack, enum wire_type type)
{
    heard.outcome = ack->number;
    heard.outcome_type = type;
    if (ack->number != rollout.decision)
        return;
    if (type == WIRE_FAILED) {
        failed_count++; /* killed too often while it applied: it went back, or could not */
        if (rollout.phase == ACTIVATING)
            decide(ROLLING_BACK);
        else if (rollout.phase == ROLLING_BACK)
            end_rollout(false);
    } else if (type == WIRE_APPLIED) {
        applied_count++;
        decide(rollout.is_bad ? ROLLING_BACK : FINALIZING);
    } else if (type == WIRE_ROLLED_BACK) {
        rolled_back_count++;
        end_rollout(false);
    } else {
        end_rollout(true);
    }
}

static void hear(const struct router_message *m)
{
    struct wire_ack ack;
    struct err e;

    if (m->envelope.type != WIRE_READY && m->envelope.type != WIRE_APPLIED &&
        m->envelope.type != WIRE_FAILED && m->envelope.type != WIRE_ROLLED_BACK &&
        m->envelope.type != WIRE_FINALIZED && m->envelope.type != WIRE_REFUSED)
        return;
    ck_assert_msg(wire_decode_ack(m->body, m->body_size, &ack, &e) == 0, "%s", e.text);
    if (m->envelope.type == WIRE_REFUSED && ack.reason != WIRE_REASON_BASE &&
        ack.number == rollout.attempt) {
        ck_assert_msg(is_disk_bad, "refused: %.*s", (int)ack.text.size, ack.text.at);
        rollout.attempt = ++sequence;
        rollout.held = PREPARING;
    }
    heard.unreceipted = ack.outbox_id > heard.receipted ? ack.outbox_id : 0;
    if (m->envelope.type == WIRE_READY) {
        heard.ready = ack.number;
        if (rollout.phase == PREPARING && ack.number == rollout.attempt)
            decide(ACTIVATING);
    } else if (m->envelope.type != WIRE_REFUSED) {
        hear_outcome(&ack, m->envelope.type);
    }
    if (ack.outbox_id && pick(8)) { /* now and then the receipt comes with the repeat only */
        kit_receipt(&kit, ack.outbox_id);
        heard.receipted = ack.outbox_id > heard.receipted ? ack.outbox_id : heard.receipted;
        heard.unreceipted = 0;
    }
    say_again();
}

/* Until the moment has come, everything that arrives is heard and answered. */
static void converse(int64_t until_us)
{
    while (clock_monotonic_us() < until_us) {
        struct pollfd p = { .fd = router_fd(kit.router), .events = POLLIN };
        int64_t left_us = until_us - clock_monotonic_us();

        if (!router_next(kit.router, &kit.last)) {
            struct timespec wait = { .tv_nsec = (left_us > 2000 ? 2000 : left_us) * 1000 };

            if (clock_monotonic_ms() > said_ms + REPEAT_MS)
                say_again(); /* it was lost on the way to an agent that was no more */
            if (left_us > 0)
                ppoll(&p, 1, &wait, NULL);
            continue;
        }
        kit.peer = kit.last.peer;
        message_count++;
        if (kit.last.envelope.type == WIRE_HELLO) {
            struct wire_welcome welcome = { .session = 1, .heartbeat_ms = 60000 };

            memcpy(welcome.cluster_id, kit.cluster, sizeof(kit.cluster));
            kit_send(&kit, WIRE_WELCOME, kit.out,
                     wire_encode_welcome(&welcome, kit.out, sizeof(kit.out)));
            say_again();
        } else {
            hear(&kit.last);
        }
    }
}

/* A life of the agent: some are too short to connect, others last for a few messages, whatever time
 * these take, and a moment. */
static void live(void)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_MS * 1000;
    unsigned messages = pick(8) ? message_count + 1 + pick(14) : message_count;

    while (message_count < messages && clock_monotonic_us() < until_us)
        converse(clock_monotonic_us() + 500);
    converse(clock_monotonic_us() + pick(6000));
}

static void open_all(void)
{
    char lines[5 * KIT_PATH];

    kit_open(&kit, "");
    snprintf(group, sizeof(group), "%s/conf.d", kit.folder);
    snprintf(readers, sizeof(readers), "%s/readers", kit.folder);
    snprintf(lines, sizeof(lines), "group = %s\nfile = value -> %s/one\nfile = value -> %s/two\n"
             "check_interval = 0\nreload = true\n[agent]\npublish_dir = %s\n", group, group, group,
             readers);
    kit_settle(&kit, lines);
    kit.may_be_gone = true;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

struct test_frame test_frame = { .timeout_s = 3600 };

TEST(killed_at_any_moment)
{
    unsigned kills = (unsigned)number_of("KILLS", KILLS);

    chance = number_of("SEED", 20) | 1; /* never 0: it would stay that */
    open_all();
    begin_rollout();
    for (; kill_count < kills; kill_count++) {
        kit_start(&kit);
        live();
        kit_kill(&kit);
        judge();
    }
    survived_count = applied_count;
    kit_start(&kit);
    for (unsigned i = 0; i < 100 && applied_count == survived_count; i++)
        live();
    ck_assert_msg(applied_count > survived_count, "left alone it goes on");
    kit_kill(&kit);
    judge();
    printf("%u kills, %u applied, %u rolled back, %u failed\n", kill_count, applied_count,
           rolled_back_count, failed_count);
    ck_assert(kills < KILLS || rolled_back_count > 0);
    kit_close(&kit);
}

/* ---- one activation, ended at every call ---- */

static bool is_gone(void)
{
    int status;

    if (!kit.pid || waitpid(kit.pid, &status, WNOHANG) != kit.pid)
        return !kit.pid;
    kit.pid = 0;
    return true;
}

static bool is_traced(void)
{
    SCOPED_BUFFER struct buffer status = { 0 };
    char path[64];
    const char *line;
    struct err e;

    snprintf(path, sizeof(path), "/proc/%d/status", kit.pid);
    if (buffer_read_file(&status, path, 1 << 16, &e))
        return false;
    line = strstr(status.data, "TracerPid:");
    return line && strtol(line + strlen("TracerPid:"), NULL, 10) != 0;
}

/* A strace at the agent's main thread, which does all that lasts. */
static pid_t trace_with(const char *inject)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    char pid[32];
    pid_t tracer;

    snprintf(pid, sizeof(pid), "%d", kit.pid);
    tracer = fork();
    ck_assert_int_ge(tracer, 0);
    if (tracer == 0) {
        if (freopen("/dev/null", "w", stderr))
            execlp("strace", "strace", "-qq", "-p", pid, "-o", "/dev/null", "-e", inject,
                   (char *)NULL);
        _exit(127);
    }
    while (!is_gone() && !is_traced()) { /* it may be over at once */
        ck_assert_msg(clock_monotonic_ms() < until, "strace cannot look at the agent");
        poll(NULL, 0, 2);
    }
    return tracer;
}

/* Until the phase is another one, PREPARE was refused, the agent is gone, or time is up. */
static void converse_in(enum drive phase, int64_t limit_ms)
{
    int64_t until = clock_monotonic_ms() + limit_ms;

    while (rollout.phase == phase && rollout.held == NOTHING && !is_gone() &&
           clock_monotonic_ms() < until)
        converse(clock_monotonic_us() + 2000);
}

static void ready_for(enum drive phase)
{
    uint64_t next = rollout.next.revision;

    rollout.held = phase;
    rollout.is_bad = phase == ROLLING_BACK;
    if (!kit.pid)
        kit_start(&kit);
    for (int64_t until = clock_monotonic_ms() + PATIENCE_MS; rollout.phase != phase;) {
        ck_assert_msg(clock_monotonic_ms() < until, "revision %" PRIu64 " hangs (log in %s)", next,
                      kit.folder);
        ck_assert(!is_gone());
        converse(clock_monotonic_us() + 2000);
    }
}

/* The phase's message meets an agent that `inject` interferes with. True: it went on all the
 * same. */
static bool interfere(enum drive phase, const char *inject)
{
    pid_t tracer;
    bool went_on;

    ready_for(phase);
    tracer = trace_with(inject);
    rollout.held = NOTHING;
    say_again();
    converse_in(phase, 3000);
    went_on = rollout.phase != phase && !is_gone();
    if (kit.pid)
        kill(kit.pid, SIGKILL);
    while (kit.pid && !is_gone())
        poll(NULL, 0, 1);
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
    judge();
    return went_on;
}

/* At the first such call, then at the second, until the phase goes on however late that is. */
static void interfere_at_each(enum drive phase, const char *calls, const char *what,
                              const char *from)
{
    unsigned number = 0, unharmed = 0;
    char inject[320];

    while (unharmed < 3) {
        snprintf(inject, sizeof(inject), "inject=%s:%s:when=%u%s", calls, what, ++number, from);
        unharmed = interfere(phase, inject) ? unharmed + 1 : 0;
        ck_assert_msg(number < 5000, "%s never lets it go on", inject);
    }
    printf("%s at each of %u calls (%s)\n", what, number - unharmed, calls);
    ck_assert_msg(number > unharmed, "%s does no harm", inject);
}

#define SYNCS "fsync,fdatasync,msync"
#define WRITES "pwrite64,pwritev,write,ftruncate,fallocate"
/* Apart from those: an agent that cannot write(2) cannot even say what is wrong. */
#define NAMES                                                                                      \
    "openat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,fsetxattr"

TEST(ended_at_every_call, .needs = "CALLS")
{
    chance = 4;
    open_all();
    begin_rollout();
    interfere_at_each(ACTIVATING, "all", "signal=SIGKILL", "");
    interfere_at_each(PREPARING, "all", "signal=SIGKILL", "");
    interfere_at_each(ROLLING_BACK, "all", "signal=SIGKILL", "");
    is_disk_bad = true;
    interfere_at_each(ACTIVATING, SYNCS, "error=EIO", "+");
    interfere_at_each(PREPARING, SYNCS, "error=EIO", "+");
    interfere_at_each(ACTIVATING, WRITES, "error=ENOSPC", "+");
    interfere_at_each(PREPARING, WRITES, "error=ENOSPC", "+");
    interfere_at_each(ACTIVATING, NAMES, "error=ENOSPC", "+");
    interfere_at_each(PREPARING, NAMES, "error=ENOSPC", "+");
    ready_for(PREPARING);
    kit_close(&kit);
}
