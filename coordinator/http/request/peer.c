/* peer.c - the address of who asks. */
#include "coordinator/http/request/peer.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/invariant.h"

void peer_address(struct MHD_Connection *connection, char out[PEER_ADDRESS_SIZE])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *peer = info ? info->client_addr : NULL;
    int family = peer ? peer->sa_family : AF_UNSPEC;
    const void *at = NULL;

    if (family == AF_INET) {
        at = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;

        at = IN6_IS_ADDR_V4MAPPED(six) ? (const void *)&six->s6_addr[12] : (const void *)six;
        family = IN6_IS_ADDR_V4MAPPED(six) ? AF_INET : AF_INET6;
    }
    if (!at || !inet_ntop(family, at, out, PEER_ADDRESS_SIZE))
        out[0] = '\0';
}

void peer_network(const char *address, char out[PEER_ADDRESS_SIZE])
{
    struct in6_addr six;

    if (inet_pton(AF_INET6, address, &six) == 1) {
        memset(&six.s6_addr[8], 0, 8);
        MUST(inet_ntop(AF_INET6, &six, out, PEER_ADDRESS_SIZE));
        return;
    }
    snprintf(out, PEER_ADDRESS_SIZE, "%s", address);
}
