#include "packets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { HDR_LEADSPC = 0x100000, LISTS = 7, LIST_SIZE = 512 };

const struct stage_rule stage_rules[STAGES] = {
    {"optneg", 'O', 0, 0},           {"connect", 'C', 0x1, 0x1000},  {"helo", 'H', 0x2, 0x2000},
    {"mail", 'M', 0x4, 0x4000},      {"rcpt", 'R', 0x8, 0x8000},     {"data", 'T', 0x200, 0x10000},
    {"header", 'L', 0x20, 0x80},     {"eoh", 'N', 0x40, 0x40000},    {"body", 'B', 0x10, 0x80000},
    {"eom", 'E', 0, 0},
};

/* Postfix's defaults, in the order of SETSYMLIST's numbers: connect helo mail rcpt data eom eoh. */
static char macro_lists[LISTS][LIST_SIZE] = {
    "j {daemon_name} {daemon_addr} v _",
    "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    "i",
    "i",
    "i",
};
/* Postfix sends macros before every header field and body chunk too: those of end of header and of end of message. */
static const int list_of[STAGES] = {-1, 0, 1, 2, 3, 4, 6, 6, 5, 5};

static const struct {
    const char *name, *value;
} constants[] = {
    {"j", "mx.example.org"},
    {"v", "Postfix 3.7.11"},
    {"{daemon_name}", "mx.example.org"},
    {"{daemon_addr}", "127.0.0.1"},
    {"{client_name}", "mail.sender.test"},
    {"{client_ptr}", "mail.sender.test"},
    {"{client_resolve}", "OK"},
    {"{client_port}", "25000"},
    {"{client_connections}", "0"},
    {"{mail_mailer}", "smtp"},
    {"{mail_host}", "sender.test"},
    {"{mail_addr}", "somebody@sender.test"},
    {"{rcpt_mailer}", "local"},
    {"{rcpt_host}", "example.org"},
    {"{rcpt_addr}", "rcpt@example.org"},
};

static const char *const fields[][2] = {
    {"From", "\"Some Body\" <somebody@sender.test>"},
    {"To", "Recipient <rcpt@example.org>"},
    {"Subject", "A fairly ordinary subject line of an ordinary message"},
    {"Date", "Sat, 21 Nov 2026 10:00:00 +0000"},
    {"MIME-Version", "1.0"},
    {"Content-Type", "text/plain; charset=\"utf-8\""},
    {"Content-Transfer-Encoding", "7bit"},
    {"User-Agent", "miltload/1.0"},
    {"Reply-To", "somebody@sender.test"},
    {"List-Id", "Ordinary list <list.sender.test>"},
    {"List-Unsubscribe", "<mailto:leave@sender.test>, <https://sender.test/leave>"},
    {"Precedence", "bulk"},
};
_Static_assert(HEADERS == 3 + sizeof fields / sizeof *fields, "two Received, Message-ID and these");

const char *signature;

int packet_count(enum stage stage)
{
    if (stage == HEADER && message_fields())
        return message_fields();
    if (stage == HEADER)
        return signature ? HEADERS + 1 : HEADERS;
    if (stage == BODY && message_chunks())
        return message_chunks();
    return 1;
}

void mail_set(struct mail *mail, uint32_t number, uint32_t hops)
{
    uint32_t client = number * 2654435761u & 0x3fffffff; /* odd factor: every number its own address */
    uint32_t hop = number % hops;
    snprintf(mail->client, sizeof mail->client, "%u.%u.%u.%u", 11 + (client >> 24), client >> 16 & 255,
             client >> 8 & 255, client & 255);
    snprintf(mail->hop, sizeof mail->hop, "80.%u.%u.%u", hop >> 16 & 255, hop >> 8 & 255, hop & 255);
    snprintf(mail->queue_id, sizeof mail->queue_id, "4Q%08X", number);
}

void buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->length + more <= buffer->capacity)
        return;
    while (buffer->length + more > buffer->capacity)
        buffer->capacity = buffer->capacity ? buffer->capacity * 2 : 4096;
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (!buffer->bytes)
        abort();
}

static void put(struct buffer *buffer, const void *bytes, size_t size)
{
    buffer_reserve(buffer, size);
    memcpy(buffer->bytes + buffer->length, bytes, size);
    buffer->length += size;
}

static void put_text(struct buffer *buffer, const char *text)
{
    put(buffer, text, strlen(text) + 1);
}

static void put_number(struct buffer *buffer, uint32_t number)
{
    number = htonl(number);
    put(buffer, &number, 4);
}

static size_t begin(struct buffer *buffer, char command)
{
    size_t at = buffer->length;
    put_number(buffer, 0);
    put(buffer, &command, 1);
    return at;
}

