/* The commands of the control socket. Adding one means a row here, a handler, a line in control.h and a test. */
#include "request.h"

const struct control_command control_commands[] = {
    {"list",        RIGHT_ANYBODY, FILTER_OPTIONAL, control_list      },
    { "mailq",      RIGHT_ANYBODY, FILTER_OPTIONAL, control_mailq     },
    { "show",       RIGHT_ANYBODY, FILTER_NONE,     control_show      },
    { "raw",        RIGHT_ANYBODY, FILTER_NONE,     control_raw       },
    { "why",        RIGHT_ANYBODY, FILTER_NONE,     control_why       },
    { "log",        RIGHT_ANYBODY, FILTER_NONE,     control_log       },
    { "hold",       RIGHT_ANYBODY, FILTER_REQUIRED, control_change    },
    { "release",    RIGHT_ANYBODY, FILTER_REQUIRED, control_change    },
    { "retry",      RIGHT_ANYBODY, FILTER_REQUIRED, control_change    },
    { "delete",     RIGHT_ANYBODY, FILTER_REQUIRED, control_change    },
    { "status",     RIGHT_ANYBODY, FILTER_OPTIONAL, control_status    },
    { "smarthosts", RIGHT_ANYBODY, FILTER_NONE,     control_smarthosts},
    { "park",       RIGHT_ADMIN,   FILTER_NONE,     control_park      },
    { "unpark",     RIGHT_ADMIN,   FILTER_NONE,     control_park      },
    { NULL,         RIGHT_ADMIN,   FILTER_NONE,     NULL              },
};
