/* Target: the search for separators, over a chain in pieces that the fuzzer cuts. The oracle looks
 * at every place of the flat bytes. */
#include "fuzz.h"

#include <string.h>

#include "base/macros.h"

#include "stream/separator.c" /* its static functions */

enum { BYTES = 256, SEPARATORS = 4, LONGEST = 6 };

struct haystack {
    struct chain chain;
    char bytes[BYTES];
};

/* Of few letters, so that much is nearly a match. */
static char letter(unsigned byte)
{
    return "abc\n"[byte & 3];
}

static void fill(struct haystack *haystack, struct input *input)
{
    size_t size = 0;
    while (size < BYTES && input_left(input) > 0) {
        unsigned cut = input_byte(input);
        size_t piece, room = cut >> 5;
        const uint8_t *bytes = input_take(input, min_size(1 + cut % 32, BYTES - size), &piece);
        if (piece == 0)
            break;
        for (size_t i = 0; i < piece; i++)
            haystack->bytes[size + i] = letter(bytes[i]);
        struct weir_segment *segment = fuzz_segment(haystack->bytes + size, piece, room);
        int rc = cut & 1 ? chain_receive(&haystack->chain, segment, segment->data, piece)
                         : chain_append(&haystack->chain, segment, segment->data, piece);
        fuzz_check(rc == 0);
        size += piece;
    }
    chain_check(&haystack->chain);
    fuzz_check(haystack->chain.size == size);
}

static bool ends_at(const struct haystack *haystack, size_t end, const struct weir_slice *separator)
{
    return separator->size <= end &&
           memcmp(haystack->bytes + end - separator->size, separator->data, separator->size) == 0;
}

static void check_one(const struct haystack *haystack, size_t from, size_t until,
                      const struct weir_slice *separator)
{
    ssize_t expected = -1;
    for (size_t end = from + 1; end <= until && expected < 0; end++)
        expected = ends_at(haystack, end, separator) ? (ssize_t)end : -1;
    fuzz_check(chain_find(&haystack->chain, from, until, separator->data, separator->size) ==
               expected);
}

/* As asyncio documents it: what ends first, and of those the shortest. */
static void check_any(const struct haystack *haystack, size_t from,
                      const struct weir_slice *separators, size_t count)
{
    struct match expected = { 0, 0 }, match;
    for (size_t end = from + 1; end <= haystack->chain.size && expected.length == 0; end++) {
        for (size_t i = 0; i < count; i++) {
            size_t length = separators[i].size;
            bool shorter = expected.length == 0 || length < expected.length;
            if (shorter && ends_at(haystack, end, &separators[i]))
                expected = (struct match){ end, length };
        }
    }
    bool found = find_any(&haystack->chain, from, separators, count, &match);
    fuzz_check(found == (expected.length > 0));
    if (found)
        fuzz_check(match.end == expected.end && match.length == expected.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, bytes + size };
    struct haystack haystack = { .chain = { 0 } };
    struct weir_slice separators[SEPARATORS];
    char text[SEPARATORS][LONGEST];
    uint64_t segments = fuzz_segments();
    size_t count = 1 + input_below(&input, SEPARATORS);
    for (size_t i = 0; i < count; i++) {
        size_t length = 1 + input_below(&input, LONGEST);
        unsigned bits = input_byte(&input) | input_byte(&input) << 8;
        for (size_t k = 0; k < length; k++, bits >>= 2)
            text[i][k] = letter(bits);
        separators[i] = (struct weir_slice){ .data = text[i], .size = length };
    }
    unsigned start = input_byte(&input), stop = input_byte(&input);
    fill(&haystack, &input);
    size_t from = start % (haystack.chain.size + 1), until = stop % (haystack.chain.size + 1);
    for (size_t i = 0; i < count; i++) {
        check_one(&haystack, 0, haystack.chain.size, &separators[i]);
        check_one(&haystack, from, until, &separators[i]);
    }
    check_any(&haystack, 0, separators, count);
    check_any(&haystack, from, separators, count);
    chain_clear(&haystack.chain);
    fuzz_check(fuzz_segments() == segments);
    return 0;
}
