#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "packets.h"

static const char usage[] = "usage: miltload [-c CONNECTIONS] [-n MESSAGES] [-a FIRST-ADDRESS] [-p HOPS] "
                            "[-r MESSAGES-A-SECOND] [-t SECONDS-TO-AN-ANSWER] [-s DKIM-SIGNATURE | -m MESSAGE-FILE] [-h] "
                            "SOCKET-OR-PORT";

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void read_options(struct options *options, int count, char **words)
{
    int option;
    *options = (struct options){.connections = 10, .messages = 10000, .hops = 1000, .timeout = 30};
    while ((option = getopt(count, words, "c:n:a:p:r:t:s:m:h")) != -1)
        switch (option) {
        case 'c': options->connections = atol(optarg); break;
        case 'n': options->messages = atol(optarg); break;
        case 'a': options->first = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'p': options->hops = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'r': options->rate = atof(optarg); break;
        case 't': options->timeout = atof(optarg); break;
        case 's': signature = optarg; break;
        case 'm': options->message = optarg; break;
        case 'h': options->hold = 1; break;
        default: die("%s", usage);
        }
    if (optind != count - 1 || options->connections < 1 || options->messages < 1 || options->hops < 1)
        die("%s", usage);
    if (options->hold)
        options->connections = options->messages;
    options->socket = words[optind];
    options->port = strspn(options->socket, "0123456789") == strlen(options->socket) ? atoi(options->socket) : 0;
    if (strlen(options->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        die("the socket's path is too long");
}
