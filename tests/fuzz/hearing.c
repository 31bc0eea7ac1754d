/* hearing.c - libFuzzer target: whatever agents say one after the other, a leader stands. */
#include "coordinator/hearing.h"

#include <string.h>

#include "common/invariant.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVERS 3      /* the last of them is revoked */
#define UNSAVED_MAX 16 /* what a leader takes from one server that the database has not yet */
#define STEPS_MAX 500  /* more than a server may say at once */
#define FLOOD 20       /* times that the same is said at once */
#define CONTENT "{\"n\":{\"t\":\"number\",\"v\":\"5\"}}"

static const char *const keys[SERVERS + 1] = {
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr",
    "nobodynobodynobodynobodynobodynobodynobo",
};
static const char *const services[] = { "pay", "web", "none", "" }; /* those of "web" are not its */

static struct coordinator_settings settings = {
    .heartbeat_ms = 5000,
    .session_grace_ms = 30000,
    .rollback_timeout_ms = 60000,
    .servers_max = 8,
    .scopes_max = 8,
    .rollouts_max = 2,
};
static struct edges edges;
static struct hearing *hearing;
static struct leading *leading;
static struct snapshot snapshot;

/* The bytes of the input, read from the front; zeros behind its end. */
struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static uint64_t number(struct input *in)
{
    uint64_t n = byte(in);

    return n < 0xf0 ? n : n << 56 | byte(in); /* small ones meet, large ones overflow */
}

/* ---- the leader ---- */

/* Threads without a database: they try, and what is handed to them waits or is dropped. */
static void open_edges(void)
{
    const struct router_settings router = { .bind = "tcp://127.0.0.1:*", .is_plain = true };
    struct err e;

    log_init("fuzz", LOG_ERROR_, false);
    MUST(router_open(&router, &edges.router, &e) == 0);
    edges.settings = &settings;
    edges.writer = writer_start("host=/nowhere", NULL);
    edges.loader = loader_start("host=/nowhere");
    edges.secret_reader = secret_reader_start("host=/nowhere", NULL);
    edges.gen = 1;
    edges.epoch = 7;
    memcpy(edges.cluster_id, "cluster of fuzz!", sizeof(edges.cluster_id));
}

static struct parcel parcel_of(unsigned which)
{
    struct hash hash = { .bytes = { 1 } }, other = { .bytes = { 2 } };

    switch (which % 4) {
    case 0:
        return parcel_whole(&hash);
    case 1:
        return parcel_zstd(&hash);
    case 2:
        return parcel_delta(&hash, &other);
    default:
        return parcel_whole(&other);
    }
}

static void fill_snapshot(void)
{
    static struct server_row servers[SERVERS];
    static struct scope_row scopes[2];
    static struct membership_row members[SERVERS];
    static char labels[] = "{\"zone\":\"a\"}", globs[] = "pay/*";

    for (int i = 0; i < SERVERS; i++) {
        servers[i] = (struct server_row){
            .server_id = i + 1, .is_revoked = i == SERVERS - 1, .labels = labels, .scopes = globs
        };
        memcpy(servers[i].public_key, keys[i], sizeof(servers[i].public_key));
        memcpy(servers[i].name, keys[i], 5);
        members[i] = (struct membership_row){ .server_id = i + 1, .scope_id = 1 };
    }
    for (int i = 0; i < 2; i++) {
        scopes[i] = (struct scope_row){ .scope_id = i + 1, .environment = "prod" };
        memcpy(scopes[i].service, services[i], strlen(services[i]));
    }
    snapshot = (struct snapshot){ .servers = servers,
                                  .server_count = SERVERS,
                                  .scopes = scopes,
                                  .scope_count = 2,
                                  .memberships = members,
                                  .membership_count = SERVERS };
}

static void lead(void)
{
    struct err e;

    leading = leading_begin(&edges, &snapshot, &e);
    MUST(leading);
    hearing_set_leading(hearing, leading, "");
}

static void begin(void)
{
    struct parcel parcel = parcel_of(0);
    uint8_t *bytes = (uint8_t *)strdup(CONTENT);

    edges.roster = roster_new(8, 8);
    edges.contents = document_cache_new(1 << 20, 1 << 16);
    MUST(bytes && roster_update(edges.roster, &snapshot, NULL));
    roster_entitle(roster_scope(edges.roster, 0), &parcel.hash);
    document_cache_put(edges.contents, &parcel, &bytes, strlen(CONTENT), WISHES_OWN, 0);
    hearing = hearing_new(&edges);
    lead();
}

static void end(void)
{
    hearing_set_leading(hearing, NULL, "");
    leading_end(leading);
    hearing_free(hearing);
    document_cache_free(edges.contents);
    roster_free(edges.roster);
}

/* ---- what is said ---- */

static struct wire_digest digest_of(struct input *in)
{
    return (struct wire_digest){ .service = wire_text_of(services[byte(in) % 4]),
                                 .environment = wire_text_of(byte(in) % 8 ? "prod" : "test"),
                                 .gen = byte(in),
                                 .obeyed = number(in),
                                 .revision = number(in),
                                 .slot = number(in),
                                 .closed = number(in),
                                 .is_finalized = byte(in) & 1,
                                 .outcome = byte(in) % 5,
                                 .is_check_failing = byte(in) & 1,
                                 .is_drifted = byte(in) & 1 };
}

