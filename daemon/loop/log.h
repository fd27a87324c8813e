/* The log: one line per event, `queue-id event key=value ...`, written by a thread of its own, so that a blocked
   log never blocks mail: lines that find 1,024 others waiting are dropped and counted ("dropped 12 lines"). The first
   line after a rest is written at once; while more come, they are written every 10 ms.
   Every value is escaped here (escape.h) and cut at 1,000 bytes. Secrets must not be handed over at all. */
#pragma once
#include <stdbool.h>

struct error;

enum log_level {
    LOG_LEVEL_ERROR,   /* the daemon cannot do its work */
    LOG_LEVEL_WARNING, /* somebody should look */
    LOG_LEVEL_INFO,    /* the life of messages */
    LOG_LEVEL_DEBUG,
};

/* Before any thread that logs. Lines go to fd, with a "<N>" priority prefix when fd is the journal ($JOURNAL_STREAM),
   else with a time and the level. Until started (to stderr), and after stopped, lines are written directly. */
bool log_start(int fd, enum log_level most, struct error *err);
/* When no other thread logs any more. Waits for at most a second if the descriptor is blocked. */
void log_stop(void);

/* From any thread. queue_id may be NULL ("-" is shown). Then pairs of (const char *key, const char *value), ended
   by NULL; a pair whose value is NULL is left out:
       log_event(LOG_LEVEL_INFO, id, "delivered", "recipient", address, "reply", text, NULL); */
__attribute__((sentinel)) void log_event(enum log_level level, const char *queue_id,
                                         const char *event, ...);
/* Free words of our own: log_line(LOG_LEVEL_WARNING, "config", "%s", err.text) gives
   `- config: ...`, escaped and cut like a value. */
__attribute__((format(printf, 3, 4))) void log_line(enum log_level level, const char *event,
                                                    const char *fmt, ...);
/* Lines of level warning or worse so far: tests expect none that they did not announce. */
unsigned log_warning_count(void);
