/* agent_cache.c - tests of the agent's store: transactions, kills, corruption, a full map. */
#include "agent/cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define SCOPE "demo/prod"
#define KILLS 25

static char folder[TEMP_PATH / 2];
static struct cache *cache;
static struct err e;

static void open_cache(size_t map_size)
{
    ck_assert_msg(cache_open(folder, map_size, &cache, &e) == 0, "%s", e.text);
}

static void begin(void)
{
    temp_make(folder);
    open_cache(0);
}

static void end(void)
{
    cache_close(cache);
    cache = NULL;
    temp_remove(folder);
}

static void again(void)
{
    cache_close(cache);
    open_cache(0);
}

static struct hash put(const char *text)
{
    struct cache_document d = { .data = text, .size = strlen(text) };

    digest_sha256(text, strlen(text), &d.hash);
    ck_assert_msg(cache_put_documents(cache, &d, 1, &e) == 0, "%s", e.text);
    return d.hash;
}

static int save(const struct promise *promise, const void *ack, size_t ack_size)
{
    struct cache_save s = { .scope_count = 1, .scopes = { SCOPE }, .promises = { promise },
                            .ack = ack, .ack_size = ack_size };

    return cache_save(cache, &s, &e);
}

static bool has(struct hash hash)
{
    return cache_has_document(cache, &hash);
}

TEST(promise_comes_back_whole)
{
    struct promise p, back;

    begin();
    ck_assert_int_eq(cache_get_promise(cache, SCOPE, &back, &e), 0);
    ck_assert_uint_eq(back.obeyed, 0);
    memset(&p, 0, sizeof(p));
    p.gen = 3;
    p.obeyed = UINT64_C(1) << 40;
    p.obeyed_kind = ORDER_FINALIZE;
    p.obeyed_attempt = 5;
    p.closed = 6;
    p.refused = 7;
    p.is_finalized = true;
    p.is_reverting = true;
    p.outcome = OUTCOME_BROKEN;
    p.start_count = 8;
    p.slot_attempt = 9;
    p.active = (struct content){ 10, { { 1 } } };
    p.lkg = (struct content){ 11, { { 2 } } };
    p.slot = (struct content){ 12, { { 3 } } };
    p.slot_base = (struct content){ 13, { { 4 } } };
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    again();
    memset(&back, 0, sizeof(back));
    ck_assert_int_eq(cache_get_promise(cache, SCOPE, &back, &e), 0);
    ck_assert_uint_eq(back.gen, p.gen);
    ck_assert_uint_eq(back.obeyed, p.obeyed);
    ck_assert_uint_eq(back.obeyed_kind, p.obeyed_kind);
    ck_assert_uint_eq(back.obeyed_attempt, p.obeyed_attempt);
    ck_assert_uint_eq(back.closed, p.closed);
    ck_assert_uint_eq(back.refused, p.refused);
    ck_assert(back.is_finalized && back.is_reverting);
    ck_assert_int_eq((int)back.outcome, OUTCOME_BROKEN);
    ck_assert_uint_eq(back.start_count, p.start_count);
    ck_assert_uint_eq(back.slot_attempt, p.slot_attempt);
    ck_assert_mem_eq(&back.active, &p.active, sizeof(p.active));
    ck_assert_mem_eq(&back.lkg, &p.lkg, sizeof(p.lkg));
    ck_assert_mem_eq(&back.slot, &p.slot, sizeof(p.slot));
    ck_assert_mem_eq(&back.slot_base, &p.slot_base, sizeof(p.slot_base));
    end();
}

TEST(facts_come_back)
{
    struct agent_facts facts = { .gen = 2, .epoch = 77, .cluster_id = "somewhere" };

    begin();
    ck_assert_uint_eq(cache_facts(cache)->next_outbox_id, 1);
    ck_assert_int_eq(cache_put_facts(cache, &facts, &e), 0);
    again();
    ck_assert_uint_eq(cache_facts(cache)->epoch, 77);
    ck_assert_mem_eq(cache_facts(cache)->cluster_id, facts.cluster_id, WIRE_CLUSTER_ID_SIZE);
    end();
}

