/* outbox.conf: what is accepted and with which values, and every complaint with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "config.h"
#include "strbuf.h"

static char directory[80];
static char config_path[100];

/* Complaints as "LINE: words\n", with a '~' in front of warnings. */
static void on_complaint(const char *text, bool is_warning, void *ctx)
{
    struct strbuf *all = ctx;
    size_t len = strlen(config_path);

    assert_int_equal(strncmp(text, config_path, len), 0);
    assert_int_equal(text[len], ':');
    strbuf_append_format(all, "%s%s\n", is_warning ? "~" : "", text + len + 1);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[160];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static struct config *load(const char *text, struct strbuf *ret_complaints)
{
    write_file("outbox.conf", text, 0644);
    return config_load(config_path, on_complaint, ret_complaints);
}

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char path[160];

    (void)state;
    (void)snprintf(directory, sizeof directory, "%.40s/configXXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(config_path, sizeof config_path, "%s/outbox.conf", directory);
    (void)snprintf(path, sizeof path, "%s/credentials", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("credentials/good", "secret\n", 0600);
    write_file("credentials/open", "secret\n", 0644);
    return setenv("TEST_PASSWORD", "from the environment", 1) | unsetenv("CREDENTIALS_DIRECTORY");
}

static int tear_down(void **state)
{
    static const char *const names[] = { "credentials/good", "credentials/open", "outbox.conf",
                                         "credentials" };
    char path[160];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)remove(path);
    }
    return rmdir(directory);
}

#define RELAY "smarthosts = { relay = { host = \"relay.example\"; }; };\n"

struct broken_case {
    const char *name;
    const char *text;
    const char *complaints; /* DIR stands for the directory */
};

