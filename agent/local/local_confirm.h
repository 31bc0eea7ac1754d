/* local_confirm.h - POST …/confirm: a process says over local HTTP which content it runs.
 *
 * It is registered as a consumer from its first word on, until it ends: the process that the kernel
 * names as the other end of the connection, or another one of the same user that the body names (a
 * shell's curl ends at once). Here one handle of liblockstep speaks for each.
 */
#ifndef AGENT_LOCAL_LOCAL_CONFIRM_H
#define AGENT_LOCAL_LOCAL_CONFIRM_H

#include "agent/local/local_request.h"

struct confirmers;

struct confirmers *confirmers_new(const char *publish_dir);
void confirmers_free(struct confirmers *c); /* NULL is fine */
/* From time to time: processes that ended count no more. */
void confirmers_look(struct confirmers *c);

/* {"hash":HEX, "error":why it cannot run it, "name":…, "pid":…}, all but hash optional; without
 * hash and error it only registers. */
int local_post_confirm(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));

#endif
