/* policyload: plays Postfix to a policy service on 127.0.0.1, for load.
 *
 * usage: policyload CONNECTIONS REQUESTS FIRST-ADDRESS SECONDS-TO-AN-ANSWER PORT; prints what it counted as JSON.
 *
 * Each request is about a recipient and a client address of its own, and is sent on a connection that is kept, as smtpd
 * keeps its own. Closed loop: a connection whose request is answered sends the next one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"

enum { REQUEST_AT_MOST = 2048, ANSWER_AT_MOST = 4096, EVENTS = 64 };

static const char request_form[] =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=%u.%u.%u.%u\n"
    "client_name=mail.sender.test\nclient_port=%u\nreverse_client_name=mail.sender.test\nserver_address=192.0.2.25\n"
    "server_port=25\nhelo_name=mail.sender.test\nsender=s%u@sender.test\nrecipient=r%u@example.org\nrecipient_count=0\n"
    "queue_id=\ninstance=%x.5f3e%x.%x.0\nsize=4096\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n"
    "ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\n"
    "encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\npolicy_context=\n\n";

struct connection {
    int fd, waits;
    size_t length;
    char answer[ANSWER_AT_MOST];
    double asked;
};

static long requests, begun, ended, refused, deferred, passed, lost;
static uint32_t first;
static struct sockaddr_in peer = {.sin_family = AF_INET};
static struct series delays;
static int poller;

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

static void ask(struct connection *connection)
{
    char request[REQUEST_AT_MOST];
    uint32_t number = first + (uint32_t)begun++;
    uint32_t client = number * 2654435761u & 0x3fffffff; /* as miltload has it: every number its own address */
    int size = snprintf(request, sizeof request, request_form, 11 + (client >> 24), client >> 16 & 255,
                        client >> 8 & 255, client & 255, 1024 + number % 60000, number % 50000, number % 5000, number,
                        number, number);
    connection->length = 0;
    connection->waits = 1;
    connection->asked = now();
    send(connection->fd, request, (size_t)size, MSG_NOSIGNAL); /* should it fail, the connection's end is heard next */
}

static void open_connection(struct connection *connection)
{
    int on = 1;
    struct epoll_event event = {EPOLLIN, {.ptr = connection}};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&peer, sizeof peer) < 0)
        die("connect: %s", strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
    ask(connection);
}

static void take_answer(struct connection *connection)
{
    const char *answer = connection->answer;
    series_add(&delays, now() - connection->asked);
    connection->waits = 0;
    ended++;
    if (!strncmp(answer, "action=5", 8))
        refused++;
    else if (!strncmp(answer, "action=4", 8))
        deferred++;
    else
        passed++;
}

static void hear(struct connection *connection)
{
    size_t room = ANSWER_AT_MOST - 1 - connection->length;
    ssize_t size = recv(connection->fd, connection->answer + connection->length, room, 0);
    if (size <= 0) {
        lost += connection->waits;
        ended += connection->waits;
        connection->waits = 0;
        close(connection->fd);
        if (begun < requests)
            open_connection(connection);
        return;
    }
    connection->length += (size_t)size;
    connection->answer[connection->length] = 0;
    if (!strstr(connection->answer, "\n\n"))
        return;
    take_answer(connection);
    if (begun < requests)
        ask(connection);
}

int main(int count, char **words)
{
    struct epoll_event events[EVENTS];
    if (count != 6)
        die("usage: policyload CONNECTIONS REQUESTS FIRST-ADDRESS SECONDS-TO-AN-ANSWER PORT");
    long connections = atol(words[1]);
    requests = atol(words[2]);
    first = (uint32_t)strtoul(words[3], NULL, 10);
    int patience = (int)(atof(words[4]) * 1e3);
    peer.sin_port = htons((uint16_t)atoi(words[5]));
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (!all || connections < 1 || requests < connections)
        die("at least one connection, and a request for each");
    double started = now();
    for (long number = 0; number < connections; number++)
        open_connection(&all[number]);
    while (ended < requests) {
        int ready = epoll_wait(poller, events, EVENTS, patience);
        if (ready == 0) {
            lost += requests - ended;
            break;
        }
        for (int number = 0; number < ready; number++)
            hear(events[number].data.ptr);
    }
    printf("{\"requests\": %ld, \"seconds\": %.4f, \"passed\": %ld, \"refused\": %ld, \"deferred\": %ld, \"lost\": %ld, "
           "\"milliseconds\": {", passed + refused + deferred, now() - started, passed, refused, deferred, lost);
    series_print("answer", &delays);
    printf("}}\n");
}
