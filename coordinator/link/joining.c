/* joining.c - compares what an agent tells with what is recorded, and asks for the difference. */
#include "coordinator/link/joining.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

/* What one server may have waiting for the database. An agent says the rest again; one that says
 * it without end takes no memory for it. */
#define UNSAVED_JOINS_MAX 4

struct roster_scope joining_named(const struct wire_digest *digest)
{
    struct roster_scope scope = { 0 };

    wire_text_copy(digest->service, scope.service, sizeof(scope.service));
    wire_text_copy(digest->environment, scope.environment, sizeof(scope.environment));
    return scope;
}

void joining_note(struct roster_server *s, const struct wire_hello *hello)
{
    labels_fini(&s->told_labels);
    labels_from_wire(hello->labels, hello->label_count, &s->told_labels);
    wire_text_copy(hello->version, s->told_version, sizeof(s->told_version));
    s->has_told = true;
}

/* The enrolment allows it and nobody recorded it yet. */
static bool is_to_be_joined(const struct edges *e, const struct roster_server *s,
                            const struct wire_digest *digest, const struct roster_scope *scope)
{
    const struct roster_scope *known =
        roster_scope_by_name(e->roster, digest->service, digest->environment);

    return !(known && roster_is_member(s, known->index)) && roster_allows(s, scope);
}

/* While it is being applied its outcome is still to come, and is acknowledged. */
static void add_obeyed(const struct wire_digest *digest, struct join_scope *to)
{
    bool is_over = digest->outcome == WIRE_OUTCOME_OK || digest->outcome == WIRE_OUTCOME_FAILED ||
                   digest->outcome == WIRE_OUTCOME_BROKEN;

    if (!is_over || digest->obeyed > INT64_MAX || digest->revision > INT64_MAX)
        return;
    to->obeyed = (int64_t)digest->obeyed;
    to->revision = (int64_t)digest->revision;
    to->hash = digest->active;
    to->outcome = wire_outcome_name((enum wire_outcome)digest->outcome);
}

static void add_new(const struct edges *e, const struct roster_server *s,
                    const struct wire_digest *digests, unsigned count, struct join_request *out)
{
    for (unsigned i = 0; i < count && s->scope_count + out->scope_count < WIRE_SCOPES_MAX; i++) {
        struct roster_scope scope = joining_named(&digests[i]);
        struct join_scope *to;

        if (!is_to_be_joined(e, s, &digests[i], &scope))
            continue;
        out->scopes = reallocarray(out->scopes, out->scope_count + 1, sizeof(*out->scopes));
        MUST(out->scopes);
        to = &out->scopes[out->scope_count++];
        *to = (struct join_scope){ 0 };
        add_obeyed(&digests[i], to);
        memcpy(to->service, scope.service, sizeof(to->service));
        memcpy(to->environment, scope.environment, sizeof(to->environment));
    }
}

static bool is_named(const struct roster_scope *scope, const struct wire_digest *digests,
                     unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (wire_text_is(digests[i].service, scope->service) &&
            wire_text_is(digests[i].environment, scope->environment))
            return true;
    return false;
}

static void add_left(const struct edges *e, const struct roster_server *s,
                     const struct wire_digest *digests, unsigned count, struct join_request *out)
{
    for (uint32_t i = 0; i < s->scope_count; i++) {
        const struct roster_scope *scope = roster_scope(e->roster, s->scopes[i]);

        if (is_named(scope, digests, count))
            continue;
        out->left = reallocarray(out->left, out->left_count + 1, sizeof(*out->left));
        MUST(out->left);
        out->left[out->left_count++] = scope->scope_id;
    }
}

static void add_told(const struct roster_server *s, struct join_request *out)
{
    if (!s->has_told)
        return;
    if (!labels_equal(&s->told_labels, &s->labels))
        out->labels = labels_format(&s->told_labels);
    if (strcmp(s->told_version, s->agent_version) != 0) {
        out->version = memory_text(s->told_version);
    }
}

void joining_hear(struct edges *e, struct roster_server *s, const struct wire_digest *digests,
                  unsigned count)
{
    struct join_request *request;

    if (s->unsaved_joins == UNSAVED_JOINS_MAX)
        return;
    request = memory_new(sizeof(*request));
    request->server_id = s->server_id;
    add_new(e, s, digests, count, request);
    add_left(e, s, digests, count, request);
    add_told(s, request);
    if (!request->scope_count && !request->left_count && !request->labels && !request->version) {
        free(request);
        return;
    }
    s->unsaved_joins++;
    writer_join(e->writer, &request);
}
