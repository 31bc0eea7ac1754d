/* table.h - uthash as it is used here: out of memory is a bug, and every compiler likes the hash. */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include "common/invariant.h"

#define uthash_fatal(message) invariant_broken(message, __FILE__, __LINE__)
/* Jenkins' hash, which is preset, falls through the cases of a switch without saying so. */
#define HASH_FUNCTION HASH_OAT
#include <uthash.h>

#endif
