/* A file system for SQLite that fails where it is told to: wraps the default one and becomes the default. Faults are
   counted down, not hoped for. Any thread may call these. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

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

/* Writes that would make the files of this directory larger than size_bytes together fail for lack of space. NULL: the
   disk is as large as it really is. */
void fault_vfs_disk(const char *directory, int64_t size_bytes);
/* What they occupy now. */
int64_t fault_vfs_disk_used(const char *directory);

/* While closed, every sync of the log waits: so requests gather behind a commit. */
void fault_vfs_gate_close(void);
void fault_vfs_gate_open(void);
/* Returns when a sync waits at the closed gate. */
void fault_vfs_gate_wait(void);
