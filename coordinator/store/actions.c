/* actions.c - finds an action of the audit trail in their list. */
#include "coordinator/store/actions.h"

#include <stddef.h>
#include <string.h>

unsigned action_wakes(const char *action)
{
    static const struct {
        const char *name;
        unsigned wakes;
    } all[] = {
#define X(name, whom) { name, ACTION_WAKES_##whom },
        ACTIONS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].name, action) == 0)
            return all[i].wakes;
    return ACTION_WAKES_NOBODY;
}
