/* The table of keys, and looking things up in it. */
#include "config_keys.h"

#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "suggest.h"

#define TOP(member)       offsetof(struct top_source, config.member)
#define SMARTHOST(member) offsetof(struct smarthost_source, config.member)
#define CONDITION(key)    offsetof(struct route_source, route.conditions[key])
#define RETRY(member)     offsetof(struct retry_policy, member)
#define ACCESS(member)    offsetof(struct access_source, rule.member)

/* In the order of the manual. A member that is not named is 0: no fallback, no range, supported. */
/* Rows of two lines are beyond clang-format. */
/* clang-format off */
const struct config_key config_keys[] = {
    { SECTION_TOP, "hostname", TYPE_HOST, .offset = TOP(hostname),
      .help = "the name of this machine in EHLO and Received" },
    { SECTION_TOP, "default-domain", TYPE_HOST, .offset = TOP(default_domain),
      .help = "completes addresses without a domain" },
    { SECTION_TOP, "state-directory", TYPE_PATH, .offset = TOP(state_directory),
      .fallback = "/var/lib/outbox", .help = "the spool and what belongs to it" },
    { SECTION_TOP, "runtime-directory", TYPE_PATH, .offset = TOP(runtime_directory),
      .fallback = "/run/outbox", .help = "submit.sock and control.sock" },
    { SECTION_TOP, "drop-directory", TYPE_PATH, .offset = TOP(drop_directory),
      .fallback = "/var/spool/outbox", .words = "none", .is_unsupported = true,
      .help = "where sendmail leaves mail while the daemon is away" },
    { SECTION_TOP, "user", TYPE_TEXT, .offset = TOP(user),
      .help = "whom to become when started as root" },
    { SECTION_TOP, "workers", TYPE_NUMBER, .offset = TOP(workers), .fallback = "2", .minimum = "1",
      .maximum = "64", .help = "delivery threads" },
    { SECTION_TOP, "message-lifetime", TYPE_DURATION, .offset = TOP(message_lifetime_s),
      .fallback = "5d", .minimum = "1s", .maximum = "52w", .help = "how long delivery is tried" },
    { SECTION_TOP, "history", TYPE_DURATION, .offset = TOP(history_s), .fallback = "30d",
      .minimum = "0s", .maximum = "520w", .help = "how long finished messages are remembered" },
    { SECTION_TOP, "message-size-max", TYPE_SIZE, .offset = TOP(message_size_max_bytes),
      .fallback = "50M", .minimum = "1K", .maximum = "1G",
      .help = "the largest message accepted" },
    { SECTION_TOP, "recipients-max", TYPE_NUMBER, .offset = TOP(recipients_max),
      .fallback = "1000", .minimum = "1", .maximum = "100000",
      .help = "recipients of one message" },
    { SECTION_TOP, "in-doubt", TYPE_WORD, .offset = offsetof(struct top_source, in_doubt),
      .fallback = "retry", .words = "retry hold",
      .help = "what becomes of a recipient whose delivery may have happened" },
    { SECTION_TOP, "in-doubt-delay", TYPE_DURATION, .offset = TOP(in_doubt_delay_s),
      .fallback = "10m", .minimum = "0s", .maximum = "52w",
      .help = "before an in-doubt recipient is tried again" },
    { SECTION_TOP, "smarthosts", TYPE_SECTION, .help = "where mail goes" },
    { SECTION_TOP, "routes", TYPE_SECTION, .help = "which mail goes where" },
    { SECTION_TOP, "retry", TYPE_SECTION, .help = "when delivery is tried again" },
    { SECTION_TOP, "access", TYPE_SECTION, .help = "who may send what" },
    { SECTION_TOP, "listen-tcp", TYPE_ANY, .is_unsupported = true,
      .help = "SMTP on loopback TCP" },
    { SECTION_TOP, "metrics-listen", TYPE_ANY, .is_unsupported = true,
      .help = "metrics over HTTP" },
    { SECTION_TOP, "aliases", TYPE_ANY, .is_unsupported = true, .help = "local names" },
    { SECTION_TOP, "delay-warning", TYPE_ANY, .is_unsupported = true,
      .help = "when the sender is told of a delay" },
    { SECTION_TOP, "bounce-from", TYPE_ANY, .is_unsupported = true,
      .help = "the sender of reports" },
    { SECTION_TOP, "bounce-to", TYPE_ANY, .is_unsupported = true,
      .help = "who gets reports for the null sender" },
    { SECTION_TOP, "reports", TYPE_ANY, .is_unsupported = true,
      .help = "which reports are sent" },
    { SECTION_TOP, "alert-to", TYPE_ANY, .is_unsupported = true,
      .help = "who is told of parked smarthosts" },
    { SECTION_TOP, "long-lines", TYPE_ANY, .is_unsupported = true,
      .help = "what becomes of lines over 998 octets" },
    { SECTION_TOP, "log-format", TYPE_ANY, .is_unsupported = true,
      .help = "the form of log lines" },
    { SECTION_TOP, "rewrite", TYPE_ANY, .is_unsupported = true, .help = "changing addresses" },
    { SECTION_SMARTHOST, "provider", TYPE_TEXT, .offset = SMARTHOST(provider),
      .help = "preset: host, port and limits" },
    { SECTION_SMARTHOST, "region", TYPE_TEXT, .offset = offsetof(struct smarthost_source, region),
      .help = "which of the provider's hosts" },
    { SECTION_SMARTHOST, "host", TYPE_HOST, .offset = SMARTHOST(host),
      .help = "name or address of the smarthost" },
    { SECTION_SMARTHOST, "port", TYPE_NUMBER, .offset = SMARTHOST(port), .fallback = "587",
      .minimum = "1", .maximum = "65535", .help = "its TCP port" },
    { SECTION_SMARTHOST, "tls", TYPE_WORD, .offset = offsetof(struct smarthost_source, tls),
      .words = "starttls implicit none", .help = "when encryption starts" },
    { SECTION_SMARTHOST, "allow-plaintext", TYPE_BOOL, .offset = SMARTHOST(may_send_plaintext),
      .fallback = "false", .help = "permits tls = none beyond this machine" },
    { SECTION_SMARTHOST, "ca-file", TYPE_PATH, .offset = SMARTHOST(ca_file),
      .help = "certificates to trust instead of the system's" },
    { SECTION_SMARTHOST, "username", TYPE_TEXT, .offset = SMARTHOST(username),
      .help = "who logs in" },
    { SECTION_SMARTHOST, "password-file", TYPE_TEXT,
      .offset = offsetof(struct smarthost_source, password_file),
      .help = "where the password is kept" },
    { SECTION_SMARTHOST, "password-env", TYPE_TEXT,
      .offset = offsetof(struct smarthost_source, password_env),
      .help = "the environment variable with the password" },
    { SECTION_SMARTHOST, "connections-max", TYPE_NUMBER, .offset = SMARTHOST(connections_max),
      .fallback = "5", .minimum = "1", .maximum = "1000", .help = "connections at one time" },
    { SECTION_SMARTHOST, "messages-per-connection", TYPE_NUMBER,
      .offset = SMARTHOST(messages_per_connection), .fallback = "100", .minimum = "1",
      .maximum = "1000000", .help = "before it is closed" },
    { SECTION_SMARTHOST, "recipients-max", TYPE_NUMBER, .offset = SMARTHOST(recipients_max),
      .fallback = "100", .minimum = "1", .maximum = "10000",
      .help = "recipients in one transaction" },
    { SECTION_SMARTHOST, "rate", TYPE_RATE, .offset = SMARTHOST(rate),
      .help = "messages in a period" },
    { SECTION_SMARTHOST, "daily-limit", TYPE_QUANTITY, .offset = SMARTHOST(daily_limit),
      .minimum = "1", .maximum = "1000000000", .help = "messages in a day" },
    { SECTION_SMARTHOST, "auth", TYPE_ANY, .is_unsupported = true,
      .help = "which mechanism logs in" },
    { SECTION_SMARTHOST, "sender", TYPE_ANY, .is_unsupported = true,
      .help = "the sender address that the smarthost insists on" },
    { SECTION_ROUTE, "sender", TYPE_LIST, .offset = CONDITION(ROUTE_SENDER),
      .help = "patterns of envelope senders" },
    { SECTION_ROUTE, "recipient", TYPE_LIST, .offset = CONDITION(ROUTE_RECIPIENT),
      .help = "patterns of recipients" },
    { SECTION_ROUTE, "user", TYPE_LIST, .offset = CONDITION(ROUTE_USER),
      .help = "patterns of login names" },
    { SECTION_ROUTE, "group", TYPE_LIST, .offset = CONDITION(ROUTE_GROUP),
      .help = "patterns of group names" },
    { SECTION_ROUTE, "tag", TYPE_LIST, .offset = CONDITION(ROUTE_TAG),
      .help = "patterns of tags" },
    { SECTION_ROUTE, "smarthosts", TYPE_LIST, .offset = offsetof(struct route_source, smarthosts),
      .help = "in order of preference" },
    { SECTION_RETRY, "first", TYPE_DURATION, .offset = RETRY(first_s), .fallback = "30s",
      .minimum = "1s", .maximum = "1w", .help = "before the second attempt" },
    { SECTION_RETRY, "factor", TYPE_FACTOR, .offset = RETRY(factor), .fallback = "2",
      .minimum = "1", .maximum = "10", .help = "each wait is so many times the one before" },
    { SECTION_RETRY, "max", TYPE_DURATION, .offset = RETRY(max_s), .fallback = "1h",
      .minimum = "1s", .maximum = "1w", .help = "no wait is longer" },
    { SECTION_RETRY, "jitter", TYPE_NUMBER, .offset = RETRY(jitter_percent), .fallback = "20",
      .minimum = "0", .maximum = "100", .help = "per cent by which waits vary" },
    { SECTION_ACCESS, "user", TYPE_TEXT, .offset = ACCESS(user),
      .help = "a login name, @group, or * for everybody" },
    { SECTION_ACCESS, "group", TYPE_TEXT, .offset = ACCESS(group), .help = "a group name" },
    { SECTION_ACCESS, "senders", TYPE_LIST, .offset = offsetof(struct access_source, senders),
      .help = "patterns of senders that may be used" },
    { SECTION_ACCESS, "rate", TYPE_RATE, .offset = ACCESS(rate), .is_unsupported = true,
      .help = "messages in a period" },
    { SECTION_ACCESS, "connections-max", TYPE_NUMBER, .offset = ACCESS(connections_max),
      .minimum = "1", .maximum = "20000", .help = "connections at one time" },
};
/* clang-format on */

const size_t config_key_count = COUNT_OF(config_keys);

static const char *const type_names[TYPE_COUNT] = {
    [TYPE_TEXT] = "text",          [TYPE_HOST] = "host",
    [TYPE_PATH] = "path",          [TYPE_WORD] = "word",
    [TYPE_NUMBER] = "number",      [TYPE_QUANTITY] = "number",
    [TYPE_DURATION] = "duration",  [TYPE_SIZE] = "size",
    [TYPE_RATE] = "rate",          [TYPE_FACTOR] = "fraction",
    [TYPE_BOOL] = "true or false", [TYPE_LIST] = "text or list of texts",
    [TYPE_SECTION] = "section",    [TYPE_ANY] = "any",
};

const struct config_key *config_key_find(enum config_section section, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(config_keys); i++)
        if (config_keys[i].section == section && strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

const char *config_key_suggest(enum config_section section, const char *word)
{
    const char *names[COUNT_OF(config_keys)];
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(config_keys); i++)
        if (config_keys[i].section == section)
            names[count++] = config_keys[i].name;
    return suggest_nearest(word, names, count);
}

const char *config_type_name(enum config_type type)
{
    MUST(type < TYPE_COUNT);
    return type_names[type];
}
