/* Finds the row that decides. Words for the parts of a verdict. */
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "glob.h"
#include "invariant.h"
#include "reply_words.h"
#include "units.h"
#include "verdict_rules.h"

static const char *const class_names[CLASS_COUNT] = {
    [CLASS_NONE] = NULL,
    [CLASS_SENDER_REFUSED] = "sender-refused",
    [CLASS_RECIPIENTS_REFUSED] = "recipients-refused",
    [CLASS_DATA_ERROR] = "data-error",
    [CLASS_AUTH_FAILED] = "auth-failed",
    [CLASS_THROTTLED] = "throttled",
    [CLASS_QUOTA_EXCEEDED] = "quota-exceeded",
    [CLASS_POLICY_REFUSED] = "policy-refused",
    [CLASS_CONNECT_FAILED] = "connect-failed",
    [CLASS_TLS_FAILED] = "tls-failed",
    [CLASS_SERVER_TROUBLE] = "server-trouble",
    [CLASS_PROTOCOL_ERROR] = "protocol-error",
};

static const char *const scope_names[SCOPE_COUNT] = {
    [SCOPE_RECIPIENT] = "recipient", [SCOPE_MESSAGE] = "message",
    [SCOPE_SENDER] = "sender",       [SCOPE_ACCOUNT] = "account",
    [SCOPE_SMARTHOST] = "smarthost", [SCOPE_CONNECTION] = "connection",
};

static const char *const action_names[ACTION_COUNT] = {
    [ACTION_RETRY] = "retry",   [ACTION_SLOW] = "slow",       [ACTION_RECONNECT] = "reconnect",
    [ACTION_SPLIT] = "split",   [ACTION_REFRESH] = "refresh", [ACTION_PARK] = "park",
    [ACTION_BOUNCE] = "bounce",
};

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_CONNECT] = "connect",   [STAGE_EHLO] = "ehlo",
    [STAGE_STARTTLS] = "starttls", [STAGE_AUTH] = "auth",
    [STAGE_MAIL] = "mail",         [STAGE_RCPT] = "rcpt",
    [STAGE_DATA] = "data",         [STAGE_END_OF_DATA] = "end-of-data",
    [STAGE_ANY] = "any",
};

/* One row per trouble. Nobody said anything here, so the rows are complete by themselves. */
static const struct {
    const char *name;
    const char *rule;
    enum verdict_class class;
    enum verdict_scope scope;
    enum verdict_action action;
    int64_t wait_s;
} troubles[TROUBLE_COUNT] = {
  /* clang-format off */
    [TROUBLE_RESOLVE] = {
        "resolve", "trouble-resolve", CLASS_CONNECT_FAILED, SCOPE_SMARTHOST, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_CONNECT] = {
        "connect", "trouble-connect", CLASS_CONNECT_FAILED, SCOPE_SMARTHOST, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_TIMEOUT] = {
        "timeout", "trouble-timeout", CLASS_CONNECT_FAILED, SCOPE_SMARTHOST, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_LOST] = {
        "lost", "trouble-lost", CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT, WAIT_NONE },
    [TROUBLE_LOST_AFTER_DOT] = {
        "lost-after-dot", "trouble-lost-after-dot", CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT, WAIT_NONE },
    [TROUBLE_BAD_REPLY] = {
        "bad-reply", "trouble-bad-reply", CLASS_PROTOCOL_ERROR, SCOPE_SMARTHOST, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_TLS_HANDSHAKE] = {
        "tls-handshake", "trouble-tls-handshake", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_TLS_CERTIFICATE] = {
        "tls-certificate", "trouble-tls-certificate", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_PARK, WAIT_HUMAN },
    [TROUBLE_TLS_MISSING] = {
        "tls-missing", "trouble-tls-missing", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_PARK, WAIT_HUMAN },
    [TROUBLE_TLS_INJECTION] = {
        "tls-injection", "trouble-tls-injection", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_PARK, WAIT_HUMAN },
    [TROUBLE_AUTH_MISSING] = {
        "auth-missing", "trouble-auth-missing", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK, WAIT_HUMAN },
    [TROUBLE_SECRET] = {
        "secret", "trouble-secret", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK, WAIT_HUMAN },
    [TROUBLE_TOO_LARGE] = {
        "too-large", "trouble-too-large", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE, WAIT_NONE },
    [TROUBLE_8BIT] = {
        "8bit", "trouble-8bit", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE, WAIT_NONE },
    [TROUBLE_SMTPUTF8] = {
        "smtputf8", "trouble-smtputf8", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE, WAIT_NONE },
    /* The fault is ours: neither the message nor the smarthost pays for it. */
    [TROUBLE_BODY] = {
        "body", "trouble-body", CLASS_SERVER_TROUBLE, SCOPE_MESSAGE, ACTION_RETRY, WAIT_NONE },
    [TROUBLE_STOPPED] = {
        "stopped", "trouble-stopped", CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT, WAIT_NONE },
  /* clang-format on */
};

