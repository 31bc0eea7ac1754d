/* zap.h - who may connect: answers authentication requests (ZAP 1.0) from a set of keys.
 *
 * Implements ZeroMQ RFC 27. A thread of its own holds the set; it learns of a new one by message,
 * and looks for one before each answer: a key is known to every connection made after zap_allow.
 * An allowed key becomes the User-Id of all messages of its connection.
 */
#ifndef COORDINATOR_LINK_ZAP_H
#define COORDINATOR_LINK_ZAP_H

#include <stddef.h>

#include "common/err.h"

#define ZAP_KEY_SIZE 41 /* Z85 text with the terminating zero */

struct knocks;
struct zap;

/* `context` is the ZeroMQ context of the sockets to guard; open before any of them binds. Nobody
 * is allowed at first. Keys that are refused are noted in `knocks`, lent; NULL: nowhere. */
int zap_open(void *context, struct knocks *knocks, struct zap **out, struct err *e)
    __attribute__((warn_unused_result));
/* After the guarded sockets are closed. */
void zap_close(struct zap *z);
/* Replaces the set; the keys are copied. One caller at a time. */
void zap_allow(struct zap *z, const char (*keys)[ZAP_KEY_SIZE], size_t count);

#endif
