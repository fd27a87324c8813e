/* sendmail(1)'s options: a table by letter. */
#include "sendmail_options.h"

#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "escape.h"

enum argument {
    ARGUMENT_NONE,
    ARGUMENT_GLUED,    /* what follows in the same word, possibly nothing */
    ARGUMENT_REQUIRED, /* the rest of the word, else the next word */
};

struct option_row {
    char letter;
    enum argument argument;
    bool (*apply)(struct sendmail_options *options, const char *value, struct error *err);
};

static bool apply_t(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    options->reads_recipients = true;
    return true;
}

static bool apply_i(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    options->ignores_dots = true;
    return true;
}

static bool apply_v(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    options->is_verbose = true;
    return true;
}

static bool apply_f(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)err;
    options->sender = value;
    return true;
}

static bool apply_F(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)err;
    options->full_name = value;
    return true;
}

/* -oi is -i, and in -om..., -od..., -oe... nothing is left to choose: mail is queued and errors are told on stderr. */
static bool apply_o(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)err;
    if (strcmp(value, "i") == 0)
        options->ignores_dots = true;
    else if (value[0] == 'v')
        options->is_verbose = true;
    return true;
}

static bool apply_b(struct sendmail_options *options, const char *value, struct error *err)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        {'m',  SENDMAIL_SUBMIT },
        { 'p', SENDMAIL_LIST   },
        { 's', SENDMAIL_SMTP   },
        { 'v', SENDMAIL_VERIFY },
        { 'i', SENDMAIL_ALIASES},
    };

    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (value[0] == modes[i].letter && value[1] == '\0') {
            options->mode = modes[i].mode;
            return true;
        }
    }
    if (value[0] == 'd' || value[0] == 'D')
        return fail(err, ERROR_USAGE, "-b%c: the daemon is outboxd(8)", value[0]);
    return fail(err, ERROR_USAGE, "-b%.1s: no such mode", value);
}

static bool apply_q(struct sendmail_options *options, const char *value, struct error *err)
{
    options->mode = SENDMAIL_RETRY;
    if (value[0] == 'I')
        options->queue_id = value + 1;
    else if (value[0] != '\0')
        return fail(err, ERROR_USAGE,
                    "-q takes nothing or I and an id: outboxd(8) retries by itself");
    return true;
}

static bool apply_nothing(struct sendmail_options *options, const char *value, struct error *err)
{
    (void)options;
    (void)value;
    (void)err;
    return true;
}

/* One row per letter, in the order of sendmail_option_letters. C, D and X name files elsewhere; here their argument is
   taken and forgotten. So are those that ask for delivery reports (N, R, V) until the daemon offers them. */
static const struct option_row rows[] = {
    {'A',  ARGUMENT_GLUED,    apply_nothing},
    { 'B', ARGUMENT_REQUIRED, apply_nothing}, /* the bytes say it better */
    { 'C', ARGUMENT_REQUIRED, apply_nothing},
    { 'D', ARGUMENT_REQUIRED, apply_nothing},
    { 'F', ARGUMENT_REQUIRED, apply_F      },
    { 'G', ARGUMENT_NONE,     apply_nothing},
    { 'L', ARGUMENT_REQUIRED, apply_nothing},
    { 'M', ARGUMENT_REQUIRED, apply_nothing},
    { 'N', ARGUMENT_REQUIRED, apply_nothing},
    { 'O', ARGUMENT_REQUIRED, apply_nothing},
    { 'R', ARGUMENT_REQUIRED, apply_nothing},
    { 'U', ARGUMENT_NONE,     apply_nothing},
    { 'V', ARGUMENT_REQUIRED, apply_nothing},
    { 'X', ARGUMENT_REQUIRED, apply_nothing},
    { 'b', ARGUMENT_REQUIRED, apply_b      },
    { 'd', ARGUMENT_GLUED,    apply_nothing},
    { 'e', ARGUMENT_GLUED,    apply_nothing},
    { 'f', ARGUMENT_REQUIRED, apply_f      },
    { 'h', ARGUMENT_REQUIRED, apply_nothing},
    { 'i', ARGUMENT_NONE,     apply_i      },
    { 'm', ARGUMENT_NONE,     apply_nothing},
    { 'n', ARGUMENT_NONE,     apply_nothing},
    { 'o', ARGUMENT_REQUIRED, apply_o      },
    { 'p', ARGUMENT_REQUIRED, apply_nothing},
    { 'q', ARGUMENT_GLUED,    apply_q      },
    { 'r', ARGUMENT_REQUIRED, apply_f      },
    { 't', ARGUMENT_NONE,     apply_t      },
    { 'v', ARGUMENT_NONE,     apply_v      },
};

