/* audit.c - appends to the audit trail. */
#include "coordinator/store/audit.h"

#include "coordinator/store/pg.h"

static struct param id_or_null(const char *text, int64_t id)
{
    return id ? PARAM_TEXT(text) : PARAM_NULL;
}

int audit_append(struct pg *pg, const struct audit_entry *entry, struct err *e)
{
    char rollout[24], server[24], scope[24];

    return PG_QUERY(pg, "SELECT audit_append($1, $2, $3, $4, $5, $6)", NULL, e,
                    PARAM_TEXT(entry->actor), PARAM_TEXT(entry->action),
                    id_or_null(pg_int(entry->rollout_id, rollout), entry->rollout_id),
                    id_or_null(pg_int(entry->server_id, server), entry->server_id),
                    id_or_null(pg_int(entry->scope_id, scope), entry->scope_id),
                    PARAM_TEXT(entry->data ? entry->data : "{}"));
}
