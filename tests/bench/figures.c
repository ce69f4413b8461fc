#include "figures.h"

#include <stdio.h>

void figures_print(struct figures *figures)
{
    printf("{\"messages\": %zu, \"seconds\": %.4f, \"accepted\": %ld, \"refused\": %ld, \"deferred\": %ld, "
           "\"refused_early\": %ld, \"edits\": %ld, \"dropped\": %ld, \"out_of_protocol\": %ld, \"timed_out\": %ld, "
           "\"held\": %ld, \"milliseconds\": {",
           figures->message.count, figures->seconds, figures->accepted, figures->refused, figures->deferred,
           figures->refused_early, figures->edits, figures->dropped, figures->out_of_protocol, figures->timed_out,
           figures->held);
    series_print("message", &figures->message);
    printf(", ");
    series_print("rcpt_answered", &figures->rcpt_answered);
    for (int stage = 0; stage < STAGES; stage++)
        if (figures->waits[stage].count) {
            printf(", ");
            series_print(stage_rules[stage].name, &figures->waits[stage]);
        }
    printf("}}\n");
}