/* clang-format off */
static const struct broken_case broken_cases[] = {
    { "empty", "",
      "0: smarthosts: at least one is needed: smarthosts = { NAME = { host = ...; }; };\n" },
    { "no smarthost in it", "\nsmarthosts = { };",
      "2: smarthosts: at least one is needed: smarthosts = { NAME = { host = ...; }; };\n" },
    { "syntax", "workers = 2;\nhistory = = 3;\n", "2: syntax error\n" },
    { "duplicate", "workers = 2;\nworkers = 3;\n", "2: duplicate setting name\n" },
    { "include", "@include \"/etc/passwd\"\n", "1: @include is not supported\n" },
    { "unknown keys, near and far", RELAY "worker = 3;\nzzzzzz = 1;\n",
      "2: unknown key \"worker\"; did you mean \"workers\"?\n3: unknown key \"zzzzzz\"\n" },
    { "every error in one run, lines exact after comments",
      "# one\n// two\n/* three\n four */\nworkers = 0;\n\nhistory = \"5x\";\n" RELAY "retry = {\n jitter = 101; };\n",
      "5: workers: 0 is not between 1 and 64\n"
      "7: history: \"5x\" is not a duration: write 30s, 5m, 2h, 1d, 4w or 1h30m (at most 100 years)\n"
      "10: jitter: 101 is not between 0 and 100\n" },
    { "too long", RELAY "message-lifetime = \"53w\";", "2: message-lifetime: 53w is not between 1s and 52w\n" },
    { "too large", RELAY "message-size-max = \"2G\";", "2: message-size-max: 2G is not between 1K and 1G\n" },
    { "negative", RELAY "workers = -1;", "2: workers: \"-1\" is not a whole number\n" },
    { "more than 64 bits can hold", RELAY "workers = \"99999999999999999999\";",
      "2: workers: \"99999999999999999999\" is not a whole number\n" },
    { "bad size", RELAY "message-size-max = \"5T\";",
      "2: message-size-max: \"5T\" is not a size: write bytes, or 64K, 50M, 2G (powers of 1024)\n" },
    { "text where a number belongs", RELAY "workers = true;", "2: workers: a number is expected (delivery threads)\n" },
    { "number where text belongs", RELAY "hostname = 5;",
      "2: hostname: a host is expected (the name of this machine in EHLO and Received)\n" },
    { "group where a value belongs", RELAY "workers = { };", "2: workers: a number is expected (delivery threads)\n" },
    { "a command in the host name", RELAY "hostname = \"a\\r\\nMAIL\";",
      "2: hostname: \"a\\x0D\\x0AMAIL\" is not a host name (letters, digits, '-' and '.')\n" },
    { "relative path", RELAY "state-directory = \"spool\";", "2: state-directory: \"spool\" does not begin with '/'\n" },
    { "no room for a socket", RELAY "runtime-directory = \"/"
      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\";",
      "2: runtime-directory: longer than 94 bytes: no socket can be made in it\n" },
    { "no such user", RELAY "user = \"no-such-user-here\";", "2: user: there is no user \"no-such-user-here\"\n" },
    { "in-doubt", RELAY "in-doubt = \"maybe\";", "2: in-doubt: \"maybe\" is none of: retry hold\n" },
    { "retry is no group", RELAY "retry = 5;", "2: retry: a group is expected: retry = { first = \"30s\"; ... };\n" },
    { "retry the wrong way round", RELAY "retry = { first = \"1h\";\n max = \"1m\"; };", "3: max: is shorter than first\n" },
    { "factor", RELAY "retry = { factor = 0.5; };", "2: factor: 0.5 is not between 1 and 10\n" },
    { "smarthost name", "smarthosts = { a*b = { host = \"x\"; }; };",
      "1: smarthosts: \"a*b\" is not a name (1 to 63 letters, digits, '-' and '_')\n" },
    { "smarthost is no group", "smarthosts = { a = 5; };",
      "1: smarthosts: a group is expected: a = { host = ...; };\n" },
    { "no host", "smarthosts = {\n a = { port = 25; }; };", "2: a: needs host or provider\n" },
    { "port", "smarthosts = { a = { host = \"x\"; port = 65536; }; };", "1: port: 65536 is not between 1 and 65535\n" },
    { "tls", "smarthosts = { a = { host = \"x\"; tls = \"ssl\"; }; };",
      "1: tls: \"ssl\" is none of: starttls implicit none\n" },
    { "plaintext abroad", "smarthosts = { a = { host = \"relay.example\";\n tls = \"none\"; }; };",
      "2: tls: none is only for this machine itself; to send mail and password to relay.example readable for all in "
      "between, say allow-plaintext = true\n" },
    { "plaintext to what begins like loopback", "smarthosts = { a = { host = \"127.0.0.1.example\"; tls = \"none\"; }; };",
      "1: tls: none is only for this machine itself; to send mail and password to 127.0.0.1.example readable for all in "
      "between, say allow-plaintext = true\n" },
    { "plaintext to another address", "smarthosts = { a = { host = \"10.0.0.1\"; tls = \"none\"; }; };",
      "1: tls: none is only for this machine itself; to send mail and password to 10.0.0.1 readable for all in "
      "between, say allow-plaintext = true\n" },
    { "provider", "smarthosts = { a = { provider = \"gmial\"; }; };",
      "1: provider: no preset \"gmial\"; did you mean \"gmail\"?; without one, give host\n" },
    { "region missing", "smarthosts = { a = { provider = \"ses\"; }; };",
      "1: provider: ses needs a region, such as region = \"eu-west-1\"\n" },
    { "region unknown", "smarthosts = { a = { provider = \"mailgun\";\n region = \"mars\"; }; };",
      "2: region: mailgun has no \"mars\", only us, eu\n" },
    { "region without use", "smarthosts = { a = { provider = \"gmail\"; region = \"eu\"; }; };",
      "1: region: gmail has no regions\n" },
    { "region that is a host name", "smarthosts = { a = { provider = \"ses\"; region = \"evil.example/\"; }; };",
      "1: region: \"evil.example/\" is not the name of a region\n" },
    { "username alone", "smarthosts = { a = { host = \"x\";\n username = \"u\"; }; };",
      "2: username: there is no password-file or password-env to go with it\n" },
    { "password alone", "smarthosts = { a = { host = \"x\";\n password-file = \"good\"; }; };",
      "2: a password without a username\n" },
    { "two passwords", "smarthosts = { a = { host = \"x\"; username = \"u\"; password-file = \"good\";\n"
      "password-env = \"TEST_PASSWORD\"; }; };", "2: password-env: there is a password-file already\n" },
    { "no such secret", "smarthosts = { a = { host = \"x\"; username = \"u\"; password-file = \"none\"; }; };",
      "1: password-file: DIR/credentials/none: No such file or directory\n" },
    { "secret for all to read", "smarthosts = { a = { host = \"x\"; username = \"u\";\n password-file = \"open\"; }; };",
      "2: password-file: DIR/credentials/open: mode 0644 lets others at the secret; run: chmod 0600 DIR/credentials/open\n" },
    { "no such variable", "smarthosts = { a = { host = \"x\"; username = \"u\"; password-env = \"NOT_SET_AT_ALL\"; }; };",
      "1: password-env: the environment has no NOT_SET_AT_ALL\n" },
    { "password in the file", "smarthosts = { a = { host = \"x\"; username = \"u\"; password = \"geheim\"; }; };",
      "1: unknown key \"password\"\n1: username: there is no password-file or password-env to go with it\n" },
    { "ca-file", "smarthosts = { a = { host = \"x\"; ca-file = \"/no/such.pem\"; }; };",
      "1: ca-file: /no/such.pem: No such file or directory\n" },
    { "ca-file is no file", "smarthosts = { a = { host = \"x\"; ca-file = \"/\"; }; };",
      "1: ca-file: /: not a regular file\n" },
    { "routes is no list", RELAY "routes = { };", "2: routes: a list of groups is expected: routes = ( { ... }, { ... } );\n" },
    { "routes is empty", RELAY "routes = ( );", "2: routes: the list is empty\n" },
    { "route to nowhere", RELAY "routes = (\n { smarthosts = [ \"rely\" ]; } );",
      "3: smarthosts: there is no smarthost \"rely\"; did you mean \"relay\"?\n" },
    { "route without smarthosts", RELAY "routes = ( { } );", "2: routes: a route needs smarthosts\n" },
    { "route without end", RELAY "routes = (\n { sender = \"*\"; smarthosts = \"relay\"; } );",
      "3: routes: the last route must have no condition, so that every message has one\n" },
    { "route names one twice", RELAY "routes = ( { smarthosts = [ \"relay\", \"relay\" ]; } );",
      "2: smarthosts: \"relay\" is named twice\n" },
    { "mistyped condition", RELAY "routes = ( { sendr = \"*\"; smarthosts = \"relay\"; } );",
      "2: unknown key \"sendr\"; did you mean \"sender\"?\n" },
    { "condition that nothing meets", RELAY "routes = ( { user = [ ]; smarthosts = \"relay\"; } );",
      "2: user: the list is empty\n" },
    { "access for nobody", RELAY "access = ( { connections-max = 5; } );",
      "2: access: a row needs user or group (user = \"*\" is everybody)\n" },
    { "bad rate", "smarthosts = { a = { host = \"x\"; rate = 14; }; };",
      "1: rate: \"14\" is not a rate: write 14/s, 30/min, 200/h or 10000/d\n" },
};
/* clang-format on */