/* An empty alternative matches the empty text. */
static bool glob_any(const char *alternatives, const char *text)
{
    for (;;) {
        char pattern[32];
        size_t len = strcspn(alternatives, "|");
        MUST(len < sizeof pattern);
        (void)memcpy(pattern, alternatives, len);
        pattern[len] = '\0';
        if (glob_matches(pattern, text))
            return true;
        if (alternatives[len] == '\0')
            return false;
        alternatives += len + 1;
    }
}

/* "1.1" of "5.1.1". The class digit says no more than the code; a caller's contradiction is not believed. */
static const char *subject_detail(const struct smtp_reply *reply)
{
    bool is_believed = reply->enhanced[0] - '0' == reply->code / 100 && reply->enhanced[1] == '.';

    return is_believed ? reply->enhanced + 2 : "";
}

/* Whether something said there can be about a message at all. */
static bool is_about_mail(enum verdict_stage stage)
{
    switch (stage) {
    case STAGE_MAIL:
    case STAGE_RCPT:
    case STAGE_DATA:
    case STAGE_END_OF_DATA:
        return true;
    case STAGE_CONNECT:
    case STAGE_EHLO:
    case STAGE_STARTTLS:
    case STAGE_AUTH:
    case STAGE_ANY:
    case STAGE_COUNT:
        break;
    }
    return false;
}

/* The promise of DESIGN 1, kept here and not by the care of whoever writes rows. */
static struct verdict without_blame(struct verdict verdict, enum verdict_stage stage)
{
    if (verdict.is_permanent && !is_about_mail(stage)) {
        verdict.is_permanent = false;
        verdict.action = ACTION_PARK;
        verdict.wait_s = WAIT_HUMAN;
        verdict.scope = stage == STAGE_AUTH ? SCOPE_ACCOUNT : SCOPE_SMARTHOST;
    }
    return verdict;
}

/* 354 to DATA and 2xx elsewhere; 334 never comes here when it was waited for. */
static bool is_success(enum verdict_stage stage, int code)
{
    if (stage == STAGE_DATA)
        return code == 354;
    return code >= 200 && code <= 299;
}

static bool rule_matches(const struct verdict_rule *rule, const char *provider,
                         enum verdict_stage stage, const struct smtp_reply *reply,
                         const char *words)
{
    if ((rule->stages & (1u << stage)) == 0 || reply->code < rule->codes.first ||
        reply->code > rule->codes.last)
        return false;
    if (rule->enhanced != NULL && !glob_any(rule->enhanced, subject_detail(reply)))
        return false;
    if (rule->provider != NULL && (provider == NULL || !glob_any(rule->provider, provider)))
        return false;
    return rule->text == NULL || reply_words_match(words, rule->text);
}

