/* budget.c - budgets: the smaller of a count and a share, rounded down. */
#include "coordinator/core/budget.h"

uint32_t budget_allows(const struct budget *budget, uint32_t members, uint32_t reachable)
{
    uint32_t base = budget->of == BUDGET_OF_REACHABLE ? reachable : members;
    uint32_t share = BUDGET_UNLIMITED;

    if (budget->percent != BUDGET_UNLIMITED)
        share = (uint32_t)((uint64_t)base * budget->percent / 100000);
    return share < budget->count ? share : budget->count;
}
