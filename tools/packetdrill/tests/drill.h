/* The interface as a C compiler lays it out, and the other side of the wire: packets built by hand. */
#ifndef DRILL_H
#define DRILL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

struct interface {
    void *userdata;
    void (*free)(void *);
    int (*socket)(void *, int, int, int);
    int (*bind)(void *, int, const struct sockaddr *, socklen_t);
    int (*listen)(void *, int, int);
    int (*accept)(void *, int, struct sockaddr *, socklen_t *);
    int (*connect)(void *, int, const struct sockaddr *, socklen_t);
    ssize_t (*read)(void *, int, void *, size_t);
    ssize_t (*readv)(void *, int, const struct iovec *, int);
    ssize_t (*recv)(void *, int, void *, size_t, int);
    ssize_t (*recvfrom)(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
    ssize_t (*recvmsg)(void *, int, struct msghdr *, int);
    ssize_t (*write)(void *, int, const void *, size_t);
    ssize_t (*writev)(void *, int, const struct iovec *, int);
    ssize_t (*send)(void *, int, const void *, size_t, int);
    ssize_t (*sendto)(void *, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    ssize_t (*sendmsg)(void *, int, const struct msghdr *, int);
    int (*fcntl)(void *, int, int, ...);
    int (*ioctl)(void *, int, unsigned long, ...);
    int (*close)(void *, int);
    int (*shutdown)(void *, int, int);
    int (*getsockopt)(void *, int, int, int, void *, socklen_t *);
    int (*setsockopt)(void *, int, int, int, const void *, socklen_t);
    int (*poll)(void *, struct pollfd *, nfds_t, int);
    int (*netdev_send)(void *, const void *, size_t);
    int (*netdev_receive)(void *, void *, size_t *, long long *);
    int (*usleep)(void *, useconds_t);
    int (*gettimeofday)(void *, struct timeval *, struct timezone *);
    int (*epoll_create)(void *, int);
    int (*epoll_ctl)(void *, int, int, int, struct epoll_event *);
    int (*epoll_wait)(void *, int, struct epoll_event *, int, int);
    int (*pipe)(void *, int[2]);
    ssize_t (*splice)(void *, int, loff_t *, int, loff_t *, size_t, unsigned int);
};

_Static_assert(sizeof(struct interface) == 264, "33 pointers");
_Static_assert(offsetof(struct interface, netdev_send) == 192, "the place of netdev_send");
_Static_assert(offsetof(struct interface, splice) == 256, "the place of splice");

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s, errno %d\n", __LINE__, #condition, errno); \
            exit(1); \
        } \
    } while (0)
/* The call fails, and says why. */
#define FAILS(call, error) CHECK((errno = 0, (call) == -1) && errno == (error))

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { OUR_PORT = 8080, THEIR_PORT = 40001, MSS = 1000, MOST = 65536 };

/* A script at work: what it drives, and how far both streams are. */
struct drill {
    struct interface it;
    void *u;
    int v6;
    uint16_t our_port;
    uint32_t our_seq, their_seq;
};

/* A packet that the stack sent. */
struct seen {
    long long usecs;
    int protocol, flags;
    uint16_t from, to;
    uint32_t seq, ack;
    size_t length;
    unsigned char data[MOST];
};

/* An address of either family. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static const unsigned char OURS4[4] = {192, 168, 0, 1}, THEIRS4[4] = {192, 0, 2, 1};
static const unsigned char OURS6[16] = {0xfd, [15] = 1}, THEIRS6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};

static inline int family(const struct drill *d) {
    return d->v6 ? AF_INET6 : AF_INET;
}

static inline socklen_t address_of(const struct drill *d, int ours, uint16_t port, union address *out) {
    memset(out, 0, sizeof *out);
    if (d->v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        memcpy(&out->v6.sin6_addr, ours ? OURS6 : THEIRS6, 16);
        return sizeof out->v6;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(port);
    memcpy(&out->v4.sin_addr, ours ? OURS4 : THEIRS4, 4);
    return sizeof out->v4;
}

/* Whether that is the other side's address with this port. */
static inline int is_theirs(
    const struct drill *d, const union address *got, socklen_t length, uint16_t port) {
    union address wanted;
    return length == address_of(d, 0, port, &wanted) && memcmp(got, &wanted, length) == 0;
}

static inline void put16(unsigned char *at, uint16_t value) {
    at[0] = value >> 8, at[1] = value & 255;
}

static inline void put32(unsigned char *at, uint32_t value) {
    put16(at, value >> 16), put16(at + 2, value & 65535);
}

static inline uint16_t get16(const unsigned char *at) {
    return at[0] << 8 | at[1];
}

static inline uint32_t get32(const unsigned char *at) {
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static inline uint32_t add_up(uint32_t sum, const unsigned char *bytes, size_t length) {
    for (size_t at = 0; at < length; at++)
        sum += at % 2 ? bytes[at] : bytes[at] << 8;
    return sum;
}

static inline uint16_t folded(uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 65535) + (sum >> 16);
    return sum;
}

/* The sum over pseudo-header and payload, whichever way it goes. */
static inline uint32_t transport_sum(
    const struct drill *d, int protocol, const unsigned char *bytes, size_t length) {
    size_t size = d->v6 ? 16 : 4;
    uint32_t sum = protocol + length;
    sum = add_up(sum, d->v6 ? OURS6 : OURS4, size);
    sum = add_up(sum, d->v6 ? THEIRS6 : THEIRS4, size);
    return add_up(sum, bytes, length);
}

/* Puts an IP header before `length` bytes that lie 40 bytes into `packet`, and sends it into the stack. */
static inline void into_stack(struct drill *d, int protocol, unsigned char *packet, size_t length) {
    unsigned char *header = packet + 40 - (d->v6 ? 40 : 20);
    memset(header, 0, d->v6 ? 40 : 20);
    if (d->v6) {
        header[0] = 0x60, header[6] = protocol, header[7] = 64;
        put16(header + 4, length);
        memcpy(header + 8, THEIRS6, 16), memcpy(header + 24, OURS6, 16);
    } else {
        header[0] = 0x45, header[8] = 64, header[9] = protocol;
        put16(header + 2, length + 20);
        memcpy(header + 12, THEIRS4, 4), memcpy(header + 16, OURS4, 4);
        put16(header + 10, ~folded(add_up(0, header, 20)));
    }
    CHECK(d->it.netdev_send(d->u, header, packet + 40 + length - header) == 0);
}

/* The next segment of the other side; a SYN says how large segments may be. */
static inline void arrives(struct drill *d, int flags, const void *data, size_t length) {
    static unsigned char packet[40 + 24 + MOST];
    unsigned char *tcp = packet + 40;
    size_t header = flags & SYN ? 24 : 20;
    memset(tcp, 0, header);
    put16(tcp, THEIR_PORT), put16(tcp + 2, d->our_port);
    put32(tcp + 4, d->their_seq), put32(tcp + 8, flags & ACK ? d->our_seq : 0);
    tcp[12] = header / 4 << 4, tcp[13] = flags;
    put16(tcp + 14, 65535);
    if (flags & SYN)
        tcp[20] = 2, tcp[21] = 4, put16(tcp + 22, MSS);
    if (length)
        memcpy(tcp + header, data, length);
    put16(tcp + 16, ~folded(transport_sum(d, IPPROTO_TCP, tcp, header + length)));
    d->their_seq += length + !!(flags & SYN) + !!(flags & FIN);
    into_stack(d, IPPROTO_TCP, packet, header + length);
}

/* A datagram of the other side. */
static inline void datagram(struct drill *d, uint16_t from, const void *data, size_t length) {
    static unsigned char packet[40 + 8 + MOST];
    unsigned char *udp = packet + 40;
    memset(udp, 0, 8);
    put16(udp, from), put16(udp + 2, d->our_port), put16(udp + 4, length + 8);
    memcpy(udp + 8, data, length);
    put16(udp + 6, ~folded(transport_sum(d, IPPROTO_UDP, udp, length + 8)));
    into_stack(d, IPPROTO_UDP, packet, length + 8);
}

/* The next packet of the stack, whose checksums are right; 0 if there is none any more. */
static inline int leaves(struct drill *d, struct seen *seen) {
    static unsigned char packet[MOST];
    size_t length = sizeof packet, header = d->v6 ? 40 : 20;
    CHECK(d->it.netdev_receive(d->u, packet, &length, &seen->usecs) == 0);
    if (length == 0)
        return 0;
    CHECK(packet[0] >> 4 == (d->v6 ? 6 : 4) && length > header);
    CHECK(d->v6 || folded(add_up(0, packet, 20)) == 65535);
    seen->protocol = packet[d->v6 ? 6 : 9];
    unsigned char *body = packet + header;
    length -= header;
    CHECK(folded(transport_sum(d, seen->protocol, body, length)) == 65535);
    seen->from = get16(body), seen->to = get16(body + 2);
    size_t own = 8;
    if (seen->protocol == IPPROTO_TCP) {
        seen->seq = get32(body + 4), seen->ack = get32(body + 8), seen->flags = body[13];
        own = body[12] >> 4 << 2;
    }
    seen->length = length - own;
    memcpy(seen->data, body + own, seen->length);
    return 1;
}

/* The next segment of the stack has these flags and so many bytes, and is the next of its stream. */
static inline long long expect(struct drill *d, int flags, size_t length) {
    static struct seen seen;
    CHECK(leaves(d, &seen) && seen.protocol == IPPROTO_TCP);
    if (seen.flags != flags || seen.length != length) {
        fprintf(stderr, "flags %d not %d, %zu bytes not %zu\n", seen.flags, flags, seen.length, length);
        exit(1);
    }
    if (flags & SYN)
        d->our_seq = seen.seq, d->our_port = seen.from;
    CHECK(seen.seq == d->our_seq && seen.to == THEIR_PORT && seen.from == d->our_port);
    CHECK(!(flags & ACK) || seen.ack == d->their_seq);
    d->our_seq += length + !!(flags & SYN) + !!(flags & FIN);
    return seen.usecs;
}

static inline long long now(struct drill *d) {
    struct timeval time;
    CHECK(d->it.gettimeofday(d->u, &time, NULL) == 0);
    return time.tv_sec * 1000000LL + time.tv_usec;
}

#endif
