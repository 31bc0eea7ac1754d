/* client.c - what a local read costs, how soon readers see a decision, how large an agent is: one run. */
#include "agent/client/lockstep.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "agent/publish/publish.h"
#include "tests/unit/agent_kit.h"

#define KEYS 1000
#define READS 500000
#define LMDB_READS 100000
#define TRIES 40 /* the best of so many: others are at work on this machine too */
#define ROUNDS 300
#define THREADS 4
#define DISK_BUSY_MS 1 /* for one durable write; the agent makes some before readers see any */
#define HOT "limits.per_second"
#define SCOPE "demo/prod"

static unsigned failed;

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
}

static void verdict(const char *what, bool is_good)
{
    printf("  %-4s %s\n", is_good ? "ok" : "FAIL", what);
    failed += !is_good;
}

/* ---- reading ---- */

struct bench {
    char folder[TEMP_PATH / 2];
    struct agent_settings settings;
    struct agent_scope scope;
    struct publisher *publisher;
    struct lockstep *config;
    MDB_env *env;
    MDB_dbi dbi;
};

static void fill(struct bench *b)
{
    struct content content = { .revision = 1 };
    struct document *d = document_new();
    struct err e;
    size_t size;
    char *bytes;

    for (unsigned i = 0; i < KEYS; i++) {
        char key[64];

        snprintf(key, sizeof(key), "service.part-%u.setting", i);
        ck_assert_int_eq(document_set(d, key, VALUE_STRING, "some text of a usual length", &e), 0);
    }
    ck_assert_int_eq(document_set(d, HOT, VALUE_NUMBER, "3600", &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, &content.hash, &e), 0);
    ck_assert_int_eq(publish_write(b->publisher, 0, d, &content.hash, &e), 0);
    ck_assert_int_eq(publish_switch(b->publisher, 0, &content, &e), 0);
    free(bytes);
    document_free(d);
}

/* The same keys and values, and a read transaction that is kept. */
static void fill_lmdb(struct bench *b)
{
    MDB_txn *txn;

    ck_assert_int_eq(mdb_env_create(&b->env), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(b->env, 64 << 20), 0);
    ck_assert_int_eq(mdb_env_open(b->env, b->folder, 0, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(b->env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &b->dbi), 0);
    for (unsigned i = 0; i <= KEYS; i++) {
        char text[64] = HOT;
        MDB_val key, value = { 27, (void *)(uintptr_t)"some text of a usual length" };

        if (i < KEYS)
            snprintf(text, sizeof(text), "service.part-%u.setting", i);
        key = (MDB_val){ strlen(text), text };
        ck_assert_int_eq(mdb_put(txn, b->dbi, &key, &value, 0), 0);
    }
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
}

static void open_bench(struct bench *b)
{
    struct err e;

    *b = (struct bench){ .scope = { .name = SCOPE, .service = "demo", .environment = "prod" } };
    temp_make(b->folder);
    b->settings = (struct agent_settings){ .publish_dir = b->folder, .scope_count = 1,
                                           .scopes = { &b->scope } };
    ck_assert_msg(publish_open(&b->settings, &b->publisher, &e) == 0, "%s", e.text);
    fill(b);
    fill_lmdb(b);
    ck_assert_int_eq(lockstep_open_at(&b->config, b->folder, SCOPE, 0), 0);
}

static void close_bench(struct bench *b)
{
    lockstep_close(b->config);
    publish_close(b->publisher);
    mdb_env_close(b->env);
    temp_remove(b->folder);
}

static double int_ns(const struct bench *b)
{
    double began = now_ns();
    int64_t sum = 0;

    for (unsigned i = 0; i < READS; i++)
        sum += lockstep_int(b->config, HOT, 0);
    ck_assert_int_eq(sum, 3600 * (int64_t)READS);
    return (now_ns() - began) / READS;
}

static double string_ns(const struct bench *b)
{
    double began = now_ns();
    size_t sum = 0;
    char text[64];

    for (unsigned i = 0; i < READS; i++)
        sum += lockstep_string(b->config, "service.part-500.setting", "", text, sizeof(text));
    ck_assert_uint_eq(sum, 27 * (size_t)READS);
    return (now_ns() - began) / READS;
}

static double held_ns(const struct bench *b)
{
    const struct lockstep_snapshot *s = lockstep_hold(b->config);
    double began = now_ns();
    int64_t sum = 0;

    for (unsigned i = 0; i < READS; i++)
        sum += lockstep_held_int(s, HOT, 0);
    ck_assert_int_eq(sum, 3600 * (int64_t)READS);
    lockstep_release(s);
    return (now_ns() - began) / READS;
}

static double hold_ns(const struct bench *b)
{
    double began = now_ns();

    for (unsigned i = 0; i < READS; i++)
        lockstep_release(lockstep_hold(b->config));
    return (now_ns() - began) / READS;
}

static double lmdb_ns(const struct bench *b)
{
    MDB_val key = { strlen(HOT), (void *)(uintptr_t)HOT }, value;
    double began, took;
    size_t sum = 0;
    MDB_txn *txn;

    ck_assert_int_eq(mdb_txn_begin(b->env, NULL, MDB_RDONLY, &txn), 0);
    mdb_txn_reset(txn);
    began = now_ns();
    for (unsigned i = 0; i < LMDB_READS; i++) {
        if (mdb_txn_renew(txn) || mdb_get(txn, b->dbi, &key, &value))
            break;
        sum += value.mv_size;
        mdb_txn_reset(txn);
    }
    took = now_ns() - began;
    mdb_txn_abort(txn);
    ck_assert_uint_eq(sum, 27 * (size_t)LMDB_READS);
    return took / LMDB_READS;
}

/* The least of several, taken in turns with a rival: both meet the same moments of this machine. */
static void best(double (*measure)(const struct bench *), double (*rival)(const struct bench *),
                 const struct bench *b, double *least_out, double *rival_out)
{
    for (unsigned i = 0; i < TRIES; i++) {
        double ns = measure(b), other = rival ? rival(b) : 0;

        *least_out = i && *least_out < ns ? *least_out : ns;
        *rival_out = i && *rival_out < other ? *rival_out : other;
    }
}

static double least(double (*measure)(const struct bench *), const struct bench *b)
{
    double ns = 0, none = 0;

    best(measure, NULL, b, &ns, &none);
    return ns;
}

static void *read_in_thread(void *context)
{
    double *ns = malloc(sizeof(*ns));

    *ns = int_ns(context);
    return ns;
}

static double threads_ns(const struct bench *b)
{
    pthread_t threads[THREADS];
    double sum = 0;

    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, read_in_thread, (void *)(uintptr_t)b);
    for (unsigned i = 0; i < THREADS; i++) {
        void *ns;

        pthread_join(threads[i], &ns);
        sum += *(double *)ns;
        free(ns);
    }
    return sum / THREADS;
}

