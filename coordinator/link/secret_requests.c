/* secret_requests.c - what agents ask about secrets: entitled ones go to the reader, answers go out. */
#include "coordinator/link/secret_requests.h"

#include "common/crypto/seal.h"
#include "common/invariant.h"
#include "coordinator/link/sessions.h"

static void refuse(struct edges *e, const struct roster_server *s, const struct hash *digest,
                   const char *why)
{
    struct wire_secret body = { .digest = *digest, .state = WIRE_SECRET_REFUSED,
                                .text = wire_text_of(why) };
    uint8_t bytes[1024];
    size_t size = wire_encode_secret(&body, bytes, sizeof(bytes));

    MUST(size > 0);
    edges_send_bytes(e, s, WIRE_SECRET, bytes, size);
}

void secret_requests_ask(struct edges *e, const struct roster_server *s,
                         const struct router_message *m)
{
    struct wire_ask ask;
    struct secret_wish wish;
    struct err trouble;

    if (!session_is_of(s, &m->envelope) ||
        wire_decode_ask(m->body, m->body_size, &ask, &trouble) != 0)
        return;
    if (e->settings->is_plain) {
        refuse(e, s, &ask.digest, "this coordinator's ROUTER runs without CURVE ([router] plain), "
                                  "and secrets travel inside CURVE only");
        return;
    }
    if (!roster_may_fetch(e->roster, s, &ask.document)) {
        refuse(e, s, &ask.digest, "its document is not for this server");
        return;
    }
    wish = (struct secret_wish){ .server = s->index, .session = s->session,
                                 .document = ask.document, .digest = ask.digest,
                                 .offset = ask.offset };
    secret_reader_want(e->secret_reader, &wish);
}

void secret_requests_kept(struct edges *e, const struct roster_server *s,
                          const struct router_message *m)
{
    static struct wire_digests kept; /* the loop's thread alone */
    struct err trouble;

    if (session_is_of(s, &m->envelope) &&
        wire_decode_kept(m->body, m->body_size, &kept, &trouble) == 0)
        secret_reader_check(e->secret_reader, s->index, s->session, &kept);
}

static void tell_everybody(struct edges *e, const struct secret_answer *answer)
{
    struct router_frame *frame = router_frame_new(answer->body, answer->size);

    for (uint32_t i = 0; i < roster_server_count(e->roster); i++) {
        const struct roster_server *s = roster_server(e->roster, i);

        if (s->has_peer && roster_is_active(s))
            edges_send(e, s, answer->type, frame);
    }
    router_frame_free(frame);
}

void secret_requests_drain(struct edges *e)
{
    struct secret_answer answer;

    while (secret_reader_next(e->secret_reader, &answer)) {
        if (answer.server == SECRET_EVERYBODY && e->epoch) {
            tell_everybody(e, &answer);
        } else if (e->epoch && answer.server < roster_server_count(e->roster)) {
            const struct roster_server *s = roster_server(e->roster, answer.server);

            if (s->has_peer && s->session == answer.session && roster_is_active(s))
                edges_send_secret(e, s, answer.type, &answer.body, answer.size);
        }
        seal_free(answer.body, answer.size);
    }
}
