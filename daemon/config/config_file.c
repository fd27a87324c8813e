/* Walks the file and compares it with the table of keys, which is how unknown ones are found; then the keys of the top
   level. The nested parts are in config_smarthosts.c and config_routes.c. */
#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "config_sections.h"
#include "config_values.h"
#include "strbuf.h"
#include "xalloc.h"

enum { FILE_SIZE_MAX = 1 << 20 };

/* What is put behind runtime-directory; the longest of them. */
#define LONGEST_SOCKET_NAME "/control.sock"

unsigned config_line_of(const config_setting_t *group, const char *key)
{
    const config_setting_t *member = config_setting_get_member(group, key);

    return config_setting_source_line(member != NULL ? member : group);
}

void config_section_read(struct complaints *complaints, enum config_section section,
                         const config_setting_t *group, void *source)
{
    for (int i = 0; group != NULL && i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(setting);
        const struct config_key *key = config_key_find(section, name);
        if (key != NULL) {
            config_value_read(complaints, key, setting, source);
            continue;
        }
        const char *near = config_key_suggest(section, name);
        complain(complaints, config_setting_source_line(setting), "unknown key \"%s\"%s%s%s", name,
                 near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                 near != NULL ? "\"?" : "");
    }
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->section == section &&
            (group == NULL || config_setting_get_member(group, key->name) == NULL))
            config_value_default(key, source);
    }
}

static bool read_text(const char *path, struct strbuf *ret_text, struct complaints *complaints)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buffer[16384];
    ssize_t n = fd < 0 ? -1 : 1;

    while (n > 0) {
        n = read(fd, buffer, sizeof buffer);
        if (n > 0)
            strbuf_append(ret_text, buffer, (size_t)n);
        if (ret_text->len > FILE_SIZE_MAX) {
            complain(complaints, 0, "longer than %d bytes", FILE_SIZE_MAX);
            return false;
        }
    }
    if (n < 0) {
        complain(complaints, 0, "cannot read: %s", strerror(errno));
        return false;
    }
    if (memchr(ret_text->data, '\0', ret_text->len) != NULL) {
        complain(complaints, 0, "is not a text file");
        return false;
    }
    return true;
}

/* Of syntax errors libconfig finds the first only. */
static bool parse(const char *path, config_t *tree, struct complaints *complaints)
{
    AUTO_STRBUF struct strbuf text;

    strbuf_init(&text);
    if (!read_text(path, &text, complaints))
        return false;
    /* One file, so that one line number tells the place: nothing can be found below a file. */
    config_set_include_dir(tree, "/dev/null");
    if (config_read_string(tree, text.data) == CONFIG_TRUE)
        return true;
    bool is_include = strstr(config_error_text(tree), "include") != NULL;
    complain(complaints, (unsigned)config_error_line(tree), "%s",
             is_include ? "@include is not supported" : config_error_text(tree));
    return false;
}

static void complete_names(struct config *config)
{
    char name[256] = "";

    if (config->hostname == NULL) {
        (void)gethostname(name, sizeof name - 1); /* too long for us: cut */
        config->hostname = xstrdup(*name != '\0' ? name : "localhost");
    }
    if (config->default_domain == NULL)
        config->default_domain = xstrdup(config->hostname);
}

static uid_t check_user(struct complaints *complaints, const config_setting_t *root,
                        const struct config *config)
{
    if (config->user == NULL)
        return geteuid();
    const struct passwd *entry = getpwnam(config->user);
    if (entry != NULL)
        return entry->pw_uid;
    complain(complaints, config_line_of(root, "user"), "user: there is no user \"%s\"",
             config->user);
    return geteuid();
}

static void check_top(struct complaints *complaints, const config_setting_t *root,
                      const struct config *config)
{
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - sizeof LONGEST_SOCKET_NAME;

    /* NULL when the value was complained about already. */
    if (config->runtime_directory != NULL && strlen(config->runtime_directory) > room)
        complain(complaints, config_line_of(root, "runtime-directory"),
                 "runtime-directory: longer than %zu bytes: no socket can be made in it", room);
}

static void read_retry(struct complaints *complaints, const config_setting_t *root,
                       struct config *config)
{
    const config_setting_t *group = config_setting_get_member(root, "retry");
    unsigned before = complaints->error_count;

    if (group != NULL && config_setting_is_group(group) == CONFIG_FALSE) {
        complain(complaints, config_setting_source_line(group),
                 "retry: a group is expected: retry = { first = \"30s\"; ... };");
        group = NULL;
    }
    config_section_read(complaints, SECTION_RETRY, group, &config->retry);
    if (complaints->error_count == before && config->retry.max_s < config->retry.first_s)
        complain(complaints, config_line_of(group != NULL ? group : root, "max"),
                 "max: is shorter than first");
}

static void read_tree(struct complaints *complaints, const config_setting_t *root,
                      struct config *config)
{
    struct top_source top = { 0 };

    config_section_read(complaints, SECTION_TOP, root, &top);
    *config = top.config;
    config->is_in_doubt_held = top.in_doubt != NULL && strcmp(top.in_doubt, "hold") == 0;
    free(top.in_doubt);
    complete_names(config);
    check_top(complaints, root, config);
    uid_t other_owner = check_user(complaints, root, config);
    config_smarthosts_read(complaints, config_setting_get_member(root, "smarthosts"), other_owner,
                           config);
    config_routes_read(complaints, config_setting_get_member(root, "routes"), config);
    read_retry(complaints, root, config);
    config_access_read(complaints, config_setting_get_member(root, "access"), config);
}

void config_file_read(const char *path, struct complaints *complaints, struct config *config)
{
    config_t tree;

    config_init(&tree);
    if (parse(path, &tree, complaints))
        read_tree(complaints, config_root_setting(&tree), config);
    config_destroy(&tree);
}

void config_file_done(struct config *config)
{
    config_smarthosts_done(config);
    config_routes_done(config);
    config_access_done(config);
    free(config->hostname);
    free(config->default_domain);
    free(config->state_directory);
    free(config->runtime_directory);
    free(config->drop_directory);
    free(config->user);
}
