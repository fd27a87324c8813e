/* The command line of sendmail(1) (DESIGN 2.4): options as callers of three decades write them, glued or separate,
   several letters behind one dash. No option names a file that is read or written. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct error;

enum sendmail_mode {
    SENDMAIL_SUBMIT,  /* -bm */
    SENDMAIL_LIST,    /* -bp, mailq */
    SENDMAIL_SMTP,    /* -bs */
    SENDMAIL_VERIFY,  /* -bv */
    SENDMAIL_ALIASES, /* -bi, newaliases */
    SENDMAIL_RETRY,   /* -q, -qI */
};

struct sendmail_options {
    enum sendmail_mode mode;
    bool reads_recipients; /* -t */
    bool ignores_dots;     /* -i */
    bool is_verbose;       /* -v */
    const char *sender;    /* -f, -r; NULL: the caller */
    const char *full_name; /* -F */
    const char *queue_id;  /* -qI; NULL: all */
    int recipient_count;
    char *const *recipients; /* as they stand in argv */
};

/* argv may be empty. Results point into argv. warn hears of options that are unknown and therefore ignored.
   Fails (ERROR_USAGE) for what would not be what the caller meant: modes and long options we do not have. */
typedef void sendmail_warn_fn(const char *text);
bool sendmail_options_parse(int argc, char *const *argv, sendmail_warn_fn *warn,
                            struct sendmail_options *ret_options, struct error *err);

/* For the comparison with the manual: the letters of the options, in order, ended by NUL. */
extern const char sendmail_option_letters[];
