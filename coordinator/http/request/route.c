/* route.c - matches raw paths against patterns and decodes what stands in their places. */
#include "coordinator/http/request/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"

struct span {
    const char *at;
    size_t size;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *route_decode(const char *text, size_t size, bool is_query)
{
    char *out = malloc(size + 1);
    size_t n = 0;

    MUST(out);
    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (c == '%') {
            int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

            if (low < 0) {
                free(out);
                return NULL;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && is_query) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    if (!name_is_utf8(out, n)) {
        free(out);
        return NULL;
    }
    return out;
}

/* The next segment of a path that stands at '/'; false at the end. */
static bool next_segment(struct span *path, struct span *segment)
{
    const char *slash;

    if (path->size == 0 || *path->at != '/')
        return false;
    segment->at = path->at + 1;
    slash = memchr(segment->at, '/', path->size - 1);
    segment->size = slash ? (size_t)(slash - segment->at) : path->size - 1;
    path->at += 1 + segment->size;
    path->size -= 1 + segment->size;
    return true;
}

static bool segment_fits(struct span wanted, struct span given)
{
    if (wanted.size && wanted.at[0] == '{')
        return given.size > 0;
    return wanted.size == given.size && memcmp(wanted.at, given.at, given.size) == 0;
}

static bool path_fits(const char *pattern, struct span path, struct span *params, unsigned *count)
{
    struct span rest = { pattern, strlen(pattern) }, wanted, given;

    *count = 0;
    while (next_segment(&rest, &wanted)) {
        if (!next_segment(&path, &given) || !segment_fits(wanted, given))
            return false;
        if (wanted.size && wanted.at[0] == '{') {
            MUST(*count < ROUTE_PARAMS_MAX);
            params[(*count)++] = given;
        }
    }
    return path.size == 0;
}

static void allow_add(char *allow, const char *method)
{
    size_t used = strlen(allow);

    if (strstr(allow, method))
        return;
    snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s", used ? ", " : "", method);
    if (strcmp(method, "GET") == 0)
        allow_add(allow, "HEAD");
}

void route_match_fini(struct route_match *m)
{
    for (unsigned i = 0; i < m->param_count; i++)
        free(m->params[i]);
    m->param_count = 0;
}

static int take_params(const struct span *params, unsigned count, struct route_match *out,
                       struct err *e)
{
    for (unsigned i = 0; i < count; i++) {
        out->params[i] = route_decode(params[i].at, params[i].size, false);
        if (!out->params[i]) {
            route_match_fini(out);
            return err_set(e, ERR_MALFORMED,
                           "the path has a broken percent escape, a zero byte or invalid UTF-8");
        }
        out->param_count = i + 1;
    }
    return 0;
}

int route_find(const struct route *table, size_t count, const char *method, const char *path,
               size_t path_size, struct route_match *out, struct err *e)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    struct span params[ROUTE_PARAMS_MAX];
    unsigned param_count;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < count; i++) {
        if (!path_fits(table[i].pattern, (struct span){ path, path_size }, params, &param_count))
            continue;
        if (strcmp(table[i].method, wanted) == 0) {
            out->route = &table[i];
            return take_params(params, param_count, out, e);
        }
        allow_add(out->allow, table[i].method);
    }
    if (out->allow[0])
        return err_code(e, ERR_NOT_FOUND, "method_not_allowed",
                        "this path does not know the method %.16s; it knows %s", method,
                        out->allow);
    return err_set(e, ERR_NOT_FOUND, "there is nothing at this path");
}
