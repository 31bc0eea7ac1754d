/* main.c - a peer that is let in and does as it likes: claims, floods, endless messages, late words.
 *
 * peer keys
 * peer ADDRESS SERVER_KEY PUBLIC_KEY SECRET_KEY SCOPE SECONDS VERB [WORD…]
 * Verbs: claim, huge, parts, nonsense, stale, nonces, replay, version, foreign SCOPE HASH,
 * fetch HASH…, ask DOCUMENT PUBLIC_KEY SECRET_KEY DIGEST…; each goes on for so many seconds or
 * until SIGTERM, then prints what it heard, one name and count a line. The keys of ask are another
 * server's that asks now and then, too: how many of its answers came, and how many of the flood's
 * came before one of them at most.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/wire/packing.h"
#include "common/wire/wire.h"

#define CLAIMS 40
#define FIRST_ID 0xe43c9868 /* where ROUTER of libzmq 4.3.4 begins to count in every process */
#define HUGE_FRAMES 100000
#define HUGE_SIZE 60000
#define HASHES_MAX 64
#define PARTS 1000
#define SOME 32 /* messages, before the other one is listened to again */
#define AGAIN_MS 2000

static const char *const *words; /* the arguments after the verb */
static int word_count;
static const char *address, *server_key, *public_key, *secret_key;
static char service[101], environment[101];
/* One connection: what was said to it. */
struct line {
    void *socket;
    uint64_t session, heard[WIRE_TYPE_COUNT], rejected[WIRE_REJECT_COUNT];
};

static void *context;
static struct line line;
static int64_t until_ms;
static volatile sig_atomic_t is_ended;
static uint8_t body[WIRE_MESSAGE_MAX];

static void *connect_with(const char *own_public, const char *own_secret, const void *id,
                          size_t id_size)
{
    void *s = zmq_socket(context, ZMQ_DEALER);
    int zero = 0, wait_ms = 100;

    MUST(s);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(s, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server_key, 41);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, own_public, 41);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, own_secret, 41);
    if (id)
        MUST(zmq_setsockopt(s, ZMQ_ROUTING_ID, id, id_size) == 0);
    MUST(zmq_connect(s, address) == 0);
    return s;
}

static void *connect_as(const void *id, size_t id_size)
{
    return connect_with(public_key, secret_key, id, id_size);
}

static void end(int number)
{
    (void)number;
    is_ended = 1;
}

static bool is_over(void)
{
    return is_ended || clock_monotonic_ms() >= until_ms;
}

static void say(struct line *l, enum wire_type type, uint8_t version, size_t size)
{
    struct wire_envelope envelope = { .version = WIRE_VERSION,
                                      .type = type,
                                      .session = l->session };
    uint8_t bytes[WIRE_ENVELOPE_SIZE];

    wire_encode_envelope(&envelope, bytes);
    bytes[0] = version;
    if (zmq_send(l->socket, bytes, sizeof(bytes), ZMQ_SNDMORE) >= 0)
        (void)zmq_send(l->socket, body, size, 0);
}

static void hello(struct line *l, uint64_t nonce, uint8_t version)
{
    static struct wire_hello words_of_hello;

    words_of_hello = (struct wire_hello){ .boot_nonce = nonce,
                                          .version = wire_text_of("peer"),
                                          .scope_count = 1 };
    words_of_hello.scopes[0] = (struct wire_digest){ .service = wire_text_of(service),
                                                     .environment = wire_text_of(environment) };
    say(l, WIRE_HELLO, version, wire_encode_hello(&words_of_hello, body, sizeof(body)));
}

/* What waits, counted by type; of this many messages at most. */
static void listen_to(struct line *l, unsigned most)
{
    struct wire_envelope envelope;
    struct wire_welcome welcome;
    struct wire_rejection no;
    struct err e;
    int size;
    static uint8_t bytes[WIRE_MESSAGE_MAX];

    while (most-- > 0 &&
           (size = zmq_recv(l->socket, bytes, sizeof(bytes), ZMQ_DONTWAIT)) >= 0) {
        if (wire_decode_envelope(bytes, (size_t)size, &envelope, &e) != 0)
            continue;
        if (l->heard[envelope.type]++ == 0) {
            printf("first %s\n", wire_type_name(envelope.type));
            fflush(stdout);
        }
        size = zmq_recv(l->socket, bytes, sizeof(bytes), 0);
        if (size < 0)
            return;
        if (envelope.type == WIRE_WELCOME &&
            wire_decode_welcome(bytes, (size_t)size, &welcome, &e) == 0)
            l->session = welcome.session;
        if (envelope.type == WIRE_REJECT && wire_decode_reject(bytes, (size_t)size, &no, &e) == 0)
            l->rejected[no.reject]++;
    }
}

