/* tokens.h - access tokens, lst_<id>_<secret>_<crc32>: the database keeps the secret's SHA-256.
 *
 * The checksum tells a mistyped token from a revoked one without asking the database, and lets
 * secret scanners recognise one.
 */
#ifndef COORDINATOR_STORE_ACCESS_TOKENS_H
#define COORDINATOR_STORE_ACCESS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "coordinator/policy/grants.h"

#define TOKEN_NAME_MAX 100
#define TOKEN_TEXT_SIZE 80
#define TOKEN_ID_SIZE 9 /* eight characters */

/* What an administrator's first token may do: everything, and the rights of no role. */
#define TOKEN_FIRST_GRANTS                                                                         \
    "[{\"role\":\"admin\",\"environment\":\"*\",\"service\":\"*\","                                \
    "\"rights\":[\"secret.read\",\"rollout.break_glass\",\"token.issue\"]}]"

struct pg;
struct rows;

/* Who asks, as the token says. */
struct token_owner {
    char id[TOKEN_ID_SIZE];
    char name[TOKEN_NAME_MAX + 1]; /* its subject: the person or the machine behind it */
    int64_t until_ms; /* monotonic: when it expires; INT64_MAX or a time far away: never */
    int64_t ends_ms; /* when it expires, wall clock; 0: never */
    struct grants grants;
};

struct token_new {
    const char *name;       /* what it is called */
    const char *subject;    /* whose it is: several tokens may be one person's or machine's */
    const char *made_by;    /* id of the token that makes it, which must be good; NULL: none */
    const char *grants;     /* JSON list, read and found good */
    const char *expires_at; /* RFC 3339; NULL: never */
    const char *created_by; /* "" the host's administrator */
};
/* text_out is the only copy of the secret. The caller writes the audit row. Inside the caller's
 * transaction, as is tokens_revoke: they wait for each other. */
int tokens_create(struct pg *pg, const struct token_new *token, char id_out[TOKEN_ID_SIZE],
                  char text_out[TOKEN_TEXT_SIZE], struct err *e)
    __attribute__((warn_unused_result));
/* Of lst_ID_SECRET_CRC, each part of its fixed length; the secret is lent by the text and ends at
 * its length. -1: it is none, whatever the database holds. */
int tokens_take_apart(const char *text, char id[TOKEN_ID_SIZE], const char **secret)
    __attribute__((warn_unused_result));
/* ERR_UNAUTHORIZED when it is malformed, unknown, expired or revoked; it does not say which. Notes
 * that it was used, once a minute. Takes as long for a wrong secret as for an unknown token. */
int tokens_check(struct pg *pg, const char *text, struct token_owner *out, struct err *e)
    __attribute__((warn_unused_result));

/* By id: one of them, or, with "" all above `after`, ascending. */
int tokens_list(struct pg *pg, const char *id, const char *after, int64_t limit,
                struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Texts are lent by the rows; "" when there is none. */
struct token_row {
    const char *id, *name, *subject, *made_by, *grants, *created_by, *created_at, *expires_at,
        *last_used_at, *revoked_at;
};
struct token_row tokens_at(const struct rows *rows, size_t row);

/* ERR_NOT_FOUND unknown_token. What it made for its own subject ends with it, and so do their own;
 * is_with_issued: what they made for others as well. Ids, whether each is revoked by this, and
 * whether it was made for another: the revoked ones, and those for others that go on. None at all:
 * nothing changes, it was revoked before. */
int tokens_revoke(struct pg *pg, const char *id, bool is_with_issued, struct rows **out,
                  struct err *e) __attribute__((warn_unused_result));
/* Is the token this subject's own, or was it made by one that is? */
int tokens_is_of(struct pg *pg, const char *id, const char *subject, bool *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
