/* suggest.h - "did you mean": the one name that there is and that is nearly the one given. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

struct cli;
struct err;
struct json_t;
struct ref_scope;

/* How many letters are to be changed, left out, put in or swapped with their neighbour to make one
 * word of the other (optimal string alignment); names are short, longer ones are cut. */
size_t suggest_distance(const char *a, const char *b);

/* Of a list of texts the one that is nearest to what was given, lent; NULL when none is near
 * enough, or two are equally near: a guess among many helps nobody. is_beginning: what was given
 * may be the beginning of it. A text that is exactly what was given is passed over. */
const char *suggest_nearest(const struct json_t *names, const char *given, bool is_beginning);

/* The same of words that are known here: options, commands. */
const char *suggest_word(const char *const *words, size_t count, const char *given);

/* Is the text in the list? */
bool suggest_has(const struct json_t *names, const char *given);

/* After an answer that something does not exist: asks what there is, and says on standard error
 * what was probably meant. Says nothing about other errors, and asks nothing then. */
void suggest_after(struct cli *cli, const struct err *e);
/* Warns when there is no such environment, or no such service, and says which was probably meant:
 * what is made for one may come before it, but rarely does. "*" and globs are nobody's name. */
void suggest_environment(struct cli *cli, const char *name);
void suggest_service(struct cli *cli, const char *name);
/* The same of a scope that exists and that nobody reads. */
void suggest_scope(struct cli *cli, const struct ref_scope *scope);

#endif
