/* local_owner.c - whose socket is at the other end of a loopback connection, as the kernel says. */
#include "agent/local/local_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_US 200000

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

/* The connection as the other end sees it: what is remote here is its own address. */
static bool name_connection(int fd, struct inet_diag_req_v2 *out)
{
    struct sockaddr_storage own = { 0 }, peer = { 0 };
    socklen_t own_size = sizeof(own), peer_size = sizeof(peer);

    if (getsockname(fd, (struct sockaddr *)&own, &own_size) ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_size) || own.ss_family != peer.ss_family)
        return false;
    *out = (struct inet_diag_req_v2){ .sdiag_family = (unsigned char)own.ss_family,
                                      .sdiag_protocol = IPPROTO_TCP,
                                      .idiag_states = ~0U,
                                      .id.idiag_cookie = { INET_DIAG_NOCOOKIE,
                                                           INET_DIAG_NOCOOKIE } };
    if (own.ss_family == AF_INET) {
        const struct sockaddr_in *from = (const void *)&peer, *to = (const void *)&own;

        out->id.idiag_sport = from->sin_port;
        out->id.idiag_dport = to->sin_port;
        memcpy(out->id.idiag_src, &from->sin_addr, sizeof(from->sin_addr));
        memcpy(out->id.idiag_dst, &to->sin_addr, sizeof(to->sin_addr));
        return true;
    }
    if (own.ss_family == AF_INET6) {
        const struct sockaddr_in6 *from = (const void *)&peer, *to = (const void *)&own;

        out->id.idiag_sport = from->sin6_port;
        out->id.idiag_dport = to->sin6_port;
        memcpy(out->id.idiag_src, &from->sin6_addr, sizeof(from->sin6_addr));
        memcpy(out->id.idiag_dst, &to->sin6_addr, sizeof(to->sin6_addr));
        return true;
    }
    return false;
}

static bool ask(int netlink, const struct question *q, uid_t *uid_out)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg found;
        char more[512]; /* attributes */
    } answer;
    ssize_t size;

    if (send(netlink, q, sizeof(*q), 0) != (ssize_t)sizeof(*q))
        return false;
    size = recv(netlink, &answer, sizeof(answer), 0);
    if (size < (ssize_t)(sizeof(answer.header) + sizeof(answer.found)) ||
        answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return false;
    *uid_out = answer.found.idiag_uid;
    return true;
}

bool local_owner_of(int fd, uid_t *uid_out)
{
    struct question q = { .header = { .nlmsg_len = sizeof(q),
                                      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                                      .nlmsg_flags = NLM_F_REQUEST } };
    struct timeval patience = { .tv_usec = PATIENCE_US };
    bool is_told = false;
    int netlink;

    if (!name_connection(fd, &q.request))
        return false;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        return false;
    (void)setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    is_told = ask(netlink, &q, uid_out);
    close(netlink);
    return is_told;
}
