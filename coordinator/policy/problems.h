/* problems.h - what is wrong with the fields of a request, for errors:[{pointer,detail}] (RFC 9457). */
#ifndef COORDINATOR_POLICY_PROBLEMS_H
#define COORDINATOR_POLICY_PROBLEMS_H

#define PROBLEMS_MAX 16

struct json_t;

/* Begins as { 0 }. More than PROBLEMS_MAX are not kept. */
struct problems {
    unsigned count;
    struct {
        char pointer[256]; /* RFC 6901, into the body */
        char detail[256];
    } items[PROBLEMS_MAX];
    struct json_t *extra; /* an object: further members of the answer; NULL: none */
};
void problems_fini(struct problems *p);

void problems_add(struct problems *p, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes value. */
void problems_extra(struct problems *p, const char *name, struct json_t *value);

#define SCOPED_PROBLEMS __attribute__((cleanup(problems_fini)))

#endif
