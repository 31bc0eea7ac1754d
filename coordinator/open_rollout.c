/* open_rollout.c - names and bytes around an open rollout. */
#include "coordinator/open_rollout.h"

#include <stdlib.h>
#include <string.h>

#include "common/document/document.h"
#include "common/invariant.h"
#include "common/memory.h"

void open_rollout_free(struct open_rollout *d)
{
    if (!d)
        return;
    open_rollout_set_attempt(d, 0, 0, NULL, 0);
    free(d->members);
    free(d);
}

static int place_changes(struct open_rollout *d, struct roster *roster, struct err *e)
{
    for (size_t i = 0; i < d->change_count; i++) {
        struct roster_scope *scope = roster_scope_by_id(roster, d->changes[i].row.scope_id);

        if (!scope && roster_has_left_out_scope(roster, d->changes[i].row.scope_id))
            return err_set(e, ERR_TOO_LARGE, "a scope of rollout %s is beyond the number that "
                           "[limits] scopes allows: raise it and restart", d->public_id);
        if (!scope)
            return err_set(e, ERR_UNAVAILABLE, "a scope of rollout %s is not loaded yet",
                           d->public_id);
        if (d->changes[i].row.to_size > DOCUMENT_SIZE_MAX ||
            d->changes[i].row.from_size > DOCUMENT_SIZE_MAX ||
            d->changes[i].row.schemas_size > DOCUMENT_SIZE_MAX)
            return err_set(e, ERR_CORRUPT, "a document of rollout %s is larger than any may be",
                           d->public_id);
        d->changes[i].scope = scope->index;
        d->load.scopes[i] = scope->index;
    }
    d->load.scope_count = (unsigned)d->change_count;
    return 0;
}

/* Who is not in the roster was forgotten meanwhile, unless there was no room for it. */
static int place_members(struct open_rollout *d, const struct rollout_row *row,
                         struct roster *roster, struct err *e)
{
    uint32_t count = 0;

    d->members = memory_array(row->member_count + 1, sizeof(*d->members));
    for (size_t i = 0; i < row->member_count; i++) {
        const struct roster_server *s = roster_by_id(roster, row->members[i].server_id);

        if (!s && roster_has_left_out_server(roster, row->members[i].server_id))
            return err_set(e, ERR_TOO_LARGE, "a server of rollout %s is beyond the number that "
                           "[limits] servers allows: raise it and restart", d->public_id);
        if (!s)
            continue;
        d->members[count] = row->members[i].load;
        d->members[count++].server = s->index;
    }
    d->load.members = d->members;
    d->load.member_count = count;
    return 0;
}

struct open_rollout *open_rollout_new(const struct rollout_row *row, struct roster *roster,
                                      struct err *e)
{
    struct open_rollout *d = calloc(1, sizeof(*d));

    MUST(d && row->change_count <= ROLLOUT_SCOPES_MAX);
    d->rollout = (uint64_t)row->rollout_id;
    memcpy(d->public_id, row->public_id, sizeof(d->public_id));
    memcpy(d->salt, row->salt, sizeof(d->salt));
    d->load = row->load;
    d->load.id = d->rollout;
    d->change_count = row->change_count;
    for (size_t i = 0; i < row->change_count; i++)
        d->changes[i].row = row->changes[i];
    if (strategy_parse(row->strategy, &d->spec, NULL, e) != 0 || place_changes(d, roster, e) != 0 ||
        place_members(d, row, roster, e) != 0) {
        open_rollout_free(d);
        return NULL;
    }
    d->load.strategy = d->spec.core;
    d->attempt = row->load.attempt_number;
    d->stage = row->load.stage;
    return d;
}

void open_rollout_set_changes(struct open_rollout *d, const struct change_row *changes,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < d->change_count; k++)
            if (d->changes[k].row.scope_id == changes[i].scope_id)
                d->changes[k].row = changes[i];
}

void open_rollout_set_attempt(struct open_rollout *d, uint64_t number, unsigned stage,
                              const uint8_t *decision, size_t size)
{
    for (unsigned i = 0; i < OPEN_ROLLOUT_FRAMES_MAX; i++) {
        if (d->frames[i].mask)
            router_frame_free(d->frames[i].frame);
        d->frames[i].mask = 0;
    }
    free(d->decision);
    d->decision = NULL;
    d->decision_size = 0;
    d->attempt = number;
    d->stage = stage;
    if (decision) {
        d->decision = malloc(size);
        MUST(d->decision);
        memcpy(d->decision, decision, size);
        d->decision_size = size;
    }
}

void open_rollout_entitle(const struct open_rollout *d, struct roster *roster)
{
    for (size_t i = 0; i < d->change_count; i++) {
        struct roster_scope *scope = roster_scope(roster, d->changes[i].scope);

        if (!hash_is_zero(&d->changes[i].row.schemas))
            roster_entitle(scope, &d->changes[i].row.schemas);
        roster_entitle(scope, &d->changes[i].row.from_hash);
        roster_entitle(scope, &d->changes[i].row.to_hash);
    }
}

/* How the document of a change travels: as what differs from its base, when that is less. */
static struct parcel best_parcel(const struct change_row *row, struct document_cache *contents)
{
    struct parcel p = parcel_whole(&row->to_hash);
    size_t size;

    if (row->to_size < PACKING_WORTH)
        return p;
    if (hash_is_zero(&row->from_hash))
        p = parcel_zstd(&row->to_hash);
    else
        p = parcel_delta(&row->to_hash, &row->from_hash);
    if (document_cache_get(contents, &p, &size) && size == 0)
        p = parcel_whole(&row->to_hash);
    return p;
}

