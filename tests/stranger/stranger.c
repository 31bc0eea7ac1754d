/* stranger.c - an enrolled server that lies: it speaks the wire and says whatever a test tells it
 * to.
 *
 *     stranger ENDPOINT ROUTER_KEY KEY_FILE
 *
 * Commands come as lines on standard input, what arrives goes out as lines on standard output:
 *
 *     hello SCOPE …                       says it reads these, now and in every PONG
 *     ack KIND NUMBER SCOPE REVISION HASH OUTBOX   claims to hold that; HASH may be "-"
 *     policy NUMBER                       REFUSED: reads none of the scopes
 *     fetch HASH                          a document, whole
 *     ask DOCUMENT DIGEST                 a secret of a document
 *     poll SCOPE …                        what is owed there?
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/name.h"
#include "common/wire/wire.h"

#define LINE_MAX 4096

static void *socket_;
static struct wire_envelope envelope; /* cluster, epoch and session as the leader says */
static char scope_lines[WIRE_SCOPES_MAX][2 * NAME_BUFFER];
static unsigned scope_count;
static uint8_t body[WIRE_MESSAGE_MAX];

/* ---------------------------------------------------------------- saying */

static void say(enum wire_type type, size_t size)
{
    uint8_t head[WIRE_ENVELOPE_SIZE];

    MUST(size > 0 || type == WIRE_BYE);
    envelope.version = WIRE_VERSION;
    envelope.type = type;
    envelope.message_id++;
    MUST(wire_encode_envelope(&envelope, head) == sizeof(head));
    if (zmq_send(socket_, head, sizeof(head), ZMQ_SNDMORE) >= 0)
        (void)zmq_send(socket_, body, size, 0);
}

/* "SERVICE/ENV" as two texts, lent. */
static void split(const char *scope, struct wire_text *service, struct wire_text *environment)
{
    const char *slash = strchr(scope, '/');

    MUST(slash);
    *service = (struct wire_text){ .at = scope, .size = (uint16_t)(slash - scope) };
    *environment = wire_text_of(slash + 1);
}

static uint16_t fill_digests(struct wire_digest *out)
{
    memset(out, 0, scope_count * sizeof(*out));
    for (unsigned i = 0; i < scope_count; i++)
        split(scope_lines[i], &out[i].service, &out[i].environment);
    return (uint16_t)scope_count;
}

static void say_hello(void)
{
    static struct wire_hello hello;

    hello.boot_nonce = 4711;
    hello.version = wire_text_of("stranger");
    hello.scope_count = fill_digests(hello.scopes);
    say(WIRE_HELLO, wire_encode_hello(&hello, body, sizeof(body)));
}

static void say_pong(int64_t at_ms)
{
    static struct wire_pong pong;

    pong.at_ms = at_ms;
    pong.scope_count = fill_digests(pong.scopes);
    say(WIRE_PONG, wire_encode_pong(&pong, body, sizeof(body)));
}

static void say_poll(void)
{
    static struct wire_poll poll_;

    poll_.scope_count = fill_digests(poll_.scopes);
    say(WIRE_POLL, wire_encode_poll(&poll_, body, sizeof(body)));
}

static enum wire_type kind_of(const char *text)
{
    static const struct {
        const char *text;
        enum wire_type type;
    } kinds[] = {
        { "ready", WIRE_READY },
        { "refused", WIRE_REFUSED },
        { "applied", WIRE_APPLIED },
        { "failed", WIRE_FAILED },
        { "rolled_back", WIRE_ROLLED_BACK },
        { "finalized", WIRE_FINALIZED },
        { "aborted", WIRE_ABORTED },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].text, text) == 0)
            return kinds[i].type;
    MUST(!"an acknowledgement has a kind");
    return WIRE_NONE;
}

static struct hash hash_of(const char *text)
{
    struct hash hash = { { 0 } };

    if (strcmp(text, "-") != 0)
        MUST(hash_from_hex(text, &hash) == 0);
    return hash;
}

