/* name.h - the names of services, environments, servers and scopes, and UTF-8. */
#ifndef COMMON_NAME_H
#define COMMON_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define NAME_MAX_BYTES 100
#define NAME_BUFFER (NAME_MAX_BYTES + 1)
#define SCOPE_BUFFER (2 * NAME_MAX_BYTES + 2)

/* [a-z0-9][a-z0-9._-]*, 1 to 100 bytes. `what` names the field in the message. */
int name_check(const char *what, const char *text, struct err *e)
    __attribute__((warn_unused_result));

/* development -> dev, production -> prod; anything else unchanged. */
const char *name_environment(const char *text);

/* "payments/prod" -> service, environment (aliases resolved, both checked). */
int name_split_scope(const char *text, char service[NAME_BUFFER], char environment[NAME_BUFFER],
                     struct err *e) __attribute__((warn_unused_result));

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF; a zero byte is refused. */
bool name_is_utf8(const char *text, size_t size);

/* Put a '?' for every byte that keeps text from being UTF-8 (the output of a program, say), so
 * that it can travel and be stored. */
void name_clean_utf8(char *text, size_t size);

/* Glob over whole names: * is any run of characters (a slash as well), ? is one character. */
bool name_matches(const char *pattern, const char *text);

#endif
