/* token.c - libFuzzer target: headers and tokens of any text are taken apart, or are none. */
#include "coordinator/store/access/tokens.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/http/request/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_token(const char *text)
{
    char id[TOKEN_ID_SIZE];
    const char *secret;

    return tokens_take_apart(text, id, &secret) == 0;
}

/* A token has one text: with any letter changed or cut off it is none. */
static void try_token(char *text, size_t size)
{
    char id[TOKEN_ID_SIZE];
    const char *secret;

    if (tokens_take_apart(text, id, &secret) < 0)
        return;
    MUST(size < TOKEN_TEXT_SIZE && strlen(id) == TOKEN_ID_SIZE - 1);
    MUST(!strncmp(text + 4, id, strlen(id)) && secret > text && secret < text + size);
    for (size_t i = 0; i < size; i++) {
        char was = text[i];

        text[i] = was == 'A' ? 'B' : 'A';
        MUST(!is_token(text));
        text[i] = was;
    }
    text[size - 1] = '\0';
    MUST(!is_token(text));
}

/* CRC-32 (ISO 3309), so that some are tokens. */
static uint32_t checksum(const char *text)
{
    uint32_t crc = UINT32_MAX;

    for (; *text; text++) {
        crc ^= (uint8_t)*text;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

static void try_sound_one(const uint8_t *data, size_t size)
{
    char text[TOKEN_TEXT_SIZE] = "lst_--------_";
    size_t n = 4;

    for (; n < 56; n++)
        text[n] = n == 12 ? '_' : (char)('0' + (n - 4 < size ? data[n - 4] % 75 : 0));
    text[n] = '\0';
    snprintf(text + n, sizeof(text) - n, "_%08x", checksum(text));
    MUST(is_token(text));
    try_token(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *token;
    struct grants grants;

    MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    token = request_token(text);
    MUST(!token || (token >= text + 7 && token <= text + size));
    if (token)
        (void)is_token(token);
    grants_load(text, &grants);
    try_token(text, strlen(text));
    try_sound_one(data, size);
    free(text);
    return 0;
}
