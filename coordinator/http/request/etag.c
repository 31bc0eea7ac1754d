/* etag.c - takes the list of an If-None-Match apart and compares weakly (RFC 9110, 8.8.3.2, 13.1.2). */
#include "coordinator/http/request/etag.h"

#include <stddef.h>
#include <string.h>

bool etag_is_known(const char *if_none_match, const char *etag)
{
    static const char blanks[] = " \t,";
    size_t size = strlen(etag);

    if (!if_none_match)
        return false;
    for (const char *at = if_none_match; *(at += strspn(at, blanks));) {
        const char *end;

        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!end)
            return false;
        if ((size_t)(end + 1 - at) == size && memcmp(at, etag, size) == 0)
            return true;
        at = end + 1;
    }
    return false;
}
