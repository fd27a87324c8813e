/* The sections `routes` and `access`: lists of rows of which the first that fits decides. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_sections.h"
#include "config_values.h"
#include "suggest.h"
#include "xalloc.h"

/* How many rows setting has, 0 also when it is absent or, after a complaint, not a list of groups. */
static size_t count_rows(struct complaints *complaints, const config_setting_t *setting)
{
    if (setting == NULL)
        return 0;
    const char *name = config_setting_name(setting);
    unsigned line = config_setting_source_line(setting);
    int count = config_setting_length(setting);
    bool is_good = config_setting_is_list(setting) == CONFIG_TRUE;

    for (int i = 0; is_good && i < count; i++)
        if (config_setting_is_group(config_setting_get_elem(setting, (unsigned)i)) == CONFIG_FALSE)
            is_good = false;
    if (!is_good)
        complain(complaints, line, "%s: a list of groups is expected: %s = ( { ... }, { ... } );",
                 name, name);
    else if (count == 0)
        complain(complaints, line, "%s: the list is empty", name);
    return is_good ? (size_t)count : 0;
}

static const char *suggest_smarthost(const struct config *config, const char *name)
{
    const char **names = xcalloc(config->smarthost_count + 1, sizeof *names);

    for (size_t i = 0; i < config->smarthost_count; i++)
        names[i] = config->smarthosts[i].name;
    const char *near = suggest_nearest(name, names, config->smarthost_count);
    free(names);
    return near;
}

/* The index of a smarthost, or smarthost_count. */
static size_t find_smarthost(const struct config *config, const char *name)
{
    size_t i = 0;

    while (i < config->smarthost_count && strcmp(config->smarthosts[i].name, name) != 0)
        i++;
    return i;
}

static void add_smarthost(struct complaints *complaints, unsigned line, const struct config *config,
                          const char *name, struct route *route)
{
    size_t index = find_smarthost(config, name);

    if (index == config->smarthost_count) {
        const char *near = suggest_smarthost(config, name);
        complain(complaints, line, "smarthosts: there is no smarthost \"%.80s\"%s%s%s", name,
                 near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                 near != NULL ? "\"?" : "");
        return;
    }
    for (size_t i = 0; i < route->smarthost_count; i++) {
        if (route->smarthosts[i] != index)
            continue;
        complain(complaints, line, "smarthosts: \"%s\" is named twice", name);
        return;
    }
    route->smarthosts[route->smarthost_count++] = (unsigned)index;
}

static void read_route(struct complaints *complaints, const config_setting_t *group,
                       const struct config *config, struct route *ret_route)
{
    struct route_source source = { 0 };
    unsigned line = config_line_of(group, "smarthosts");

    config_section_read(complaints, SECTION_ROUTE, group, &source);
    if (config_setting_get_member(group, "smarthosts") == NULL)
        complain(complaints, line, "routes: a route needs smarthosts");
    source.route.smarthosts = xcalloc(source.smarthosts.count + 1, sizeof *source.route.smarthosts);
    for (size_t i = 0; i < source.smarthosts.count; i++)
        add_smarthost(complaints, line, config, source.smarthosts.patterns[i], &source.route);
    config_list_done(&source.smarthosts);
    *ret_route = source.route;
}

static bool has_conditions(const struct route *route)
{
    for (size_t i = 0; i < ROUTE_KEY_COUNT; i++)
        if (route->conditions[i].count > 0)
            return true;
    return false;
}

static void check_order(struct complaints *complaints, const config_setting_t *setting,
                        const struct config *config)
{
    size_t last = config->route_count - 1;

    if (has_conditions(&config->routes[last]))
        complain(complaints,
                 config_setting_source_line(config_setting_get_elem(setting, (unsigned)last)),
                 "routes: the last route must have no condition, so that every message has one");
    for (size_t i = 0; i < last; i++)
        if (!has_conditions(&config->routes[i]))
            complain_mildly(
                complaints,
                config_setting_source_line(config_setting_get_elem(setting, (unsigned)i)),
                "routes: this route has no condition, so those below it are never used");
}

/* All smarthosts, in the order of the file. */
static void make_only_route(struct config *config)
{
    config->routes = NEW(struct route);
    config->route_count = 1;
    config->routes[0].smarthosts =
        xcalloc(config->smarthost_count + 1, sizeof *config->routes[0].smarthosts);
    config->routes[0].smarthost_count = config->smarthost_count;
    for (size_t i = 0; i < config->smarthost_count; i++)
        config->routes[0].smarthosts[i] = (unsigned)i;
}

void config_routes_read(struct complaints *complaints, const config_setting_t *setting,
                        struct config *config)
{
    size_t count = count_rows(complaints, setting);

    if (count == 0) {
        make_only_route(config);
        return;
    }
    unsigned before = complaints->error_count;
    config->routes = xcalloc(count, sizeof *config->routes);
    config->route_count = count;
    for (size_t i = 0; i < count; i++)
        read_route(complaints, config_setting_get_elem(setting, (unsigned)i), config,
                   &config->routes[i]);
    if (complaints->error_count == before) /* a mistyped condition is not a missing one */
        check_order(complaints, setting, config);
}

static void read_access(struct complaints *complaints, const config_setting_t *group,
                        struct access_rule *ret_rule)
{
    struct access_source source = { 0 };

    config_section_read(complaints, SECTION_ACCESS, group, &source);
    if (config_setting_get_member(group, "user") == NULL &&
        config_setting_get_member(group, "group") == NULL)
        complain(complaints, config_setting_source_line(group),
                 "access: a row needs user or group (user = \"*\" is everybody)");
    *ret_rule = source.rule;
    ret_rule->senders = source.senders.patterns;
    ret_rule->sender_count = source.senders.count;
}

void config_access_read(struct complaints *complaints, const config_setting_t *setting,
                        struct config *config)
{
    size_t count = count_rows(complaints, setting);

    config->access = xcalloc(count + 1, sizeof *config->access);
    config->access_count = count;
    for (size_t i = 0; i < count; i++)
        read_access(complaints, config_setting_get_elem(setting, (unsigned)i), &config->access[i]);
}

void config_routes_done(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        struct route *route = &config->routes[i];
        for (size_t key = 0; key < ROUTE_KEY_COUNT; key++)
            config_list_done(&route->conditions[key]);
        free(route->smarthosts);
    }
    free(config->routes);
}

void config_access_done(struct config *config)
{
    for (size_t i = 0; i < config->access_count; i++) {
        struct access_rule *rule = &config->access[i];
        struct route_patterns senders = { rule->senders, rule->sender_count };
        config_list_done(&senders);
        free(rule->user);
        free(rule->group);
    }
    free(config->access);
}
