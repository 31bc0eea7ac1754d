/* trail.c - gathers entries of the audit trail and appends them all in one statement. */
#include "coordinator/store/trail.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/store/pg.h"

enum { ACTOR, ACTION, DATA, ADDRESS, NOTE, TEXT_COUNT };
enum { ROLLOUT, SERVER, SCOPE, REVISION, NUMBER_COUNT };

struct trail_item {
    char *texts[TEXT_COUNT];
    int64_t numbers[NUMBER_COUNT]; /* 0: none */
};

void trail_cut(struct trail *t, size_t count)
{
    for (; t->count > count; t->count--)
        for (size_t k = 0; k < TEXT_COUNT; k++)
            free(t->items[t->count - 1].texts[k]);
}

void trail_fini(struct trail *t)
{
    trail_cut(t, 0);
    free(t->items);
    *t = (struct trail){ 0 };
}

static char *copy_or(const char *text, const char *otherwise)
{
    return memory_text(text ? text : otherwise);
}

void trail_note_revision(struct trail *t, const struct audit_entry *entry, uint64_t revision)
{
    if (t->count == t->size) {
        t->size = t->size ? t->size * 2 : 4;
        t->items = realloc(t->items, t->size * sizeof(*t->items));
        MUST(t->items);
    }
    t->items[t->count++] = (struct trail_item){
        .texts = { [ACTOR] = copy_or(entry->actor, ""),
                   [ACTION] = copy_or(entry->action, ""),
                   [DATA] = copy_or(entry->data, "{}"),
                   [ADDRESS] = copy_or(entry->address, ""),
                   [NOTE] = copy_or(entry->note, "") },
        .numbers = { [ROLLOUT] = entry->rollout_id,
                     [SERVER] = entry->server_id,
                     [SCOPE] = entry->scope_id,
                     [REVISION] = (int64_t)revision },
    };
}

void trail_note(struct trail *t, const struct audit_entry *entry)
{
    trail_note_revision(t, entry, 0);
}

static struct param texts_of(const struct trail *t, size_t which, struct buffer *memory)
{
    const char **texts = memory_array(t->count, sizeof(*texts));
    struct param array;

    for (size_t i = 0; i < t->count; i++)
        texts[i] = t->items[i].texts[which];
    array = pg_array_text(texts, t->count, memory);
    free(texts);
    return array;
}

static struct param numbers_of(const struct trail *t, size_t which, struct buffer *memory)
{
    int64_t *numbers = memory_array(t->count, sizeof(*numbers));
    struct param array;

    for (size_t i = 0; i < t->count; i++)
        numbers[i] = t->items[i].numbers[which];
    array = pg_array_int8(numbers, t->count, memory);
    free(numbers);
    return array;
}

/* The sort takes in all of `said`, with the changes of large revisions, before the first entry is
 * appended: only then the head is locked. */
int trail_write(struct pg *pg, struct trail *t, struct err *e)
{
    struct buffer memory[TEXT_COUNT + NUMBER_COUNT] = { 0 };
    struct param params[TEXT_COUNT + NUMBER_COUNT];
    int rc;

    if (t->count == 0)
        return 0;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        params[i] = texts_of(t, i, &memory[i]);
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        params[TEXT_COUNT + i] = numbers_of(t, i, &memory[TEXT_COUNT + i]);
    rc = pg_query(pg,
                  "WITH said AS MATERIALIZED (SELECT place, actor, action, address, note,"
                  " nullif(rollout, 0) AS rollout, nullif(server, 0) AS server,"
                  " nullif(scope, 0) AS scope, CASE WHEN revision = 0 THEN data::jsonb ELSE"
                  "  data::jsonb || jsonb_build_object('changes', audit_changes(scope, revision))"
                  " END AS data FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],"
                  "  $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])"
                  " WITH ORDINALITY AS n (actor, action, data, address, note, rollout, server,"
                  "  scope, revision, place))"
                  " SELECT audit_append(actor, action, rollout, server, scope, data, address, note)"
                  " FROM said ORDER BY place",
                  params, TEXT_COUNT + NUMBER_COUNT, NULL, e);
    for (size_t i = 0; i < TEXT_COUNT + NUMBER_COUNT; i++)
        buffer_fini(&memory[i]);
    trail_fini(t);
    return rc;
}