static void replace_directory(struct strbuf *text)
{
    const char *at = NULL;
    AUTO_STRBUF struct strbuf out;

    strbuf_init(&out);
    for (const char *from = text->data;; from = at + strlen(directory)) {
        at = strstr(from, directory);
        if (at == NULL) {
            strbuf_append_text(&out, from);
            break;
        }
        strbuf_append(&out, from, (size_t)(at - from));
        strbuf_append_text(&out, "DIR");
    }
    strbuf_clear(text);
    strbuf_append_text(text, out.data);
}

static void test_broken(void **state)
{
    bool is_good = true;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(broken_cases); i++) {
        const struct broken_case *row = &broken_cases[i];
        AUTO_STRBUF struct strbuf complaints;
        strbuf_init(&complaints);
        struct config *config = load(row->text, &complaints);
        replace_directory(&complaints);
        if (config != NULL || strcmp(complaints.data, row->complaints) != 0) {
            print_error("%s: %s\n%s", row->name, config != NULL ? "accepted" : "refused",
                        complaints.data);
            is_good = false;
        }
        config_unref(config);
    }
    assert_true(is_good);
}

static void test_unreadable(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    (void)unlink(config_path);
    assert_null(config_load(config_path, on_complaint, &complaints));
    assert_string_equal(complaints.data, "0: cannot read: No such file or directory\n");
}