static void rest(int ms)
{
    zmq_poll(NULL, 0, ms);
}

/* ---------------------------------------------------------------- the verbs */

static void claim(void)
{
    static struct line all[CLAIMS];

    for (uint32_t i = 0; i < CLAIMS; i++) {
        uint32_t number = htonl(FIRST_ID + i);
        uint8_t id[5] = { 0 };

        memcpy(id + 1, &number, sizeof(number));
        all[i].socket = connect_as(id, sizeof(id));
        hello(&all[i], 1, WIRE_VERSION);
    }
    while (!is_over()) {
        for (uint32_t i = 0; i < CLAIMS; i++)
            listen_to(&all[i], UINT32_MAX);
        rest(50);
    }
    for (uint32_t i = 0; i < CLAIMS; i++) {
        zmq_close(all[i].socket);
        for (unsigned type = 0; type < WIRE_TYPE_COUNT; type++)
            line.heard[type] += all[i].heard[type];
    }
}

/* One message of 6 GB; its frames share one content. */
static void huge(void)
{
    zmq_msg_t content, share;

    MUST(zmq_msg_init_size(&content, HUGE_SIZE) == 0);
    memset(zmq_msg_data(&content), 0, HUGE_SIZE);
    for (unsigned i = 0; i < HUGE_FRAMES && !is_over(); i++) {
        MUST(zmq_msg_init(&share) == 0 && zmq_msg_copy(&share, &content) == 0);
        if (zmq_msg_send(&share, line.socket, i + 1 < HUGE_FRAMES ? ZMQ_SNDMORE : 0) < 0)
            zmq_msg_close(&share);
    }
    zmq_msg_close(&content);
    while (!is_over())
        rest(50);
}

/* Messages of many small frames, each of which ends. */
static void parts(void)
{
    while (!is_over()) {
        for (unsigned i = 0; i < PARTS && !is_over(); i++)
            (void)zmq_send(line.socket, "", 1, i + 1 < PARTS ? ZMQ_SNDMORE : 0);
        listen_to(&line, UINT32_MAX);
    }
}

static void nonsense(void)
{
    memset(body, 0xff, 100);
    while (!is_over())
        say(&line, WIRE_HELLO, WIRE_VERSION, 100);
}

static void stale(void)
{
    struct wire_stale claim_of_newer = { .gen = 1, .epoch = 1000000 };

    while (!is_over())
        say(&line, WIRE_STALE, WIRE_VERSION,
            wire_encode_stale(&claim_of_newer, body, sizeof(body)));
}

static void nonces(void)
{
    for (uint64_t nonce = 1; !is_over(); nonce++) {
        hello(&line, nonce, WIRE_VERSION);
        listen_to(&line, UINT32_MAX);
    }
}

static void replay(void)
{
    for (uint64_t nonce = 1; !is_over(); nonce = nonce % 3 + 1) {
        hello(&line, nonce, WIRE_VERSION);
        listen_to(&line, UINT32_MAX);
    }
}

/* A server of another scope says that it reads this one, obeyed decisions about it, holds it. */
static void foreign(void)
{
    static struct wire_ack ack;
    struct hash document;
    struct wire_fetch wish = { 0 };

    MUST(word_count == 2 && hash_from_hex(words[1], &document) == 0);
    MUST(sscanf(words[0], "%100[^/]/%100s", service, environment) == 2);
    wish.parcel = parcel_whole(&document);
    for (uint64_t number = 1; !is_over(); number++) {
        hello(&line, 1, WIRE_VERSION);
        ack = (struct wire_ack){ .type = WIRE_FAILED,
                                 .number = number % 24 + 1,
                                 .outbox_id = number,
                                 .text = wire_text_of("x"),
                                 .held_count = 1 };
        ack.held[0].service = wire_text_of(service);
        ack.held[0].environment = wire_text_of(environment);
        say(&line, WIRE_FAILED, WIRE_VERSION, wire_encode_ack(&ack, body, sizeof(body)));
        say(&line, WIRE_FETCH, WIRE_VERSION, wire_encode_fetch(&wish, body, sizeof(body)));
        listen_to(&line, UINT32_MAX);
    }
}

static void version(void)
{
    hello(&line, 1, WIRE_VERSION + 1);
    while (!is_over() && !line.rejected[WIRE_REJECT_VERSION]) {
        listen_to(&line, UINT32_MAX);
        rest(50);
    }
}