static void say_ack(char **words)
{
    static struct wire_ack ack;

    memset(&ack, 0, sizeof(ack));
    ack.type = kind_of(words[1]);
    ack.number = strtoull(words[2], NULL, 10);
    ack.gen = envelope.gen;
    ack.outbox_id = strtoull(words[6], NULL, 10);
    ack.reason = ack.type == WIRE_REFUSED ? WIRE_REASON_VALIDATE : WIRE_REASON_NONE;
    ack.text = wire_text_of("x");
    ack.held_count = 1;
    split(words[3], &ack.held[0].service, &ack.held[0].environment);
    ack.held[0].revision = strtoull(words[4], NULL, 10);
    ack.held[0].hash = hash_of(words[5]);
    say(ack.type, wire_encode_ack(&ack, body, sizeof(body)));
}

static void say_policy(const char *number)
{
    static struct wire_ack ack;

    memset(&ack, 0, sizeof(ack));
    ack.type = WIRE_REFUSED;
    ack.number = strtoull(number, NULL, 10);
    ack.reason = WIRE_REASON_POLICY;
    say(ack.type, wire_encode_ack(&ack, body, sizeof(body)));
}

static void say_fetch(const char *hash)
{
    struct wire_fetch fetch = { .parcel = parcel_whole(&(struct hash){ { 0 } }) };

    fetch.parcel.hash = hash_of(hash);
    say(WIRE_FETCH, wire_encode_fetch(&fetch, body, sizeof(body)));
}

static void say_ask(const char *document, const char *digest)
{
    struct wire_ask ask = { .document = hash_of(document), .digest = hash_of(digest) };

    say(WIRE_ASK, wire_encode_ask(&ask, body, sizeof(body)));
}

static void read_scopes(char **words, unsigned count)
{
    scope_count = 0;
    for (unsigned i = 1; i < count && scope_count < WIRE_SCOPES_MAX; i++)
        snprintf(scope_lines[scope_count++], sizeof(scope_lines[0]), "%s", words[i]);
}

static void obey(char *line)
{
    char *words[80] = { NULL }, *save = NULL;
    unsigned count = 0;

    for (char *w = strtok_r(line, " \n", &save); w && count < 79; w = strtok_r(NULL, " \n", &save))
        words[count++] = w;
    if (count && strcmp(words[0], "hello") == 0) {
        read_scopes(words, count);
        say_hello();
    } else if (count && strcmp(words[0], "poll") == 0) {
        say_poll();
    } else if (count == 7 && strcmp(words[0], "ack") == 0) {
        say_ack(words);
    } else if (count == 2 && strcmp(words[0], "policy") == 0) {
        say_policy(words[1]);
    } else if (count == 2 && strcmp(words[0], "fetch") == 0) {
        say_fetch(words[1]);
    } else if (count == 3 && strcmp(words[0], "ask") == 0) {
        say_ask(words[1], words[2]);
    } else {
        printf("what? %s\n", count ? words[0] : "");
    }
}

/* ---------------------------------------------------------------- hearing */

static void on_welcome(const void *data, size_t size)
{
    static struct wire_welcome w;
    struct err e;

    MUST(wire_decode_welcome(data, size, &w, &e) == 0);
    memcpy(envelope.cluster_id, w.cluster_id, sizeof(envelope.cluster_id));
    envelope.session = w.session;
    printf("welcome");
    for (unsigned i = 0; i < w.refused_count; i++)
        printf(" refused=%.*s", (int)w.refused[i].size, w.refused[i].at);
    printf("\n");
}

static void on_prepare(const void *data, size_t size)
{
    static struct wire_prepare p;
    struct err e;

    MUST(wire_decode_prepare(data, size, &p, &e) == 0);
    printf("prepare %" PRIu64, p.attempt);
    for (unsigned i = 0; i < p.target_count; i++)
        printf(" %.*s/%.*s", (int)p.targets[i].service.size, p.targets[i].service.at,
               (int)p.targets[i].environment.size, p.targets[i].environment.at);
    printf("\n");
}

static void on_decision(const char *name, const void *data, size_t size)
{
    static struct wire_decision d;
    struct err e;

    MUST(wire_decode_decision(data, size, &d, &e) == 0);
    printf("%s %" PRIu64, name, d.dseq);
    for (unsigned i = 0; i < d.scope_count; i++)
        printf(" %.*s/%.*s", (int)d.scopes[i].service.size, d.scopes[i].service.at,
               (int)d.scopes[i].environment.size, d.scopes[i].environment.at);
    printf("\n");
}

