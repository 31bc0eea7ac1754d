/* steps.h - how the steps of applying, as the API tells them, are shown on one line. */
#ifndef CLI_STEPS_H
#define CLI_STEPS_H

#include "common/buffer.h"

struct json_t;

/* "files 3ms, reload 12ms (failed)" from the members steps and failed_step of an object; a step
 * that failed without a time stands last. "" when nothing is known. */
void steps_text(const struct json_t *object, struct buffer *out);
/* All steps together; -1 when there are none. */
long long steps_total_ms(const struct json_t *object);
/* "@4 1a2b3c4d" of the member reverted_to: an object, or a list of them with their scopes; ""
 * when it is null. */
void steps_reverted(const struct json_t *object, struct buffer *out);

/* Did what a server (an object of the API) was told last fail, in any scope? */
bool steps_has_failed(const struct json_t *server);

#endif