static void test_defaults(void **state)
{
    AUTO_STRBUF struct strbuf complaints;
    char hostname[256] = "";

    (void)state;
    strbuf_init(&complaints);
    struct config *config = load(RELAY, &complaints);
    assert_string_equal(complaints.data, "");
    assert_non_null(config);
    assert_int_equal(gethostname(hostname, sizeof hostname - 1), 0);
    assert_string_equal(config->hostname, hostname);
    assert_string_equal(config->default_domain, hostname);
    assert_string_equal(config->state_directory, "/var/lib/outbox");
    assert_string_equal(config->runtime_directory, "/run/outbox");
    assert_string_equal(config->drop_directory, "/var/spool/outbox");
    assert_null(config->user);
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->message_lifetime_s, 5 * 86400);
    assert_int_equal(config->history_s, 30 * 86400);
    assert_int_equal(config->message_size_max_bytes, 50 << 20);
    assert_int_equal(config->recipients_max, 1000);
    assert_int_equal(config->in_doubt_delay_s, 600);
    assert_false(config->is_in_doubt_held);
    assert_int_equal(config->retry.first_s, 30);
    assert_true(config->retry.factor >= 2.0 && config->retry.factor <= 2.0);
    assert_int_equal(config->retry.max_s, 3600);
    assert_int_equal(config->retry.jitter_percent, 20);
    assert_int_equal(config->access_count, 0);
    const struct smarthost_config *relay = config_smarthost(config, "relay");
    assert_ptr_equal(relay, &config->smarthosts[0]);
    assert_int_equal(relay->port, 587);
    assert_int_equal(relay->tls, TLS_STARTTLS);
    assert_false(relay->may_send_plaintext);
    assert_null(relay->username);
    assert_null(relay->password);
    assert_int_equal(relay->connections_max, 5);
    assert_int_equal(relay->messages_per_connection, 100);
    assert_int_equal(relay->recipients_max, 100);
    assert_int_equal(relay->rate.count, 0);
    assert_int_equal(relay->daily_limit, 0);
    assert_int_equal(relay->line, 1);
    assert_null(config_smarthost(config, "rela"));
    config_unref(config);
}

