/* SMTP AUTH, client side (RFC 4954): a table of mechanisms and one exchange at a time. No I/O.
   One mechanism per login, never the next one after a refusal: each would count against the account. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

enum {
    AUTH_LINE_MAX = 12288, /* RFC 4954, 4: of a command or response, with its CRLF */
    AUTH_ROUNDS_MAX = 8,   /* challenges, whatever the mechanism */
};

struct auth_mechanism;

struct auth_exchange {
    const struct auth_mechanism *mechanism;
    const char *username; /* the caller's, alive during the exchange */
    const char *password;
    unsigned rounds; /* responses given */
};

/* The bit of a mechanism in a set of them; 0 for one that we don't know. Case does not matter. */
uint32_t auth_mechanism_bit(const char *name, size_t len);
/* Takes the best of the offered mechanisms; false when there is none. */
bool auth_begin(uint32_t offered, const char *username, const char *password,
                struct auth_exchange *ret_exchange);
const char *auth_mechanism_name(const struct auth_exchange *exchange);
/* Appends the AUTH command with its CRLF. What is appended here and by auth_respond is secret. */
void auth_command(struct auth_exchange *exchange, struct strbuf *line);
/* Appends the answer to a 334; false when the mechanism has no more to say, that is, the server is at fault. */
bool auth_respond(struct auth_exchange *exchange, struct strbuf *line);
/* Whether text, which a server sent, repeats the password, as it is or in base64, hex or per cent: servers do. */
bool auth_is_secret_in(const char *password, const char *text);
