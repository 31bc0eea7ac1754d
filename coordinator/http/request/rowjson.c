/* rowjson.c - reads JSON of rows for those who show it. */
#include "coordinator/http/request/rowjson.h"

#include <jansson.h>

#include "common/invariant.h"
#include "common/log.h"

struct json_t *rowjson(const char *text, const char *what, const char *name)
{
    json_error_t why;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &why);

    if (value)
        return value;
    log_error("a row cannot be read and is shown without this", "what", what, "name", name,
              "reason", why.text);
    return json_null();
}

struct json_t *rowjson_text(const char *text)
{
    json_t *value = json_string(text);

    MUST(value);
    return value;
}