/* The sample of the design, with secrets that exist. */
static void test_full(void **state)
{
    static const char text[] =
        "hostname          = \"app1.example.com\";\n"
        "default-domain    = \"example.com\";           # completes unqualified addresses\n"
        "state-directory   = \"/var/lib/outbox\";\n"
        "drop-directory    = \"/var/spool/outbox\";     # \"none\" switches it off\n"
        "runtime-directory = \"/run/outbox\";\n"
        "listen-tcp        = [ \"127.0.0.1:587\" ];\n"
        "metrics-listen    = \"127.0.0.1:9325\";\n"
        "workers           = 3;\n"
        "message-lifetime  = \"1d12h\";\n"
        "history           = \"30d\";\n"
        "message-size-max  = \"10M\";\n"
        "aliases           = \"/etc/aliases\";\n"
        "smarthosts = {\n"
        "    ses = {\n"
        "        provider      = \"ses\";\n"
        "        region        = \"eu-west-1\";\n"
        "        username      = \"AKIA...\";\n"
        "        password-file = \"good\";\n"
        "    };\n"
        "    relay = {\n"
        "        host = \"mail.example.com\"; port = 587; tls = \"starttls\";\n"
        "        username = \"app\"; password-env = \"TEST_PASSWORD\";\n"
        "        connections-max = 4; messages-per-connection = 50; rate = \"14/s\"; daily-limit = "
        "50000; recipients-max = 50;\n"
        "        ca-file = \"/etc/passwd\";\n"
        "    };\n"
        "};\n"
        "routes = (\n"
        "    { sender = \"*@billing.example.com\"; smarthosts = [ \"ses\", \"relay\" ]; },\n"
        "    { user = [ \"a\", \"b\" ]; sender = \"\"; smarthosts = \"ses\"; },\n"
        "    { smarthosts = [ \"relay\" ]; }\n"
        ");\n"
        "retry  = { first = \"10s\"; factor = 1.5; max = \"2h\"; jitter = \"0\"; };\n"
        "access = ( { user = \"www-data\"; senders = [ \"*@shop.example.com\" ]; rate = \"200/h\"; "
        "connections-max = 50; } );\n";
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config = load(text, &complaints);
    assert_string_equal(complaints.data,
                        "~4: drop-directory: not supported by this version yet, ignored\n"
                        "~6: listen-tcp: not supported by this version yet, ignored\n"
                        "~7: metrics-listen: not supported by this version yet, ignored\n"
                        "~12: aliases: not supported by this version yet, ignored\n"
                        "~33: rate: not supported by this version yet, ignored\n");
    assert_non_null(config);
    assert_string_equal(config->path, config_path);
    assert_string_equal(config->hostname, "app1.example.com");
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->message_lifetime_s, 36 * 3600);
    assert_int_equal(config->message_size_max_bytes, 10 << 20);
    assert_int_equal(config->smarthost_count, 2);
    const struct smarthost_config *ses = &config->smarthosts[0];
    assert_string_equal(ses->host, "email-smtp.eu-west-1.amazonaws.com");
    assert_string_equal(ses->provider, "ses");
    assert_string_equal(ses->password, "secret");
    assert_int_equal(ses->recipients_max, 50);
    const struct smarthost_config *relay = &config->smarthosts[1];
    assert_string_equal(relay->password, "from the environment");
    assert_int_equal(relay->connections_max, 4);
    assert_int_equal(relay->rate.count, 14);
    assert_int_equal(relay->rate.period_s, 1);
    assert_int_equal(relay->daily_limit, 50000);
    assert_string_equal(relay->ca_file, "/etc/passwd");
    assert_int_equal(relay->line, 20);
    assert_int_equal(config->route_count, 3);
    assert_int_equal(config->routes[0].smarthost_count, 2);
    assert_int_equal(config->routes[0].smarthosts[1], 1);
    assert_string_equal(config->routes[0].conditions[ROUTE_SENDER].patterns[0],
                        "*@billing.example.com");
    assert_int_equal(config->routes[1].conditions[ROUTE_USER].count, 2);
    assert_string_equal(config->routes[1].conditions[ROUTE_SENDER].patterns[0], "");
    assert_int_equal(config->routes[2].smarthosts[0], 1);
    assert_int_equal(config->retry.first_s, 10);
    assert_int_equal(config->retry.jitter_percent, 0);
    assert_string_equal(config->access[0].senders[0], "*@shop.example.com");
    assert_int_equal(config->access[0].connections_max, 50);
    config_unref(config);
}

struct smarthost_case {
    const char *name;
    const char *keys;
    const char *host;
    unsigned port;
    enum tls_mode tls;
    unsigned connections_max;
};

static const struct smarthost_case smarthost_cases[] = {
    {"port 465",            "host = \"x\"; port = 465;",                             "x",                  465,  TLS_IMPLICIT, 5},
    { "port as text",       "host = \"x\"; port = \"25\";",                          "x",                  25,   TLS_STARTTLS, 5},
    { "implicit elsewhere", "host = \"x\"; port = 2465; tls = \"implicit\";",        "x",                  2465,
     TLS_IMPLICIT,                                                                                                             5},
    { "loopback v4",        "host = \"127.1.2.3\"; tls = \"none\";",                 "127.1.2.3",          587,  TLS_NONE,     5},
    { "loopback v6",        "host = \"[::1]\"; tls = \"none\";",                     "::1",                587,  TLS_NONE,     5},
    { "loopback by name",   "host = \"LocalHost\"; tls = \"none\";",                 "LocalHost",          587,  TLS_NONE,     5},
    { "allowed plaintext",  "host = \"x\"; tls = \"none\"; allow-plaintext = true;", "x",                  587,
     TLS_NONE,                                                                                                                 5},
    { "preset",             "provider = \"fastmail\";",                              "smtp.fastmail.com",  465,  TLS_IMPLICIT, 5},
    { "preset limits",      "provider = \"office365\";",                             "smtp.office365.com", 587,  TLS_STARTTLS, 3},
    { "keys beat presets",
     "provider = \"office365\"; host = \"y\"; port = 25; connections-max = 9;",      "y",                  25,
     TLS_STARTTLS,                                                                                                             9},
};

