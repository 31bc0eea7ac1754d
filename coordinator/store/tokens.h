/* tokens.h - access tokens, lst_<id>_<secret>_<crc32>: the database keeps the secret's SHA-256.
 *
 * The checksum tells a mistyped token from a revoked one without asking the database, and lets
 * secret scanners recognise one.
 */
#ifndef COORDINATOR_STORE_TOKENS_H
#define COORDINATOR_STORE_TOKENS_H

#include "common/err.h"

#define TOKEN_NAME_MAX 100
#define TOKEN_TEXT_SIZE 80

struct pg;
struct pg_pool;

/* Who asks, as the token says. */
struct token_owner {
    char name[TOKEN_NAME_MAX + 1];
    char role[32];
};

/* Make a token. out_text (TOKEN_TEXT_SIZE bytes) is the only copy of the secret. */
int tokens_create(struct pg_pool *pool, const char *name, const char *role, char *out_text,
                  struct err *e) __attribute__((warn_unused_result));
/* ERR_UNAUTHORIZED when it is malformed, unknown or revoked; it does not say which. */
int tokens_check(struct pg *pg, const char *text, struct token_owner *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
