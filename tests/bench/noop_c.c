/* A milter on C libmilter that does as little as a milter can: it counts header fields and body bytes and adds one header
 * field at end of message. No replies but to CONNECT, RCPT and end of message. usage: noop_c SOCKET */
#include <libmilter/mfapi.h>
#include <stdlib.h>

enum {
    NO_REPLY = SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_DATA | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY
};

struct seen {
    size_t fields, bytes;
};

static struct seen *seen(SMFICTX *context)
{
    struct seen *found = smfi_getpriv(context);
    if (!found) {
        found = calloc(1, sizeof *found);
        if (!found)
            abort();
        smfi_setpriv(context, found);
    }
    return found;
}

static sfsistat on_connect(SMFICTX *context, char *name, _SOCK_ADDR *address)
{
    (void)name, (void)address;
    seen(context);
    return SMFIS_CONTINUE;
}

static sfsistat on_helo(SMFICTX *context, char *name)
{
    (void)context, (void)name;
    return SMFIS_NOREPLY;
}

static sfsistat on_mail(SMFICTX *context, char **arguments)
{
    (void)context, (void)arguments;
    return SMFIS_NOREPLY;
}

static sfsistat on_rcpt(SMFICTX *context, char **arguments)
{
    (void)arguments;
    smfi_getsymval(context, "i");
    return SMFIS_CONTINUE;
}

static sfsistat on_data(SMFICTX *context)
{
    (void)context;
    return SMFIS_NOREPLY;
}

static sfsistat on_field(SMFICTX *context, char *name, char *value)
{
    (void)name, (void)value;
    seen(context)->fields++;
    return SMFIS_NOREPLY;
}

static sfsistat on_body(SMFICTX *context, unsigned char *chunk, size_t size)
{
    (void)chunk;
    seen(context)->bytes += size;
    return SMFIS_NOREPLY;
}

static sfsistat on_end(SMFICTX *context)
{
    smfi_addheader(context, "X-Policy", "pass");
    return SMFIS_CONTINUE;
}

static sfsistat on_abort(SMFICTX *context)
{
    (void)context;
    return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *context)
{
    free(smfi_getpriv(context));
    smfi_setpriv(context, NULL);
    return SMFIS_CONTINUE;
}

static sfsistat negotiate(SMFICTX *context, unsigned long actions, unsigned long steps, unsigned long f2,
                          unsigned long f3, unsigned long *agreed_actions, unsigned long *agreed_steps,
                          unsigned long *p2, unsigned long *p3)
{
    (void)context, (void)f2, (void)f3;
    *agreed_actions = actions;
    *agreed_steps = steps & (NO_REPLY | SMFIP_NOUNKNOWN);
    *p2 = *p3 = 0;
    return SMFIS_CONTINUE;
}

int main(int count, char **words)
{
    struct smfiDesc filter = {"noop_c", SMFI_VERSION, SMFIF_ADDHDRS, on_connect, on_helo,  on_mail,
                              on_rcpt,  on_field,     on_data,       on_body,    on_end,   on_abort,
                              on_close, NULL,         on_data,       negotiate};
    if (count != 2)
        return 2;
    smfi_setconn(words[1]);
    smfi_setbacklog(1024);
    if (smfi_register(filter) != MI_SUCCESS || smfi_opensocket(1) != MI_SUCCESS)
        return 1;
    return smfi_main();
}
