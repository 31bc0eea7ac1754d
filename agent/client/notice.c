/* notice.c - learning of changes: a descriptor that becomes readable, and a thread that calls back. */
#include "agent/client/client_inside.h"

void notice_close(struct lockstep *ls)
{
    (void)ls;
}