struct verdict verdict_of_reply(const char *provider, enum verdict_stage stage,
                                const struct smtp_reply *reply)
{
    char words[REPLY_WORDS_SIZE];
    size_t i = 0;

    MUST(stage < STAGE_COUNT);
    if (is_success(stage, reply->code))
        return (struct verdict){ .is_success = true, .class = CLASS_NONE, .rule = "success" };
    reply_words_of(reply->text != NULL ? reply->text : "", words);
    /* The last row matches what is left. */
    while (i + 1 < verdict_rule_count &&
           !rule_matches(&verdict_rules[i], provider, stage, reply, words))
        i++;
    struct verdict verdict = {
        .is_permanent = verdict_rules[i].action == ACTION_BOUNCE,
        .class = verdict_rules[i].class,
        .scope = verdict_rules[i].scope,
        .action = verdict_rules[i].action,
        .wait_s = verdict_rules[i].wait_s,
        .rule = verdict_rules[i].name,
    };
    return without_blame(verdict, stage);
}

struct verdict verdict_of_trouble(enum verdict_stage stage, enum trouble trouble)
{
    MUST(stage < STAGE_COUNT && trouble < TROUBLE_COUNT);
    /* No stage forbids these to be permanent: what the EHLO reply lacks is known before MAIL, and is about the message. */
    return (struct verdict){
        .is_permanent = troubles[trouble].action == ACTION_BOUNCE,
        .class = troubles[trouble].class,
        .scope = troubles[trouble].scope,
        .action = troubles[trouble].action,
        .wait_s = troubles[trouble].wait_s,
        .rule = troubles[trouble].rule,
    };
}

static bool name_find(const char *const *names, size_t count, const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i] != NULL && strcmp(names[i], name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

const char *verdict_class_name(enum verdict_class class)
{
    MUST(class < CLASS_COUNT);
    return class_names[class];
}

const char *verdict_scope_name(enum verdict_scope scope)
{
    MUST(scope < SCOPE_COUNT);
    return scope_names[scope];
}

const char *verdict_action_name(enum verdict_action action)
{
    MUST(action < ACTION_COUNT);
    return action_names[action];
}

const char *verdict_stage_name(enum verdict_stage stage)
{
    MUST(stage < STAGE_COUNT);
    return stage_names[stage];
}

const char *trouble_name(enum trouble trouble)
{
    MUST(trouble < TROUBLE_COUNT);
    return troubles[trouble].name;
}

bool verdict_stage_parse(const char *name, enum verdict_stage *ret_stage)
{
    size_t i = 0;

    if (!name_find(stage_names, COUNT_OF(stage_names), name, &i))
        return false;
    *ret_stage = (enum verdict_stage)i;
    return true;
}

bool verdict_class_parse(const char *name, enum verdict_class *ret_class)
{
    size_t i = 0;

    if (!name_find(class_names, COUNT_OF(class_names), name, &i))
        return false;
    *ret_class = (enum verdict_class)i;
    return true;
}

/* One unit, the largest that divides it: "90m", "1h", "24h". Days are left out, as people say "24h" for a window. */
void verdict_wait_text(int64_t wait_s, char ret_text[32])
{
    if (wait_s == WAIT_HUMAN)
        (void)strcpy(ret_text, "human");
    else if (wait_s == WAIT_PRINTED_TIME)
        (void)strcpy(ret_text, "printed-time");
    else if (wait_s <= 0)
        ret_text[0] = '\0';
    else if (wait_s % 3600 == 0)
        (void)snprintf(ret_text, 32, "%" PRId64 "h", wait_s / 3600);
    else if (wait_s % 60 == 0)
        (void)snprintf(ret_text, 32, "%" PRId64 "m", wait_s / 60);
    else
        (void)snprintf(ret_text, 32, "%" PRId64 "s", wait_s);
}

const char *verdict_rule_name(size_t index)
{
    return index < verdict_rule_count ? verdict_rules[index].name : NULL;
}
