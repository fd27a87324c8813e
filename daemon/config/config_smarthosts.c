/* The section `smarthosts`: keys, presets, and what must fit together in one of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "config_sections.h"
#include "error.h"
#include "providers.h"
#include "secrets.h"
#include "xalloc.h"

enum { NAME_MAX_LEN = 63, IMPLICIT_TLS_PORT = 465 };

/* What the checks of one smarthost share. */
struct reading {
    struct complaints *complaints;
    const config_setting_t *group;
    struct smarthost_source *source;
    uid_t other_owner;
};

static unsigned line_of(const struct reading *reading, const char *key)
{
    return config_line_of(reading->group, key);
}

static bool is_given(const struct reading *reading, const char *key)
{
    return config_setting_get_member(reading->group, key) != NULL;
}

/* Names appear in commands, logs and file names. */
static bool is_good_name(const char *name)
{
    static const char accepted[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(name);

    return len >= 1 && len <= NAME_MAX_LEN && strspn(name, accepted) == len;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void complain_about_provider(const struct reading *reading)
{
    const char *name = reading->source->config.provider;
    const char *region = reading->source->region;

    if (!provider_is_known(name)) {
        const char *near = provider_suggest(name);
        complain(reading->complaints, line_of(reading, "provider"),
                 "provider: no preset \"%s\"%s%s%s; without one, give host", name,
                 near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                 near != NULL ? "\"?" : "");
        return;
    }
    AUTO_FREE char *regions = provider_regions(name);
    if (region == NULL)
        complain(reading->complaints, line_of(reading, "provider"),
                 "provider: %s needs a region, such as region = \"eu-west-1\"", name);
    else if (*regions == '\0')
        complain(reading->complaints, line_of(reading, "region"), "region: %s has no regions",
                 name);
    else
        complain(reading->complaints, line_of(reading, "region"),
                 "region: %s has no \"%s\", only %s", name, region, regions);
}

/* A region becomes part of a host name. */
static bool check_region(const struct reading *reading)
{
    const char *region = reading->source->region;

    if (region == NULL)
        return true;
    if (reading->source->config.provider == NULL) {
        complain(reading->complaints, line_of(reading, "region"),
                 "region: means nothing without provider");
        return false;
    }
    if (strlen(region) <= 40 &&
        strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(region))
        return true;
    complain(reading->complaints, line_of(reading, "region"),
             "region: \"%.60s\" is not the name of a region", region);
    return false;
}

/* Fills what the file leaves open. Keys of the file win, those of a preset win over general fallbacks. */
static void apply_preset(const struct reading *reading)
{
    struct smarthost_config *config = &reading->source->config;

    if (!check_region(reading) || config->provider == NULL)
        return;
    const struct provider *provider = provider_find(config->provider, reading->source->region);
    if (provider == NULL) {
        complain_about_provider(reading);
        return;
    }
    if (!is_given(reading, "host"))
        config->host = provider_host(provider, reading->source->region);
    if (!is_given(reading, "port"))
        config->port = provider->port;
    if (!is_given(reading, "username") && provider->username != NULL)
        config->username = xstrdup(provider->username);
    if (!is_given(reading, "connections-max") && provider->connections_max > 0)
        config->connections_max = provider->connections_max;
    if (!is_given(reading, "recipients-max") && provider->recipients_max > 0)
        config->recipients_max = provider->recipients_max;
}

static void check_host(const struct reading *reading)
{
    char *host = reading->source->config.host;

    if (host == NULL) {
        if (!is_given(reading, "host") && reading->source->config.provider == NULL)
            complain(reading->complaints, config_setting_source_line(reading->group),
                     "%s: needs host or provider", reading->source->config.name);
        return;
    }
    size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') { /* as IPv6 addresses stand in URLs */
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    }
    if (strpbrk(host, "[]") != NULL)
        complain(reading->complaints, line_of(reading, "host"), "host: \"%s\" is not a host name",
                 host);
}

static void choose_tls(const struct reading *reading)
{
    struct smarthost_config *config = &reading->source->config;
    const char *word = reading->source->tls;

    if (word == NULL)
        config->tls = config->port == IMPLICIT_TLS_PORT ? TLS_IMPLICIT : TLS_STARTTLS;
    else
        config->tls = *word == 'i' ? TLS_IMPLICIT : *word == 'n' ? TLS_NONE : TLS_STARTTLS;
    if (config->tls == TLS_NONE && !config->may_send_plaintext && config->host != NULL &&
        !is_loopback(config->host))
        complain(reading->complaints, line_of(reading, "tls"),
                 "tls: none is only for this machine itself; to send mail and password to %s "
                 "readable for all in between, say allow-plaintext = true",
                 config->host);
}

static void check_ca_file(const struct reading *reading)
{
    const char *path = reading->source->config.ca_file;
    struct stat status;

    if (path == NULL)
        return;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        complain(reading->complaints, line_of(reading, "ca-file"), "ca-file: %s: %s", path,
                 strerror(errno));
    else if (!S_ISREG(status.st_mode))
        complain(reading->complaints, line_of(reading, "ca-file"),
                 "ca-file: %s: not a regular file", path);
}

static void read_password(const struct reading *reading)
{
    struct smarthost_source *source = reading->source;
    struct error err = { 0 };
    const char *key = source->password_file != NULL ? "password-file" : "password-env";

    if (source->password_file != NULL && source->password_env != NULL) {
        complain(reading->complaints, line_of(reading, "password-env"),
                 "password-env: there is a password-file already");
        return;
    }
    if (source->password_file != NULL)
        source->config.password = secret_from_file(reading->complaints->path, source->password_file,
                                                   reading->other_owner, &err);
    else if (source->password_env != NULL)
        source->config.password = secret_from_environment(source->password_env, &err);
    if (err.code != ERROR_NONE)
        complain(reading->complaints, line_of(reading, key), "%s: %s", key, err.text);
}

/* By what the file says, not by what could be read: a missing file is one complaint, not two. */
static void check_login(const struct reading *reading)
{
    bool has_password = is_given(reading, "password-file") || is_given(reading, "password-env");
    bool has_username = is_given(reading, "username") || reading->source->config.username != NULL;

    read_password(reading);
    if (has_username && !has_password)
        complain(reading->complaints, line_of(reading, "username"),
                 "username: there is no password-file or password-env to go with it");
    if (has_password && !has_username)
        complain(
            reading->complaints,
            line_of(reading, is_given(reading, "password-file") ? "password-file" : "password-env"),
            "a password without a username");
}

static void source_done(struct smarthost_source *source)
{
    free(source->region);
    free(source->tls);
    free(source->password_file);
    free(source->password_env);
}

static void read_one(struct complaints *complaints, const config_setting_t *group,
                     uid_t other_owner, struct smarthost_config *ret_config)
{
    struct smarthost_source source = { 0 };
    struct reading reading = { complaints, group, &source, other_owner };
    unsigned line = config_setting_source_line(group);
    const char *name = config_setting_name(group);

    source.config.name = xstrdup(name);
    source.config.line = line;
    if (!is_good_name(name))
        complain(complaints, line,
                 "smarthosts: \"%.80s\" is not a name (1 to %d letters, digits, '-' and '_')", name,
                 NAME_MAX_LEN);
    if (config_setting_is_group(group) == CONFIG_FALSE) {
        complain(complaints, line, "smarthosts: a group is expected: %.80s = { host = ...; };",
                 name);
    } else {
        config_section_read(complaints, SECTION_SMARTHOST, group, &source);
        apply_preset(&reading);
        check_host(&reading);
        choose_tls(&reading);
        check_ca_file(&reading);
        check_login(&reading);
    }
    *ret_config = source.config;
    source_done(&source);
}

void config_smarthosts_read(struct complaints *complaints, const config_setting_t *setting,
                            uid_t other_owner, struct config *config)
{
    bool is_group = setting != NULL && config_setting_is_group(setting) == CONFIG_TRUE;
    int count = is_group ? config_setting_length(setting) : 0;

    if (count == 0) {
        complain(complaints, setting != NULL ? config_setting_source_line(setting) : 0,
                 "smarthosts: at least one is needed: smarthosts = { NAME = { host = ...; }; };");
        return;
    }
    config->smarthosts = xcalloc((size_t)count, sizeof *config->smarthosts);
    config->smarthost_count = (size_t)count;
    for (int i = 0; i < count; i++)
        read_one(complaints, config_setting_get_elem(setting, (unsigned)i), other_owner,
                 &config->smarthosts[i]);
}

void config_smarthosts_done(struct config *config)
{
    for (size_t i = 0; i < config->smarthost_count; i++) {
        struct smarthost_config *smarthost = &config->smarthosts[i];
        free(smarthost->name);
        free(smarthost->provider);
        free(smarthost->host);
        free(smarthost->username);
        secret_free(smarthost->password);
        free(smarthost->ca_file);
    }
    free(config->smarthosts);
}
