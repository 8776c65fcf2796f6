/* What the fuzz targets share: taking decisions from the fuzzer's bytes, checks, and a loop without
 * a ring, whose time is the target's to pass. */
#ifndef WEIR_TESTS_FUZZ_H
#define WEIR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_loop;
struct weir_segment;

/* A target: 0. The fuzzer calls it for each input; so does main.c, for each file. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What must hold. The fuzzer keeps the input of what does not. */
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
void fuzz_fail(const char *file, int line, const char *condition) __attribute__((noreturn));

/* ---- The fuzzer's bytes ---------------------------------------------------------------------- */

struct input {
    const uint8_t *at, *end;
};

static inline size_t input_left(const struct input *input)
{
    return (size_t)(input->end - input->at);
}

/* The next byte, or 0 if there are no more. */
static inline unsigned input_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static inline unsigned input_below(struct input *input, unsigned n)
{
    return input_byte(input) % n;
}

/* Mostly small, but up to 2047. */
size_t input_size(struct input *input);

/* The next `size` bytes, or as many as there are. */
const uint8_t *input_take(struct input *input, size_t size, size_t *ret_size);

/* ---- A loop ---------------------------------------------------------------------------------- */

/* The one of this process, made when first asked for; it is this thread's running one. */
struct weir_loop *fuzz_loop(void);

/* Runs its tasks, and what was put off, until none is ready. */
void fuzz_settle(void);

/* Lets time pass, fires the timers and settles. */
void fuzz_pass_time(int64_t duration);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* A segment that holds these bytes, with `room` behind them and nothing else within reach, so that
 * AddressSanitizer sees who goes too far. One reference. */
struct weir_segment *fuzz_segment(const void *data, size_t size, size_t room);

/* How many of these there are, beside those of the library's that are not in its own reserve. */
uint64_t fuzz_segments(void);

#endif
