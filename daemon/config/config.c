/* The life of a configuration, and looking things up in it. Reading is config_file.c. */
#include "config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "complaints.h"
#include "config_file.h"
#include "xalloc.h"

/* What is shared never changes, but for the count of those who share it. */
struct shared_config {
    struct config config;
    atomic_uint references;
};

struct config *config_load(const char *path, config_report_fn *report, void *ctx)
{
    struct shared_config *shared = NEW(struct shared_config);
    struct complaints complaints = { .path = path, .report = report, .ctx = ctx };

    atomic_init(&shared->references, 1);
    config_file_read(path, &complaints, &shared->config);
    shared->config.path = xstrdup(path);
    if (complaints.error_count > 0) {
        config_unref(&shared->config);
        return NULL;
    }
    return &shared->config;
}

/* The const is the users' promise; the memory is ours from malloc. */
static struct shared_config *shared_of(const struct config *config)
{
    return (struct shared_config *)(uintptr_t)config;
}

struct config *config_ref(const struct config *config)
{
    struct shared_config *shared = shared_of(config);

    (void)atomic_fetch_add(&shared->references, 1);
    return &shared->config;
}

void config_unref(const struct config *config)
{
    struct shared_config *shared = shared_of(config);

    if (shared == NULL || atomic_fetch_sub(&shared->references, 1) > 1)
        return;
    config_file_done(&shared->config);
    free(shared->config.path);
    free(shared);
}

const struct smarthost_config *config_smarthost(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->smarthost_count; i++)
        if (strcmp(config->smarthosts[i].name, name) == 0)
            return &config->smarthosts[i];
    return NULL;
}

static bool is_member(const char *const *groups, const char *name)
{
    for (size_t i = 0; groups != NULL && groups[i] != NULL; i++)
        if (strcmp(groups[i], name) == 0)
            return true;
    return false;
}

static bool rule_fits(const struct access_rule *rule, const char *user, const char *const *groups)
{
    if (rule->group != NULL && is_member(groups, rule->group))
        return true;
    if (rule->user == NULL)
        return false;
    if (rule->user[0] == '@')
        return is_member(groups, rule->user + 1);
    return strcmp(rule->user, "*") == 0 || strcmp(rule->user, user) == 0;
}

const struct access_rule *config_access(const struct config *config, const char *user,
                                        const char *const *groups)
{
    for (size_t i = 0; i < config->access_count; i++)
        if (rule_fits(&config->access[i], user, groups))
            return &config->access[i];
    return NULL;
}
