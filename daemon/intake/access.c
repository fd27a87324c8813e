/* Reads one row. */
#include "access.h"

#include <stddef.h>
#include <stdio.h>

#include "glob.h"

#include "config.h"

bool access_allows_sender(const struct access_rule *access, const char *sender)
{
    if (access == NULL || access->sender_count == 0)
        return true;
    for (size_t i = 0; i < access->sender_count; i++)
        if (glob_matches(access->senders[i], sender))
            return true;
    return false;
}

unsigned access_sessions_max(const struct access_rule *access)
{
    return access == NULL || access->connections_max == 0 ? ACCESS_SESSIONS_DEFAULT
                                                          : access->connections_max;
}

void access_describe(const struct access_rule *access, char *ret_text, size_t size)
{
    bool is_group = access->user == NULL;

    (void)snprintf(ret_text, size, "%s %s", is_group ? "group" : "user",
                   is_group ? access->group : access->user);
}
