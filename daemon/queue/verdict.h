/* What a smarthost's answer means for the mail: the classification of DESIGN 2.6. Pure: no I/O, no clock.
   A verdict is decided here and nowhere else. The key is stage, code, enhanced code, text and provider; rules are
   rows (verdict_rules.c), the first that matches decides, the first digit is the last resort.
   No verdict at a stage before MAIL is ever permanent, so nothing said there can bounce mail.
   Network trouble comes through the same door (verdict_of_trouble). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum verdict_stage {
    STAGE_CONNECT, /* name lookup, TCP, the greeting */
    STAGE_EHLO,
    STAGE_STARTTLS, /* the command and the handshake, also of implicit TLS */
    STAGE_AUTH,
    STAGE_MAIL,
    STAGE_RCPT,
    STAGE_DATA,        /* the reply to DATA */
    STAGE_END_OF_DATA, /* the body and the reply to the final dot */
    STAGE_ANY,         /* between messages: RSET, QUIT, an unsolicited 421 */
    STAGE_COUNT
};

enum verdict_class {
    CLASS_NONE, /* success */
    CLASS_SENDER_REFUSED,
    CLASS_RECIPIENTS_REFUSED,
    CLASS_DATA_ERROR,
    CLASS_AUTH_FAILED,
    CLASS_THROTTLED,
    CLASS_QUOTA_EXCEEDED,
    CLASS_POLICY_REFUSED,
    CLASS_CONNECT_FAILED,
    CLASS_TLS_FAILED,
    CLASS_SERVER_TROUBLE,
    CLASS_PROTOCOL_ERROR,
    CLASS_COUNT
};

enum verdict_scope {
    SCOPE_RECIPIENT,
    SCOPE_MESSAGE,
    SCOPE_SENDER,
    SCOPE_ACCOUNT,
    SCOPE_SMARTHOST,
    SCOPE_CONNECTION,
    SCOPE_COUNT
};

enum verdict_action {
    ACTION_RETRY,     /* normal backoff of what the scope names */
    ACTION_SLOW,      /* reduce rate or concurrency, then retry */
    ACTION_RECONNECT, /* new connection, no attempt counted */
    ACTION_SPLIT,     /* regroup the recipients, send at once */
    ACTION_REFRESH,   /* new OAuth token once, then retry */
    ACTION_PARK,      /* hold everything of that scope, tell somebody, never bounce because of it */
    ACTION_BOUNCE,    /* give up */
    ACTION_COUNT
};

enum { WAIT_NONE = 0, WAIT_HUMAN = -1, WAIT_PRINTED_TIME = -2 };

/* One reply of a smarthost, parsed. text: the lines joined by '\n', without codes, not yet escaped. */
struct smtp_reply {
    int code;          /* 200..599 */
    char enhanced[12]; /* "5.7.1", or "" when absent or when its class digit disagrees with code */
    const char *text;
};

/* Everything that can go wrong without a reply. */
enum trouble {
    TROUBLE_RESOLVE,         /* the name has no address now */
    TROUBLE_CONNECT,         /* refused, unreachable */
    TROUBLE_TIMEOUT,         /* of the stage, or the overall deadline */
    TROUBLE_LOST,            /* closed or reset before a complete reply */
    TROUBLE_LOST_AFTER_DOT,  /* the same between the final dot and its reply: in doubt */
    TROUBLE_BAD_REPLY,       /* not an SMTP reply, endless, mixed codes, unsolicited */
    TROUBLE_TLS_HANDSHAKE,   /* TLS did not come about */
    TROUBLE_TLS_CERTIFICATE, /* not trusted, expired, wrong name */
    TROUBLE_TLS_MISSING,     /* STARTTLS is required and not offered */
    TROUBLE_TLS_INJECTION,   /* bytes behind the 220 to STARTTLS */
    TROUBLE_AUTH_MISSING,    /* no AUTH, or no mechanism of ours, is offered */
    TROUBLE_SECRET,          /* our own password cannot be read */
    TROUBLE_TOO_LARGE,       /* larger than the SIZE the smarthost announced */
    TROUBLE_8BIT,            /* 8-bit body, no 8BITMIME */
    TROUBLE_SMTPUTF8,        /* needs SMTPUTF8, not offered */
    TROUBLE_BODY,            /* our spool could not give the body */
    TROUBLE_STOPPED,         /* we are shutting down */
    TROUBLE_COUNT
};

struct verdict {
    bool is_success;
    bool is_permanent; /* this message or recipient must be given up */
    enum verdict_class class;
    enum verdict_scope scope;
    enum verdict_action action;
    int64_t wait_s;   /* a hint: seconds, or WAIT_ */
    const char *rule; /* name of the deciding row, static */
};

/* provider: "gmail", "ses", ... or NULL/"any" when unknown. */
struct verdict verdict_of_reply(const char *provider, enum verdict_stage stage,
                                const struct smtp_reply *reply);
struct verdict verdict_of_trouble(enum verdict_stage stage, enum trouble trouble);

/* Reads a reply as `outbox classify` gets it: "550 5.1.1 No such user", with a real or a written ("\n") line break
   between lines. text must outlive the result; ret_text receives the joined text (caller frees). Errors: no code,
   codes that differ between lines. */
bool smtp_reply_parse(const char *text, struct smtp_reply *ret_reply, char **ret_text,
                      struct error *err);
/* The enhanced status code (RFC 2034) at the start of a reply line's text, when its class digit matches code;
   returns how many bytes of text it takes together with the space behind it, 0 when there is none. */
size_t smtp_reply_enhanced(int code, const char *text, char ret_enhanced[12]);

const char *verdict_class_name(enum verdict_class class); /* NULL for CLASS_NONE */
const char *verdict_scope_name(enum verdict_scope scope);
const char *verdict_action_name(enum verdict_action action);
const char *verdict_stage_name(enum verdict_stage stage);
const char *trouble_name(enum trouble trouble);
bool verdict_stage_parse(const char *name, enum verdict_stage *ret_stage);
bool verdict_class_parse(const char *name, enum verdict_class *ret_class);
/* "", "human", "printed-time", or a duration such as "1h". */
void verdict_wait_text(int64_t wait_s, char ret_text[32]);
/* Rules by number, for tests and documentation; NULL behind the last. */
const char *verdict_rule_name(size_t index);
