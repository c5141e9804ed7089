/* Plays packetdrill: loads the library as it does, and makes each call through its pointer. */
#define _GNU_SOURCE
#include "drill.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A script begins: the library does not know of those before. */
typedef void (*init_function)(const char *, struct interface *);

static struct drill begin(init_function init, int v6, const char *flags) {
    struct drill d = {.v6 = v6, .our_port = OUR_PORT, .their_seq = 1000};
    init(flags, &d.it);
    void **slots = (void **)&d.it;
    for (size_t slot = 0; slot < sizeof d.it / sizeof *slots; slot++)
        CHECK(slots[slot]);
    d.u = d.it.userdata;
    return d;
}

static int stream(struct drill *d) {
    int fd = d->it.socket(d->u, family(d), SOCK_STREAM, IPPROTO_TCP);
    CHECK(fd >= 3 && fcntl(fd, F_GETFD) >= 0);
    return fd;
}

static int listener(struct drill *d) {
    union address ours;
    socklen_t length = address_of(d, 1, OUR_PORT, &ours);
    int fd = stream(d), one = 1;
    CHECK(d->it.setsockopt(d->u, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK(d->it.bind(d->u, fd, &ours.any, length) == 0);
    FAILS(d->it.bind(d->u, fd, &ours.any, length), EINVAL);
    CHECK(d->it.listen(d->u, fd, 4) == 0);
    return fd;
}

/* The other side connects; answers what `accept` does. */
static int accepted(struct drill *d, int fd) {
    arrives(d, SYN, NULL, 0);
    expect(d, SYN | ACK, 0);
    arrives(d, ACK, NULL, 0);
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    CHECK(d->it.poll(d->u, &entry, 1, 0) == 1 && entry.revents & POLLIN);
    union address peer;
    socklen_t length = sizeof peer;
    int stream = d->it.accept(d->u, fd, &peer.any, &length);
    CHECK(stream >= 3 && stream != fd && is_theirs(d, &peer, length, THEIR_PORT));
    return stream;
}

static int option(struct drill *d, int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(d->it.getsockopt(d->u, fd, level, name, &value, &length) == 0 && length == sizeof value);
    return value;
}

static void options(struct drill *d, int fd) {
    int one = 1;
    CHECK(option(d, fd, IPPROTO_TCP, TCP_NODELAY) == 0);
    CHECK(d->it.setsockopt(d->u, fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    CHECK(option(d, fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(d, fd, SOL_SOCKET, SO_ERROR) == 0 && option(d, fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
    struct tcp_info info;
    socklen_t length = sizeof info;
    CHECK(d->it.getsockopt(d->u, fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && length == sizeof info);
    CHECK(info.tcpi_state == TCP_ESTABLISHED && info.tcpi_snd_mss == MSS && info.tcpi_snd_cwnd == 10);
    char name[16] = "";
    length = sizeof name;
    CHECK(d->it.setsockopt(d->u, fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);
    CHECK(d->it.getsockopt(d->u, fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0);
    CHECK(strcmp(name, "reno") == 0 || strcmp(name, "newreno") == 0);
    struct timeval wait = {.tv_usec = 300000}, told = {0};
    length = sizeof told;
    CHECK(d->it.setsockopt(d->u, fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    CHECK(d->it.getsockopt(d->u, fd, SOL_SOCKET, SO_RCVTIMEO, &told, &length) == 0 && told.tv_usec == 300000);
    FAILS(d->it.setsockopt(d->u, fd, IPPROTO_TCP, TCP_NODELAY, &one, 1), EINVAL);
    FAILS(d->it.setsockopt(d->u, fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), ENOPROTOOPT);
    FAILS(d->it.setsockopt(d->u, fd, IPPROTO_TCP, TCP_CONGESTION, "nobody", 6), ENOENT);
    FAILS(d->it.getsockopt(d->u, fd, IPPROTO_TCP, TCP_NODELAY, &one, NULL), EFAULT);
    FAILS(d->it.getsockopt(d->u, 1 << 20, IPPROTO_TCP, TCP_NODELAY, &one, &length), EBADF);
}

/* Every way to receive, on a stream of which 6000 bytes have arrived. */
static void receives(struct drill *d, int fd) {
    static char data[6000], buffer[6000];
    for (size_t at = 0; at < sizeof data; at++)
        data[at] = at * 7;
    for (size_t at = 0; at < sizeof data; at += MSS)
        arrives(d, ACK | PSH, data + at, MSS);
    for (int second = 0; second < 3; second++) {
        struct seen seen;
        CHECK(leaves(d, &seen) && seen.flags == ACK);
    }
    int queued = 0;
    CHECK(d->it.ioctl(d->u, fd, SIOCINQ, &queued) == 0 && queued == 6000);
    FAILS(d->it.ioctl(d->u, fd, 12345, &queued), EINVAL);
    CHECK(d->it.recv(d->u, fd, buffer, 500, MSG_PEEK) == 500 && memcmp(buffer, data, 500) == 0);
    CHECK(d->it.read(d->u, fd, buffer, 1000) == 1000 && memcmp(buffer, data, 1000) == 0);
    struct iovec pieces[2] = {{buffer, 300}, {buffer + 300, 700}};
    CHECK(d->it.readv(d->u, fd, pieces, 2) == 1000 && memcmp(buffer, data + 1000, 1000) == 0);
    CHECK(d->it.recv(d->u, fd, buffer, 1000, MSG_WAITALL) == 1000 && memcmp(buffer, data + 2000, 1000) == 0);
    CHECK(d->it.recvfrom(d->u, fd, buffer, 1000, 0, NULL, NULL) == 1000);
    CHECK(memcmp(buffer, data + 3000, 1000) == 0);
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    CHECK(d->it.recvmsg(d->u, fd, &message, 0) == 1000 && memcmp(buffer, data + 4000, 1000) == 0);
    memset(buffer, 1, sizeof buffer);
    CHECK(d->it.recv(d->u, fd, buffer, 600, MSG_TRUNC) == 600 && buffer[0] == 1 && buffer[599] == 1);
    CHECK(d->it.recv(d->u, fd, buffer, 4000, 0) == 400 && memcmp(buffer, data + 5600, 400) == 0);
    FAILS(d->it.recv(d->u, fd, buffer, 1, MSG_DONTWAIT), EAGAIN);
    FAILS(d->it.recv(d->u, fd, buffer, 1, MSG_OOB), EOPNOTSUPP);
    /* It waits as long as its timeout says, and time passes meanwhile. */
    long long before = now(d);
    FAILS(d->it.read(d->u, fd, buffer, 1), EAGAIN);
    CHECK(now(d) >= before + 300000);
    FAILS(d->it.readv(d->u, fd, NULL, 2), EFAULT);
    FAILS(d->it.recvmsg(d->u, fd, NULL, 0), EFAULT);
}

/* Every way to send. */
static void sends(struct drill *d, int fd) {
    static char data[2000];
    struct iovec pieces[2] = {{data, 30}, {data, 70}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    CHECK(d->it.write(d->u, fd, data, 100) == 100);
    expect(d, ACK | PSH, 100);
    CHECK(d->it.writev(d->u, fd, pieces, 2) == 100);
    expect(d, ACK | PSH, 100);
    CHECK(d->it.sendmsg(d->u, fd, &message, 0) == 100);
    expect(d, ACK | PSH, 100);
    CHECK(d->it.sendto(d->u, fd, data, 100, 0, NULL, 0) == 100);
    expect(d, ACK | PSH, 100);
    /* The first half waits for the second. */
    CHECK(d->it.send(d->u, fd, data, 500, MSG_MORE) == 500);
    int queued = 0;
    CHECK(d->it.ioctl(d->u, fd, SIOCOUTQNSD, &queued) == 0 && queued == 500);
    CHECK(d->it.send(d->u, fd, data, 500, 0) == 500);
    expect(d, ACK | PSH, 1000);
    CHECK(d->it.ioctl(d->u, fd, SIOCOUTQ, &queued) == 0 && queued == 1400);
    FAILS(d->it.send(d->u, fd, data, 1, MSG_OOB), EOPNOTSUPP);
    FAILS(d->it.write(d->u, fd, NULL, 10), EFAULT);
    FAILS(d->it.sendmsg(d->u, fd, NULL, 0), EFAULT);
    arrives(d, ACK, NULL, 0);
    CHECK(d->it.ioctl(d->u, fd, SIOCOUTQ, &queued) == 0 && queued == 0);
}

static void watches(struct drill *d, int fd) {
    int set = d->it.epoll_create(d->u, 1);
    CHECK(set >= 3 && set != fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 77}, told[4];
    CHECK(d->it.epoll_ctl(d->u, set, EPOLL_CTL_ADD, fd, &event) == 0);
    FAILS(d->it.epoll_ctl(d->u, set, EPOLL_CTL_ADD, fd, &event), EEXIST);
    FAILS(d->it.epoll_ctl(d->u, set, EPOLL_CTL_ADD, 1 << 20, &event), EBADF);
    CHECK(d->it.epoll_wait(d->u, set, told, 4, 0) == 0);
    arrives(d, ACK | PSH, "data", 4);
    CHECK(d->it.epoll_wait(d->u, set, told, 4, 1000) == 1);
    CHECK(told[0].events == EPOLLIN && told[0].data.u64 == 77);
    CHECK(d->it.epoll_wait(d->u, set, told, 4, 0) == 0);
    event.events = EPOLLIN | EPOLLOUT;
    CHECK(d->it.epoll_ctl(d->u, set, EPOLL_CTL_MOD, fd, &event) == 0);
    CHECK(d->it.epoll_wait(d->u, set, told, 4, 0) == 1 && told[0].events == (EPOLLIN | EPOLLOUT));
    CHECK(d->it.epoll_ctl(d->u, set, EPOLL_CTL_DEL, fd, NULL) == 0);
    /* Nothing is watched: time passes. */
    long long before = now(d);
    CHECK(d->it.epoll_wait(d->u, set, told, 4, 50) == 0 && now(d) >= before + 50000);
    FAILS(d->it.epoll_wait(d->u, set, told, 0, 0), EINVAL);
    FAILS(d->it.epoll_wait(d->u, fd, told, 4, 0), EINVAL);
    FAILS(d->it.read(d->u, set, told, 1), ENOTSOCK);
    CHECK(d->it.close(d->u, set) == 0);
    char buffer[8];
    CHECK(d->it.read(d->u, fd, buffer, sizeof buffer) == 4 && memcmp(buffer, "data", 4) == 0);
    expect(d, ACK, 0);
}

static void ends(struct drill *d, int fd) {
    char byte;
    struct pollfd entries[2] = {{.fd = fd, .events = POLLIN | POLLOUT}, {.fd = 1 << 20, .events = POLLIN}};
    FAILS(d->it.shutdown(d->u, fd, 9), EINVAL);
    CHECK(d->it.shutdown(d->u, fd, SHUT_WR) == 0);
    expect(d, FIN | ACK, 0);
    FAILS(d->it.write(d->u, fd, "x", 1), EPIPE);
    arrives(d, FIN | ACK, NULL, 0);
    expect(d, ACK, 0);
    CHECK(d->it.read(d->u, fd, &byte, 1) == 0);
    CHECK(d->it.poll(d->u, entries, 2, 0) == 2);
    CHECK(entries[0].revents & POLLIN && entries[0].revents & POLLHUP && entries[1].revents == POLLNVAL);
    CHECK(d->it.close(d->u, fd) == 0);
    FAILS(d->it.close(d->u, fd), EBADF);
    FAILS(d->it.read(d->u, fd, &byte, 1), EBADF);
}

static void serves(struct drill *d) {
    int server = listener(d);
    CHECK(d->it.fcntl(d->u, server, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    CHECK(d->it.fcntl(d->u, server, F_GETFL) == (O_RDWR | O_NONBLOCK));
    FAILS(d->it.fcntl(d->u, server, F_DUPFD, 0), EINVAL);
    FAILS(d->it.accept(d->u, server, NULL, NULL), EAGAIN);
    FAILS(d->it.shutdown(d->u, server, SHUT_WR), ENOTCONN);
    int fd = accepted(d, server);
    FAILS(d->it.accept(d->u, fd, NULL, NULL), EINVAL);
    FAILS(d->it.listen(d->u, fd, 1), EINVAL);
    options(d, fd);
    receives(d, fd);
    sends(d, fd);
    watches(d, fd);
    ends(d, fd);
    CHECK(d->it.close(d->u, server) == 0);
}

static void connects(struct drill *d) {
    union address peer;
    socklen_t length = address_of(d, 0, THEIR_PORT, &peer);
    int fd = stream(d), queued = -1;
    char byte;
    FAILS(d->it.connect(d->u, fd, NULL, length), EFAULT);
    FAILS(d->it.connect(d->u, fd, &peer.any, 3), EINVAL);
    FAILS(d->it.write(d->u, fd, "x", 1), EPIPE);
    CHECK(d->it.fcntl(d->u, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    long long start = now(d);
    FAILS(d->it.connect(d->u, fd, &peer.any, length), EINPROGRESS);
    CHECK(expect(d, SYN, 0) == start);
    FAILS(d->it.connect(d->u, fd, &peer.any, length), EALREADY);
    /* Nobody answers: the SYN again, to the microsecond. */
    CHECK(d->it.usleep(d->u, 2000000) == 0);
    CHECK(expect(d, SYN, 0) == start + 1000000);
    CHECK(d->it.ioctl(d->u, fd, FIONREAD, &queued) == 0 && queued == 0);
    arrives(d, SYN | ACK, NULL, 0);
    expect(d, ACK, 0);
    CHECK(option(d, fd, SOL_SOCKET, SO_ERROR) == 0);
    CHECK(d->it.connect(d->u, fd, &peer.any, length) == 0);
    FAILS(d->it.connect(d->u, fd, &peer.any, length), EISCONN);
    arrives(d, RST | ACK, NULL, 0);
    FAILS(d->it.read(d->u, fd, &byte, 1), ECONNRESET);
    CHECK(d->it.read(d->u, fd, &byte, 1) == 0);
    CHECK(d->it.close(d->u, fd) == 0);

    /* Nobody listens there. */
    fd = stream(d);
    CHECK(d->it.fcntl(d->u, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    FAILS(d->it.connect(d->u, fd, &peer.any, length), EINPROGRESS);
    expect(d, SYN, 0);
    d->their_seq = 0;
    arrives(d, RST | ACK, NULL, 0);
    CHECK(option(d, fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
    CHECK(d->it.close(d->u, fd) == 0);
}

static void exchanges_datagrams(struct drill *d) {
    union address ours, peer, from;
    static struct seen seen;
    char buffer[1000];
    int fd = d->it.socket(d->u, family(d), SOCK_DGRAM, IPPROTO_UDP), size = 1 << 16;
    CHECK(fd >= 3);
    CHECK(d->it.setsockopt(d->u, fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    CHECK(option(d, fd, SOL_SOCKET, SO_RCVBUF) == size);
    d->our_port = 9000;
    CHECK(d->it.bind(d->u, fd, &ours.any, address_of(d, 1, 9000, &ours)) == 0);
    socklen_t length = address_of(d, 0, 7000, &peer), room = sizeof from;
    FAILS(d->it.send(d->u, fd, "hello", 5, 0), EDESTADDRREQ);
    FAILS(d->it.listen(d->u, fd, 1), EOPNOTSUPP);
    CHECK(d->it.sendto(d->u, fd, "hello", 5, 0, &peer.any, length) == 5);
    CHECK(leaves(d, &seen) && seen.protocol == IPPROTO_UDP && seen.from == 9000 && seen.to == 7000);
    CHECK(seen.length == 5 && memcmp(seen.data, "hello", 5) == 0);
    FAILS(d->it.recv(d->u, fd, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
    datagram(d, 7000, "first", 5);
    datagram(d, 7001, "the second", 10);
    datagram(d, 7001, "the third", 9);
    CHECK(d->it.recvfrom(d->u, fd, buffer, sizeof buffer, 0, &from.any, &room) == 5);
    CHECK(is_theirs(d, &from, room, 7000) && memcmp(buffer, "first", 5) == 0);
    struct iovec piece = {buffer, 3};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    message.msg_name = &from, message.msg_namelen = sizeof from;
    CHECK(d->it.recvmsg(d->u, fd, &message, 0) == 3 && message.msg_flags & MSG_TRUNC);
    CHECK(is_theirs(d, &from, message.msg_namelen, 7001) && memcmp(buffer, "the", 3) == 0);
    CHECK(d->it.recv(d->u, fd, buffer, 3, MSG_TRUNC) == 9);
    CHECK(d->it.connect(d->u, fd, &peer.any, length) == 0);
    CHECK(d->it.write(d->u, fd, "again", 5) == 5 && leaves(d, &seen) && seen.to == 7000);
    CHECK(d->it.close(d->u, fd) == 0);
}

/* A call on packetdrill's second thread, which waits for what the first one brings about. */
struct call {
    struct drill *d;
    int fd;
    ssize_t answer;
    int error;
    long long returned;
    char buffer[3000];
};

static void *reads_all(void *argument) {
    struct call *call = argument;
    struct drill *d = call->d;
    call->answer = d->it.recv(d->u, call->fd, call->buffer, 2000, MSG_WAITALL);
    call->error = errno;
    call->returned = now(d);
    return NULL;
}

static void *accepts(void *argument) {
    struct call *call = argument;
    call->answer = call->d->it.accept(call->d->u, call->fd, NULL, NULL);
    call->error = errno;
    call->returned = now(call->d);
    return NULL;
}

/* Waits until the thread sleeps in its call, as packetdrill does. */
static void let_it_wait(void) {
    usleep(100000);
}

static void blocks(struct drill *d) {
    static char data[MSS];
    int server = listener(d);
    struct call call = {.d = d, .fd = server};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, accepts, &call) == 0);
    let_it_wait();
    arrives(d, SYN, NULL, 0);
    expect(d, SYN | ACK, 0);
    CHECK(d->it.usleep(d->u, 50000) == 0);
    arrives(d, ACK, NULL, 0);
    CHECK(pthread_join(thread, NULL) == 0 && call.answer >= 3);

    int fd = call.answer;
    call.fd = fd;
    CHECK(pthread_create(&thread, NULL, reads_all, &call) == 0);
    let_it_wait();
    arrives(d, ACK | PSH, data, MSS);
    CHECK(d->it.usleep(d->u, 200000) == 0);
    expect(d, ACK, 0);
    long long before = now(d);
    arrives(d, ACK | PSH, data, MSS);
    CHECK(pthread_join(thread, NULL) == 0 && call.answer == 2000);
    CHECK(call.returned >= before && call.returned < before + 1000);
    expect(d, ACK, 0);

    /* A reset ends the wait, too. */
    CHECK(pthread_create(&thread, NULL, reads_all, &call) == 0);
    let_it_wait();
    arrives(d, RST | ACK, NULL, 0);
    CHECK(pthread_join(thread, NULL) == 0 && call.answer == -1 && call.error == ECONNRESET);
    /* packetdrill closes what a script leaves open, and does not ask. */
    CHECK(close(fd) == 0 && close(server) == 0);
}

static void fails(struct drill *d) {
    int ends[2];
    struct epoll_event event = {0};
    size_t length = 0;
    long long usecs = 0;
    FAILS(d->it.socket(d->u, AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(d->it.socket(d->u, family(d), SOCK_RAW, 0), EPROTONOSUPPORT);
    FAILS(d->it.pipe(d->u, ends), ENOSYS);
    FAILS(d->it.splice(d->u, 3, NULL, 4, NULL, 1, 0), ENOSYS);
    FAILS(d->it.epoll_create(d->u, 0), EINVAL);
    FAILS(d->it.epoll_ctl(d->u, 1 << 20, EPOLL_CTL_ADD, 1 << 20, &event), EBADF);
    FAILS(d->it.poll(d->u, NULL, 1, 0), EFAULT);
    FAILS(d->it.netdev_send(d->u, NULL, 40), EFAULT);
    FAILS(d->it.netdev_receive(d->u, ends, NULL, &usecs), EFAULT);
    /* Nothing is there, and nothing will come: no packet, but no endless wait either. */
    CHECK(d->it.netdev_receive(d->u, ends, &length, &usecs) == 0 && length == 0);
    CHECK(d->it.poll(d->u, NULL, 0, 10) == 0);
    long long before = now(d);
    CHECK(now(d) > before);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    init_function init;
    *(void **)&init = dlsym(library, "packetdrill_interface_init");
    CHECK(init);
    void (*const scripts[])(struct drill *) = {serves, connects, exchanges_datagrams, blocks, fails};
    const char *const flags[] = {"timestamps=0,sack=0,window_scaling=0", "timestamps=0,ip_version=ipv6"};
    for (int v6 = 0; v6 < 2; v6++)
        for (size_t script = 0; script < sizeof scripts / sizeof *scripts; script++) {
            struct drill d = begin(init, v6, flags[v6]);
            scripts[script](&d);
            d.it.free(d.u);
        }
    return 0;
}
