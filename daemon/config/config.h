/* The configuration (outbox.conf(5), DESIGN 2.2): read whole, checked whole, immutable afterwards.
   Shared between threads by an atomic reference count; a reload makes a new one. Every error carries FILE:LINE, and
   all of them are reported in one run. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backoff.h"
#include "route.h"
#include "units.h"

struct error;

enum tls_mode { TLS_STARTTLS, TLS_IMPLICIT, TLS_NONE };

struct smarthost_config {
    char *name;
    char *provider; /* preset and reply rules; NULL: none */
    char *host;
    unsigned port;
    enum tls_mode tls;
    bool may_send_plaintext; /* allow-plaintext: tls = none and AUTH without TLS beyond loopback */
    char *username;          /* NULL: no AUTH */
    char *password;          /* itself, read when the file was; NULL: none. Never shown */
    char *ca_file;           /* NULL: the system's store */
    unsigned connections_max;
    unsigned messages_per_connection;
    unsigned recipients_max; /* per transaction */
    struct rate rate;
    int64_t daily_limit; /* 0: none */
    unsigned line;       /* where it stands in the file */
};

struct access_rule {
    char *user;  /* a name, "@group", or "*" */
    char *group; /* NULL unless the row names one */
    char **senders;
    size_t sender_count; /* 0: any */
    struct rate rate;
    unsigned connections_max; /* 0: the built-in limit */
};

struct config {
    char *path;
    char *hostname;
    char *default_domain;
    char *state_directory;
    char *runtime_directory;
    char *drop_directory; /* NULL: "none" */
    char *user;           /* to change to when started as root; NULL: stay */
    unsigned workers;
    int64_t message_lifetime_s;
    int64_t history_s;
    int64_t message_size_max_bytes;
    unsigned recipients_max;
    int64_t in_doubt_delay_s; /* before an in-doubt recipient is tried again */
    bool is_in_doubt_held;    /* in-doubt = "hold" */
    struct retry_policy retry;
    struct smarthost_config *smarthosts;
    size_t smarthost_count; /* >= 1 */
    struct route *routes;   /* always ends with one without conditions */
    size_t route_count;
    struct access_rule *access;
    size_t access_count;
};

/* One complaint: text is "FILE:LINE: ...". is_warning: a key that this version reads but does not act on yet. */
typedef void config_report_fn(const char *text, bool is_warning, void *ctx);

/* Reads path and the secrets it names ($CREDENTIALS_DIRECTORY, credentials/ beside the file, environment). Reports
   everything that is wrong; NULL if anything but warnings was. The caller holds the first reference. */
struct config *config_load(const char *path, config_report_fn *report, void *ctx);

/* From any thread. */
struct config *config_ref(const struct config *config);
void config_unref(const struct config *config); /* NULL is fine; secrets are wiped */

/* By name; NULL when there is none. */
const struct smarthost_config *config_smarthost(const struct config *config, const char *name);
/* The first row that fits this user; NULL when none does. groups ends with NULL, may be NULL. */
const struct access_rule *config_access(const struct config *config, const char *user,
                                        const char *const *groups);
