/* Recipients in the order they came, and a hash table that finds those given twice. */
#include "envelope.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "cleanup.h"
#include "xalloc.h"

void envelope_init(struct envelope *envelope)
{
    *envelope = (struct envelope){ 0 };
}

void envelope_done(struct envelope *envelope)
{
    free(envelope->sender);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        free(envelope->recipients[i]);
    free(envelope->recipients);
    free(envelope->slots);
    envelope_init(envelope);
}

char *envelope_address(const struct address *address, const char *default_domain)
{
    if (address->kind != ADDRESS_UNQUALIFIED)
        return xstrdup(address->text);
    if (strlen(address->text) + 1 + strlen(default_domain) > ADDRESS_MAX)
        return NULL;
    return xasprintf("%s@%s", address->text, default_domain);
}

bool envelope_set_sender(struct envelope *envelope, const struct address *address,
                         const char *default_domain)
{
    char *sender = envelope_address(address, default_domain);

    if (sender == NULL)
        return false;
    free(envelope->sender);
    envelope->sender = sender;
    envelope->has_8bit_address = envelope->has_8bit_address || address->needs_smtputf8;
    return true;
}

/* FNV-1a with the domain in lower case. Whoever makes collisions on purpose slows down their own transaction by
   recipients-max comparisons a command. */
static size_t hash(const char *address)
{
    const char *domain = address_text_domain(address);
    uint64_t value = 14695981039346656037U;

    for (const char *c = address; *c != '\0'; c++) {
        bool is_domain = c >= domain && *domain != '\0';
        unsigned char byte = (unsigned char)(is_domain ? tolower((unsigned char)*c) : *c);
        value = (value ^ byte) * 1099511628211U;
    }
    return (size_t)(value ^ (value >> 32));
}

static bool is_same(const char *a, const char *b)
{
    const char *domain_a = address_text_domain(a);
    const char *domain_b = address_text_domain(b);

    return domain_a - a == domain_b - b && memcmp(a, b, (size_t)(domain_a - a)) == 0 &&
           strcasecmp(domain_a, domain_b) == 0;
}

/* The slot of this address, or the free one where it belongs. There always is a free one. */
static uint32_t *find_slot(const struct envelope *envelope, const char *address)
{
    size_t mask = envelope->slot_count - 1;
    size_t i = hash(address) & mask;

    while (envelope->slots[i] != 0 &&
           !is_same(envelope->recipients[envelope->slots[i] - 1], address))
        i = (i + 1) & mask;
    return &envelope->slots[i];
}

/* Keeps the table at most half full. */
static void reserve(struct envelope *envelope)
{
    if (envelope->recipient_count < envelope->recipient_capacity)
        return;
    size_t capacity = envelope->recipient_capacity == 0 ? 4 : envelope->recipient_capacity * 2;
    envelope->recipients = xrealloc(envelope->recipients, capacity, sizeof *envelope->recipients);
    envelope->recipient_capacity = capacity;
    free(envelope->slots);
    envelope->slot_count = capacity * 2;
    envelope->slots = xcalloc(envelope->slot_count, sizeof *envelope->slots);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        *find_slot(envelope, envelope->recipients[i]) = (uint32_t)i + 1;
}

bool envelope_add_recipient(struct envelope *envelope, const struct address *address,
                            const char *default_domain)
{
    AUTO_FREE char *recipient = envelope_address(address, default_domain);

    if (recipient == NULL)
        return false;
    reserve(envelope);
    uint32_t *slot = find_slot(envelope, recipient);
    if (*slot == 0) {
        envelope->recipients[envelope->recipient_count] = TAKE(recipient);
        *slot = (uint32_t)++envelope->recipient_count;
    }
    envelope->has_8bit_address = envelope->has_8bit_address || address->needs_smtputf8;
    envelope->accepted_count++;
    return true;
}
