/* agent_kit.h - a coordinator of the tests' own that speaks to a real lockstep-agent over CURVE. */
#ifndef TESTS_UNIT_AGENT_KIT_H
#define TESTS_UNIT_AGENT_KIT_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/document/document.h"
#include "tests/unit/loopback.h"
#include "tests/unit/temp_folder.h"

#define KIT_PATH TEMP_PATH

/* One agent process with its folder, and the one coordinator it knows. */
struct kit {
    char folder[KIT_PATH / 2], program[KIT_PATH], file[KIT_PATH], settings[KIT_PATH];
    struct curve_keys server, agent;
    struct router *router;
    struct router_peer peer;
    pid_t pid;
    bool may_be_gone; /* the agent is killed at will: what is said to it may be lost */
    uint64_t epoch, message_id;
    uint8_t cluster[WIRE_CLUSTER_ID_SIZE];
    struct router_message last; /* its body is lent until the next message */
    uint8_t out[WIRE_MESSAGE_MAX];
};

struct version { /* a document with one key, `value` */
    uint64_t revision;
    char *bytes;
    size_t size;
    struct hash hash;
};

/* Waits; NULL: there is no such file. */
static inline void kit_expect_file(const char *path, const char *content)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (!temp_holds(path, content)) {
        ck_assert_msg(clock_monotonic_ms() < until, "%s never became %.40s", path,
                      content ? content : "absent");
        poll(NULL, 0, 5);
    }
}

static inline struct version version_of(uint64_t revision, const char *value)
{
    struct version v = { .revision = revision };
    struct document *d = document_new();
    struct err e;

    ck_assert_int_eq(document_set(d, "value", VALUE_STRING, value, &e), 0);
    ck_assert_int_eq(document_encode(d, &v.bytes, &v.size, &v.hash, &e), 0);
    document_free(d);
    return v;
}

static inline void version_free(struct version *v)
{
    free(v->bytes);
}

/* ---- the agent process ---- */

static inline void kit_start(struct kit *k)
{
    char log[KIT_PATH];
    int fd;

    snprintf(log, sizeof(log), "%s/log", k->folder);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    k->pid = fork();
    ck_assert_int_ge(k->pid, 0);
    if (k->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no agent behind */
        dup2(fd, STDERR_FILENO);
        execl(k->program, k->program, "--config", k->settings, (char *)NULL);
        _exit(127);
    }
    close(fd);
}

static inline int kit_end(struct kit *k, int signal_number)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    int status = 0;

    kill(k->pid, signal_number);
    while (waitpid(k->pid, &status, WNOHANG) != k->pid) {
        ck_assert_msg(clock_monotonic_ms() < until, "the agent does not end");
        poll(NULL, 0, 5);
    }
    k->pid = 0;
    return status;
}

static inline void kit_kill(struct kit *k)
{
    kit_end(k, SIGKILL);
}

/* The path of lockstep-agent: beside the folder of the test programs. */
static inline void kit_find_program(struct kit *k)
{
    char self[KIT_PATH / 2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(k->program, sizeof(k->program), "%s/../../lockstep-agent", self);
    ck_assert_msg(access(k->program, X_OK) == 0, "%s is not built", k->program);
}

/* scope_lines stand in [scope demo/prod]; the key `value` is written to kit->file. */
static inline void kit_settle(struct kit *k, const char *scope_lines)
{
    SCOPED_BUFFER struct buffer b = { 0 };

    buffer_printf(&b, "[agent]\nname = unit\ncoordinators = %s\nserver_key = %s\n"
                  "key_file = %s/key\nstate_dir = %s/state\nlabels = zone=a, rack=3\n"
                  "[scope demo/prod]\nfile = value -> %s\n%s\n", router_address(k->router),
                  k->server.public_key, k->folder, k->folder, k->file, scope_lines);
    temp_write(k->settings, b.data, 0600);
}

static inline void kit_open(struct kit *k, const char *scope_lines)
{
    char key_file[KIT_PATH], key_text[256];

    *k = (struct kit){ .epoch = 5, .cluster = "cluster of unit" };
    temp_make(k->folder);
    kit_find_program(k);
    snprintf(k->file, sizeof(k->file), "%s/value.conf", k->folder);
    snprintf(k->settings, sizeof(k->settings), "%s/agent.ini", k->folder);
    snprintf(key_file, sizeof(key_file), "%s/key", k->folder);
    k->server = keys_new();
    k->agent = keys_new();
    snprintf(key_text, sizeof(key_text), "public = %s\nsecret = %s\n", k->agent.public_key,
             k->agent.secret_key);
    temp_write(key_file, key_text, 0600);
    k->router = router_on("tcp://127.0.0.1:*", &k->server);
    allow(k->router, 1, &k->agent);
    kit_settle(k, scope_lines);
}

static inline void kit_close(struct kit *k)
{
    if (k->pid)
        kit_kill(k);
    router_close(k->router);
    temp_remove(k->folder);
}

/* ---- messages ---- */

static inline void kit_send(struct kit *k, enum wire_type type, const void *body, size_t size)
{
    struct wire_envelope envelope = { .version = WIRE_VERSION, .type = type, .epoch = k->epoch,
                                      .message_id = ++k->message_id, .session = 1 };

    memcpy(envelope.cluster_id, k->cluster, sizeof(k->cluster));
    ck_assert(router_send_bytes(k->router, &k->peer, &envelope, body, size) == 0 ||
              k->may_be_gone);
}

/* The next message of this type; others are skipped. */
static inline void kit_expect(struct kit *k, enum wire_type type)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    do {
        ck_assert_msg(clock_monotonic_ms() < until && router_wait(k->router, &k->last),
                      "%s never came (log in %s)", wire_type_name(type), k->folder);
        k->peer = k->last.peer;
    } while (k->last.envelope.type != type);
}

