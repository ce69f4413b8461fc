#include "series.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

void series_add(struct series *series, double seconds)
{
    if (series->count == series->capacity) {
        series->capacity = series->capacity ? series->capacity * 2 : 4096;
        series->seconds = realloc(series->seconds, series->capacity * sizeof *series->seconds);
        if (!series->seconds)
            abort();
    }
    series->seconds[series->count++] = (float)seconds;
}

static int compare(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static double milliseconds(const struct series *series, double share)
{
    return series->count ? series->seconds[(size_t)(share * (series->count - 1) + 0.5)] * 1e3 : 0;
}

void series_print(const char *name, struct series *series)
{
    if (series->count)
        qsort(series->seconds, series->count, sizeof *series->seconds, compare);
    printf("\"%s\": {\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}", name, milliseconds(series, 0.5),
           milliseconds(series, 0.99), milliseconds(series, 1.0));
}