static void bench_reads(void)
{
    struct bench b;
    double read = 0, lmdb = 0;

    open_bench(&b);
    best(int_ns, lmdb_ns, &b, &read, &lmdb);
    printf("reading one key of %d\n", KEYS + 1);
    printf("  %8.1f ns  lockstep_int, one thread\n", read);
    printf("  %8.1f ns  lockstep_int, each of %d threads at once\n", least(threads_ns, &b),
           THREADS);
    printf("  %8.1f ns  lockstep_string, copied\n", least(string_ns, &b));
    printf("  %8.1f ns  lockstep_held_int, of a snapshot\n", least(held_ns, &b));
    printf("  %8.1f ns  lockstep_hold and lockstep_release\n", least(hold_ns, &b));
    printf("  %8.1f ns  LMDB: renew, get, reset\n", lmdb);
    printf("  %8.1f     times faster than LMDB\n", lmdb / read);
    verdict("a hot read takes at most 25 ns", read <= 25);
    verdict("it is at least 8 times faster than LMDB", lmdb / read >= 8);
    close_bench(&b);
}

/* ---- from the decision to the readers ---- */

static struct kit kit;
static atomic_ullong told; /* the newest revision that the callback heard of */
static _Atomic double told_ns;

static void on_change(struct lockstep *config, const struct lockstep_snapshot *s, void *context)
{
    (void)config;
    (void)context;
    atomic_store(&told_ns, now_ns());
    atomic_store(&told, lockstep_held_revision(s));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double percentile(double *values, unsigned percent)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS * percent / 100] / 1e6;
}

/* The p99 of one small write made durable, where the agent keeps its state. */
static double disk_ms(void)
{
    static double took[ROUNDS];
    char path[KIT_PATH], block[4096] = "";
    int fd;

    snprintf(path, sizeof(path), "%s/disk", kit.folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        double began = now_ns();

        ck_assert_int_eq(pwrite(fd, block, sizeof(block), 0), (ssize_t)sizeof(block));
        ck_assert_int_eq(fdatasync(fd), 0);
        took[i] = now_ns() - began;
    }
    close(fd);
    return percentile(took, 99);
}

/* A value of 1 MiB less a little, different in every revision. */
static struct version large_version(uint64_t revision)
{
    size_t size = (1 << 20) - 100;
    char *value = malloc(size + 1);
    struct version v;

    for (size_t i = 0; i < size; i++)
        value[i] = (char)('a' + (i * 7 + revision) % 26);
    value[size] = '\0';
    v = version_of(revision, value);
    free(value);
    return v;
}