static bool is_missing(struct document_cache *contents, const struct parcel *parcel)
{
    size_t size = 0;

    return !hash_is_zero(&parcel->hash) &&
           (!document_cache_get(contents, parcel, &size) || size == 0);
}

size_t open_rollout_missing(const struct open_rollout *d, struct document_cache *contents,
                            struct parcel out[2 * ROLLOUT_SCOPES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < d->change_count; i++) {
        out[count] = best_parcel(&d->changes[i].row, contents);
        count += is_missing(contents, &out[count]);
        out[count] = parcel_whole(&d->changes[i].row.schemas);
        count += is_missing(contents, &out[count]);
    }
    return count;
}

uint32_t open_rollout_mask(const struct open_rollout *d, struct roster *roster,
                           const struct roster_server *s)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < d->change_count; i++)
        if (roster_is_entitled(roster, s, d->changes[i].scope))
            mask |= 1u << i;
    return mask;
}

/* ---------------------------------------------------------------- PREPARE */

static struct wire_bytes bytes_of(struct document_cache *contents, const struct parcel *parcel)
{
    struct wire_bytes bytes = { 0 };
    size_t size = 0;

    if (hash_is_zero(&parcel->hash))
        return bytes;
    bytes.at = document_cache_get(contents, parcel, &size);
    bytes.size = (uint32_t)size;
    return bytes;
}

static struct wire_bytes schemas_of(const struct change_row *row, struct document_cache *contents)
{
    struct parcel p = parcel_whole(&row->schemas);

    return bytes_of(contents, &p);
}

static uint64_t total_size(const struct open_rollout *d, uint32_t mask, bool with_schemas,
                           struct document_cache *contents)
{
    uint64_t total = 0;

    for (size_t i = 0; i < d->change_count; i++) {
        const struct change_row *row = &d->changes[i].row;
        struct parcel p = best_parcel(row, contents);

        if (mask >> i & 1)
            total += bytes_of(contents, &p).size +
                     (uint64_t)(with_schemas ? schemas_of(row, contents).size : 0);
    }
    return total;
}

static struct wire_target target_of(const struct open_rollout *d, size_t i, bool with_document,
                                    bool with_schemas, struct roster *roster,
                                    struct document_cache *contents)
{
    const struct change_row *row = &d->changes[i].row;
    const struct roster_scope *scope = roster_scope(roster, d->changes[i].scope);
    struct wire_target t = { .service = wire_text_of(scope->service),
                             .environment = wire_text_of(scope->environment),
                             .revision = row->to_revision,
                             .hash = row->to_hash,
                             .base_revision = row->from_revision,
                             .base_hash = row->from_hash,
                             .size = row->to_size,
                             .schemas = row->schemas,
                             .schemas_size = row->schemas_size };

    if (with_document) {
        struct parcel p = best_parcel(row, contents);

        t.packing = p.packing;
        t.document = bytes_of(contents, &p);
    }
    if (with_schemas)
        t.schema_set = schemas_of(row, contents);
    return t;
}

static uint32_t wait_of(const struct open_rollout *d)
{
    const struct strategy *s = &d->spec.core;
    int64_t ms = d->stage < s->stage_count ? s->stages[d->stage].ready_timeout_ms : 0;

    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static struct router_frame *encode(const struct open_rollout *d, uint32_t mask, bool with_documents,
                                   struct roster *roster, struct document_cache *contents)
{
    static uint8_t body[WIRE_MESSAGE_MAX]; /* the loop's thread alone */
    static struct wire_prepare p;
    bool with_schemas = with_documents && total_size(d, mask, true, contents) <= WIRE_INLINE_MAX;
    size_t size;

    memset(&p, 0, sizeof(p));
    p.attempt = d->attempt;
    p.rollout = wire_text_of(d->public_id);
    p.stage = d->stage;
    p.wait_ms = wait_of(d);
    p.isolation_ms = d->spec.core.isolation_ms;
    p.is_eventual = d->decision != NULL;
    p.decision = (struct wire_bytes){ .at = d->decision, .size = (uint32_t)d->decision_size };
    for (size_t i = 0; i < d->change_count; i++)
        if (mask >> i & 1)
            p.targets[p.target_count++] =
                target_of(d, i, with_documents, with_schemas, roster, contents);
    size = wire_encode_prepare(&p, body, sizeof(body) - WIRE_ENVELOPE_SIZE);
    MUST(size > 0);
    return router_frame_new(body, size);
}

const struct router_frame *open_rollout_prepare(struct open_rollout *d, uint32_t mask,
                                                bool with_documents, struct roster *roster,
                                                struct document_cache *contents)
{
    struct open_rollout_frame *place = NULL;
    struct parcel missing[2 * ROLLOUT_SCOPES_MAX];

    MUST(mask && d->attempt);
    with_documents = with_documents && open_rollout_missing(d, contents, missing) == 0 &&
                     total_size(d, mask, false, contents) <= WIRE_INLINE_MAX;
    for (unsigned i = 0; i < OPEN_ROLLOUT_FRAMES_MAX; i++) {
        if (d->frames[i].mask == mask && d->frames[i].has_documents == with_documents)
            return d->frames[i].frame;
        if (!place && !d->frames[i].mask)
            place = &d->frames[i];
    }
    if (!place) { /* more combinations of scopes than places: the first makes room */
        place = &d->frames[0];
        router_frame_free(place->frame);
    }
    place->mask = mask;
    place->has_documents = with_documents;
    place->frame = encode(d, mask, with_documents, roster, contents);
    return place->frame;
}
