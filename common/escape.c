/* Bytes from outside, made safe to show. */
#include "escape.h"

#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "strbuf.h"

struct code_range {
    uint32_t first, last;
};

/* Above ASCII and still not to be shown: they end lines, or turn the order of what follows. */
static const struct code_range unprintable[] = {
    { 0x0080, 0x009F }, /* C1 */
    { 0x061C, 0x061C }, /* Arabic letter mark */
    { 0x200E, 0x200F }, /* left-to-right and right-to-left marks */
    { 0x2028, 0x202E }, /* line and paragraph separator, bidirectional embeddings and overrides */
    { 0x2066, 0x2069 }, /* bidirectional isolates */
    { 0xFEFF, 0xFEFF }, /* byte order mark */
};

/* RFC 3629 4: what the first byte promises. The bounds of the second byte exclude overlong forms, surrogates and
   everything above U+10FFFF. */
static const struct {
    unsigned char first, last;
    unsigned char second_min, second_max;
    size_t len;
} utf8_rows[] = {
    { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
    { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
    { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

/* The length of the character at bytes, 0 when it is not valid UTF-8. */
static size_t utf8_decode(const unsigned char *bytes, size_t len, uint32_t *ret_code)
{
    if (bytes[0] < 0x80) {
        *ret_code = bytes[0];
        return 1;
    }
    for (size_t row = 0; row < COUNT_OF(utf8_rows); row++) {
        if (bytes[0] < utf8_rows[row].first || bytes[0] > utf8_rows[row].last)
            continue;
        size_t wanted = utf8_rows[row].len;
        if (len < wanted || bytes[1] < utf8_rows[row].second_min ||
            bytes[1] > utf8_rows[row].second_max)
            return 0;
        uint32_t code = bytes[0] & (0x7Fu >> wanted);
        for (size_t i = 1; i < wanted; i++) {
            if ((bytes[i] & 0xC0) != 0x80)
                return 0;
            code = (code << 6) | (bytes[i] & 0x3Fu);
        }
        *ret_code = code;
        return wanted;
    }
    return 0;
}

static bool is_printable(uint32_t code)
{
    if (code < 0x80)
        return code >= 0x20 && code != 0x7F;
    for (size_t i = 0; i < COUNT_OF(unprintable); i++)
        if (code >= unprintable[i].first && code <= unprintable[i].last)
            return false;
    return true;
}

/* How many bytes from the start stay as they are: printable ASCII but no backslash, which most texts consist of. */
static size_t plain_len(const unsigned char *bytes, size_t len)
{
    size_t n = 0;

    while (n < len && bytes[n] >= 0x20 && bytes[n] < 0x7F && bytes[n] != '\\')
        n++;
    return n;
}

void escape_append(struct strbuf *buf, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *at = bytes;
    const unsigned char *end = at + len;

    for (;;) {
        size_t plain = plain_len(at, (size_t)(end - at));
        strbuf_append(buf, at, plain);
        at += plain;
        if (at == end)
            return;
        uint32_t code = 0;
        size_t taken = utf8_decode(at, (size_t)(end - at), &code);
        if (code == '\\' && taken == 1) {
            strbuf_append(buf, "\\\\", 2);
        } else if (taken > 0 && is_printable(code)) {
            strbuf_append(buf, at, taken);
        } else {
            if (taken == 0)
                taken = 1;
            for (size_t i = 0; i < taken; i++) {
                const char hex[4] = { '\\', 'x', digits[at[i] >> 4], digits[at[i] & 15] };
                strbuf_append(buf, hex, sizeof hex);
            }
        }
        at += taken;
    }
}

char *escape_text(const char *text)
{
    struct strbuf buf;

    strbuf_init(&buf);
    escape_append(&buf, text, strlen(text));
    return buf.data;
}

/* By the block, because every message is looked at; an early end would cost more than it saves. */
bool bytes_are_ascii(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t seen = 0;
    uint64_t block[4];

    for (; len >= sizeof block; at += sizeof block, len -= sizeof block) {
        (void)memcpy(block, at, sizeof block);
        seen |= block[0] | block[1] | block[2] | block[3];
    }
    for (; len > 0; at++, len--)
        seen |= *at;
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

bool utf8_is_valid(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    if (bytes_are_ascii(bytes, len))
        return true;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t taken = utf8_decode(at + i, len - i, &code);
        if (taken == 0)
            return false;
        i += taken;
    }
    return true;
}
