/* The packets that an MTA sends to a milter (protocol version 6), in the order and with the macros of Postfix 3.7. */
#ifndef PACKETS_H
#define PACKETS_H
#include <stddef.h>
#include <stdint.h>

enum stage { OPTNEG, CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, EOM, STAGES };

struct stage_rule {
    const char *name;
    char command;
    uint32_t skip, no_reply; /* protocol flags by which a milter leaves the stage out, or does not answer it */
};
extern const struct stage_rule stage_rules[STAGES];

/* The value of a DKIM-Signature field that is sent last; NULL for none. */
extern const char *signature;

enum { ACTIONS_OFFERED = 0x1ff, STEPS_OFFERED = 0x1fffff, HEADERS = 15, BODY_SIZE = 4096 };

struct buffer {
    char *bytes;
    size_t length, offset, capacity;
};

/* How many packets a stage has: one for each header field and each body chunk. */
int packet_count(enum stage stage);

/* What differs from one message to the next. */
struct mail {
    char client[16], hop[16], queue_id[16];
};

/* The mail with this number: a client address of its own (2^30 of them, 11.0.0.0 to 74.255.255.255) and one of `hops`
 * addresses (from 80.0.0.0 up) in its Received field. */
void mail_set(struct mail *mail, uint32_t number, uint32_t hops);

void buffer_reserve(struct buffer *buffer, size_t more);

/* Append the packet of a stage, its macros before it. `index` counts those of a stage. */
void put_stage(struct buffer *buffer, enum stage stage, int index, const struct mail *mail, uint32_t steps);

/* Append a packet without data: 'A' (abort) or 'Q' (quit). */
void put_command(struct buffer *buffer, char command);

/* Take the macro lists that a milter asked for at negotiation (SETSYMLIST). Returns 0 where they are malformed. */
int take_macro_lists(const char *data, size_t size);
#endif
