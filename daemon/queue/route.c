/* The choice of a route. */
#include "route.h"

#include "glob.h"

static bool any_matches(const struct route_patterns *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (glob_matches(patterns->patterns[i], text))
            return true;
    return false;
}

/* An absent tag fits no pattern, not even "*": the condition says that there is one. */
static bool condition_holds(const struct route_patterns *patterns, enum route_key key,
                            const struct route_question *question)
{
    switch (key) {
    case ROUTE_SENDER:
        return any_matches(patterns, question->sender);
    case ROUTE_RECIPIENT:
        return any_matches(patterns, question->recipient);
    case ROUTE_USER:
        return any_matches(patterns, question->user);
    case ROUTE_GROUP:
        for (size_t i = 0; question->groups != NULL && question->groups[i] != NULL; i++)
            if (any_matches(patterns, question->groups[i]))
                return true;
        return false;
    case ROUTE_TAG:
        return question->tag != NULL && any_matches(patterns, question->tag);
    case ROUTE_KEY_COUNT:
        break;
    }
    return false;
}

static bool route_fits(const struct route *route, const struct route_question *question)
{
    for (enum route_key key = 0; key < ROUTE_KEY_COUNT; key++)
        if (route->conditions[key].patterns != NULL &&
            !condition_holds(&route->conditions[key], key, question))
            return false;
    return true;
}

const struct route *route_choose(const struct route *routes, size_t count,
                                 const struct route_question *question)
{
    for (size_t i = 0; i < count; i++)
        if (route_fits(&routes[i], question))
            return &routes[i];
    return NULL;
}
