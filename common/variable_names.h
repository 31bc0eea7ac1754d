/* variable_names.h - names of environment variables that a loader, shell or interpreter obeys. Pure.
 *
 * Keys become variables, and whoever may write a key must not choose by it which program runs
 * (PATH, LD_PRELOAD), what a shell executes as it starts (BASH_ENV), where a program finds its
 * home, its temporary files or its proxy. Such names are refused until the administrator of the
 * server, or whoever asks, allows them one by one. Case does not count: http_proxy is HTTP_PROXY to
 * most.
 */
#ifndef COMMON_VARIABLE_NAMES_H
#define COMMON_VARIABLE_NAMES_H

#include <stdbool.h>

#include "common/err.h"

#define VARIABLE_PREFIX_MAX 100

/* Who obeys it, for a sentence: "the dynamic loader"; NULL: nobody that is known here. */
const char *variable_obeyed_by(const char *name);

/* Names or globs (PATH, GIT_*), separated by blanks or commas; NULL: none. */
bool variable_is_allowed(const char *list, const char *name);
/* Is it such a list? -1: the word that is none. */
int variable_check_list(const char *list, struct err *e) __attribute__((warn_unused_result));
/* Can it begin a name? Letters, digits and underscores; no digit first. */
int variable_check_prefix(const char *prefix, struct err *e) __attribute__((warn_unused_result));

#endif
