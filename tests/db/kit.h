/* kit.h - a throwaway PostgreSQL for one test program, and small worlds inside it.
 *
 * The kit starts the server (a child that dies with the program) before the first test, and removes
 * everything after the last one. Every test works in a database of its own, a copy of a migrated
 * one. All functions stop the test when something fails that is not under test.
 */
#ifndef TESTS_DB_KIT_H
#define TESTS_DB_KIT_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "coordinator/store/pg.h"

/* A fresh migrated database; the text lives until the program ends. */
const char *kit_database(void);
/* A fresh one without any table. */
const char *kit_empty_database(void);
struct pg *kit_open(const char *conninfo);

/* One statement whose text is formatted; must succeed. */
void kit_sql(struct pg *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Its first column of its only row. */
int64_t kit_int(struct pg *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same as text, lent until the next call. */
const char *kit_text(struct pg *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ask again and again until the answer is `want`; at most ten seconds. */
void kit_await(struct pg *pg, int64_t want, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Scope payments/prod (or another service) with `revisions` revisions; its id. */
int64_t kit_scope(struct pg *pg, const char *service, int revisions);
/* Servers server-1 … server-N, enrolled and joined to the scope; ids are 1 … N. */
void kit_servers(struct pg *pg, int64_t scope_id, int count);
/* A running rollout of the scopes to their heads, with `stages` stages; its id. */
int64_t kit_rollout(struct pg *pg, const int64_t *scope_ids, int scope_count, int stages);
/* (gen 1, epoch) leads. */
void kit_lead(struct pg *pg, uint64_t epoch);

#endif
