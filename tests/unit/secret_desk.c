/* secret_desk.c - tests of who gets an answer to ASK: the entitled, in CURVE, in their session. */
#include "coordinator/link/secret_requests.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/crypto/seal.h"
#include "tests/test.h"
#include "tests/unit/loopback.h"

#define SESSION 7

static struct coordinator_settings settings;
static struct edges edges;
static struct curve_keys server_key, agent_key;
static void *context, *dealer;
static struct hash document = { { 1 } }, digest = { { 2 } };
static struct wire_secret got;
static char labels[] = "{}", globs[] = "*";

static void connect(void)
{
    struct router_message m;

    dealer = raw_dealer(context, router_address(edges.router), server_key.public_key, &agent_key,
                        NULL);
    raw_send(dealer, 1, 10);
    expect_message(edges.router, 1, &m);
    roster_server(edges.roster, 0)->peer = m.peer;
    roster_server(edges.roster, 0)->has_peer = true;
    roster_server(edges.roster, 0)->session = SESSION;
}

/* server-1 reads web/prod; its servers may have the document. The database is away. */
static void set_up(void)
{
    struct server_row server = { .server_id = 1, .name = "server-1", .labels = labels,
                                 .scopes = globs };
    struct scope_row scopes[] = { { .scope_id = 1, .service = "web", .environment = "prod" },
                                  { .scope_id = 2, .service = "shop", .environment = "prod" } };
    const struct snapshot s = { .servers = &server, .server_count = 1, .scopes = scopes,
                                .scope_count = 2 };

    server_key = keys_new();
    agent_key = keys_new();
    memcpy(server.public_key, agent_key.public_key, sizeof(server.public_key));
    settings.is_plain = false;
    edges = (struct edges){ .settings = &settings, .roster = roster_new(4, 4), .epoch = 3,
                            .router = router_on("tcp://127.0.0.1:*", &server_key),
                            .secret_reader = secret_reader_start("host=/nowhere", NULL) };
    ck_assert(roster_update(edges.roster, &s, NULL));
    roster_add_member(edges.roster, roster_server(edges.roster, 0), 0);
    roster_entitle(roster_scope(edges.roster, 0), &document);
    roster_allow_keys(edges.roster, edges.router);
    context = zmq_ctx_new();
    connect();
}

static void tear_down(void)
{
    zmq_close(dealer);
    zmq_ctx_term(context);
    secret_reader_stop(edges.secret_reader);
    router_close(edges.router);
    roster_free(edges.roster);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void ask(uint64_t session, const struct hash *of)
{
    const struct wire_ask body = { .document = *of, .digest = digest };
    uint8_t bytes[128];
    struct router_message m = { .envelope = { .type = WIRE_ASK, .session = session },
                                .body = bytes };

    m.body_size = wire_encode_ask(&body, bytes, sizeof(bytes));
    ck_assert_uint_gt(m.body_size, 0);
    secret_requests_ask(&edges, roster_server(edges.roster, 0), &m);
}

static void expect(enum wire_secret_state state, const char *why)
{
    static uint8_t bytes[WIRE_MESSAGE_MAX];
    char text[WIRE_REFUSAL_MAX + 1];
    struct err e;
    int size;

    ck_assert_int_eq(zmq_recv(dealer, bytes, sizeof(bytes), 0), WIRE_ENVELOPE_SIZE);
    size = zmq_recv(dealer, bytes, sizeof(bytes), 0);
    ck_assert_int_gt(size, 0);
    ck_assert_int_eq(wire_decode_secret(bytes, (size_t)size, &got, &e), 0);
    wire_text_copy(got.text, text, sizeof(text));
    ck_assert_msg(got.state == state && strstr(text, why), "%s: %s",
                  wire_secret_state_name(got.state), text);
}

static void drain(void)
{
    struct pollfd fd = { .fd = secret_reader_fd(edges.secret_reader), .events = POLLIN };

    ck_assert_int_eq(poll(&fd, 1, PATIENCE_MS), 1);
    secret_requests_drain(&edges);
}

TEST(the_entitled_are_answered_by_the_reader)
{
    ask(SESSION, &document);
    drain();
    expect(WIRE_SECRET_AWAY, "database");
}

/* S16 */
TEST(a_document_of_others_is_refused)
{
    struct hash other = { { 9 } };

    roster_entitle(roster_scope(edges.roster, 1), &other);
    ask(SESSION, &other);
    expect(WIRE_SECRET_REFUSED, "not for this server");
    roster_server(edges.roster, 0)->is_revoked = true;
    ask(SESSION, &document);
    expect(WIRE_SECRET_REFUSED, "not for this server");
}

TEST(without_curve_there_are_no_secrets)
{
    settings.is_plain = true;
    ask(SESSION, &document);
    expect(WIRE_SECRET_REFUSED, "without CURVE");
}

/* Neither an old session's question nor an answer to it. */
TEST(a_session_that_is_over_gets_nothing)
{
    ask(SESSION - 1, &document);
    ask(SESSION, &document);
    roster_server(edges.roster, 0)->session = SESSION + 1;
    drain();
    ask(SESSION + 1, &document);
    drain();
    expect(WIRE_SECRET_AWAY, "database");
    ck_assert_int_eq(zmq_recv(dealer, &got, sizeof(got), ZMQ_DONTWAIT), -1);
}
