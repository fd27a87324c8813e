/* Sender and recipients of one transaction. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;

struct envelope {
    char *sender;           /* complete; "" is the null sender; NULL: none yet */
    bool is_smtputf8;       /* declared with MAIL */
    bool has_8bit_address;  /* so that delivery needs SMTPUTF8 */
    size_t accepted_count;  /* RCPT commands that were answered 250: LMTP owes each a reply */
    size_t recipient_count; /* different ones */
    size_t recipient_capacity;
    char **recipients;
    uint32_t *slots; /* hash table: position + 1 of a recipient, 0: free */
    size_t slot_count;
};

/* The address with its domain, which is default_domain if it has none. Returns, caller frees; NULL: too long. */
char *envelope_address(const struct address *address, const char *default_domain);

void envelope_init(struct envelope *envelope);
void envelope_done(struct envelope *envelope);
/* An address without domain gets default_domain. False if it does not fit any more (ADDRESS_MAX). */
bool envelope_set_sender(struct envelope *envelope, const struct address *address,
                         const char *default_domain);
/* The same recipient twice is kept once (domains are compared without case). */
bool envelope_add_recipient(struct envelope *envelope, const struct address *address,
                            const char *default_domain);
