/* miltload: plays the MTA to a milter on a unix socket, or on a port of 127.0.0.1, for load.
 *
 * Each message is an SMTP session of its own with a client address of its own. One epoll loop drives all connections and
 * keeps to what the milter negotiated: stages left out, stages not answered, SKIP, macro lists. As Postfix does, it sends
 * what needs no answer together with the next packet that does, and "ABORT ABORT QUIT" at the end.
 *
 * Closed loop (default): a connection that is done begins the next message. Open loop (-r): messages begin when they are
 * due, whatever became of the earlier ones, and latencies run from then. Hold (-h): all connections stop before RCPT until
 * the last one is there and a line (or end of file) comes on standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "figures.h"
#include "message.h"
#include "options.h"
#include "packets.h"

enum { PACKET_AT_MOST = 1 << 20, SEND_AT_ONCE = 1 << 16, EVENTS = 256 };

struct connection {
    int fd, connecting, waiting, held, writing, index;
    enum stage stage;
    uint32_t steps;
    struct mail mail;
    struct buffer out, in;
    double due, asked, heard;
};

static struct options options;
static union {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in inet;
} peer;
static struct connection *connections;
static struct figures figures;
static long begun, ended, on_hold;
static double started;
static int poller, timer, released, full; /* full: the milter's listen queue was, when last tried */

static double due_at(long number)
{
    return options.rate > 0 ? started + number / options.rate : now();
}

static void watch(struct connection *connection, int operation)
{
    struct epoll_event event = {EPOLLIN | (connection->writing ? EPOLLOUT : 0), {.ptr = connection}};
    epoll_ctl(poller, operation, connection->fd, &event);
}

/* Connect an idle connection for the next message. Returns 0 where the milter's listen queue is full. */
static int begin(struct connection *connection)
{
    int one = 1, fd = socket(peer.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    if (options.port) /* what waits for an acknowledgement is the milter's doing, then */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, &peer.any, options.port ? sizeof peer.inet : sizeof peer.local) < 0 && errno != EINPROGRESS) {
        if (errno != EAGAIN)
            die("connect %s: %s", options.socket, strerror(errno));
        close(fd);
        full = 1;
        return 0;
    }
    connection->fd = fd;
    connection->connecting = connection->writing = 1;
    connection->waiting = connection->held = connection->index = 0;
    connection->stage = OPTNEG;
    connection->steps = 0;
    connection->in.length = connection->in.offset = connection->out.length = connection->out.offset = 0;
    connection->due = due_at(begun);
    connection->heard = now();
    mail_set(&connection->mail, options.first + (uint32_t)begun++, options.hops);
    watch(connection, EPOLL_CTL_ADD);
    return 1;
}

/* Begin what is due, on connections that are idle. */
static void begin_due(void)
{
    static long next;
    full = 0;
    for (long looked = 0; looked < options.connections && begun < options.messages; looked++) {
        struct connection *connection = &connections[next];
        if (connection->fd < 0) {
            if ((options.rate > 0 && due_at(begun) > now()) || !begin(connection))
                return;
        }
        next = (next + 1) % options.connections;
    }
}

static void drop(struct connection *connection, long *counter)
{
    if (counter)
        ++*counter;
    on_hold -= connection->held;
    connection->held = 0;
    close(connection->fd);
    connection->fd = -1;
    ended++;
}

static int flush(struct connection *connection)
{
    struct buffer *out = &connection->out;
    while (out->offset < out->length) {
        ssize_t sent = send(connection->fd, out->bytes + out->offset, out->length - out->offset, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            drop(connection, &figures.dropped);
            return 0;
        }
        out->offset += (size_t)sent;
    }
    if (out->offset == out->length)
        out->length = out->offset = 0;
    if (connection->writing != (out->length > 0)) {
        connection->writing = out->length > 0;
        watch(connection, EPOLL_CTL_MOD);
    }
    return 1;
}

static void advance(struct connection *connection)
{
    if (++connection->index < packet_count(connection->stage))
        return;
    connection->index = 0;
    connection->stage++;
}

/* Send packets up to the first that needs an answer, to where the socket is full, or to where the connection is held. */
static void send_on(struct connection *connection)
{
    while (!(connection->stage == RCPT && options.hold && !released)) {
        if (connection->out.length > SEND_AT_ONCE && (!flush(connection) || connection->writing))
            return;
        const struct stage_rule *rule = &stage_rules[connection->stage];
        if (connection->steps & rule->skip) {
            connection->stage++;
            continue;
        }
        put_stage(&connection->out, connection->stage, connection->index, &connection->mail, connection->steps);
        if (!(connection->steps & rule->no_reply)) {
            connection->waiting = 1;
            connection->asked = now();
            flush(connection);
            return;
        }
        advance(connection);
    }
    connection->held = 1;
    on_hold++;
    figures.held++;
    flush(connection);
}

static void end_message(struct connection *connection)
{
    double time = now();
    series_add(&figures.message, time - connection->due);
    figures.seconds = time - started;
    if (connection->stage != EOM)
        figures.refused_early++;
    put_command(&connection->out, 'A');
    put_command(&connection->out, 'A');
    put_command(&connection->out, 'Q');
    if (flush(connection))
        drop(connection, NULL);
}

