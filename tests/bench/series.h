/* A series of times: its 50th and 99th percentile and its longest are printed as JSON. */
#ifndef SERIES_H
#define SERIES_H
#include <stddef.h>

struct series {
    float *seconds;
    size_t count, capacity;
};

double now(void);
void series_add(struct series *series, double seconds);
void series_print(const char *name, struct series *series);
#endif
