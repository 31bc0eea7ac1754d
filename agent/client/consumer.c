/* consumer.c - telling the agent what this process runs. */
#include "agent/client/client_inside.h"

void consumer_close(struct lockstep *ls)
{
    (void)ls;
}
