/* A file system for SQLite that fails where it is told to: wraps the default one and becomes the default. Faults are
   counted down, not hoped for. Any thread may call these. */
#pragma once
#include <stdbool.h>

enum fault_operation {
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_OPEN,
    FAULT_OPERATION_COUNT
};
enum fault_file { FAULT_MAIN, FAULT_WAL, FAULT_OTHER, FAULT_FILE_COUNT };

struct fault {
    enum fault_operation operation;
    enum fault_file file;
    unsigned countdown; /* 1: the next such call fails */
    bool is_sticky;     /* and all after it */
    int code;           /* of SQLite */
    int system_errno;   /* what SQLite is told when it asks for the reason */
};

void fault_vfs_install(void);
/* Replaces the plan; NULL: no faults. */
void fault_vfs_plan(const struct fault *fault);
/* Calls since the start of the program, failed ones included. */
unsigned fault_vfs_calls(enum fault_operation operation, enum fault_file file);

/* While closed, every sync of the log waits: so requests gather behind a commit. */
void fault_vfs_gate_close(void);
void fault_vfs_gate_open(void);
/* Returns when a sync waits at the closed gate. */
void fault_vfs_gate_wait(void);
