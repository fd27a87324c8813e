#!/bin/sh
# The commands of outbox(1) and the options of sendmail(1) against their manuals, both ways; mandoc's own opinion of the
# manuals where it is installed. Usage: check_manuals.sh OUTBOX DIRECTORY
set -eu
outbox=$1
manuals=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$outbox" help --names | sort >"$work/table"
# A command is documented by ".It Ic NAME" in the list of commands.
sed -n 's/^\.It Ic \([a-z]*\).*/\1/p' "$manuals/outbox.1" | sort >"$work/manual"
diff -u "$work/table" "$work/manual"

sed -n 's/^const char sendmail_option_letters\[\] = "\(.*\)";/\1/p' "$manuals/sendmail_options.c" |
    fold -w 1 | sort >"$work/letters"
sed -n 's/^\.It Fl \([A-Za-z]\).*/\1/p' "$manuals/sendmail.1" | sort -u >"$work/options"
diff -u "$work/letters" "$work/options"

if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$manuals/outbox.1" "$manuals/sendmail.1"
fi