/* Until a moment passed: this type must not come. */
static inline void kit_expect_none(struct kit *k, enum wire_type type, int64_t ms)
{
    int64_t until = clock_monotonic_ms() + ms;

    while (clock_monotonic_ms() < until)
        if (router_next(k->router, &k->last))
            ck_assert_msg(k->last.envelope.type != type, "%s came", wire_type_name(type));
        else
            wait_for(router_fd(k->router));
}

/* HELLO came, WELCOME goes. */
static inline struct wire_hello kit_welcome(struct kit *k)
{
    struct wire_welcome welcome = { .session = 1, .heartbeat_ms = 60000 };
    struct wire_hello hello;
    struct err e;

    kit_expect(k, WIRE_HELLO);
    ck_assert_msg(wire_decode_hello(k->last.body, k->last.body_size, &hello, &e) == 0, "%s",
                  e.text);
    memcpy(welcome.cluster_id, k->cluster, sizeof(k->cluster));
    kit_send(k, WIRE_WELCOME, k->out, wire_encode_welcome(&welcome, k->out, sizeof(k->out)));
    return hello;
}

static inline struct wire_ack kit_expect_ack(struct kit *k, enum wire_type type)
{
    struct wire_ack ack;
    struct err e;

    kit_expect(k, type);
    ck_assert_msg(wire_decode_ack(k->last.body, k->last.body_size, &ack, &e) == 0, "%s", e.text);
    return ack;
}

static inline void kit_receipt(struct kit *k, uint64_t id)
{
    struct wire_receipt receipt = { .id_count = 1, .ids = { id } };

    kit_send(k, WIRE_RECEIPT, k->out, wire_encode_receipt(&receipt, k->out, sizeof(k->out)));
}

/* `packed` NULL: without the document. */
static inline void kit_prepare_packed(struct kit *k, uint64_t attempt, const struct version *base,
                                      const struct version *to, enum packing packing,
                                      const struct buffer *packed)
{
    struct wire_prepare prepare = { .attempt = attempt, .rollout = wire_text_of("r1"),
                                    .target_count = 1 };
    struct wire_target *t = &prepare.targets[0];

    *t = (struct wire_target){ .service = wire_text_of("demo"),
                               .environment = wire_text_of("prod"), .revision = to->revision,
                               .hash = to->hash, .size = (uint32_t)to->size };
    if (base) {
        t->base_revision = base->revision;
        t->base_hash = base->hash;
    }
    if (packed) {
        t->packing = packing;
        t->document = (struct wire_bytes){ (const uint8_t *)packed->data, (uint32_t)packed->size };
    }
    kit_send(k, WIRE_PREPARE, k->out, wire_encode_prepare(&prepare, k->out, sizeof(k->out)));
}

static inline void kit_prepare(struct kit *k, uint64_t attempt, const struct version *base,
                               const struct version *to, bool is_inlined)
{
    SCOPED_BUFFER struct buffer whole = { 0 };

    buffer_add(&whole, to->bytes, to->size);
    kit_prepare_packed(k, attempt, base, to, PACKING_WHOLE, is_inlined ? &whole : NULL);
}

