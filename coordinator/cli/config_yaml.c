/* config_yaml.c - the own keys of a scope as YAML that config import reads unchanged. */
#include "coordinator/cli/config_yaml.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "common/invariant.h"
#include "coordinator/cli/cli.h"

static int sink(void *ctx, unsigned char *data, size_t size)
{
    buffer_add(ctx, data, size);
    return 1;
}

static void emit_scalar(yaml_emitter_t *to, const char *tag, const char *text,
                        yaml_scalar_style_t style)
{
    bool is_plain = !tag && style == YAML_PLAIN_SCALAR_STYLE;
    yaml_event_t event;

    MUST(yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)tag,
                                      (const yaml_char_t *)text, (int)strlen(text), is_plain,
                                      !tag && !is_plain, style));
    MUST(yaml_emitter_emit(to, &event));
}

/* Lines as lines, so that a review shows which of them changed; all else in quotes. */
static yaml_scalar_style_t style_of(const char *text)
{
    return strchr(text, '\n') ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static void emit_item(yaml_emitter_t *to, const json_t *item)
{
    const char *value = cli_text(item, "config_value"), *type = cli_text(item, "value_type");
    char version[24];

    emit_scalar(to, NULL, cli_text(item, "config_key"), YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    if (json_is_true(json_object_get(item, "encrypted"))) {
        snprintf(version, sizeof(version), "%lld", cli_number(item, "version"));
        emit_scalar(to, "!secret", version, YAML_PLAIN_SCALAR_STYLE);
    } else if (strcmp(type, "number") == 0 || strcmp(type, "boolean") == 0) {
        emit_scalar(to, NULL, value, YAML_PLAIN_SCALAR_STYLE);
    } else if (strcmp(type, "json") == 0) {
        emit_scalar(to, "!json", value, YAML_SINGLE_QUOTED_SCALAR_STYLE);
    } else {
        emit_scalar(to, strcmp(type, "yaml") == 0 ? "!yaml" : NULL, value, style_of(value));
    }
}

/* Keys stay in one piece: "a.b" beside "a" needs no rule then, and a line of a diff says it all. */
void config_yaml_write(const json_t *configs, struct buffer *out)
{
    yaml_emitter_t to;
    yaml_event_t event;
    json_t *item;
    size_t i;

    MUST(yaml_emitter_initialize(&to));
    yaml_emitter_set_output(&to, sink, out);
    yaml_emitter_set_unicode(&to, 1);
    yaml_emitter_set_width(&to, -1);
    MUST(yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
    MUST(yaml_emitter_emit(&to, &event));
    json_array_foreach(configs, i, item)
        emit_item(&to, item);
    MUST(yaml_mapping_end_event_initialize(&event));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_document_end_event_initialize(&event, 1));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_stream_end_event_initialize(&event));
    MUST(yaml_emitter_emit(&to, &event));
    yaml_emitter_delete(&to);
}
