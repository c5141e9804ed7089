/* Plays packetdrill: loads the library as it does, and has the interface as a C compiler lays it out. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

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

static long long now(struct interface *i) {
    struct timeval time;
    CHECK(i->gettimeofday(i->userdata, &time, NULL) == 0);
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void (*init)(const char *, struct interface *);
    *(void **)&init = dlsym(library, "packetdrill_interface_init");
    CHECK(init);
    for (int script = 0; script < 2; script++) {
        struct interface it;
        memset(&it, 0, sizeof it);
        init(script ? "mtu=1400" : NULL, &it);
        void **slots = (void **)&it;
        for (size_t slot = 0; slot < sizeof it / sizeof *slots; slot++)
            CHECK(slots[slot]);
        void *u = it.userdata;
        int fd = it.socket(u, AF_INET, SOCK_STREAM, IPPROTO_TCP);
        CHECK(fd >= 3 && fcntl(fd, F_GETFD) >= 0);
        CHECK(it.fcntl(u, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
        CHECK(it.fcntl(u, fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
        struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(8080)};
        CHECK(inet_pton(AF_INET, "192.0.2.1", &peer.sin_addr) == 1);
        long long start = now(&it);
        CHECK(it.connect(u, fd, (struct sockaddr *)&peer, sizeof peer) == -1 && errno == EINPROGRESS);
        unsigned char packet[4096];
        size_t length = sizeof packet;
        long long sent = 0;
        CHECK(it.netdev_receive(u, packet, &length, &sent) == 0);
        CHECK(length >= 40 && packet[0] == 0x45 && packet[33] == 2 && sent == start);
        CHECK(it.connect(u, fd, (struct sockaddr *)&peer, sizeof peer) == -1 && errno == EALREADY);
        CHECK(it.usleep(u, 2000000) == 0);
        length = sizeof packet;
        CHECK(it.netdev_receive(u, packet, &length, &sent) == 0);
        CHECK(length >= 40 && packet[33] == 2 && sent == start + 1000000);
        int queued = -1;
        CHECK(it.ioctl(u, fd, FIONREAD, &queued) == 0 && queued == 0);
        long long before = now(&it);
        CHECK(now(&it) > before);
        /* packetdrill closes what a script leaves open, and does not ask. */
        CHECK(close(fd) == 0);
        it.free(u);
    }
    return 0;
}