struct seen {
    unsigned count;
    uint64_t first, last;
};

static void note(void *ctx, uint64_t id, const void *body, size_t size)
{
    struct seen *s = ctx;

    ck_assert_uint_gt(id, s->last);
    ck_assert_uint_eq(size, 8);
    ck_assert_mem_eq(body, "an ack..", 8);
    if (!s->count++)
        s->first = id;
    s->last = id;
}

static struct seen outbox(void)
{
    struct seen s = { 0 };

    ck_assert_msg(cache_outbox(cache, note, &s, &e) == 0, "%s", e.text);
    return s;
}

TEST(outbox_ids_grow_and_receipts_remove)
{
    struct promise p = { .obeyed = 1 };
    const uint64_t ids[] = { 1, 2, 99 };

    begin();
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(save(&p, "an ack..", 8), 0);
    ck_assert_uint_eq(outbox().count, 300);
    ck_assert_int_eq(cache_receipt(cache, ids, 3, &e), 0);
    ck_assert_int_eq(cache_receipt(cache, ids, 3, &e), 0); /* a repeat is harmless */
    again();
    ck_assert_uint_eq(outbox().count, 297);
    ck_assert_uint_eq(outbox().first, 3);
    ck_assert_uint_eq(outbox().last, 300);
    ck_assert_uint_eq(cache_facts(cache)->next_outbox_id, 301);
    end();
}

TEST(answer_and_decision_are_kept)
{
    SCOPED_BUFFER struct buffer answer = { 0 }, decision = { 0 }, none = { 0 };
    struct promise p = { .obeyed = 1 };
    struct cache_save s = { .scope_count = 1, .scopes = { SCOPE }, .promises = { &p },
                            .ack = "an ack..", .ack_size = 8, .decision = "decided",
                            .decision_size = 7 };

    begin();
    ck_assert_int_eq(cache_get_answer(cache, SCOPE, &none, &e), 0);
    ck_assert_uint_eq(none.size, 0);
    ck_assert_int_eq(cache_save(cache, &s, &e), 0);
    again();
    ck_assert_int_eq(cache_get_answer(cache, SCOPE, &answer, &e), 0);
    ck_assert_str_eq(answer.data, "an ack..");
    ck_assert_int_eq(cache_get_decision(cache, &decision, &e), 0);
    ck_assert_str_eq(decision.data, "decided");
    end();
}

TEST(documents_live_while_named)
{
    struct promise p = { .obeyed = 1 };
    struct hash a, b, c, d, x;

    begin();
    a = put("a");
    b = put("b");
    c = put("c");
    d = put("d");
    x = put("nobody names this");
    p.active.hash = a;
    p.lkg.hash = b;
    p.slot.hash = c;
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    ck_assert(has(a) && has(b) && has(c));
    ck_assert(!has(d) && !has(x));
    d = put("d");
    p.active.hash = c;
    p.lkg.hash = d;
    p.slot.hash = (struct hash){ { 0 } };
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    ck_assert(has(c) && has(d) && !has(b));
    ck_assert_msg(has(a), "the one before the active one stays warm");
    end();
}

TEST(pinned_documents_stay)
{
    struct promise p = { .obeyed = 1 };
    struct cache_save s = { .scope_count = 1, .scopes = { SCOPE }, .promises = { &p } };
    struct hash staged;

    begin();
    staged = put("on its way to a promise");
    s.pinned = &staged;
    s.pinned_count = 1;
    ck_assert_int_eq(cache_save(cache, &s, &e), 0);
    ck_assert(has(staged));
    end();
}