/* A decision about `to` (NULL: revision 0), its texts lent for ever. */
static inline struct wire_decision kit_decision(enum wire_type type, uint64_t dseq,
                                                uint64_t attempt, const struct version *to)
{
    struct wire_decision decision = { .type = type, .dseq = dseq, .attempt = attempt,
                                      .rollout = wire_text_of("r1"), .scope_count = 1 };
    struct wire_scope *s = &decision.scopes[0];

    *s = (struct wire_scope){ .service = wire_text_of("demo"),
                              .environment = wire_text_of("prod") };
    if (to) {
        s->revision = to->revision;
        s->hash = to->hash;
        s->size = (uint32_t)to->size;
    }
    return decision;
}

static inline void kit_decide(struct kit *k, enum wire_type type, uint64_t dseq, uint64_t attempt,
                              const struct version *to)
{
    struct wire_decision decision = kit_decision(type, dseq, attempt, to);

    kit_send(k, type, k->out, wire_encode_decision(&decision, k->out, sizeof(k->out)));
}

static inline void kit_ping(struct kit *k)
{
    struct wire_ping ping = { .at_ms = 77 };

    kit_send(k, WIRE_PING, k->out, wire_encode_ping(&ping, k->out, sizeof(k->out)));
}

/* The next FETCH: how it asks. */
static inline struct wire_fetch kit_expect_fetch(struct kit *k, const struct hash *hash)
{
    struct wire_fetch fetch;
    struct err e;

    kit_expect(k, WIRE_FETCH);
    ck_assert_int_eq(wire_decode_fetch(k->last.body, k->last.body_size, &fetch, &e), 0);
    ck_assert(hash_equal(&fetch.parcel.hash, hash));
    return fetch;
}

static inline void kit_chunk(struct kit *k, const struct wire_fetch *fetch, const char *bytes,
                             size_t size, size_t chunk_size)
{
    struct wire_chunk chunk = { .parcel = fetch->parcel, .total = (uint32_t)size };

    if (size) {
        ck_assert_uint_lt(fetch->offset, size);
        chunk.offset = fetch->offset;
        chunk.content.at = (const uint8_t *)bytes + fetch->offset;
        chunk.content.size = (uint32_t)size - fetch->offset;
        if (chunk.content.size > chunk_size)
            chunk.content.size = (uint32_t)chunk_size;
    }
    kit_send(k, WIRE_CHUNK, k->out, wire_encode_chunk(&chunk, k->out, sizeof(k->out)));
}

/* Not to be had in the packing it asks for. */
static inline enum packing kit_deny(struct kit *k, const struct version *v)
{
    struct wire_fetch fetch = kit_expect_fetch(k, &v->hash);

    kit_chunk(k, &fetch, NULL, 0, 0);
    return fetch.parcel.packing;
}

/* Answer FETCHes until all is sent, a delta on `base`; the packing that was asked for. */
static inline enum packing kit_serve(struct kit *k, const struct version *v,
                                     const struct version *base, size_t chunk_size)
{
    SCOPED_BUFFER struct buffer packed = { 0 };
    struct wire_fetch fetch;

    do {
        fetch = kit_expect_fetch(k, &v->hash);
        if (packed.size == 0 && fetch.parcel.packing == PACKING_WHOLE)
            buffer_add(&packed, v->bytes, v->size);
        else if (packed.size == 0 && fetch.parcel.packing == PACKING_ZSTD)
            packing_pack(NULL, 0, v->bytes, v->size, &packed);
        else if (packed.size == 0)
            packing_pack(base->bytes, base->size, v->bytes, v->size, &packed);
        kit_chunk(k, &fetch, packed.data, packed.size, chunk_size);
    } while (fetch.offset + chunk_size < packed.size);
    return fetch.parcel.packing;
}

/* Prepared, activated, finalized, all receipted. Draws number, number + 1 and number + 2. */
static inline void kit_roll(struct kit *k, uint64_t number, const struct version *base,
                            const struct version *to)
{
    kit_prepare(k, number, base, to, true);
    kit_receipt(k, kit_expect_ack(k, WIRE_READY).outbox_id);
    kit_decide(k, WIRE_ACTIVATE, number + 1, number, to);
    kit_receipt(k, kit_expect_ack(k, WIRE_APPLIED).outbox_id);
    kit_decide(k, WIRE_FINALIZE, number + 2, 0, to);
    kit_receipt(k, kit_expect_ack(k, WIRE_FINALIZED).outbox_id);
}

#endif
