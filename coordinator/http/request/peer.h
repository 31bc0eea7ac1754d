/* peer.h - the address of who asks, as the audit trail and the limits name it. */
#ifndef COORDINATOR_HTTP_REQUEST_PEER_H
#define COORDINATOR_HTTP_REQUEST_PEER_H

#define PEER_ADDRESS_SIZE 46

struct MHD_Connection;

/* Without the port; IPv4 in IPv6 as IPv4; "" when it is not known. */
void peer_address(struct MHD_Connection *connection, char out[PEER_ADDRESS_SIZE]);
/* The machine behind such an address: of IPv6 the /64, because one machine has all of that. */
void peer_network(const char *address, char out[PEER_ADDRESS_SIZE]);

#endif
