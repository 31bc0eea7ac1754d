/* refusals.h - what the HTTP library refuses by itself (heads too large, no request at all) as problems. */
#ifndef COORDINATOR_HTTP_TRANSPORT_REFUSALS_H
#define COORDINATOR_HTTP_TRANSPORT_REFUSALS_H

struct MHD_Connection;
struct MHD_Response;

/* Before the first request: the library's pages of HTML are replaced by problem documents. */
void refusals_translate(void);
/* MHD_queue_response, for this program's own answers. MHD_Result. */
int refusals_queue(struct MHD_Connection *connection, unsigned status,
                   struct MHD_Response *response);

#endif
