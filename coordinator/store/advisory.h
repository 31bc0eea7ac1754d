/* advisory.h - the advisory locks of PostgreSQL that are used here: each number stands here, once.
 *
 * Any numbers will do, as long as every lockstepd takes the same: they never change. Whoever counts
 * rows against a limit before it adds one holds the lock of that count until its COMMIT; two that
 * count at once would both find the last place free. The lock is a statement by itself, before the
 * one that counts, which would not see what was committed while it waited. Where they stand in the
 * order of all locks is told in trail.h.
 */
#ifndef COORDINATOR_STORE_ADVISORY_H
#define COORDINATOR_STORE_ADVISORY_H

/* Of a session: */
#define ADVISORY_MIGRATION "7230511620371043"
#define ADVISORY_RETENTION "hashtext('lockstep retention')"
#define ADVISORY_CLAIM "hashtextextended($1 || ' ' || $2, 5519)" /* $1 owner, $2 key */

/* Of a transaction: */
#define ADVISORY_PARENTS "7310873522"                 /* parents of scopes are named */
#define ADVISORY_SCHEMAS "723051, hashtext($1)"       /* of the service $1 */
#define ADVISORY_SCOPES "723052, 0"                   /* how many scopes there are */
#define ADVISORY_SERVERS "723054, 0"                  /* how many servers are enrolled */
#define ADVISORY_TOKENS "7310873523"                  /* which token was made with which */
#define ADVISORY_SUBSCRIPTIONS "723053, hashtext($1)" /* how many the owner $1 has */

#endif
