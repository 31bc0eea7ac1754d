/* core_dump.c - what this process holds in memory is written nowhere when it dies. */
#include "common/core_dump.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/invariant.h"

static struct rlimit before;
static bool is_forbidden;

void core_dump_forbid(void)
{
    const char *wish = getenv("LOCKSTEP_CORE_DUMPS");
    bool is_allowed = wish && strcmp(wish, "1") == 0;
    struct rlimit none;

    unsetenv("LOCKSTEP_CORE_DUMPS");
    if (is_allowed)
        return;
    MUST(getrlimit(RLIMIT_CORE, &before) == 0);
    is_forbidden = true;
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
    MUST(setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0);
}

void core_dump_restore(void)
{
    if (is_forbidden)
        (void)setrlimit(RLIMIT_CORE, &before);
}