static void test_smarthosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(smarthost_cases); i++) {
        const struct smarthost_case *row = &smarthost_cases[i];
        AUTO_STRBUF struct strbuf complaints;
        char text[300];

        strbuf_init(&complaints);
        (void)snprintf(text, sizeof text, "smarthosts = { a = { %s }; };", row->keys);
        struct config *config = load(text, &complaints);
        if (config == NULL)
            fail_msg("%s: %s", row->name, complaints.data);
        assert_string_equal(config->smarthosts[0].host, row->host);
        assert_int_equal(config->smarthosts[0].port, row->port);
        assert_int_equal(config->smarthosts[0].tls, row->tls);
        assert_int_equal(config->smarthosts[0].connections_max, row->connections_max);
        config_unref(config);
    }
}

static void test_default_route(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config =
        load("smarthosts = { a = { host = \"x\"; }; b = { host = \"y\"; }; };", &complaints);
    assert_int_equal(config->route_count, 1);
    assert_int_equal(config->routes[0].smarthost_count, 2);
    assert_int_equal(config->routes[0].smarthosts[0], 0);
    assert_int_equal(config->routes[0].smarthosts[1], 1);
    config_unref(config);
}

static void test_useless_route_is_a_warning(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config =
        load(RELAY "routes = ( { smarthosts = \"relay\"; },\n { smarthosts = \"relay\"; } );",
             &complaints);
    assert_non_null(config);
    assert_string_equal(complaints.data, "~2: routes: this route has no condition, so those below "
                                         "it are never used\n");
    config_unref(config);
}

static void test_no_warning_for_none(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config = load(RELAY "drop-directory = \"none\";", &complaints);
    assert_non_null(config);
    assert_string_equal(complaints.data, "");
    assert_null(config->drop_directory);
    config_unref(config);
}

struct access_case {
    const char *user;
    const char *group; /* their only one; NULL: none */
    int row;           /* -1: none fits */
};

static const struct access_case access_cases[] = {
    {"www",    NULL,    0 },
    { "other", "staff", 1 },
    { "other", "ops",   2 },
    { "www",   "staff", 0 },
    { "other", NULL,    -1},
};

static void test_access(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config = load(
        RELAY "access = ( { user = \"www\"; }, { group = \"staff\"; }, { user = \"@ops\"; } );",
        &complaints);
    assert_non_null(config);
    for (size_t i = 0; i < COUNT_OF(access_cases); i++) {
        const struct access_case *row = &access_cases[i];
        const char *const groups[] = { row->group, NULL };
        const struct access_rule *expected = row->row < 0 ? NULL : &config->access[row->row];
        assert_ptr_equal(config_access(config, row->user, groups), expected);
    }
    config_unref(config);
    config = load(RELAY "access = ( { user = \"*\"; } );", &complaints);
    assert_ptr_equal(config_access(config, "anybody", NULL), &config->access[0]);
    config_unref(config);
}

static void test_references(void **state)
{
    AUTO_STRBUF struct strbuf complaints;

    (void)state;
    strbuf_init(&complaints);
    struct config *config = load(RELAY, &complaints);
    struct config *other = config_ref(config);
    assert_ptr_equal(other, config);
    config_unref(config);
    assert_string_equal(other->smarthosts[0].name, "relay");
    config_unref(other);
    config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_smarthosts),
        cmocka_unit_test(test_default_route),
        cmocka_unit_test(test_useless_route_is_a_warning),
        cmocka_unit_test(test_no_warning_for_none),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_references),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
