/* slowdns: a DNS relay on 127.0.0.1 that holds each answer back, and answers nothing about one zone.
 *
 * usage: slowdns UPSTREAM-PORT MILLISECONDS [DEAD-ZONE]; prints the port that it listens on. The delay runs from the
 * query to the answer. All delays are equal, so a ring in order of arrival is all that it needs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 65536, PACKET = 1500, DNS_HEADER = 12 };

struct query {
    struct sockaddr_in from;
    double due;
    size_t size;
    int answered;
    uint16_t id;
    unsigned char answer[PACKET];
};

static struct query *queries;      /* a ring: the slot's number is the id that the upstream server sees */
static uint32_t oldest, newest;    /* free running; newest is the next one to be used */
static unsigned char dead[256];    /* the dead zone in wire form */
static size_t dead_size;
static double delay;
static int clients, upstream;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void set_dead(const char *zone)
{
    while (*zone && dead_size + strlen(zone) + 2 < sizeof dead) {
        size_t length = strcspn(zone, ".");
        dead[dead_size++] = (unsigned char)length;
        memcpy(dead + dead_size, zone, length);
        dead_size += length;
        zone += length + (zone[length] == '.');
    }
    dead[dead_size++] = 0;
}

/* Whether the question's name, which begins after the header, ends in the dead zone. */
static int is_dead(const unsigned char *packet, size_t size)
{
    size_t at = DNS_HEADER;
    while (dead_size && at < size) {
        if (size - at >= dead_size && !strncasecmp((const char *)packet + at, (const char *)dead, dead_size))
            return 1;
        if (!packet[at])
            return 0;
        at += packet[at] + 1u;
    }
    return 0;
}

static void take_query(void)
{
    struct query *query = &queries[newest % SLOTS];
    unsigned char packet[PACKET];
    socklen_t length = sizeof query->from;
    uint16_t slot = (uint16_t)(newest % SLOTS);
    ssize_t size = recvfrom(clients, packet, sizeof packet, 0, (struct sockaddr *)&query->from, &length);
    if (size < DNS_HEADER || newest - oldest >= SLOTS || is_dead(packet, (size_t)size))
        return;
    memcpy(&query->id, packet, 2);
    memcpy(packet, &slot, 2);
    query->due = now() + delay;
    query->answered = 0;
    if (send(upstream, packet, (size_t)size, 0) == size)
        newest++;
}

static void take_answer(void)
{
    unsigned char packet[PACKET];
    uint16_t slot;
    ssize_t size = recv(upstream, packet, sizeof packet, 0);
    if (size < DNS_HEADER)
        return;
    memcpy(&slot, packet, 2);
    memcpy(packet, &queries[slot].id, 2);
    memcpy(queries[slot].answer, packet, (size_t)size);
    queries[slot].size = (size_t)size;
    queries[slot].answered = 1;
}

static void answer_due(void)
{
    while (oldest != newest) {
        struct query *query = &queries[oldest % SLOTS];
        double time = now();
        if (query->due > time || (!query->answered && query->due + 0.1 > time))
            return;
        if (query->answered)
            sendto(clients, query->answer, query->size, 0, (struct sockaddr *)&query->from, sizeof query->from);
        oldest++;
    }
}

static int open_socket(struct sockaddr_in *address, int listens)
{
    int size = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t length = sizeof *address;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (listens ? bind(fd, (struct sockaddr *)address, length) : connect(fd, (struct sockaddr *)address, length)) {
        perror("slowdns");
        exit(1);
    }
    if (listens)
        getsockname(fd, (struct sockaddr *)address, &length);
    return fd;
}

static void relay(void)
{
    struct pollfd ready[] = {{clients, POLLIN, 0}, {upstream, POLLIN, 0}};
    for (;;) {
        double wait = oldest == newest ? 1.0 : queries[oldest % SLOTS].due - now();
        struct timespec time = {0, wait < 0 ? 50000 : (long)(wait * 1e9)};
        if (wait >= 1.0)
            time = (struct timespec){1, 0};
        ppoll(ready, 2, &time, NULL);
        if (ready[0].revents)
            take_query();
        if (ready[1].revents)
            take_answer();
        answer_due();
    }
}

int main(int count, char **words)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in there = here;
    if (count < 3)
        return 2;
    there.sin_port = htons((uint16_t)atoi(words[1]));
    delay = atof(words[2]) / 1e3;
    if (count > 3)
        set_dead(words[3]);
    queries = calloc(SLOTS, sizeof *queries);
    if (!queries)
        return 1;
    clients = open_socket(&here, 1);
    upstream = open_socket(&there, 0);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    relay();
}
