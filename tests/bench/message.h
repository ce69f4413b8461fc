/* A message from a file, in place of the one that the load makes up. */
#ifndef MESSAGE_H
#define MESSAGE_H
#include "packets.h"

/* Have all messages be the one in this file, whose lines end in CRLF. Ten # in it are each message's own queue id. */
void message_read(const char *path);

/* How many header fields and body chunks it has; 0 where none was read. */
int message_fields(void);
int message_chunks(void);

void put_message_field(struct buffer *buffer, int index, const struct mail *mail, int leading_space);
void put_message_chunk(struct buffer *buffer, int index, const struct mail *mail);
#endif
