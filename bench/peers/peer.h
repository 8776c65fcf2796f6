/* What the peers in C and C++ share, so that each holds only what is its library's: the command
 * line, listening, and what is answered in which mode. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

enum peer_mode { PEER_ECHO, PEER_HTTP, PEER_HTTP_CLOSE, PEER_SINK, PEER_SOURCE, PEER_PROXY };

/* What is received at once, at most. A segment on the loopback holds up to 65,483 bytes: a block of
 * 64 KiB would be sent on as one and a scrap, which made the echo of 1 MiB 1.6 times as dear. */
enum { PEER_BLOCK_SIZE = 65472 };

struct peer {
    enum peer_mode mode;
    int listener; /* non-blocking, and listening; what it accepts has TCP_NODELAY set already */
    bool is_unix; /* the listener is */
    struct sockaddr_storage to; /* of the proxy */
    socklen_t to_size;
};

/* Reads the command line, and listens. Ends the process if something is wrong, or at --help. */
struct peer peer_start(int argc, char **argv, const char *program, const char *what);

/* Says that `program` listens, and where. */
void peer_announce(const struct peer *peer, const char *program);

__attribute__((noreturn)) void peer_die(const char *program, const char *what, const char *why);

/* To send; it stays where it is. */
struct peer_bytes {
    const char *bytes;
    size_t size;
};

/* The answers to the requests that end in a block's bytes, in a row; of size 0 if none does.
 * `window` is the connection's, at first 0. */
struct peer_bytes peer_answer(enum peer_mode mode, uint32_t *window, const void *bytes,
                              size_t size);

/* What a sink answers: how many bytes came. */
enum { PEER_COUNT_SIZE = 8 };
void peer_put_count(uint64_t count, void *ret_bytes);

/* What a client asks of a source. Zeroed, it is ready for the bytes of the request. */
struct peer_source {
    unsigned char request[16];
    size_t received;
    uint64_t sent, total, block;
};

/* True once the request is complete. */
bool peer_source_receive(struct peer_source *source, const void *bytes, size_t size);

/* The next block to send; of size 0 after the last. */
struct peer_bytes peer_source_next(struct peer_source *source);

#ifdef __cplusplus
}
#endif

#endif
