#define _GNU_SOURCE
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { FIELDS_AT_MOST = 100, CHUNK = 65535 }; /* CHUNK is that of Postfix and libmilter */
static const char mark[] = "##########";

static struct {
    char *name, *value;
} fields[FIELDS_AT_MOST];
static int field_count;
static char *body;
static size_t body_size;

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        die("cannot read %s", path);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        die("cannot read %s", path);
    fclose(file);
    bytes[*size] = 0;
    return bytes;
}

/* Cut a header into fields, their lines divided by LF, as an MTA gives them to a milter. */
static void cut_header(char *text)
{
    char *line, *end, *to;
    for (line = text; *line; line = end) {
        for (end = line, to = line; *end && (end[0] != '\n' || end[1] == ' ' || end[1] == '\t'); end++)
            if (*end != '\r')
                *to++ = *end;
        end += *end != 0;
        *to = 0;
        char *colon = strchr(line, ':');
        if (!colon || field_count == FIELDS_AT_MOST)
            die("not a header field, or too many: %s", line);
        *colon = 0;
        fields[field_count].name = line;
        fields[field_count++].value = colon[1] == ' ' ? colon + 2 : colon + 1;
    }
}

void message_read(const char *path)
{
    size_t size;
    char *bytes = read_file(path, &size), *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        die("%s has no empty line", path);
    end[2] = 0;
    body = end + 4;
    body_size = size - (size_t)(body - bytes);
    cut_header(bytes);
}

int message_fields(void)
{
    return field_count;
}

int message_chunks(void)
{
    return body ? (int)((body_size + CHUNK - 1) / CHUNK) : 0;
}

static void put_marked(struct buffer *buffer, const char *bytes, size_t size, const struct mail *mail)
{
    buffer_reserve(buffer, size);
    char *at = buffer->bytes + buffer->length, *end = at + size;
    memcpy(at, bytes, size);
    buffer->length += size;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)))
        memcpy(at, mail->queue_id, sizeof mark - 1);
}

void put_message_field(struct buffer *buffer, int index, const struct mail *mail, int leading_space)
{
    put_marked(buffer, fields[index].name, strlen(fields[index].name) + 1, mail);
    if (leading_space)
        put_marked(buffer, " ", 1, mail);
    put_marked(buffer, fields[index].value, strlen(fields[index].value) + 1, mail);
}

/* The mark is looked for in the first chunk only: the search would cost more than the sending. */
void put_message_chunk(struct buffer *buffer, int index, const struct mail *mail)
{
    size_t at = (size_t)index * CHUNK, size = body_size - at < CHUNK ? body_size - at : CHUNK;
    if (index == 0) {
        put_marked(buffer, body, size, mail);
        return;
    }
    buffer_reserve(buffer, size);
    memcpy(buffer->bytes + buffer->length, body + at, size);
    buffer->length += size;
}
