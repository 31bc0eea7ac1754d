/* rowjson.h - JSON that rows hold, taken for what it is: somebody may have written it by hand. */
#ifndef COORDINATOR_HTTP_REQUEST_ROWJSON_H
#define COORDINATOR_HTTP_REQUEST_ROWJSON_H

struct json_t;

/* What cannot be read (a number beyond all bounds is JSON to PostgreSQL) is null to whoever asks,
 * and the log says which row has it: `what` and `name`, as "labels of server" and "web-1". */
struct json_t *rowjson(const char *text, const char *what, const char *name);
/* A text column; PostgreSQL holds valid UTF-8 alone, and so does JSON. */
struct json_t *rowjson_text(const char *text);

#endif
