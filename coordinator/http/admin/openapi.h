/* openapi.h - the description of the API (openapi.json beside this), as it is served.
 *
 * How to add a route: a row in routes.c, its operation in openapi.json, its words in CODES
 * (codes.h) when it has new ones. tests/unit/http_openapi.c and tests/system/openapi.py
 * compare all of them with each other and with what the running server answers.
 */
#ifndef COORDINATOR_HTTP_ADMIN_OPENAPI_H
#define COORDINATOR_HTTP_ADMIN_OPENAPI_H

#include "coordinator/http/admin/page.h"

int openapi_get(struct request *rq, struct reply *re, struct err *e);

extern const struct page_file openapi_files[]; /* one */

#endif
