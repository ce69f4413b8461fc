/* What the load is told on its command line. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include <stdint.h>

struct options {
    const char *socket, *message;
    long connections, messages;
    uint32_t first, hops;
    double rate, timeout;
    int hold, port; /* port: of a milter on 127.0.0.1; 0 where `socket` is the path of one */
};

/* Say what is wrong, and exit with 2. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void read_options(struct options *options, int count, char **words);
#endif
