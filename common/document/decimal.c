/* decimal.c - arithmetic on the written digits of a number. */
#include "common/document/decimal.h"

#include "common/invariant.h"

#define EXPONENT_MAX INT64_C(1000000000000000)

static size_t digits(const char *text)
{
    size_t n = 0;

    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

static int64_t read_exponent(const char *text)
{
    bool is_negative = *text == '-';
    int64_t value = 0;

    for (text += *text == '-' || *text == '+'; *text >= '0' && *text <= '9'; text++)
        if (value < EXPONENT_MAX)
            value = value * 10 + (*text - '0');
    if (value > EXPONENT_MAX)
        value = EXPONENT_MAX;
    return is_negative ? -value : value;
}

/* The i-th of all written digits. */
static char written(const struct decimal *d, size_t i)
{
    return i < d->whole_size ? d->whole[i] : d->part[i - d->whole_size];
}

/* The i-th of the digits that matter. */
static unsigned digit(const struct decimal *d, size_t i)
{
    return (unsigned)(written(d, d->first + i) - '0');
}

struct decimal decimal_read(const char *text)
{
    struct decimal d = { .is_negative = *text == '-' };
    size_t last;
    int64_t exponent = 0;

    d.whole = text + d.is_negative;
    d.whole_size = digits(d.whole);
    d.part = d.whole + d.whole_size;
    last = d.whole_size;
    text = d.part;
    if (*text == '.') {
        d.part++;
        last += digits(d.part);
        text = d.part + last - d.whole_size;
    }
    if (*text == 'e' || *text == 'E')
        exponent = read_exponent(text + 1);
    while (d.first < last && written(&d, d.first) == '0')
        d.first++;
    while (last > d.first && written(&d, last - 1) == '0')
        last--;
    d.count = last - d.first;
    d.magnitude = (int64_t)d.whole_size - (int64_t)d.first + exponent;
    if (d.count == 0) {
        d.is_negative = false;
        d.magnitude = 0;
    }
    return d;
}

/* Compare absolute values. */
static int compare_sizes(const struct decimal *a, const struct decimal *b)
{
    if (a->count == 0 || b->count == 0)
        return (a->count > 0) - (b->count > 0);
    if (a->magnitude != b->magnitude)
        return a->magnitude < b->magnitude ? -1 : 1;
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (digit(a, i) != digit(b, i))
            return digit(a, i) < digit(b, i) ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->is_negative != b->is_negative)
        return a->is_negative ? -1 : 1;
    return a->is_negative ? -compare_sizes(a, b) : compare_sizes(a, b);
}

bool decimal_is_integer(const struct decimal *d)
{
    return d->magnitude >= (int64_t)d->count;
}

bool decimal_is_divisor(const struct decimal *d)
{
    return !d->is_negative && d->count > 0 && d->count <= DECIMAL_DIVISOR_DIGITS;
}

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t modulus)
{
    return (uint64_t)((unsigned __int128)a * b % modulus);
}

/* d = D * 10^x, divisor = M * 10^y, both D and M without a zero at the end. When x < y, M *
 * 10^(y-x) would have to divide D, which then ended with a zero. */
bool decimal_is_multiple(const struct decimal *d, const struct decimal *divisor)
{
    int64_t shift =
        (d->magnitude - (int64_t)d->count) - (divisor->magnitude - (int64_t)divisor->count);
    uint64_t modulus = 0, rest = 0, power;

    MUST(decimal_is_divisor(divisor));
    if (d->count == 0)
        return true;
    if (shift < 0)
        return false;
    for (size_t i = 0; i < divisor->count; i++)
        modulus = modulus * 10 + digit(divisor, i);
    for (size_t i = 0; i < d->count; i++)
        rest = (multiply(rest, 10, modulus) + digit(d, i)) % modulus;
    for (power = 10 % modulus; shift > 0; shift /= 2) {
        if (shift % 2)
            rest = multiply(rest, power, modulus);
        power = multiply(power, power, modulus);
    }
    return rest == 0;
}

uint64_t decimal_count(const struct decimal *d)
{
    uint64_t value = 0;

    MUST(!d->is_negative && decimal_is_integer(d));
    if (d->magnitude > 19)
        return UINT64_MAX;
    for (int64_t i = 0; i < d->magnitude; i++)
        value = value * 10 + (i < (int64_t)d->count ? digit(d, (size_t)i) : 0);
    return value;
}

uint64_t decimal_hash(const struct decimal *d)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)d->magnitude;

    for (size_t i = 0; i < d->count; i++)
        hash = (hash ^ digit(d, i)) * UINT64_C(1099511628211);
    return hash ^ (d->is_negative ? UINT64_C(0x9E3779B97F4A7C15) : 0);
}
