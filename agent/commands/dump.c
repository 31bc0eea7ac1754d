/* dump.c - what the agent durably holds, as JSON for people and tests; beside a running agent too. */
#include "agent/commands/dump.h"

#include "agent/cache/cache.h"
#include "common/crypto/digest.h"
#include "common/scoped.h"

SCOPED_FREE(struct cache, cache_close)

static void put_content(struct buffer *out, const char *name, const struct content *content)
{
    char hex[HASH_HEX_SIZE] = "";

    if (!hash_is_zero(&content->hash))
        hash_to_hex(&content->hash, hex);
    buffer_printf(out, "\"%s\":{\"revision\":%llu,\"hash\":\"%s\"}", name,
                  (unsigned long long)content->revision, hex);
}

static void put_promise(struct buffer *out, const char *scope, const struct promise *p)
{
    static const char *const outcomes[] = {
        [OUTCOME_NONE] = "none",     [OUTCOME_APPLYING] = "applying", [OUTCOME_OK] = "ok",
        [OUTCOME_FAILED] = "failed", [OUTCOME_BROKEN] = "broken",
    };

    buffer_printf(out, "\"%s\":{\"gen\":%u,\"obeyed\":%llu,\"outcome\":\"%s\",\"is_finalized\":%s,"
                  "\"closed\":%llu,\"attempt\":%llu,\"starts\":%u,", scope, p->gen,
                  (unsigned long long)p->obeyed, outcomes[p->outcome],
                  p->is_finalized ? "true" : "false", (unsigned long long)p->closed,
                  (unsigned long long)p->slot_attempt, p->start_count);
    put_content(out, "active", &p->active);
    buffer_add_text(out, ",");
    put_content(out, "lkg", &p->lkg);
    buffer_add_text(out, ",");
    put_content(out, "slot", &p->slot);
    buffer_add_text(out, "}");
}

static void put_entry(void *ctx, uint64_t id, const void *body, size_t size)
{
    struct buffer *out = ctx;
    struct wire_ack ack;
    struct err ignored;

    if (wire_decode_ack(body, size, &ack, &ignored))
        ack = (struct wire_ack){ .type = WIRE_NONE };
    buffer_printf(out, "%s{\"id\":%llu,\"type\":\"%s\",\"number\":%llu}",
                  out->data[out->size - 1] == '[' ? "" : ",", (unsigned long long)id,
                  wire_type_name(ack.type), (unsigned long long)ack.number);
}

int dump_state(const struct agent_settings *settings, struct buffer *out, struct err *e)
{
    SCOPED(cache_close) struct cache *cache = NULL;
    struct promise promise;

    if (cache_peek(settings->state_dir, &cache, e))
        return -1;
    buffer_add_text(out, "{\"scopes\":{");
    for (unsigned i = 0; i < settings->scope_count; i++) {
        if (cache_get_promise(cache, settings->scopes[i]->name, &promise, e))
            return -1;
        if (i)
            buffer_add_text(out, ",");
        put_promise(out, settings->scopes[i]->name, &promise);
    }
    buffer_add_text(out, "},\"outbox\":[");
    if (cache_outbox(cache, put_entry, out, e))
        return -1;
    buffer_add_text(out, "]}");
    return 0;
}
