#include "sim/choice.h"

#include "sim/event.h"
#include "sim/world.h"

const char *const fault_names[FAULTS] = {
    [FAULT_SHORT_RECEIVE] = "short receive",
    [FAULT_SHORT_SEND] = "short send",
    [FAULT_NO_BUFFERS] = "ENOBUFS",
    [FAULT_CANCEL_RACE] = "cancel race",
    [FAULT_CQ_OVERFLOW] = "CQ overflow",
    [FAULT_MULTISHOT_END] = "multishot ends",
    [FAULT_LATE_WAKE] = "late wake-up",
    [FAULT_INTERRUPT] = "EINTR",
    [FAULT_DELAY] = "delayed packets",
    [FAULT_LATE_NOTICE] = "late zero-copy notice",
    [FAULT_SLOW_NAME] = "slow name",
    [FAULT_WORKER] = "io-wq",
    [FAULT_BUSY] = "EBUSY or EAGAIN of a submit",
    [FAULT_SUBMIT_PART] = "submit takes fewer",
    [FAULT_CLOCK_JUMP] = "clock jump",
    [FAULT_MEMORY] = "malloc fails",
    [FAULT_MAP] = "mmap fails",
    [FAULT_CALL] = "ENOMEM of a call",
    [FAULT_FILES] = "EMFILE or ENFILE",
    [FAULT_THREAD] = "no thread",
    [FAULT_RESET] = "ECONNRESET",
    [FAULT_PIPE] = "EPIPE",
    [FAULT_TIMED_OUT] = "ETIMEDOUT",
    [FAULT_CONNECT] = "connect refused",
    [FAULT_CONNECT_HANGS] = "connect hangs",
    [FAULT_DEAD_CLIENT] = "dead client accepted",
    [FAULT_STALL] = "peer stalls",
    [FAULT_NAME] = "name fails",
    [FAULT_CORRUPT] = "corrupted byte",
};

enum { REFUSALS = 100 };

static struct choice_source source;
static struct choice_record *record;
static uint64_t state;          /* of the generator */
static size_t taken;            /* of a list, or of bytes */
static uint32_t likely[FAULTS]; /* of 65536 */
static uint64_t visible;
static bool corrupting;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t next_byte(void)
{
    return taken < source.count ? source.bytes[taken++] : 0;
}

/* Half of the classes never happen in a world, so that the others are met by themselves. What a
 * program may notice ends most stories, and is rarer. */
static void draw_swarm(void)
{
    for (int i = 0; i < FAULTS; i++) {
        uint32_t r = (uint32_t)next_random();
        uint32_t most = i < FAULT_VISIBLE ? 32768 : 2048;
        likely[i] = r & 1 ? 0 : most >> ((r >> 8) % 9);
    }
}

void choice_open(const struct choice_source *from, struct choice_record *into)
{
    source = *from;
    record = into;
    record->count = 0;
    record->hash = UINT64_C(0xcbf29ce484222325);
    record->fallible = 0;
    for (int i = 0; i < FAULTS; i++)
        record->faults[i] = 0;
    state = source.seed;
    taken = 0;
    visible = 0;
    corrupting = false;
    if (source.kind == CHOICE_SEED)
        draw_swarm();
    for (int i = 0; source.kind == CHOICE_BYTES && i < FAULTS; i++) {
        uint32_t byte = next_byte();
        likely[i] = byte < 192 ? 0 : i < FAULT_VISIBLE ? byte << 7 : byte << 3;
    }
}

void choice_mix(uint64_t value)
{
    record->hash = (record->hash ^ value) * UINT64_C(0x100000001b3);
    record->hash ^= record->hash >> 29;
}

static void note(uint32_t value)
{
    if (record->count < record->most)
        record->list[record->count] = value;
    record->count++;
    choice_mix(value + ((uint64_t)events_now() << 16));
}

unsigned choose(unsigned n, const char *tag)
{
    if (n <= 1)
        return 0;
    uint32_t value = 0;
    switch (source.kind) {
    case CHOICE_SEED:
        value = (uint32_t)(next_random() >> 32);
        break;
    case CHOICE_LIST:
        value = taken < source.count ? source.list[taken] : 0;
        taken++;
        break;
    case CHOICE_BYTES:
        value = next_byte();
        if (n > 256)
            value |= next_byte() << 8 | next_byte() << 16;
        break;
    }
    value %= n;
    note(value);
    if (trace_is_on && value != 0)
        trace("choice %zu: %s: %u of %u", record->count - 1, tag, value, n);
    return value;
}

static bool decide(enum fault fault)
{
    switch (source.kind) {
    case CHOICE_SEED:
        return likely[fault] > 0 && (next_random() >> 48) < likely[fault];
    case CHOICE_LIST:
        taken++;
        return taken <= source.count && source.list[taken - 1] != 0;
    default:
        return likely[fault] > 0 && ((255 - next_byte()) << 8) < likely[fault];
    }
}

void fault_happens(enum fault fault, const char *tag)
{
    record->faults[fault]++;
    visible += fault >= FAULT_VISIBLE;
    trace("fault %zu: %s: %s", record->count - 1, fault_names[fault], tag);
}

bool fault_planned(enum fault fault)
{
    if (source.torturing || source.calm || (fault == FAULT_CORRUPT && !corrupting))
        return false;
    bool yes = decide(fault);
    note(yes);
    return yes;
}

bool fault(enum fault fault, const char *tag)
{
    bool yes = fault_planned(fault);
    if (yes)
        fault_happens(fault, tag);
    return yes;
}

bool fault_call(enum fault which, const char *tag)
{
    if (!source.torturing || source.calm)
        return fault(which, tag);
    uint64_t at = source.torture.at;
    uint64_t index = ++record->fallible;
    bool later = source.torture.onward && index > at;
    if (which == FAULT_SUBMIT_PART && index > at + REFUSALS)
        later = false; /* a kernel that never takes anything any more has no programs */
    bool yes = at != 0 && (index == at || later);
    if (yes)
        fault_happens(which, tag);
    return yes;
}

void choice_calm(void)
{
    source.calm = true;
}

void choice_corrupt(bool may)
{
    corrupting = may;
}

bool choice_is_calm(void)
{
    return source.calm;
}

uint64_t choice_visible_faults(void)
{
    return visible;
}

uint64_t choice_stalls(void)
{
    const uint64_t *faults = record->faults;
    return faults[FAULT_STALL] + faults[FAULT_CONNECT_HANGS] + faults[FAULT_CORRUPT];
}
