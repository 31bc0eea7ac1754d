/* etag.h - conditional reads: does an If-None-Match name the answer that would be given (RFC 9110)? */
#ifndef COORDINATOR_HTTP_REQUEST_ETAG_H
#define COORDINATOR_HTTP_REQUEST_ETAG_H

#include <stdbool.h>

/* etag: quoted. A list of tags, strong or weak (compressing proxies make every one weak), or "*",
 * which is any answer there is. NULL: no condition. */
bool etag_is_known(const char *if_none_match, const char *etag);

#endif
