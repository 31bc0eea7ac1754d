/* local_owner.h - whose socket is at the other end of a loopback connection, as the kernel says. */
#ifndef AGENT_LOCAL_LOCAL_OWNER_H
#define AGENT_LOCAL_LOCAL_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

/* By sock_diag(7). False: nobody can tell, as when that end is closed already, or where the kernel
 * does not offer it. Good for counting, not for rights: a descriptor may have been handed on. */
bool local_owner_of(int fd, uid_t *uid_out);

#endif