TEST(full_map_refuses_before_a_promise)
{
    static char large[1 << 20];
    struct cache_document d = { .data = large, .size = sizeof(large) };
    struct promise p = { .obeyed = 1 };
    int rc = 0;

    temp_make(folder);
    open_cache(8 << 20);
    for (int i = 0; i < 20 && rc == 0; i++) {
        memset(large, i + 1, sizeof(large));
        digest_sha256(large, sizeof(large), &d.hash);
        rc = cache_put_documents(cache, &d, 1, &e);
    }
    ck_assert_int_eq(rc, -1);
    ck_assert_str_eq(e.code, "nospace");
    ck_assert(!has(d.hash));
    /* The first collects what nobody names, after the second LMDB uses those pages again. */
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    rc = cache_put_documents(cache, &d, 1, &e);
    ck_assert_msg(rc == 0, "%s", e.text);
    end();
}

/* A small file system of this test's own; false where that is not allowed. */
static bool mount_small(const char *size)
{
    char options[64];

    if (!own_mounts("a disk that is full"))
        return false;
    snprintf(options, sizeof(options), "size=%s", size);
    temp_make(folder);
    ck_assert_msg(mount("tmpfs", folder, "tmpfs", 0, options) == 0, "%s", strerror(errno));
    return true;
}

static void unmount_small(void)
{
    cache_close(cache);
    ck_assert_int_eq(umount(folder), 0);
    temp_remove(folder);
}

TEST(full_disk_refuses_before_a_promise)
{
    struct cache_document d = { .data = "x", .size = 1 };

    if (!mount_small("2m"))
        return;
    open_cache(0);
    digest_sha256("x", 1, &d.hash);
    ck_assert_int_eq(cache_put_documents(cache, &d, 1, &e), -1);
    ck_assert_str_eq(e.code, "nospace");
    unmount_small();
}

TEST(reserved_space_lets_a_promise_be_obeyed)
{
    static char filler[1 << 16];
    char path[TEMP_PATH];
    struct promise p = { .obeyed = 1 };
    FILE *f;

    if (!mount_small("8m"))
        return;
    open_cache(0);
    p.slot.hash = put("the candidate");
    p.slot_attempt = 1;
    ck_assert_int_eq(save(&p, "an ack..", 8), 0);
    snprintf(path, sizeof(path), "%s/filler", folder);
    f = fopen(path, "w"); /* somebody fills the disk now */
    while (fwrite(filler, sizeof(filler), 1, f) == 1 && fflush(f) == 0)
        continue;
    fclose(f);
    for (int i = 0; i < 200; i++) {
        p.obeyed++;
        ck_assert_msg(save(&p, "an ack..", 8) == 0, "save %d: %s", i, e.text);
    }
    unmount_small();
}