static void end(struct buffer *buffer, size_t at)
{
    uint32_t size = htonl((uint32_t)(buffer->length - at - 4));
    memcpy(buffer->bytes + at, &size, 4);
}

static const char *macro_value(const char *name, const struct mail *mail)
{
    static char verbose[64];
    if (!strcmp(name, "i"))
        return mail->queue_id;
    if (!strcmp(name, "{client_addr}"))
        return mail->client;
    if (!strcmp(name, "_")) {
        snprintf(verbose, sizeof verbose, "mail.sender.test [%s]", mail->client);
        return verbose;
    }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (!strcmp(name, constants[i].name))
            return constants[i].value;
    return NULL;
}

static void put_macros(struct buffer *buffer, enum stage stage, const struct mail *mail)
{
    char list[LIST_SIZE];
    size_t at = begin(buffer, 'D');
    put(buffer, &stage_rules[stage].command, 1);
    memcpy(list, macro_lists[list_of[stage]], sizeof list);
    for (char *name = strtok(list, " "); name; name = strtok(NULL, " ")) {
        const char *value = macro_value(name, mail);
        if (value) {
            put_text(buffer, name);
            put_text(buffer, value);
        }
    }
    end(buffer, at);
}

static void put_field(struct buffer *buffer, int index, const struct mail *mail, uint32_t steps)
{
    char text[512];
    const char *name = "Received", *value = text;
    if (index == 0)
        snprintf(text, sizeof text,
                 "from home.sender.test (home.sender.test [%s])\n\tby mail.sender.test (Postfix) with ESMTPS id %s\n\t"
                 "for <rcpt@example.org>; Sat, 21 Nov 2026 10:00:00 +0000 (UTC)",
                 mail->hop, mail->queue_id);
    else if (index == 1)
        snprintf(text, sizeof text,
                 "from laptop (laptop.lan [192.168.1.7])\n\tby home.sender.test (Postfix) with ESMTP id %s;\n\t"
                 "Sat, 21 Nov 2026 09:59:59 +0000 (UTC)",
                 mail->queue_id);
    else if (index == 2) {
        name = "Message-ID";
        snprintf(text, sizeof text, "<%s.%s@sender.test>", mail->queue_id, mail->client);
    } else if (index == HEADERS) {
        name = "DKIM-Signature";
        value = signature;
    } else {
        name = fields[index - 3][0];
        value = fields[index - 3][1];
    }
    put_text(buffer, name);
    if (steps & HDR_LEADSPC)
        put(buffer, " ", 1);
    put_text(buffer, value);
}

static void put_body(struct buffer *buffer)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog, again and again 0123456789.\r\n";
    size_t left = BODY_SIZE;
    while (left) {
        size_t size = left < sizeof line - 1 ? left : sizeof line - 1;
        put(buffer, line, size);
        left -= size;
    }
}

static void put_connect(struct buffer *buffer, const struct mail *mail)
{
    uint16_t port = htons(25000);
    put_text(buffer, "mail.sender.test");
    put(buffer, "4", 1);
    put(buffer, &port, 2);
    put_text(buffer, mail->client);
}

void put_stage(struct buffer *buffer, enum stage stage, int index, const struct mail *mail, uint32_t steps)
{
    size_t at;
    if (stage != OPTNEG)
        put_macros(buffer, stage, mail);
    at = begin(buffer, stage_rules[stage].command);
    switch (stage) {
    case OPTNEG:
        put_number(buffer, 6);
        put_number(buffer, ACTIONS_OFFERED);
        put_number(buffer, STEPS_OFFERED);
        break;
    case CONNECT:
        put_connect(buffer, mail);
        break;
    case HELO:
        put_text(buffer, "mail.sender.test");
        break;
    case MAIL:
        put_text(buffer, "<somebody@sender.test>");
        put_text(buffer, "SIZE=5000");
        break;
    case RCPT:
        put_text(buffer, "<rcpt@example.org>");
        break;
    case HEADER:
        if (message_fields())
            put_message_field(buffer, index, mail, (steps & HDR_LEADSPC) != 0);
        else
            put_field(buffer, index, mail, steps);
        break;
    case BODY:
        if (message_chunks())
            put_message_chunk(buffer, index, mail);
        else
            put_body(buffer);
        break;
    default:
        break;
    }
    end(buffer, at);
}

void put_command(struct buffer *buffer, char command)
{
    end(buffer, begin(buffer, command));
}

int take_macro_lists(const char *data, size_t size)
{
    while (size > 4) {
        uint32_t number;
        size_t length;
        memcpy(&number, data, 4);
        number = ntohl(number);
        data += 4;
        size -= 4;
        length = strnlen(data, size);
        if (number >= LISTS || length == size || length >= LIST_SIZE)
            return 0;
        memcpy(macro_lists[number], data, length + 1);
        data += length + 1;
        size -= length + 1;
    }
    return size == 0;
}