/* Every pair of the documents named, as the difference of one from the other, without end. */
static void fetch(void)
{
    struct hash hashes[HASHES_MAX];
    struct wire_fetch wish = { 0 };

    MUST(word_count <= HASHES_MAX);
    for (int i = 0; i < word_count; i++)
        MUST(hash_from_hex(words[i], &hashes[i]) == 0);
    hello(&line, 1, WIRE_VERSION);
    while (!is_over()) {
        listen_to(&line, UINT32_MAX);
        for (int i = 0; line.session && i < word_count * word_count; i++) {
            if (i / word_count == i % word_count)
                continue;
            wish.parcel = parcel_delta(&hashes[i / word_count], &hashes[i % word_count]);
            say(&line, WIRE_FETCH, WIRE_VERSION, wire_encode_fetch(&wish, body, sizeof(body)));
        }
        rest(50);
    }
}

static void ask_for(struct line *l, const struct hash *document, const struct hash *digest)
{
    const struct wire_ask wish = { .document = *document, .digest = *digest };

    say(l, WIRE_ASK, WIRE_VERSION, wire_encode_ask(&wish, body, sizeof(body)));
}

/* Every secret again and again; one answer of the other server's is waited for, then the next. */
static void ask(void)
{
    struct hash document, digests[HASHES_MAX];
    int count = word_count - 3, none = 0;
    static struct line other;
    uint64_t asked = 0, since = 0, most = 0;
    int64_t asked_ms = 0;

    MUST(count > 0 && count <= HASHES_MAX && hash_from_hex(words[0], &document) == 0);
    for (int i = 0; i < count; i++)
        MUST(hash_from_hex(words[3 + i], &digests[i]) == 0);
    other.socket = connect_with(words[1], words[2], NULL, 0);
    zmq_setsockopt(line.socket, ZMQ_SNDTIMEO, &none, sizeof(none));
    hello(&line, 1, WIRE_VERSION);
    hello(&other, 1, WIRE_VERSION);
    while (!is_over()) {
        listen_to(&other, UINT32_MAX);
        listen_to(&line, SOME);
        if (other.heard[WIRE_SECRET] == asked && other.session && line.heard[WIRE_SECRET]) {
            if (asked && line.heard[WIRE_SECRET] - since > most)
                most = line.heard[WIRE_SECRET] - since;
            since = line.heard[WIRE_SECRET];
            asked_ms = clock_monotonic_ms();
            ask_for(&other, &document, &digests[asked++ % (uint64_t)count]);
        } else if (asked && clock_monotonic_ms() - asked_ms > AGAIN_MS) {
            asked_ms = clock_monotonic_ms(); /* it found no place, as agents do */
            ask_for(&other, &document, &digests[(asked - 1) % (uint64_t)count]);
        }
        for (int i = 0; line.session && i < count; i++)
            ask_for(&line, &document, &digests[i]);
        rest(1);
    }
    if (asked && line.heard[WIRE_SECRET] - since > most)
        most = line.heard[WIRE_SECRET] - since;
    printf("answers %llu\nbefore %llu\n", (unsigned long long)other.heard[WIRE_SECRET],
           (unsigned long long)most);
    zmq_close(other.socket);
}

static const struct verb {
    const char *name;
    void (*fn)(void);
} verbs[] = { { "claim", claim },       { "huge", huge },       { "parts", parts },
              { "nonsense", nonsense }, { "stale", stale },     { "nonces", nonces },
              { "replay", replay },     { "foreign", foreign }, { "version", version },
              { "fetch", fetch },       { "ask", ask } };

static void report(void)
{
    for (unsigned i = 1; i < WIRE_TYPE_COUNT; i++)
        if (line.heard[i])
            printf("%s %llu\n", wire_type_name((enum wire_type)i),
                   (unsigned long long)line.heard[i]);
    for (unsigned i = 0; i < WIRE_REJECT_COUNT; i++)
        if (line.rejected[i])
            printf("rejected %s\n", wire_reject_name((enum wire_reject)i));
}

static int print_keys(void)
{
    char own_public[41], own_secret[41];

    MUST(zmq_curve_keypair(own_public, own_secret) == 0);
    printf("%s\n%s\n", own_public, own_secret);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "keys") == 0)
        return print_keys();
    if (argc < 8 || sscanf(argv[5], "%100[^/]/%100s", service, environment) != 2) {
        fprintf(stderr, "peer ADDRESS SERVER_KEY PUBLIC_KEY SECRET_KEY SCOPE SECONDS VERB …\n");
        return 2;
    }
    address = argv[1];
    server_key = argv[2];
    public_key = argv[3];
    secret_key = argv[4];
    words = (const char *const *)argv + 8;
    word_count = argc - 8;
    until_ms = clock_monotonic_ms() + strtol(argv[6], NULL, 10) * 1000;
    context = zmq_ctx_new();
    signal(SIGTERM, end);
    line.socket = connect_as(NULL, 0);
    for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, argv[7]) == 0)
            verbs[i].fn();
    report();
    zmq_close(line.socket);
    zmq_ctx_term(context);
    return 0;
}
