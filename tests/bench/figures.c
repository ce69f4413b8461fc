#include "figures.h"

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

static void print_series(const char *name, struct series *series)
{
    if (series->count)
        qsort(series->seconds, series->count, sizeof *series->seconds, compare);
    printf("\"%s\": {\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}", name, milliseconds(series, 0.5),
           milliseconds(series, 0.99), milliseconds(series, 1.0));
}

void figures_print(struct figures *figures)
{
    printf("{\"messages\": %zu, \"seconds\": %.4f, \"accepted\": %ld, \"refused\": %ld, \"deferred\": %ld, "
           "\"refused_early\": %ld, \"edits\": %ld, \"dropped\": %ld, \"out_of_protocol\": %ld, \"timed_out\": %ld, "
           "\"held\": %ld, \"milliseconds\": {",
           figures->message.count, figures->seconds, figures->accepted, figures->refused, figures->deferred,
           figures->refused_early, figures->edits, figures->dropped, figures->out_of_protocol, figures->timed_out,
           figures->held);
    print_series("message", &figures->message);
    printf(", ");
    print_series("rcpt_answered", &figures->rcpt_answered);
    for (int stage = 0; stage < STAGES; stage++)
        if (figures->waits[stage].count) {
            printf(", ");
            print_series(stage_rules[stage].name, &figures->waits[stage]);
        }
    printf("}}\n");
}
