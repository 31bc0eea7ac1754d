/* render.c - writes documents as JSON. */
#include "coordinator/http/config/render.h"

#include "common/document/canon.h"
#include "common/schema/schema.h"

/* YAML as schemas see it; what was accepted by older rules and is none any more stays a text. */
void render_value(enum value_type type, const char *text, struct buffer *out)
{
    struct err e;

    if (type == VALUE_YAML && schema_emit_value(type, text, out, &e) == 0)
        return;
    if (type == VALUE_STRING || type == VALUE_YAML)
        canon_quote(out, text);
    else
        buffer_add_text(out, text);
}

void render_json(const struct document *d, struct buffer *out)
{
    struct document_item item;

    buffer_add_text(out, "{");
    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        if (i)
            buffer_add_text(out, ",");
        canon_quote(out, item.key);
        buffer_add_text(out, ":");
        render_value(item.type, item.text, out);
    }
    buffer_add_text(out, "}\n");
}
