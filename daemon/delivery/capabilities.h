/* What a smarthost offers in its reply to EHLO (RFC 5321 4.1.1.1). Pure. Keywords are matched without regard to
   case; unknown ones are passed over. Valid for one EHLO: after STARTTLS everything is asked for again. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct capabilities {
    bool has_pipelining;
    bool has_size;
    bool has_8bitmime;
    bool has_smtputf8;
    bool has_starttls;
    bool has_enhanced_codes;
    bool has_dsn;
    bool has_auth;
    uint32_t auth_mechanisms; /* bits of auth.h: those that we can do */
    int64_t size_max;         /* 0: no limit announced */
    unsigned mail_max;        /* LIMITS (RFC 9422) MAILMAX and RCPTMAX; 0: none */
    unsigned rcpt_max;
};

/* text: the reply's, as in struct smtp_reply. */
void capabilities_parse(const char *text, struct capabilities *ret_capabilities);
