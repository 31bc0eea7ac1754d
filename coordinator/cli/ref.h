/* ref.h - how people name things on the command line: PAYMENTS/PROD@42, a rollout, KEY=VALUE. Pure.
 */
#ifndef CLI_REF_H
#define CLI_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/name.h"

#define REF_HEAD (-1)     /* "@head" */
#define REF_NONE (-2)     /* nothing was said */
#define REF_RELEASED (-3) /* "@released" */

struct ref_scope {
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    int64_t revision; /* or REF_… */
};

/* SERVICE/ENV, SERVICE/ENV@REV with REV a number, "head" or "released". */
int ref_scope_parse(const char *text, struct ref_scope *out, struct err *e)
    __attribute__((warn_unused_result));
/* The same without @REV. */
int ref_scope_parse_plain(const char *text, struct ref_scope *out, struct err *e)
    __attribute__((warn_unused_result));

/* A revision as an option's value: a number, "head" or "released". */
int ref_revision_parse(const char *text, int64_t *out, struct err *e)
    __attribute__((warn_unused_result));
/* As the API wants it in a query: "42", "head", "released". out of at least 24 bytes. */
void ref_revision_format(int64_t revision, char out[24]);

/* What an option that counts was given, from min to max: digits and nothing else, for a guard that
 * is taken for 0 guards nothing. */
int ref_number_parse(const char *option, const char *text, int64_t min, int64_t max, int64_t *out,
                     struct err *e) __attribute__((warn_unused_result));

/* DURATION|TIME: so long from now, or that moment; *out as the API wants it. */
int ref_moment_parse(const char *option, const char *text, char out[CLOCK_TEXT_SIZE],
                     struct err *e) __attribute__((warn_unused_result));

/* A rollout is named by its scope, by its id, or by a beginning of its id. */
bool ref_is_scope(const char *text);
/* An id or a beginning: letters, digits, '-' and '_', so that it may stand in a path. */
bool ref_is_id(const char *text);

/* "1,3" or "2-4": numbers of documents, from 1. *out is a bit per document (bit 0: document 1). */
int ref_numbers_parse(const char *text, uint64_t *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
