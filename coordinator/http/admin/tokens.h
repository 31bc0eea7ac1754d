/* tokens.h - handlers of access tokens, and of the question who one is. */
#ifndef COORDINATOR_HTTP_ADMIN_TOKENS_H
#define COORDINATOR_HTTP_ADMIN_TOKENS_H

#include "coordinator/http/request/route.h"

route_handler tokens_whoami, tokens_post, tokens_get_all, tokens_get_one, tokens_delete;

#endif
