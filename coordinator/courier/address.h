/* address.h - which addresses messages may go to: public ones, and private ones by permission. */
#ifndef COORDINATOR_COURIER_ADDRESS_H
#define COORDINATOR_COURIER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define ADDRESS_NETWORKS_MAX 64

/* An IPv6 network; IPv4 is mapped into ::ffff:0:0/96. */
struct address_network {
    uint8_t bytes[16];
    unsigned bits;
};

struct address_list {
    size_t count;
    struct address_network networks[ADDRESS_NETWORKS_MAX];
};

/* "127.0.0.1 10.0.0.0/8 fd00::/8", separated by blanks or commas; NULL: nothing. ERR_INVALID says
 * which word is none. */
int address_list_read(const char *text, struct address_list *out, struct err *e)
    __attribute__((warn_unused_result));

/* An address as it is written (RFC 4291 section 2.2, or dotted decimal). Loopback, private,
 * link-local, shared, multicast, documentation and reserved ones only when the list has them; so
 * with those that carry such an IPv4 address inside. What is no address is not allowed. */
bool address_is_allowed(const struct address_list *list, const char *text);

#endif