const char sendmail_option_letters[] = "ABCDFGLMNORUVXbdefhimnopqrtv";

static const struct option_row *find_row(char letter)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

static void warn_unknown(char letter, sendmail_warn_fn *warn)
{
    char text[] = "option -? is not known and ignored";

    if (letter > 32 && letter < 127)
        text[8] = letter;
    if (warn != NULL)
        warn(text);
}

/* One word of options; *next is the index of the word behind it, which a separate argument moves. */
static bool parse_word(int argc, char *const *argv, int *next, sendmail_warn_fn *warn,
                       struct sendmail_options *options, struct error *err)
{
    const char *word = argv[*next - 1];

    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct option_row *row = find_row(*at);
        if (row == NULL) {
            warn_unknown(*at, warn);
            continue;
        }
        if (row->argument == ARGUMENT_NONE) {
            if (!row->apply(options, "", err))
                return false;
            continue;
        }
        const char *value = at + 1;
        /* "-oQ DIRECTORY": the one -o option that is seen with a separate argument. */
        bool is_separate = value[0] == '\0' || (row->letter == 'o' && strcmp(value, "Q") == 0);
        if (is_separate && row->argument == ARGUMENT_REQUIRED) {
            if (*next >= argc)
                return fail(err, ERROR_USAGE, "option -%c needs an argument", row->letter);
            if (value[0] == '\0')
                value = argv[*next];
            (*next)++;
        }
        return row->apply(options, value, err);
    }
    return true;
}

static enum sendmail_mode mode_of_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    if (strcmp(name, "mailq") == 0)
        return SENDMAIL_LIST;
    return strcmp(name, "newaliases") == 0 ? SENDMAIL_ALIASES : SENDMAIL_SUBMIT;
}

/* A recipient that somebody else chose must not turn into an option, nor an option into a recipient. */
static bool check_recipients(int argc, char *const *argv, int first, struct error *err)
{
    for (int i = first; i < argc; i++)
        if (argv[i][0] == '-')
            return fail(err, ERROR_USAGE,
                        "options come before addresses, and -- before an address that begins "
                        "with a dash");
    return true;
}

bool sendmail_options_parse(int argc, char *const *argv, sendmail_warn_fn *warn,
                            struct sendmail_options *ret_options, struct error *err)
{
    struct sendmail_options options = { .mode = SENDMAIL_SUBMIT };
    int next = 1;
    bool is_ended = false;

    if (argc > 0 && argv[0] != NULL)
        options.mode = mode_of_name(argv[0]);
    while (next < argc && argv[next][0] == '-' && argv[next][1] != '\0') {
        const char *word = argv[next++];
        is_ended = strcmp(word, "--") == 0;
        if (is_ended)
            break;
        if (word[1] == '-') {
            AUTO_FREE char *shown = escape_text(word);
            return fail(err, ERROR_USAGE, "%.100s: no such option", shown);
        }
        if (!parse_word(argc, argv, &next, warn, &options, err))
            return false;
    }
    if (!is_ended && !check_recipients(argc, argv, next, err))
        return false;
    options.recipient_count = next < argc ? argc - next : 0;
    options.recipients = argv + (argc > 0 ? next : 0);
    *ret_options = options;
    return true;
}
