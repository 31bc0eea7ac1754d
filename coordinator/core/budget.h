/* budget.h - budgets: how many failures a stage tolerates, and how that is counted. Pure. */
#ifndef COORDINATOR_CORE_BUDGET_H
#define COORDINATOR_CORE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_UNLIMITED UINT32_MAX

/* The denominator of a percentage. */
enum budget_of { BUDGET_OF_MEMBERS, BUDGET_OF_REACHABLE };

/* Both limits hold; BUDGET_UNLIMITED switches one off. Percentages round down. */
struct budget {
    uint32_t count;
    uint32_t percent; /* thousandths of a percent */
    enum budget_of of;
};

/* The largest number of failures that is still within the budget. */
uint32_t budget_allows(const struct budget *budget, uint32_t members, uint32_t reachable);

#endif
