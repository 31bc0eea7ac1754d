/* config_yaml.h - the own keys of a scope as YAML that config import reads unchanged. */
#ifndef CLI_CONFIG_YAML_H
#define CLI_CONFIG_YAML_H

#include "common/buffer.h"

struct json_t;

/* Of the API's `configs`, one key a line. A secret is `!secret VERSION`, without its value. */
void config_yaml_write(const struct json_t *configs, struct buffer *out);

#endif
