/* response.h - replies and kept answers as libmicrohttpd sends them. */
#ifndef COORDINATOR_HTTP_TRANSPORT_RESPONSE_H
#define COORDINATOR_HTTP_TRANSPORT_RESPONSE_H

struct MHD_Response;
struct cached_reply;
struct reply;

/* Takes the body out of the reply. The caller destroys it once it is queued. */
struct MHD_Response *response_of_reply(struct reply *re);
/* The answer's own, made at the first call, sent to as many as want it. Lent: hold the answer until
 * it is queued. */
struct MHD_Response *response_of_answer(struct cached_reply *a);
/* It will be sent in a moment: the processor may begin to fetch it from memory. */
void response_expect(const struct cached_reply *a);

#endif