static void on_chunk(const void *data, size_t size)
{
    static struct wire_chunk c;
    struct err e;

    MUST(wire_decode_chunk(data, size, &c, &e) == 0);
    printf("chunk %u %.*s\n", c.total, (int)c.content.size, (const char *)c.content.at);
}

static void on_secret(const void *data, size_t size)
{
    static struct wire_secret s;
    struct err e;

    MUST(wire_decode_secret(data, size, &s, &e) == 0);
    printf("secret %d key=%u %.*s\n", (int)s.state, s.data_key.size, (int)s.text.size, s.text.at);
}

static void on_receipt(const void *data, size_t size)
{
    static struct wire_receipt r;
    struct err e;

    MUST(wire_decode_receipt(data, size, &r, &e) == 0);
    printf("receipt");
    for (unsigned i = 0; i < r.id_count; i++)
        printf(" %" PRIu64, r.ids[i]);
    printf("\n");
}

static void hear(const struct wire_envelope *from, const void *data, size_t size)
{
    struct wire_ping ping;
    struct err e;

    envelope.gen = from->gen;
    envelope.epoch = from->epoch;
    if (from->type == WIRE_WELCOME)
        on_welcome(data, size);
    else if (from->type == WIRE_PREPARE)
        on_prepare(data, size);
    else if (from->type == WIRE_ACTIVATE)
        on_decision("activate", data, size);
    else if (from->type == WIRE_ROLLBACK)
        on_decision("rollback", data, size);
    else if (from->type == WIRE_FINALIZE)
        on_decision("finalize", data, size);
    else if (from->type == WIRE_CHUNK)
        on_chunk(data, size);
    else if (from->type == WIRE_SECRET)
        on_secret(data, size);
    else if (from->type == WIRE_RECEIPT)
        on_receipt(data, size);
    else if (from->type == WIRE_PING && wire_decode_ping(data, size, &ping, &e) == 0)
        say_pong(ping.at_ms);
    else if (from->type == WIRE_REJECT)
        printf("reject\n");
}

/* All that waits. An envelope and its body come in a row, as one message or as two. */
static void drain(void)
{
    static uint8_t head[WIRE_MESSAGE_MAX], data[WIRE_MESSAGE_MAX];
    struct wire_envelope from;
    struct err e;
    int n, size;

    while ((n = zmq_recv(socket_, head, sizeof(head), ZMQ_DONTWAIT)) >= 0) {
        if (n != WIRE_ENVELOPE_SIZE)
            continue;
        size = zmq_recv(socket_, data, sizeof(data), 0);
        if (size >= 0 && wire_decode_envelope(head, (size_t)n, &from, &e) == 0)
            hear(&from, data, (size_t)size);
    }
}

/* ---------------------------------------------------------------- the program */

static void connect_to(const char *endpoint, const char *server_key, const char *key_file)
{
    char public_key[41], secret_key[41] = "", line[200];
    FILE *f = fopen(key_file, "r");
    int none = 0, patience_ms = 2000;

    MUST(f);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "secret = %40s", secret_key);
    fclose(f);
    socket_ = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
    MUST(socket_);
    MUST(zmq_curve_public(public_key, secret_key) == 0);
    MUST(zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof(none)) == 0);
    MUST(zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &patience_ms, sizeof(patience_ms)) == 0);
    MUST(zmq_setsockopt(socket_, ZMQ_CURVE_SERVERKEY, server_key, 41) == 0);
    MUST(zmq_setsockopt(socket_, ZMQ_CURVE_PUBLICKEY, public_key, 41) == 0);
    MUST(zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, secret_key, 41) == 0);
    MUST(zmq_connect(socket_, endpoint) == 0);
}

int main(int argc, char **argv)
{
    char line[LINE_MAX];

    if (argc != 4) {
        fprintf(stderr, "usage: stranger ENDPOINT ROUTER_KEY KEY_FILE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    connect_to(argv[1], argv[2], argv[3]);
    for (;;) {
        zmq_pollitem_t items[] = { { .fd = STDIN_FILENO, .events = ZMQ_POLLIN },
                                   { .socket = socket_, .events = ZMQ_POLLIN } };

        if (zmq_poll(items, 2, 1000) < 0)
            continue;
        if (items[1].revents)
            drain();
        if (items[0].revents && !fgets(line, sizeof(line), stdin))
            return 0;
        if (items[0].revents)
            obey(line);
    }
}
