/* fields.c - strict readers of JSON members. */
#include "coordinator/http/request/fields.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fields_open(const struct request *rq, struct reply *re, bool is_optional, struct fields *out,
                struct err *e)
{
    *out = (struct fields){ .object = rq->json, .reply = re };
    if (!rq->json && is_optional)
        return 0;
    if (!rq->json)
        return err_set(e, ERR_MALFORMED, "the body is missing: send a JSON object");
    if (!json_is_object(rq->json))
        return err_set(e, ERR_INVALID, "the body must be a JSON object");
    return 0;
}

void fields_pointer(const struct fields *f, const char *name, char out[FIELDS_POINTER_SIZE])
{
    size_t n = (size_t)snprintf(out, FIELDS_POINTER_SIZE, "%.*s/", FIELDS_POINTER_SIZE - 2,
                                f->pointer);

    for (; *name && n + 3 < FIELDS_POINTER_SIZE; name++) {
        if (*name == '~' || *name == '/') {
            out[n++] = '~';
            out[n++] = *name == '~' ? '0' : '1';
        } else {
            out[n++] = *name;
        }
    }
    out[n] = '\0';
}

void fields_problem(const struct fields *f, const char *name, const char *fmt, ...)
{
    char pointer[FIELDS_POINTER_SIZE], text[256];
    va_list ap;

    fields_pointer(f, name, pointer);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problems_add(&f->reply->problems, pointer, "%s", text);
}

bool fields_enter(const struct fields *outer, const char *name, struct json_t *value,
                  struct fields *out)
{
    *out = (struct fields){ .object = value, .reply = outer->reply };
    fields_pointer(outer, name, out->pointer);
    if (json_is_object(value))
        return true;
    fields_problem(outer, name, "must be an object");
    return false;
}

void fields_only(const struct fields *f, const char *const *known)
{
    const char *name;
    json_t *value;

    json_object_foreach(f->object, name, value) {
        unsigned k = 0;

        while (known[k] && strcmp(known[k], name) != 0)
            k++;
        if (!known[k])
            fields_problem(f, name, "there is no field %.60s here", name);
    }
}

static json_t *member(const struct fields *f, const char *name, bool is_required)
{
    json_t *value = json_object_get(f->object, name);

    if (value && !json_is_null(value))
        return value;
    if (is_required)
        fields_problem(f, name, "%s is missing", name);
    return NULL;
}

const char *fields_text(const struct fields *f, const char *name, bool is_required, size_t max)
{
    json_t *value = member(f, name, is_required);

    if (!value)
        return NULL;
    if (!json_is_string(value)) {
        fields_problem(f, name, "must be a string");
        return NULL;
    }
    if (json_string_length(value) > max) {
        fields_problem(f, name, "may have at most %zu bytes", max);
        return NULL;
    }
    if (is_required && json_string_length(value) == 0) {
        fields_problem(f, name, "must not be empty");
        return NULL;
    }
    return json_string_value(value);
}

int64_t fields_number(const struct fields *f, const char *name, int64_t least, int64_t most,
                      int64_t preset)
{
    json_t *value = member(f, name, false);
    double n;

    if (!value)
        return preset;
    n = json_number_value(value);
    if (!json_is_number(value) || n < (double)least || n > (double)most ||
        n != (double)(int64_t)n) {
        fields_problem(f, name, "must be a whole number of at least %lld", (long long)least);
        return preset;
    }
    return (int64_t)n;
}

bool fields_flag(const struct fields *f, const char *name)
{
    json_t *value = member(f, name, false);

    if (value && !json_is_boolean(value))
        fields_problem(f, name, "must be true or false");
    return json_is_true(value);
}

struct json_t *fields_list(const struct fields *f, const char *name, bool is_required)
{
    json_t *value = member(f, name, is_required);

    if (!value || json_is_array(value))
        return value;
    fields_problem(f, name, "must be a list");
    return NULL;
}

struct json_t *fields_object(const struct fields *f, const char *name, bool is_required)
{
    json_t *value = member(f, name, is_required);

    if (!value || json_is_object(value))
        return value;
    fields_problem(f, name, "must be an object");
    return NULL;
}

int fields_done(const struct reply *re, struct err *e)
{
    const char *name = re->problems.items[0].pointer;

    if (!re->problems.count)
        return 0;
    return err_set(e, ERR_INVALID, "%.200s: %s", *name ? name + 1 : "body",
                   re->problems.items[0].detail);
}
