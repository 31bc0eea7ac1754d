/* schema_keywords.h - the keywords that look inside a value, or at other schemas for it. */
#ifndef COMMON_SCHEMA_SCHEMA_KEYWORDS_H
#define COMMON_SCHEMA_SCHEMA_KEYWORDS_H

#include "common/schema/schema_internal.h"

/* schema_objects.c */
schema_check_fn schema_check_required, schema_check_dependencies, schema_check_names,
    schema_check_properties, schema_check_pattern_properties, schema_check_additional;
/* schema_lists.c */
schema_check_fn schema_check_unique, schema_check_items, schema_check_additional_items,
    schema_check_contains;
/* schema_choices.c */
schema_check_fn schema_check_all, schema_check_any, schema_check_one, schema_check_not,
    schema_check_if;

#endif
