#include "lambda_bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool drop_lambda_bytes_reserve(struct drop_lambda_bytes *bytes, size_t more)
{
    if (bytes->room - bytes->length >= more && bytes->at)
        return true;
    if (more > SIZE_MAX / 4 - bytes->length)
        return false;
    size_t needed = bytes->length + more, room = bytes->room ? bytes->room : 256;
    while (room < needed)
        room += room / 2;
    char *at = realloc(bytes->at, room);
    if (!at)
        return false;
    bytes->at = at;
    bytes->room = room;
    return true;
}

bool drop_lambda_bytes_append(struct drop_lambda_bytes *bytes, const void *from, size_t length)
{
    if (!drop_lambda_bytes_reserve(bytes, length))
        return false;
    if (length)
        memcpy(bytes->at + bytes->length, from, length);
    bytes->length += length;
    return true;
}

bool drop_lambda_bytes_print(struct drop_lambda_bytes *bytes, const char *format, ...)
{
    va_list first, second;
    va_start(first, format);
    va_copy(second, first);
    int length = vsnprintf(NULL, 0, format, first);
    va_end(first);
    bool fits = length >= 0 && drop_lambda_bytes_reserve(bytes, (size_t)length + 1);
    if (fits) {
        vsnprintf(bytes->at + bytes->length, (size_t)length + 1, format, second);
        bytes->length += (size_t)length;
    }
    va_end(second);
    return fits;
}

bool drop_lambda_bytes_escape(struct drop_lambda_bytes *bytes, struct drop_lambda_slice text)
{
    static const char digits[] = "0123456789abcdef";
    if (text.length > SIZE_MAX / 8 || !drop_lambda_bytes_reserve(bytes, 6 * text.length))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        char *out = bytes->at + bytes->length;
        if (byte < 0x20 || byte == 0x7f) {
            memcpy(out, "\\u00", 4);
            out[4] = digits[byte >> 4];
            out[5] = digits[byte & 15];
            bytes->length += 6;
        } else if (byte == '"' || byte == '\\') {
            out[0] = '\\';
            out[1] = (char)byte;
            bytes->length += 2;
        } else {
            out[0] = (char)byte;
            bytes->length += 1;
        }
    }
    return true;
}

/* The six bits of a character of the alphabet, or -1. */
static int sextet(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

bool drop_lambda_bytes_decode(struct drop_lambda_bytes *bytes, struct drop_lambda_slice base64)
{
    size_t length = base64.length, start = bytes->length;
    for (int padding = 0; padding < 2 && length && base64.at[length - 1] == '='; padding++)
        length--;
    if (length % 4 == 1 || !drop_lambda_bytes_reserve(bytes, length / 4 * 3 + 3))
        return false;
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < length; i++) {
        int value = sextet(base64.at[i]);
        if (value < 0) {
            bytes->length = start;
            return false;
        }
        bits = (bits << 6 | (unsigned)value) & 0xffffffu;
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes->at[bytes->length++] = (char)(bits >> count & 0xff);
        }
    }
    return true;
}

void drop_lambda_bytes_consume(struct drop_lambda_bytes *bytes, size_t count)
{
    bytes->length -= count;
    if (bytes->length && count)
        memmove(bytes->at, bytes->at + count, bytes->length);
}

void drop_lambda_bytes_close(struct drop_lambda_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct drop_lambda_bytes){0};
}