TEST(second_agent_is_refused)
{
    struct cache *other = NULL;

    begin();
    ck_assert_int_eq(cache_open(folder, 0, &other, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CONFLICT);
    ck_assert_int_eq(cache_peek(folder, &other, &e), 0); /* looking is fine */
    cache_close(other);
    end();
}

TEST(folder_is_private)
{
    char path[TEMP_PATH];

    begin();
    ck_assert_uint_eq(temp_mode(folder), 0700);
    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    ck_assert_uint_eq(temp_mode(path) & 077, 0);
    end();
}

/* ---- kills ---- */

/* Saves for ever; says each number once it is durable. */
static _Noreturn void save_for_ever(int pipe)
{
    struct promise p = { 0 };

    open_cache(0);
    MUST(cache_get_promise(cache, SCOPE, &p, &e) == 0);
    for (;;) {
        char text[64];

        p.obeyed++;
        snprintf(text, sizeof(text), "document %d", (int)p.obeyed);
        p.active.revision = p.obeyed;
        p.active.hash = put(text);
        MUST(save(&p, "an ack..", 8) == 0);
        MUST(write(pipe, &p.obeyed, sizeof(p.obeyed)) == (ssize_t)sizeof(p.obeyed));
    }
}

TEST(killed_writer_loses_nothing)
{
    uint64_t said = 0, n;

    temp_make(folder);
    for (int i = 0; i < KILLS; i++) {
        SCOPED_BUFFER struct buffer document = { 0 };
        struct promise p;
        int ends[2], status;
        pid_t child;

        ck_assert_int_eq(pipe(ends), 0);
        child = fork();
        if (child == 0)
            save_for_ever(ends[1]);
        close(ends[1]);
        for (int k = 0; k <= i % 7; k++) /* the moment after the k-th save differs by itself */
            if (read(ends[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
                said = n;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        while (read(ends[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
            said = n;
        close(ends[0]);
        open_cache(0);
        ck_assert_int_eq(cache_get_promise(cache, SCOPE, &p, &e), 0);
        ck_assert_msg(p.obeyed == said || p.obeyed == said + 1, "%d, said %d", (int)p.obeyed,
                      (int)said);
        ck_assert_uint_eq(outbox().count, p.obeyed);
        ck_assert_uint_eq(cache_facts(cache)->next_outbox_id, p.obeyed + 1);
        ck_assert_int_eq(cache_get_document(cache, &p.active.hash, &document, &e), 0);
        cache_close(cache);
    }
    temp_remove(folder);
}

/* ---- corruption ---- */

/* Change a byte of each place where `text` lies in the file; how many there were. */
static int damage(const char *text)
{
    char path[TEMP_PATH], *data, *at;
    struct stat st;
    int count = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(stat(path, &st), 0);
    data = malloc((size_t)st.st_size);
    ck_assert_uint_eq(fread(data, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    for (at = data; (at = memmem(at, (size_t)(data + st.st_size - at), text, strlen(text)));
         at++, count++) {
        ck_assert_int_eq(fseek(f, at - data, SEEK_SET), 0);
        fputc('#', f);
    }
    fclose(f);
    free(data);
    return count;
}

TEST(corrupt_document_is_dropped_and_counted)
{
    SCOPED_BUFFER struct buffer document = { 0 };
    struct promise p = { .obeyed = 1 };

    begin();
    p.active.hash = put("the active document");
    p.lkg.hash = put("the good one");
    ck_assert_int_eq(save(&p, NULL, 0), 0);
    cache_close(cache);
    ck_assert_int_gt(damage("the active document"), 0);
    open_cache(0);
    ck_assert_uint_eq(cache_corrupt_count(cache), 1);
    ck_assert(!has(p.active.hash));
    ck_assert(has(p.lkg.hash));
    ck_assert_int_eq(cache_get_document(cache, &p.active.hash, &document, &e), -1);
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
    end();
}

TEST(corrupt_outbox_is_an_error_with_the_remedy)
{
    struct promise p = { .obeyed = 1 };

    begin();
    ck_assert_int_eq(save(&p, "an ack..", 8), 0);
    cache_close(cache);
    cache = NULL;
    ck_assert_int_gt(damage("an ack.."), 0);
    ck_assert_int_eq(cache_open(folder, 0, &cache, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.text, folder));
    ck_assert_ptr_nonnull(strstr(e.text, "move the folder away"));
    temp_remove(folder);
}

static void fill(void)
{
    static char large[200000];
    struct promise p = { .obeyed = 1 };

    memset(large, 'l', sizeof(large) - 1);
    p.active.hash = put(large);
    ck_assert_int_eq(save(&p, "an ack..", 8), 0);
    cache_close(cache);
    cache = NULL;
}

TEST(truncated_file_is_an_error)
{
    char path[TEMP_PATH];

    begin();
    fill();
    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    ck_assert_int_eq(truncate(path, 3 * 4096), 0);
    ck_assert_int_eq(cache_open(folder, 0, &cache, &e), -1);
    ck_assert_msg(e.kind == ERR_CORRUPT, "%s", e.text);
    temp_remove(folder);
}

TEST(garbage_file_is_an_error)
{
    char path[TEMP_PATH], garbage[16384];
    int fd;

    begin();
    fill();
    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    memset(garbage, 0xA5, sizeof(garbage));
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(write(fd, garbage, sizeof(garbage)), (int)sizeof(garbage));
    close(fd);
    ck_assert_int_eq(cache_open(folder, 0, &cache, &e), -1);
    ck_assert_msg(e.kind == ERR_CORRUPT, "%s", e.text);
    temp_remove(folder);
}
