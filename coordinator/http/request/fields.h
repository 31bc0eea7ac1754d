/* fields.h - reading a JSON body strictly: what is missing, unknown or wrong becomes a problem.
 *
 * Readers return what they can and note the rest in the reply's problems with an RFC 6901
 * pointer; fields_done turns those into one error.
 */
#ifndef COORDINATOR_HTTP_REQUEST_FIELDS_H
#define COORDINATOR_HTTP_REQUEST_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

#define FIELDS_POINTER_SIZE 256

/* An object of the body and where it stands. */
struct fields {
    struct json_t *object;
    struct reply *reply;
    char pointer[FIELDS_POINTER_SIZE]; /* "" is the whole body */
};

/* The body, which must be an object; an absent one counts as {} when it may be absent. */
int fields_open(const struct request *rq, struct reply *re, bool is_optional, struct fields *out,
                struct err *e) __attribute__((warn_unused_result));
/* An object inside: of a list (index) or under a name. false: not an object, noted. */
bool fields_enter(const struct fields *outer, const char *name, struct json_t *value,
                  struct fields *out);
/* pointer + "/" + name, with ~ and / escaped. */
void fields_pointer(const struct fields *f, const char *name, char out[FIELDS_POINTER_SIZE]);
void fields_problem(const struct fields *f, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Note every member that is not in the NULL-terminated list. */
void fields_only(const struct fields *f, const char *const *known);
#define FIELDS_ONLY(f, ...) fields_only(f, (const char *const[]){ __VA_ARGS__, NULL })

/* NULL when absent or null (noted when required), or not a text of at most `max` bytes (noted). */
const char *fields_text(const struct fields *f, const char *name, bool is_required, size_t max);
/* A whole number; `preset` when absent or wrong. */
int64_t fields_number(const struct fields *f, const char *name, int64_t least, int64_t most,
                      int64_t preset);
bool fields_flag(const struct fields *f, const char *name);
/* A list or an object; NULL when absent (noted when required) or something else (noted). */
struct json_t *fields_list(const struct fields *f, const char *name, bool is_required);
struct json_t *fields_object(const struct fields *f, const char *name, bool is_required);

/* -1 and ERR_INVALID when anything was noted. */
int fields_done(const struct reply *re, struct err *e) __attribute__((warn_unused_result));

#endif