static int negotiated(struct connection *connection, const char *data, size_t size)
{
    uint32_t answer[3];
    if (size < sizeof answer)
        return 0;
    memcpy(answer, data, sizeof answer);
    connection->steps = ntohl(answer[2]);
    if ((ntohl(answer[1]) & ~ACTIONS_OFFERED) || (connection->steps & ~STEPS_OFFERED))
        return 0;
    return take_macro_lists(data + sizeof answer, size - sizeof answer);
}

/* Take a final answer to the current stage; count it and go on, or end. */
static void take_answer(struct connection *connection, char command, const char *data)
{
    enum stage stage = connection->stage;
    double time = now();
    connection->waiting = 0;
    series_add(&figures.waits[stage], time - connection->asked);
    if (stage == RCPT)
        series_add(&figures.rcpt_answered, time - connection->due);
    if (command == 'c' && stage != EOM) {
        advance(connection);
        send_on(connection);
        return;
    }
    if (command == 's') {
        connection->stage = EOM;
        send_on(connection);
        return;
    }
    figures.accepted += command == 'c' || command == 'a';
    figures.deferred += command == 't' || (command == 'y' && *data == '4');
    figures.refused += command == 'r' || (command == 'y' && *data == '5');
    end_message(connection);
}

static void take_packet(struct connection *connection, char command, const char *data, size_t size)
{
    if (connection->waiting && connection->stage == OPTNEG) {
        if (command == 'O' && negotiated(connection, data, size))
            take_answer(connection, 'c', data);
        else
            drop(connection, &figures.out_of_protocol);
    } else if (connection->waiting && command == 'p') {
        return;
    } else if (connection->waiting && connection->stage == EOM && command && strchr("hiem+-2bq", command)) {
        figures.edits++;
    } else if (connection->waiting && command && strchr("cartdy", command)) {
        take_answer(connection, command, size ? data : "");
    } else if (connection->waiting && command == 's' && connection->stage == BODY) {
        take_answer(connection, command, data);
    } else {
        drop(connection, &figures.out_of_protocol);
    }
}

static void read_on(struct connection *connection)
{
    struct buffer *in = &connection->in;
    buffer_reserve(in, 4096);
    ssize_t got = recv(connection->fd, in->bytes + in->length, in->capacity - in->length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(connection, &figures.dropped);
        return;
    }
    in->length += (size_t)got;
    connection->heard = now();
    while (connection->fd >= 0 && in->length - in->offset >= 5) {
        const char *packet = in->bytes + in->offset;
        uint32_t size;
        memcpy(&size, packet, 4);
        size = ntohl(size);
        if (size < 1 || size > PACKET_AT_MOST) {
            drop(connection, &figures.out_of_protocol);
            return;
        }
        if (in->length - in->offset < 4 + (size_t)size)
            break;
        in->offset += 4 + (size_t)size;
        take_packet(connection, packet[4], packet + 5, size - 1);
    }
    memmove(in->bytes, in->bytes + in->offset, in->length - in->offset);
    in->length -= in->offset;
    in->offset = 0;
}

static void on_event(struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return;
    if (connection->connecting) {
        connection->connecting = 0;
        send_on(connection);
    } else if (events & EPOLLOUT) {
        if (!flush(connection))
            return;
        if (!connection->writing && !connection->waiting && !connection->held)
            send_on(connection);
    }
    if (connection->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_on(connection);
}

static void drop_silent(void)
{
    static double looked;
    double time = now();
    if (time - looked < 0.25)
        return;
    looked = time;
    for (long i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[i];
        if (connection->fd >= 0 && !connection->held && time - connection->heard > options.timeout)
            drop(connection, &figures.timed_out);
    }
}

/* Once all connections are held or gone: say how many stand, wait for a line, and let them go. */
static void release_held(void)
{
    if (!options.hold || released || begun < options.messages || on_hold + ended < options.messages)
        return;
    printf("%ld\n", on_hold);
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin))
        continue;
    released = 1;
    for (long i = 0; i < options.connections; i++)
        if (connections[i].held) {
            connections[i].held = 0;
            connections[i].heard = now();
            on_hold--;
            send_on(&connections[i]);
        }
}

static void set_timer(void)
{
    struct itimerspec every = {0};
    struct epoll_event event = {EPOLLIN, {.ptr = NULL}};
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    every.it_interval.tv_nsec = every.it_value.tv_nsec = options.rate > 1 ? (long)(1e9 / options.rate) : 100000000;
    timerfd_settime(timer, 0, &every, NULL);
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    uint64_t expirations;
    started = now();
    if (options.rate > 0)
        set_timer();
    begin_due();
    while (ended < options.messages) {
        int count = epoll_wait(poller, events, EVENTS, full ? 1 : 100);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
                die("timer: %s", strerror(errno));
        }
        begin_due();
        drop_silent();
        release_held();
    }
}

int main(int count, char **words)
{
    read_options(&options, count, words);
    if (options.message)
        message_read(options.message);
    if (options.port) {
        peer.inet = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    } else {
        peer.local.sun_family = AF_UNIX;
        strcpy(peer.local.sun_path, options.socket);
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!(connections = calloc((size_t)options.connections, sizeof *connections)))
        die("out of memory");
    for (long i = 0; i < options.connections; i++)
        connections[i].fd = -1;
    run();
    figures_print(&figures);
    return figures.dropped || figures.out_of_protocol || figures.timed_out;
}