static size_t say_hello(struct input *in, uint8_t *out, size_t size)
{
    static struct wire_hello body;

    body = (struct wire_hello){ .boot_nonce = number(in),
                                .version = wire_text_of("1.2"),
                                .label_count = byte(in) % 2,
                                .scope_count = byte(in) % 4 };
    body.labels[0] =
        (struct wire_label){ wire_text_of("zone"), wire_text_of(byte(in) % 2 ? "a" : "b") };
    for (unsigned i = 0; i < body.scope_count; i++)
        body.scopes[i] = digest_of(in);
    return wire_encode_hello(&body, out, size);
}

static size_t say_ack(struct input *in, enum wire_type type, uint8_t *out, size_t size)
{
    static struct wire_ack body;

    body = (struct wire_ack){ .type = type,
                              .outbox_id = number(in),
                              .gen = byte(in),
                              .number = number(in),
                              .is_broken = byte(in) & 1,
                              .held_count = byte(in) % 3,
                              .step_count = byte(in) % 3 };
    if (type == WIRE_REFUSED) {
        body.reason = byte(in) % 10;
        body.text = wire_text_of("no");
    }
    for (unsigned i = 0; i < body.held_count; i++)
        body.held[i] = (struct wire_held){ .service = wire_text_of(services[byte(in) % 4]),
                                           .environment = wire_text_of("prod"),
                                           .revision = number(in) };
    return wire_encode_ack(&body, out, size);
}

static size_t say_fetch(struct input *in, uint8_t *out, size_t size)
{
    const struct wire_fetch body = { .parcel = parcel_of(byte(in)),
                                     .offset = (uint32_t)number(in) };

    return wire_encode_fetch(&body, out, size);
}

static size_t say_as_it_comes(struct input *in, uint8_t *out)
{
    size_t size = byte(in) | (size_t)(byte(in) & 3) << 8;

    for (size_t i = 0; i < size; i++)
        out[i] = byte(in);
    return size;
}

/* A whole body of what agents say most, or bytes as they come. */
static size_t say(struct input *in, enum wire_type type, uint8_t *out, size_t size)
{
    size_t n = 0;

    if (byte(in) % 4 == 0)
        return say_as_it_comes(in, out);
    if (type == WIRE_HELLO)
        n = say_hello(in, out, size);
    else if (type == WIRE_FETCH)
        n = say_fetch(in, out, size);
    else if (type == WIRE_READY || type == WIRE_REFUSED || type == WIRE_APPLIED ||
             type == WIRE_FAILED || type == WIRE_ABORTED || type == WIRE_ROLLED_BACK ||
             type == WIRE_FINALIZED)
        n = say_ack(in, type, out, size);
    return n ? n : say_as_it_comes(in, out);
}

/* ---- hearing and judging ---- */

static void judge(void)
{
    for (uint32_t i = 0; i < roster_server_count(edges.roster); i++) {
        const struct roster_server *s = roster_server(edges.roster, i);

        MUST(s->unsaved_acks <= UNSAVED_MAX);
        MUST(!s->is_revoked || (!s->has_peer && s->unsaved_acks == 0));
        MUST(!roster_is_member(s, 1)); /* what an enrolment does not allow nobody joins */
    }
}

/* Its session, or another one: of that, nothing but a HELLO is heard. Some comes many times. */
static void hear(struct input *in, unsigned who)
{
    static uint8_t body[WIRE_MESSAGE_MAX];
    struct router_message m = { .body = body };
    struct roster_server *s = roster_by_key(edges.roster, keys[who]);
    uint32_t unsaved = s ? s->unsaved_acks : 0;
    unsigned times;
    uint8_t flags;
    bool is_own;

    m.envelope.type = WIRE_NONE + 1 + byte(in) % (WIRE_TYPE_COUNT - 1);
    flags = byte(in);
    is_own = flags & 7;
    m.envelope.version = flags & 0x38 ? WIRE_VERSION : byte(in);
    m.envelope.session = s && is_own ? s->session : number(in) << 32;
    if (flags & 0x40)
        memcpy(m.envelope.cluster_id, flags & 0x80 ? "cluster of fuzz!" : "another cluster!",
               sizeof(m.envelope.cluster_id));
    memcpy(m.key, keys[who], sizeof(m.key));
    memcpy(m.peer.key, keys[who], sizeof(m.peer.key));
    m.peer.id_size = 1;
    m.peer.id[0] = (uint8_t)(1 + byte(in) % 2);
    m.body_size = say(in, m.envelope.type, body, sizeof(body));
    for (times = byte(in) % 8 ? 1 : FLOOD; times > 0; times--)
        hearing_message(hearing, &m);
    MUST(!s || s->unsaved_acks == unsaved || m.envelope.session == s->session);
}

static void leave(struct input *in, unsigned who)
{
    struct router_peer peer = { .id = { (uint8_t)(1 + byte(in) % 2) }, .id_size = 1 };

    memcpy(peer.key, keys[who], sizeof(peer.key));
    hearing_gone(hearing, &peer);
}

static void step(struct input *in)
{
    uint8_t what = byte(in);

    switch (what % 16) {
    case 0:
        hearing_tick(hearing);
        break;
    case 1:
        hearing_flush(hearing);
        break;
    case 2:
        leading_tick(leading);
        break;
    case 3:
        leave(in, what / 16 % (SERVERS + 1));
        break;
    case 4:
        hearing_set_leading(hearing, NULL, "");
        leading_end(leading);
        lead();
        break;
    default:
        hear(in, what / 16 % (SERVERS + 1));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };

    if (!edges.router) {
        fill_snapshot();
        open_edges();
    }
    begin();
    for (int i = 0; in.left > 0 && i < STEPS_MAX; i++) {
        step(&in);
        judge();
    }
    end();
    return 0;
}
