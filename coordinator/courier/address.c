/* address.c - networks that are not the public Internet (RFC 6890), and a list of exceptions. */
#include "coordinator/courier/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4(a, b, c, bits) { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, 0 }, 96 + (bits) }

static const struct address_network closed[] = {
    V4(0, 0, 0, 8),       /* this network */
    V4(10, 0, 0, 8),      /* private */
    V4(100, 64, 0, 10),   /* shared by carriers */
    V4(127, 0, 0, 8),     /* loopback */
    V4(169, 254, 0, 16),  /* link-local; the metadata services of clouds */
    V4(172, 16, 0, 12),   /* private */
    V4(192, 0, 0, 24),    /* protocol assignments */
    V4(192, 0, 2, 24),    /* documentation */
    V4(192, 88, 99, 24),  /* 6to4 relays */
    V4(192, 168, 0, 16),  /* private */
    V4(198, 18, 0, 15),   /* benchmarks */
    V4(198, 51, 100, 24), /* documentation */
    V4(203, 0, 113, 24),  /* documentation */
    V4(224, 0, 0, 3),     /* multicast, reserved, broadcast */
    { { 0x20, 0x01, 0x00, 0x00 }, 23 }, /* protocol assignments, Teredo among them */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
    { { 0x20, 0x02 }, 16 },             /* 6to4: carries any IPv4 address */
};
/* Beside mapped IPv4, what is not global unicast (2000::/3) is closed as a whole: loopback, unique
 * local, link-local, multicast, 64:ff9b::/96. */
static const struct address_network mapped = V4(0, 0, 0, 0), global = { { 0x20 }, 3 };

static bool is_within(const struct address_network *n, const uint8_t bytes[16])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || (n->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

/* The bits of the whole address are 32 or 128 as it was written; 0: it is none. */
static unsigned parse(const char *text, struct address_network *out)
{
    *out = mapped;
    out->bits = 128;
    if (inet_pton(AF_INET, text, out->bytes + 12) == 1)
        return 32;
    return inet_pton(AF_INET6, text, out->bytes) == 1 ? 128 : 0;
}

static int read_network(const char *word, struct address_network *out)
{
    const char *slash = strchr(word, '/');
    unsigned width;
    char text[INET6_ADDRSTRLEN];
    char *end = NULL;
    long bits;

    if (!slash)
        return parse(word, out) ? 0 : -1;
    if ((size_t)(slash - word) >= sizeof(text))
        return -1;
    snprintf(text, sizeof(text), "%.*s", (int)(slash - word), word);
    width = parse(text, out);
    bits = strtol(slash + 1, &end, 10);
    if (width == 0 || end == slash + 1 || *end || bits < 0 || bits > (long)width)
        return -1;
    out->bits = 128 - width + (unsigned)bits;
    return 0;
}

int address_list_read(const char *text, struct address_list *out, struct err *e)
{
    static const char blanks[] = " \t,";
    char word[INET6_ADDRSTRLEN + 8];

    *out = (struct address_list){ 0 };
    for (text = text ? text : ""; *(text += strspn(text, blanks));) {
        size_t size = strcspn(text, blanks);

        snprintf(word, sizeof(word), "%.*s", (int)size, text);
        if (out->count == ADDRESS_NETWORKS_MAX)
            return err_set(e, ERR_INVALID, "[courier] allow has more than %d networks",
                           ADDRESS_NETWORKS_MAX);
        if (size >= sizeof(word) || read_network(word, &out->networks[out->count]) != 0)
            return err_set(e, ERR_INVALID,
                           "[courier] allow has \"%s\"; give addresses and networks such as "
                           "127.0.0.1 10.0.0.0/8 fd00::/8",
                           word);
        out->count++;
        text += size;
    }
    return 0;
}

bool address_is_allowed(const struct address_list *list, const char *text)
{
    struct address_network address;

    if (!parse(text, &address))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (is_within(&list->networks[i], address.bytes))
            return true;
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        if (is_within(&closed[i], address.bytes))
            return false;
    return is_within(&mapped, address.bytes) || is_within(&global, address.bytes);
}