/* Fetched in chunks and promised; nothing is decided yet. */
static void prepare(uint64_t number, const struct version *from, const struct version *to,
                    bool is_inlined)
{
    kit_prepare(&kit, number, from, to, is_inlined);
    if (!is_inlined)
        kit_serve(&kit, to, from, 60000);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
}

/* From the moment the message goes off, so that "received" is later than what is measured from. */
static void activate(struct lockstep *config, uint64_t number, const struct version *to,
                     double *seen_out, double *told_out)
{
    double began = now_ns();

    kit_decide(&kit, WIRE_ACTIVATE, number + 1, number, to);
    while (lockstep_revision(config) != to->revision)
        nap(); /* the agent needs the core, where there are few */
    *seen_out = now_ns() - began;
    while (atomic_load(&told) != to->revision)
        nap();
    *told_out = atomic_load(&told_ns) - began;
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    kit_decide(&kit, WIRE_FINALIZE, number + 2, 0, to);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_FINALIZED).outbox_id);
}

/* A line of /proc/PID/status: VmRSS, and RssFile, the part of it that are mapped files. */
static double resident_mib(pid_t pid, const char *field)
{
    char path[64], line[200];
    unsigned kib = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    while (f && !kib && fgets(line, sizeof(line), f))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = (unsigned)strtoul(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib / 1024.0;
}

static struct lockstep *open_agent(void)
{
    char folder[KIT_PATH];
    struct lockstep *config;

    kit_open(&kit, "check_interval = 0");
    kit_start(&kit);
    kit_welcome(&kit);
    snprintf(folder, sizeof(folder), "%s/state.public", kit.folder);
    ck_assert_int_ge(lockstep_open_at(&config, folder, SCOPE, 0), 0);
    ck_assert_int_eq(lockstep_watch(config, on_change, NULL), 0);
    return config;
}

static void bench_activation(void)
{
    static double seen[ROUNDS], heard[ROUNDS];
    struct lockstep *config = open_agent();
    struct version last = { 0 };
    double disk;

    for (unsigned i = 0; i < ROUNDS; i++) {
        char value[32];
        struct version next;

        snprintf(value, sizeof(value), "value %u\n", i);
        next = version_of(i + 1, value);
        prepare(10 + 10 * i, last.bytes ? &last : NULL, &next, true);
        activate(config, 10 + 10 * i, &next, &seen[i], &heard[i]);
        version_free(&last);
        last = next;
    }
    version_free(&last);
    printf("from ACTIVATE sent to local readers, %d rounds of a real agent\n", ROUNDS);
    printf("  %8.2f ms  p50 until a get gives the new revision\n", percentile(seen, 50));
    printf("  %8.2f ms  p99\n", percentile(seen, 99));
    printf("  %8.2f ms  p50 until a callback runs\n", percentile(heard, 50));
    printf("  %8.2f ms  p99\n", percentile(heard, 99));
    disk = disk_ms();
    printf("  %8.2f ms  p99 of one small write made durable by this disk\n", disk);
    if (percentile(seen, 99) >= 5 && disk > DISK_BUSY_MS)
        printf("  --   p99 is below 5 ms: not judged, the disk is busy with something else\n");
    else
        verdict("p99 is below 5 ms", percentile(seen, 99) < 5);
    lockstep_close(config);
    kit_close(&kit);
}

static void bench_memory(void)
{
    struct lockstep *config = open_agent();
    struct version last = { 0 };
    double empty = resident_mib(kit.pid, "VmRSS"), mib;
    double seen = 0, heard;

    for (unsigned i = 0; i < 5; i++) {
        struct version next = large_version(i + 1);

        prepare(10 + 10 * i, last.bytes ? &last : NULL, &next, false);
        activate(config, 10 + 10 * i, &next, &seen, &heard);
        version_free(&last);
        last = next;
    }
    version_free(&last);
    mib = resident_mib(kit.pid, "VmRSS");
    printf("an agent with a document of 1 MiB\n");
    printf("  %8.2f ms  from ACTIVATE to readers (the last of five)\n", seen / 1e6);
    printf("  %8.1f MiB resident, %.1f of it mapped files; %.1f without a document\n", mib,
           resident_mib(kit.pid, "RssFile"), empty);
    verdict("less than 20 MiB are resident", mib > 0 && mib < 20);
    lockstep_close(config);
    kit_close(&kit);
}

START_TEST(test_bench)
{
    bench_reads();
    bench_activation();
    bench_memory();
    ck_assert_msg(!failed, "%u targets were missed", failed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *c = tcase_create("client");
    SRunner *runner = srunner_create(suite);
    int missed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 300);
    tcase_add_test(c, test_bench);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    missed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return missed ? EXIT_FAILURE : EXIT_SUCCESS;
}
