/* decimal.h - numbers as they are written: compared and divided without losing a digit. Pure.
 *
 * A JSON number may have any number of digits; a double or an int64 would make 0.1 + 0.2 of it, or
 * round 20 digits. These functions work on the written digits, so 1.0, 1 and 10e-1 are equal,
 * 0.0075 is a multiple of 0.0001, and 18446744073709551616 is greater than 18446744073709551615.
 * Exponents beyond ±10^15 count as ±10^15.
 */
#ifndef COMMON_DOCUMENT_DECIMAL_H
#define COMMON_DOCUMENT_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Divisors have at most so many digits (zeros at the ends not counted). */
#define DECIMAL_DIVISOR_DIGITS 18

struct decimal {
    bool is_negative;  /* never for zero */
    const char *whole; /* digits before the point; lent from the text that was read */
    const char *part;  /* digits behind it */
    size_t whole_size;
    size_t first, count; /* the digits that matter: no zeros at either end; 0: the number zero */
    int64_t magnitude;   /* the value is 0.DIGITS * 10^magnitude */
};

/* `text` is a JSON number (RFC 8259 section 6), zero-terminated, and outlives the result. */
struct decimal decimal_read(const char *text);
/* -1, 0 or 1. */
int decimal_compare(const struct decimal *a, const struct decimal *b);
bool decimal_is_integer(const struct decimal *d);
/* May it stand right of "multiple of": greater than zero, digits within the limit? */
bool decimal_is_divisor(const struct decimal *d);
bool decimal_is_multiple(const struct decimal *d, const struct decimal *divisor);
/* A whole number that is not negative; UINT64_MAX when it is larger than fits. */
uint64_t decimal_count(const struct decimal *d);
/* Equal numbers have equal hashes. */
uint64_t decimal_hash(const struct decimal *d);

#endif
