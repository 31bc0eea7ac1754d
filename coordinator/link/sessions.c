/* sessions.c - who a server's agent is just now: boot nonces, sessions, and two that hold one key. */
#include "coordinator/link/sessions.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/random.h>

#include "common/invariant.h"
#include "common/log.h"
#include "coordinator/link/refusing.h"

#define ASIDE_MS 300000
#define TELL_MS 20000 /* that it goes on is told the database so often (CLONE_NOTE_SECONDS) */
#define SEEN_MS 2000 /* a server that begins sessions without end is noted so often */
#define OWN_ID_SIZE 5 /* a routing id that ROUTER gave: a zero byte and a number that counts up */

static bool is_known(const struct roster_server *s, uint64_t nonce)
{
    for (unsigned i = 0; i < ROSTER_BOOTS; i++)
        if (s->boots[i] == nonce)
            return true;
    return false;
}

/* The newest first. */
static void remember(struct roster_server *s, uint64_t nonce)
{
    memmove(s->boots + 1, s->boots, sizeof(s->boots) - sizeof(s->boots[0]));
    s->boots[0] = nonce;
}

/* Ids count up, and a connection has its id before its first message: the older id is the older
 * connection. Plain peers choose their ids; theirs say nothing. */
static bool is_older(const struct router_peer *peer, const struct router_peer *than)
{
    uint32_t a, b;

    if (peer->id_size != OWN_ID_SIZE || than->id_size != OWN_ID_SIZE)
        return false;
    memcpy(&a, peer->id + 1, sizeof(a));
    memcpy(&b, than->id + 1, sizeof(b));
    return (int32_t)(ntohl(a) - ntohl(b)) < 0;
}

static void begin(struct edges *e, struct roster_server *s, uint64_t nonce, int64_t now_ms)
{
    if (now_ms - s->noted_ms >= SEEN_MS) { /* the next turn of all of them may be far */
        s->noted_ms = now_ms;
        writer_seen_one(e->writer, s->server_id);
    }
    MUST(getrandom(&s->session, sizeof(s->session), 0) == sizeof(s->session));
    s->session |= 1; /* never 0 */
    remember(s, nonce);
}

/* Whoever looks after the servers sees it in the list of them, not in this log alone. */
static void tell(struct edges *e, struct roster_server *s, const struct router_peer *newer,
                 int64_t now_ms)
{
    struct clone_note note = { .server_id = s->server_id, .is_new = newer != NULL };

    s->clone_told_ms = now_ms;
    if (newer) {
        memcpy(note.addresses[0], s->address, sizeof(s->address));
        router_peer_address(e->router, newer, note.addresses[1], sizeof(note.addresses[1]));
    }
    writer_clone(e->writer, &note);
}

static void put_aside(struct edges *e, struct roster_server *s, const struct router_peer *peer,
                      uint64_t nonce, int64_t now_ms)
{
    s->aside_until_ms = now_ms + ASIDE_MS;
    s->knocked = nonce;
    tell(e, s, peer, now_ms);
    log_error("two agents answer with one key; both are put aside until five minutes after one of "
              "them is gone",
              "server", s->name, "remedy", "give each server a key of its own");
    refuse_peer(e, peer, WIRE_REJECT_CLONE, "");
    if (s->has_peer)
        refuse_peer(e, &s->peer, WIRE_REJECT_CLONE, "");
    s->has_peer = false;
    s->session = 0;
}

enum session_news session_greet(struct edges *e, struct roster_server *s,
                                const struct router_peer *peer, uint64_t nonce, int64_t now_ms)
{
    bool is_same = s->session && s->boots[0] == nonce;

    if (is_older(peer, &s->peer) && (s->has_peer || !is_same))
        return SESSION_LATE;
    if (!is_same && s->session && is_known(s, nonce)) {
        put_aside(e, s, peer, nonce, now_ms);
        return SESSION_CLONE;
    }
    s->has_peer = true;
    s->peer = *peer;
    router_peer_address(e->router, peer, s->address, sizeof(s->address));
    if (is_same)
        return SESSION_SAME;
    begin(e, s, nonce, now_ms);
    return SESSION_NEW;
}

/* As long as two of them knock in turn, it goes on. */
bool session_is_aside(struct edges *e, struct roster_server *s, uint64_t nonce, int64_t now_ms)
{
    if (!s->aside_until_ms)
        return false;
    if (now_ms >= s->aside_until_ms) {
        s->aside_until_ms = 0;
        memset(s->boots, 0, sizeof(s->boots));
        writer_clone(e->writer, &(struct clone_note){ .server_id = s->server_id, .is_over = true });
        return false;
    }
    if (nonce && nonce != s->knocked) {
        if (is_known(s, nonce))
            s->aside_until_ms = now_ms + ASIDE_MS;
        else
            remember(s, nonce);
        s->knocked = nonce;
        if (now_ms - s->clone_told_ms >= TELL_MS)
            tell(e, s, NULL, now_ms);
    }
    return true;
}

bool session_is_of(const struct roster_server *s, const struct wire_envelope *envelope)
{
    return s->session && envelope->session == s->session;
}

void session_lost(struct roster_server *s, const struct router_peer *peer)
{
    if (s->peer.id_size == peer->id_size && memcmp(s->peer.id, peer->id, peer->id_size) == 0)
        s->has_peer = false;
}
