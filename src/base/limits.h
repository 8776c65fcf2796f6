/* Every size and count that is a choice. The TINY build shrinks them all, so that each buffer
 * boundary, each full ring and each split record happens all the time in the tests. */
#ifndef WEIR_BASE_LIMITS_H
#define WEIR_BASE_LIMITS_H

enum {
    LIMIT_READER = 64 * 1024, /* a reader's limit, as asyncio's */
    LIMIT_HIGH = 64 * 1024,   /* the write watermarks, as asyncio's */
    LIMIT_LOW = 16 * 1024,
    LIMIT_BACKLOG = 100,     /* of listen(2), as asyncio's */
    LIMIT_RING_MAX = 32768,  /* SQEs a ring, the kernel's limit */
    LIMIT_STACK = 64 * 1024, /* a task's stack */
    LIMIT_STACK_MIN = 16 * 1024,
    LIMIT_HAPPY_EYEBALLS = 250, /* ms between two attempts (RFC 8305) */
    LIMIT_LINGER = 5,           /* s that closing streams may outlive the last task */
    LIMIT_ACCEPT_BACKOFF = 100, /* ms after EMFILE, doubling */
    LIMIT_ACCEPT_BACKOFF_MAX = 1000,
    LIMIT_TRIM = 64,          /* stacks whose pages are given back at a time, */
    LIMIT_TRIM_PAUSE = 10,    /* and ms until the next are; */
    LIMIT_TRIM_IDLE = 1000,   /* ms that one has not been used by then */
    LIMIT_FDS_SPARED = 32,    /* fds that connections leave to the rest of the program */
    LIMIT_WORKERS = 8,        /* helper threads a loop, for blocking calls */
    LIMIT_WORKER_IDLE = 2,    /* s that an idle one waits for more work */
    LIMIT_ADDRESSES = 64,     /* tried of one name */
    LIMIT_LINKS = 8,          /* sendmsg operations in one linked chain */
    LIMIT_TLS_HANDSHAKE = 60, /* s, as asyncio's ssl_handshake_timeout */
    LIMIT_TLS_SHUTDOWN = 30,  /* s, as asyncio's ssl_shutdown_timeout */
    LIMIT_TLS_LAST = 2,       /* s that a peer may take to receive our last bytes, and to close */
    LIMIT_TLS_SETTLE = 1,     /* s after which a connection is one that lasts */
    LIMIT_TLS_IDLE = 32,      /* records in a row that bring no data */
    LIMIT_TLS_REPLIES = 16 * 1024, /* bytes that a peer may have us answer without reading them */
    LIMIT_TLS_AHEAD = 128 * 1024,  /* bytes of records that wait below, not sealed too early */
    LIMIT_TLS_SESSIONS = 64,       /* that a client context keeps, to resume them */
};

#ifdef WEIR_TINY
enum {
    LIMIT_RING = 4,
    LIMIT_RECEIVE = 192, /* bytes of provided buffers, over both groups */
    LIMIT_SMALL = 16,    /* a buffer's size, and how many are first published */
    LIMIT_SMALL_SHOWN = 1,
    LIMIT_LARGE = 32,
    LIMIT_LARGE_SHOWN = 1,
    LIMIT_RECEIVE_MIN = 64,
    LIMIT_SEGMENT = 16, /* a heap segment that small writes are packed into */
    LIMIT_SEGMENT_RECORD = 64,
    LIMIT_SEGMENT_BULK = 256,
    LIMIT_PACKED = 2,
    LIMIT_LINK_PIECES = 2, /* pieces, and about how many bytes, of one link */
    LIMIT_LINK_BYTES = 48,
    LIMIT_BATCHES = 4,  /* links prepared a turn */
    LIMIT_SLAB = 4,     /* stacks mapped at a time */
    LIMIT_SPARE = 4,    /* freed objects of a kind kept for reuse */
    LIMIT_BUDGET = 3,   /* calls that need not wait before a task yields */
    LIMIT_TLS_KEY = 40, /* records sealed with one key */
};
#else
enum {
    LIMIT_RING = 1024,
    LIMIT_RECEIVE = 4 * 1024 * 1024,
    LIMIT_SMALL = 4 * 1024,
    LIMIT_SMALL_SHOWN = 128,
    LIMIT_LARGE = 64 * 1024,
    LIMIT_LARGE_SHOWN = 8,
    LIMIT_RECEIVE_MIN = 64 * 1024,
    LIMIT_SEGMENT = 4 * 1024 - 64,
    LIMIT_SEGMENT_RECORD = 16 * 1024 + 64,     /* a record of TLS fits, */
    LIMIT_SEGMENT_BULK = 4 * (16 * 1024 + 32), /* or four of them */
    LIMIT_PACKED = 512, /* bytes that are rather copied than given a buffer of their own */
    LIMIT_LINK_PIECES = 64,
    LIMIT_LINK_BYTES = 256 * 1024,
    LIMIT_BATCHES = 128,
    LIMIT_SLAB = 64,
    LIMIT_SPARE = 256,
    LIMIT_BUDGET = 64,
    LIMIT_TLS_KEY = 1 << 24, /* RFC 8446, 5.5: 2^24.5 */
};
#endif

#endif
