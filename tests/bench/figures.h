/* Latencies and counts of a run, printed as one line of JSON. */
#ifndef FIGURES_H
#define FIGURES_H
#include "packets.h"
#include "series.h"

struct figures {
    struct series message;       /* from when a message was due to its last answer */
    struct series rcpt_answered; /* from when it was due to the answer to RCPT */
    struct series waits[STAGES]; /* from sending a stage to its answer */
    long accepted, refused, deferred, refused_early, edits;
    long dropped, out_of_protocol, timed_out, held;
    double seconds;
};

void figures_print(struct figures *figures);
#endif
